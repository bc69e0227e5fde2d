#!/usr/bin/env bash
# A packet that does not fit the overlay is answered with the MTU that does; TCP with 1500 B hosts works both ways, and
# no segment is ever too large, for the handshake tells.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
overlay_mtu=$((underlay_mtu - 76))
answer=$(in_node client ping -n -c 1 -W 2 -M 'do' -s 1472 "$vip_v4" 2>&1) && fail "1500 B to the VIP got an answer"
grep -q "mtu *= *$overlay_mtu" <<<"$answer" || fail "no 'fragmentation needed' with MTU $overlay_mtu: $answer"
answer=$(in_node client ping -n -c 1 -W 2 -M 'do' -s 1452 "$vip_v6" 2>&1) && fail "1500 B to the IPv6 VIP got an answer"
grep -q "mtu *= *$overlay_mtu" <<<"$answer" || fail "no 'packet too big' with MTU $overlay_mtu: $answer"
in_node client ping -n -c 1 -W 2 -M 'do' -s $((overlay_mtu - 28)) "$vip_v4" >/dev/null || fail "$overlay_mtu B do not pass"
in_node client ping -n -c 1 -W 2 -M 'do' -s $((overlay_mtu - 48)) "$vip_v6" >/dev/null || fail "$overlay_mtu B do not pass over IPv6"

# Fresh caches, so that TCP knows nothing of the MTU.
in_node client ip route flush cache
in_node client ip -6 route flush cache
too_big() { echo $(($(drops edge too_big) + $(drops gateway too_big))); }
before=$(too_big)
make_file file 8
fetch_and_compare "$vip_v4" file
fetch_and_compare "[$vip_v6]" file
spawn origin iperf3 iperf3 -s
eventually 5 in_node client iperf3 -c "$vip_v4" -n 8M || fail "no upload over IPv4"
in_node client iperf3 -c "$vip_v6" -n 8M >/dev/null || fail "no upload over IPv6"
expect "segments that were too large" "$(($(too_big) - before))" -eq 0

pass "senders are told $overlay_mtu B; downloads and uploads of 8 MiB pass"
