#!/usr/bin/env bash
# A TCP download over IPv6 through the VIP arrives byte for byte, on an IPv4 underlay.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
make_file file 32
fetch_and_compare "[$vip_v6]" file
peer=$(fetch "http://[$vip_v6]/whoami" | cut -d' ' -f2)
[[ $peer == 2001:db8:9::100 ]] || fail "the origin sees $peer, not the NAT address"

pass "32 MiB unchanged; the origin sees the NAT address $peer"
