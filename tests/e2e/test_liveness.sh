#!/usr/bin/env bash
# A dead, frozen or half-cut intermediate is known at both ends within the detection time, 50 ms x 3; what lives stays up
# under floods of data and of everything that a control thread has to answer.
source "$(dirname "$0")/lab.sh"

extra_topology='
[liveness]
interval_ms = 50
hold_down_ms = 500
damping_seconds = 0
'
# What a loaded machine may add: two control threads and a proactl that must be scheduled, ms.
slack=250

# The state of path 1 at an end: "yes" or "no", and for how long, ms.
path_used() { ctl "$1" path show -j | jq -r '.paths[] | select(.path == 1) | .ends[0].usable'; }
path_dead() { [[ $(path_used "$1") == false ]]; }
path_alive() { [[ $(path_used "$1") == true ]]; }
all_up() {
    local node
    for node in "${NODES[@]}"; do
        ctl "$node" status -j | jq -e '.links | length > 0 and all(.session == "up" and .state == "up")' >/dev/null || return 1
    done
    for node in edge gateway; do
        ctl "$node" path show -j | jq -e '[.paths[].ends[]] | all(.usable and .state == "up")' >/dev/null || return 1
    done
}
deaths() {
    local node
    for node in "${NODES[@]}"; do ctl "$node" status -j | jq '[.links[].deaths] | add'; done | awk '{ n += $1 } END { print n }'
    for node in edge gateway; do ctl "$node" path show -j | jq '[.paths[].ends[].deaths] | add'; done | awk '{ n += $1 } END { print n }'
}

# known NODE SINCE-MS: how long after that time, ms, the node knew that path 1 is dead, by its link or by its probes. Its
# own word counts: what it says of the death's age. Asking takes a while, which counts against it.
known() {
    eventually 5 path_dead "$1" || fail "$1 does not know that path 1 is dead"
    local link path now_link now_path
    link=$(ctl "$1" status -j | jq '[.links[] | select(.node == "mid-1" and .state != "up") | .since_ms] | max // -1')
    now_link=$((${EPOCHREALTIME/./} / 1000))
    path=$(ctl "$1" path show -j | jq '.paths[] | select(.path == 1) | .ends[0] | if .state == "up" then -1 else .since_ms end')
    now_path=$((${EPOCHREALTIME/./} / 1000))
    ((link >= 0 || path >= 0)) || fail "$1 does not say since when path 1 is dead"
    link=$((link < 0 ? 1000000 : now_link - link - $2))
    path=$((path < 0 ? 1000000 : now_path - path - $2))
    echo $((link < path ? link : path))
}

lab_up
origin_up
nodes_up
eventually 15 all_up || fail "not all links and paths are up after 15 s"
report=""

fault() {
    local what=$1 at node took
    at=$((${EPOCHREALTIME/./} / 1000))
    "${@:2}"
    for node in edge gateway; do
        took=$(known $node "$at")
        expect "ms until $node knew of a $what" "$took" -le $((150 + slack))
        report+="$what, $node: $took ms; "
    done
    eventually 2 path_alive edge && fail "path 1 is used though it is dead: $what"
    return 0
}
heal() {
    "$@"
    eventually 15 all_up || fail "not all is up again after $*"
}

freeze() { node_signal mid-1 STOP; }
thaw() { node_signal mid-1 CONT; }
uncut() { in_node internet nft delete table netdev cut_edge; }
again() { nodes_up mid-1; }
murder() { node_stop mid-1 KILL || true; }

fault "frozen mid-1" freeze
heal thaw
fault "one-way cut" lose_from edge mid-1
heal uncut
fault "killed mid-1" murder
lost=$(probe "$vip_v4" 1000 1000 | jq .lost)
expect "datagrams lost with path 1 out of use" "$lost" -eq 0
sent=$(path_counter edge 1 sent)
probe "$vip_v4" 500 1000 >/dev/null
expect "copies over the dead path" $(($(path_counter edge 1 sent) - sent)) -eq 0
heal again

# Floods: data both ways, and at the same time noise, echo and ARP, all of which go to control threads.
before=$(deaths | paste -sd' ')
probe "$vip_v4" 20000 4000 >"$LAB_DIR/flood" &
flood=$!
for node in edge mid-1 gateway; do
    in_node internet python3 "$E2E/forge.py" noise --interface $node --mac "$(mac_of $node)" --count 4000 --rate 2000 &
done
in_node client ping -f -q -c 5000 "$edge_v4" >/dev/null &
in_node origin ping -f -q -c 5000 "$gateway_v4" >/dev/null &
wait $flood
expect "deaths under floods, links then paths ($before before)" "$(deaths | paste -sd' ' | tr -d ' ')" -eq "${before// /}"
all_up || fail "not all is up after floods"
ctl edge path show -j | jq -e '.paths[0].ends[0].quality | .probes > 100 and .round_trip_us.p99 > 0' >/dev/null ||
    fail "no figures of path 1"
in_node edge curl -fsS http://127.0.0.1:9464/metrics | grep -q '^proa_path_used{path="1",node="gateway",version="4"} 1$' ||
    fail "no metric of path 1"
for node in edge gateway; do
    node_stop $node || fail "$node's account does not balance"
done

pass "${report}no death under floods; path 1 took no data while dead"
