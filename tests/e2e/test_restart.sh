#!/usr/bin/env bash
# A node that is restarted takes part again at once: its sequences are ahead of its former self's, in both directions.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
expect "datagrams lost before" "$(probe "$vip_v4" 1000 2000 | jq .lost)" -eq 0
for node in edge gateway mid-2; do
    node_stop "$node" || fail "$node ended with status $?"
    nodes_up "$node"
    report=$(probe "$vip_v4" 1000 2000)
    expect "datagrams lost after $node's restart" "$(jq .lost <<<"$report")" -eq 0
    expect "datagrams repeated after $node's restart" "$(jq .duplicated <<<"$report")" -eq 0
done

pass "edge, gateway and an intermediate restarted in turn; 4,000 datagrams, none lost"
