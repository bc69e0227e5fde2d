#!/usr/bin/env bash
# UDP-Lite with the kernel's own sockets and checksums; SCTP, whose CRC32c holds only while its ports stay; GRE and ESP by address:
# both IP versions, two clients at once, and ICMP errors about them. This kernel has no SCTP and no GRE: those come from raw sockets.
source "$(dirname "$0")/lab.sh"

services='"tcp/80", "udp/7", "icmp", "udplite/5000-5001", "sctp/3868", "gre", "protocol/50"'
# What keeps its port, or has none, needs an external address for each client.
nat_pool_v6=2001:db8:9::100-2001:db8:9::103
lab_up
origin_up
protocols() { in_node "$1" python3 "$E2E/protocols.py" "${@:2}"; }
for origin in "${origins_v4[0]}" "${origins_v6[0]}"; do
    spawn origin udplite python3 "$E2E/protocols.py" echo "$origin" udplite 5000
    spawn origin sctp python3 "$E2E/protocols.py" echo "$origin" sctp 3868
    spawn origin gre python3 "$E2E/protocols.py" echo "$origin" gre
    spawn origin esp python3 "$E2E/protocols.py" echo "$origin" 50
done
second_v4=198.51.100.22 second_v6=2001:db8:c::22
ip -n "$LAB-client" address add "$second_v4/24" dev wan0
ip -n "$LAB-client" address add "$second_v6/64" dev wan0
nodes_up

# exchange PROTOCOL [PORT]: from two clients at once, over both IP versions.
exchange() {
    local source vip jobs=()
    for source in "$client_v4" "$second_v4" "$client_v6" "$second_v6"; do
        vip=$vip_v4
        [[ $source != *:* ]] || vip=$vip_v6
        protocols client send "$source" "$vip" "$1" 50 "${@:2}" >"$LAB_DIR/$1.$source" &
        jobs+=($!)
    done
    wait "${jobs[@]}" || fail "$1: a sender failed"
    for source in "$client_v4" "$second_v4" "$client_v6" "$second_v6"; do
        expect "packets of $1 that came back whole to $source" "$(cat "$LAB_DIR/$1.$source")" -ge 49
    done
}
exchange udplite 5000
exchange sctp 3868
exchange gre
exchange 50

sessions=$(ctl gateway nat show -j)
count() { jq --arg protocol "$1" '[.sessions[] | select(.protocol == $protocol)] | length' <<<"$sessions"; }
for protocol in udplite sctp gre other; do
    expect "sessions of $protocol" "$(count $protocol)" -eq 4
done
# The kernel of the origin has nothing on this port and says so; the client's socket hears it.
refused=$(in_node client python3 - "$vip_v4" <<'END'
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136)
one.settimeout(3)
one.connect((sys.argv[1], 5001))
one.send(b"hello")
try:
    print(one.recv(10))
except ConnectionRefusedError:
    print("refused")
END
)
[[ $refused == refused ]] || fail "no port unreachable for UDP-Lite: $refused"
ctl edge drops show -j >"$LAB_DIR/drops"
in_node client python3 "$E2E/protocols.py" send "$client_v4" "$vip_v4" 99 2 >/dev/null
expect "packets of a protocol that nobody serves" "$(drops edge transport)" -eq 2
node_stop gateway || fail "the gateway's packets do not balance"

pass "UDP-Lite, SCTP, GRE and ESP: 50 packets each of two clients and both IP versions come back whole"
