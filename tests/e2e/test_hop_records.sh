#!/usr/bin/env bash
# Hop records of real traffic: every packet of one application, about one in fifty of another, over paths one of which is
# held up for 20 ms at a time. The end tells which copy won and by how much, and where the time went; what is delivered is the same.
source "$(dirname "$0")/lab.sh"

seal=aes-256-gcm
trace=(
    [web]="trace = { one_in = 1 }"
    [single]="trace = { one_in = 50, hops_max = 2 }"
)
lab_up
origin_up
make_file bulk 4
nodes_up
# From here on mid-2 stands still for 20 ms of every 22, and what comes in the meantime waits at its port.
while sleep 0.002 && kill -STOP "${NODE_PID[mid-2]}" && sleep 0.02; do kill -CONT "${NODE_PID[mid-2]}"; done 2>/dev/null &
probe "$vip_v4" 100 500 >/dev/null

fetch_and_compare "$vip_v4" bulk
report=$(probe "$vip_v4" 2000 1000)
expect "datagrams lost" "$(jq .lost <<<"$report")" -eq 0
expect "datagrams repeated" "$(jq .duplicated <<<"$report")" -eq 0
probe "$single_v4" 2000 1000 >/dev/null

# The slow path's copies lose, by half of its pauses as a rule; what comes while mid-2 runs may win.
for end in gateway edge; do
    traces=$(ctl "$end" path trace web -j -n 200)
    won=$(jq '.paths[] | select(.path == 1) | .won' <<<"$traces")
    lost=$(jq '.paths[] | select(.path == 2) | .lost' <<<"$traces")
    margin=$(jq '.paths[] | select(.path == 1) | .margin_us.p50 | floor' <<<"$traces")
    expect "packets that path 1 won at the $end" "$won" -ge 1600
    expect "copies over path 2 that lost at the $end" "$lost" -ge 1600
    expect "by how much path 1 wins at the $end, µs" "$margin" -ge 4000
    # Each node of each path is there, and no packet is without its record.
    hops=$(jq -r '.hops[] | "\(.path) \(.from) \(.node)"' <<<"$traces" | sort | paste -sd,)
    here=$end there=gateway
    [[ $end == edge ]] || there=edge
    [[ $hops == "1 $there mid-1,1 mid-1 $here,2 $there mid-2,2 mid-2 $here" ]] || fail "hops at the $end: $hops"
    expect "transit delays at the $end that are nothing" \
        "$(jq '[.packets[].copies[].records[] | select(.transit_ns == 0)] | length' <<<"$traces")" -eq 0
    expect "copies without a record at the $end" \
        "$(jq '[.packets[].copies[] | select(.records | length != 1)] | length' <<<"$traces")" -eq 0
done
link=$(jq '.hops[] | select(.path == 2 and .node == "mid-2") | .link.above_us.p50 | floor' <<<"$(ctl gateway path trace web -j)")
expect "what the slow link took above its least, µs" "$link" -ge 4000
grep -q 'path 1 won' <<<"$(ctl gateway path trace web -n 200)" || fail "no packet is shown"
ctl gateway path trace nothing 2>/dev/null && fail "an application that there is none of is shown"

sampled=$(ctl gateway path trace single -j | jq '[.paths[].won] | add')
expect "of 2,000 packets sampled, at least" "$sampled" -ge 30
expect "of 2,000 packets sampled, at most" "$sampled" -le 60
# Full segments have no room within the MTU, and went without.
metric() { in_node "$1" curl -fsS http://127.0.0.1:9464/metrics | awk -v name="$2{}" '$1 == name { print $2 }'; }
expect "packets too long for records" "$(metric gateway proa_traces_unfit_total)" -ge 1000
expect "malformed traces" "$(metric gateway proa_traces_malformed_total)" -eq 0
expect "dropped by the authenticator" "$(drops mid-1 overlay_forged_hop)" -eq 0

pass "path 1 won $won packets by $((margin / 1000)) ms, the slow link $((link / 1000)) ms above its least; $sampled of 2,000 sampled, 4 MiB unharmed"
