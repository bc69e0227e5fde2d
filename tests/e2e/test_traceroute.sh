#!/usr/bin/env bash
# The edge and the gateway are the two IP hops between a client and the VIP, for both IP versions.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
# hops VIP: the addresses that answer, in order. Shorter packets of IPv6 are answered in part only.
hops() { in_node client traceroute -n -I -q 1 -w 2 -N 1 -m 6 "$1" 120 | awk 'NR > 1 { print $2 }' | paste -sd ' '; }
seen_v4=$(hops "$vip_v4")
[[ $seen_v4 == "$edge_v4 "*" $vip_v4" && $(wc -w <<<"$seen_v4") == 3 ]] || fail "IPv4 hops: $seen_v4"
seen_v6=$(hops "$vip_v6")
[[ $seen_v6 == "$edge_v6 "*" $vip_v6" && $(wc -w <<<"$seen_v6") == 3 ]] || fail "IPv6 hops: $seen_v6"

pass "hops $seen_v4 and $seen_v6"
