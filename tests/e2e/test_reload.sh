#!/usr/bin/env bash
# SIGHUP under load: a new topology is taken without losing a packet, an invalid one is refused and the old one stays.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
new_vip=203.0.113.12
reload_all() {
    local node
    for node in "${NODES[@]}"; do node_signal "$node" HUP; done
}
probe "$vip_v4" 16000 2000 >"$LAB_DIR/probe" &
good_flow=$!
sleep 1
in_node client ping -n -c 1 -W 1 "$new_vip" >/dev/null && fail "$new_vip answers before it is configured"

write_application new "$new_vip" 2001:db8:a::12 2 >>"$LAB_DIR/overlay.toml"
for _ in {1..10}; do
    reload_all
    sleep 0.2
done
eventually 5 in_node client ping -n -c 1 -W 1 "$new_vip" || fail "$new_vip does not answer after the reload"

printf 'surprise = true\n[[application]]\nname = "new"\n' >>"$LAB_DIR/overlay.toml"
reload_all
sleep 0.5
in_node client ping -n -c 1 -W 1 "$new_vip" >/dev/null || fail "an invalid configuration has replaced a valid one"

for node in "${NODES[@]}"; do
    status=$(ctl "$node" status -j)
    expect "configurations that $node took over" "$(jq .reloads <<<"$status")" -ge 1
    expect "configurations that $node refused" "$(jq .reloads_refused <<<"$status")" -eq 1
done
wait $good_flow
report=$(<"$LAB_DIR/probe")
expect "datagrams lost over 11 reloads" "$(jq .lost <<<"$report")" -eq 0
expect "datagrams repeated" "$(jq .duplicated <<<"$report")" -eq 0

pass "10 reloads and a refused one under 2,000 datagrams/s, none lost; the new VIP answers"
