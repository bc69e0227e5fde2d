#!/usr/bin/env bash
# Echo requests to the VIP reach the origin and come back, once each; the node's own addresses answer themselves.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
for target in "$vip_v4" "$vip_v6" "$edge_v4" "$edge_v6"; do
    report=$(in_node client ping -n -i 0.02 -c 50 -W 2 "$target") || fail "no answer from $target"
    [[ $report == *" 50 received, 0% packet loss"* && $report != *DUP!* ]] ||
        fail "$target: $(grep received <<<"$report")"
done

pass "50 of 50 answers from each of 2 VIPs and 2 addresses of the edge"
