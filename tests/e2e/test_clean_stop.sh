#!/usr/bin/env bash
# SIGTERM under load: each node ends with status 0, and its account of all packets balances.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
make_file file 64
in_node client curl -s --max-time 20 "http://$vip_v4/file" -o "$LAB_DIR/received" &
probe "$vip_v6" 10000 2000 >/dev/null &
sleep 2
for node in "${NODES[@]}"; do
    node_stop "$node" || fail "$node ended with status $?"
    account=$(grep -F ' received + ' "$LAB_DIR/$node.log") || fail "$node has drawn up no account"
    [[ $account == *"every packet is accounted for"* && $account == *" 0 buffers missing"* ]] || fail "$node: $account"
    [[ ! -e $LAB_DIR/$node.sock ]] || fail "$node has left its socket behind"
done

pass "four nodes ended under load, all packets accounted for, no buffer missing"
