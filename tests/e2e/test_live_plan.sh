#!/usr/bin/env bash
# A planned path set follows its links: when one gets lossy, every node sends over the next best pair, within seconds, and a
# running stream of datagrams loses none; when it is well again, the plan moves back.
source "$(dirname "$0")/lab.sh"

NODES=(edge mid-1 mid-2 mid-3 gateway)
node_id[mid-3]=13 node_region[mid-3]=porto node_role[mid-3]=intermediate
node_v4[mid-3]=192.0.2.13 node_v6[mid-3]=2001:db8:1::13
seal=aes-256-gcm
plan=2
# Loss weighs a second for each unit, so 20 % costs as much as 223 ms; the third way is longer than what a loaded machine adds.
extra_topology="
[[link]]
between = [\"paris\", \"london\"]
latency_ms = 1
[[link]]
between = [\"london\", \"frankfurt\"]
latency_ms = 1
[[link]]
between = [\"paris\", \"madrid\"]
latency_ms = 1
[[link]]
between = [\"madrid\", \"frankfurt\"]
latency_ms = 1
[[link]]
between = [\"paris\", \"porto\"]
latency_ms = 1
[[link]]
between = [\"porto\", \"frankfurt\"]
latency_ms = 1

[liveness]
interval_ms = 50
multiplier = 8
hold_down_ms = 300
damping_seconds = 0
"

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
# The intermediate regions over which a node sends, in order.
ways() { ctl "$1" path show -j | jq -r '[.paths[] | select(.in_force) | .regions[1]] | sort | join(" ")'; }
all_avoid() { local node; for node in edge gateway; do [[ $(ways $node) != *"$1"* && $(ways $node) == *" "* ]] || return 1; done; }
all_alike() { [[ -n $(ways edge) && $(ways edge) == "$(ways gateway)" ]]; }
all_up() { ctl "$1" link show -j | jq -e '.overlay | length == 12 and all(.up and .latency_us != null)'; }

lab_up
origin_up
nodes_up
for node in edge gateway; do eventually 20 all_up $node || fail "$node does not know of all links: $(ctl $node link show --all)"; done
eventually 10 all_alike || fail "the ends send over different paths: $(ways edge), $(ways gateway)"
sleep 2
declare -A mid_of=([london]=mid-1 [madrid]=mid-2 [porto]=mid-3)
before=$(ways edge)
lossy=${before%% *}

probe "$vip_v4" 12000 1000 >"$LAB_DIR/stream" &
stream=$!
sleep 1
start=$(now_ms)
lose "${mid_of[$lossy]}" 25
eventually 10 all_avoid "$lossy" || fail "nodes still send through $lossy: $(ways edge); $(ctl gateway link show --all)"
moved=$(($(now_ms) - start))
wait $stream
expect "datagrams of the running stream lost" "$(jq .lost "$LAB_DIR/stream")" -eq 0
expect "datagrams that came twice" "$(jq .duplicated "$LAB_DIR/stream")" -eq 0
all_alike || fail "the ends send over different paths: $(ways edge), $(ways gateway)"
in_node gateway curl -fsS http://127.0.0.1:9464/metrics | grep '^proa_plan_owned{path_set="paris-frankfurt"} 1$' >/dev/null ||
    fail "no metric of the plan"
for node in "${NODES[@]}"; do node_stop "$node" || fail "$node's account does not balance"; done

pass "off $lossy $moved ms after it began to lose 25 %; of 12,000 datagrams under way none was lost"
