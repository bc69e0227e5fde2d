#!/usr/bin/env bash
# An intermediate killed in mid-transfer: the other path carries everything, TCP notices nothing.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
# An access line of 100 Mbit/s, so that the transfer takes a while and no queue overflows by itself.
in_node origin tc qdisc add dev wan0 root tbf rate 100mbit burst 32kb latency 200ms
nodes_up
# A first transfer tells the origin's TCP the path's MTU, which costs its first segments.
make_file small 1
fetch_and_compare "$vip_v4" small
before=$(retransmitted)
make_file file 40
fetch_and_compare "$vip_v4" file &
download=$!
sleep 1.5
at_kill=$(retransmitted)
node_stop mid-1 KILL && fail "mid-1 was to be killed"
wait $download
after=$(retransmitted)
expect "segments sent again before the kill" $((at_kill - before)) -eq 0
expect "segments sent again after the kill" $((after - at_kill)) -eq 0
report=$(probe "$vip_v4" 2000 2000)
expect "datagrams lost on the remaining path" "$(jq .lost <<<"$report")" -eq 0

pass "40 MiB unchanged, 0 segments sent again; 2,000 datagrams on the remaining path, none lost"
