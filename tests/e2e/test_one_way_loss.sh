#!/usr/bin/env bash
# One direction of one path is dead: nothing is lost either way, and the other direction still uses that path.
source "$(dirname "$0")/lab.sh"

# With liveness, both directions of the path would be given up.
extra_topology='
[liveness]
enabled = false
'
lab_up
origin_up
nodes_up
probe "$vip_v4" 100 1000 >/dev/null
lose_from edge mid-1
report=$(probe "$vip_v4" 4000 2000)
expect "datagrams lost with edge to mid-1 cut" "$(jq .lost <<<"$report")" -eq 0
expect "datagrams repeated" "$(jq .duplicated <<<"$report")" -eq 0
arrived=$(path_counter edge 1 received)
expect "copies that reached the edge over the path cut in the other direction" "$arrived" -ge 4000
# What is lost on one path in one direction is not blamed on another path, nor on the other direction.
sleep 1.2
expect "data lost on the way to the edge over the half-dead path" "$(data_lost edge 1)" -eq 0
expect "data lost on the way to the edge over the good path" "$(data_lost edge 2)" -eq 0
expect "data lost on the way to the gateway over the good path" "$(data_lost gateway 2)" -eq 0

pass "4,000 datagrams, none lost; $arrived copies came back over the half-dead path"
