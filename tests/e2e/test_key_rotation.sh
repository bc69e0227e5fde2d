#!/usr/bin/env bash
# Keys change under traffic, on all nodes, and no datagram is lost: two changes on each of four nodes, while
# 20,000 datagrams are under way at 2,000 a second, and as often as ROUNDS says (a minute each; default 1). More at once are refused: a fourth key of a node would
# erase one that may still be needed.
source "$(dirname "$0")/lab.sh"

seal=aes-256-gcm
lab_up
origin_up
nodes_up
eventually 10 fetch "http://$vip_v4/whoami" || fail "no answer within 10 s: the nodes did not agree on keys"

# key NODE FILTER: of what the node tells of its keys.
key() { ctl "$1" key show -j | jq -e "$2"; }
held_one() {
    local node
    for node in "${NODES[@]}"; do key "$node" '.held == 1' >/dev/null || return 1; done
}
agreed() {
    local node
    for node in "${NODES[@]}"; do
        key "$node" '.peers | length == 3 and all(.sending != null and .acknowledged)' >/dev/null || return 1
    done
}
eventually 20 agreed || fail "not all nodes have each other's keys after 20 s"

changes=0 lost=0
for ((round = 1; round <= ${ROUNDS:-1}; round++)); do
    eventually 80 held_one || fail "old private keys are not erased a minute after their last use"
    probe "$vip_v4" 20000 2000 >"$LAB_DIR/probe" &
    flow=$!
    sleep 1
    for twice in 1 2; do
        for node in "${NODES[@]}"; do
            ctl "$node" key rotate >/dev/null || fail "$node makes no new key in round $round, time $twice"
            changes=$((changes + 1))
            sleep 0.5
        done
    done
    ! ctl edge key rotate >/dev/null 2>&1 || fail "the edge makes a fourth key"
    eventually 3 agreed || fail "not all nodes have each other's new keys"
    wait $flow
    lost=$((lost + $(jq .lost "$LAB_DIR/probe")))
    expect "datagrams nobody sent" "$(jq '.duplicated + .foreign' "$LAB_DIR/probe")" -eq 0
done
expect "datagrams lost" "$lost" -eq 0
for node in "${NODES[@]}"; do
    for reason in overlay_unknown_key overlay_forged overlay_forged_hop; do
        expect "$reason at $node" "$(drops "$node" $reason)" -eq 0
    done
    metrics=$(in_node "$node" curl -fsS http://127.0.0.1:9464/metrics)
    grep -q "^proa_key_rotations_total{} $((1 + 2 * ${ROUNDS:-1}))\$" <<<"$metrics" ||
        fail "$node does not tell of all its keys: $(grep key_rotations <<<"$metrics")"
done

pass "$changes changes of keys under $((20000 * ${ROUNDS:-1})) datagrams, none lost"
