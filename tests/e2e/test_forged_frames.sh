#!/usr/bin/env bash
# Frames that break one rule each: dropped under the right reason, with nothing else harmed.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
probe "$vip_v4" 12000 1500 >"$LAB_DIR/probe" &
good_flow=$!
wrong=()
cases=0
while read -r case; do
    reason=${case%+*}
    node=gateway
    [[ $case != overlay_hop_limit ]] || node=mid-1
    before=$(drops $node "$reason")
    in_node internet python3 "$E2E/forge.py" send "$case" --interface $node --mac "$(mac_of $node)" --count 10
    grew() { (($(drops "$node" "$reason") - before >= 10)); }
    eventually 2 grew || wrong+=("$case")
    cases=$((cases + 1))
done < <(python3 "$E2E/forge.py" list)
wait $good_flow
((${#wrong[@]} == 0)) || fail "not counted under their reason: ${wrong[*]}"
report=$(<"$LAB_DIR/probe")
expect "datagrams of the good flow lost" "$(jq .lost <<<"$report")" -eq 0
expect "datagrams nobody sent" "$(jq '.duplicated + .foreign' <<<"$report")" -eq 0

pass "$cases kinds of forged frames counted by reason; the good flow of 12,000 lost none"
