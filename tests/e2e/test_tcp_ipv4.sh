#!/usr/bin/env bash
# A TCP download over IPv4 through the VIP arrives byte for byte.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
make_file file 32
fetch_and_compare "$vip_v4" file
peer=$(fetch "http://$vip_v4/whoami" | cut -d' ' -f2)
[[ $peer == 10.9.0.10[0-3] ]] || fail "the origin sees $peer, which is no address of the NAT pool"

pass "32 MiB unchanged; the origin sees the NAT address $peer"
