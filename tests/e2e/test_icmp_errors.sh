#!/usr/bin/env bash
# The origin's "port unreachable" about a translated datagram reaches the client as one about the VIP.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
# The kernel hands an ICMP error to a socket only when the packet quoted in it is the very one that the socket sent.
for vip in "$vip_v4" "$vip_v6"; do
    answer=$(in_node client bash -c "exec 3<>/dev/udp/$vip/9; printf x >&3; sleep 1; printf y >&3" 2>&1) &&
        fail "no error came back about udp/9 of $vip"
    [[ $answer == *"Connection refused"* ]] || fail "udp/9 of $vip: $answer"
done
expect "ICMP errors that the client's kernel refused" "$(in_node client nstat -asz IcmpInErrors | awk '/^Icmp/ { print $2 }')" -eq 0

pass "a closed port at the origin is a refused connection at the client, for both IP versions"
