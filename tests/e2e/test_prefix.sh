#!/usr/bin/env bash
# IPv6 clients are translated by prefix, without sessions: HTTP, datagrams and their fragments, ping, traceroute, ICMP errors both ways,
# and a connection that outlives its gateway, since there is nothing to lose.
source "$(dirname "$0")/lab.sh"

services='"tcp/80", "tcp/5201", "udp/7", "udp/9", "udp/10", "icmp"'
trace[web]='nat = { prefixes = [{ inside = "2001:db8:c::/64", outside = "2001:db8:f0:7::/64" }] }'
gateway_workers=2
lab_up
origin_up
spawn origin echo python3 "$E2E/probe.py" echo "${origins_v6[0]}" 9 --fragment
second_v6=2001:db8:c::abcd:22
ip -n "$LAB-client" address add "$second_v6/64" dev wan0
nodes_up

outside() { ctl gateway nat prefix "$1" -j | jq -r '.prefixes[0].translated'; }
for client in "$client_v6" "$second_v6"; do
    seen=$(fetch "http://[$vip_v6]/whoami" --interface "$client" | cut -d' ' -f2)
    [[ $seen == 2001:db8:f0:7:* ]] || fail "the origin sees $seen instead of $client"
    [[ $(outside "$client") == "$seen" ]] || fail "proactl says $(outside "$client"), the origin sees $seen"
    [[ $(outside "$seen") == "$client" ]] || fail "proactl says that $seen is $(outside "$seen")"
done
external=$(outside "$client_v6")
make_file file 8
fetch_and_compare "[$vip_v6]" file
spawn origin iperf3 iperf3 -s
eventually 5 in_node client iperf3 -6 -c "$vip_v6" -n 8M || fail "no upload"

lost=$(in_node client ping -n -c 20 -i 0.02 -W 2 "$vip_v6" | sed -nE 's/.* ([0-9]+)% packet loss.*/\1/p')
expect "percent of pings lost" "$lost" -eq 0
# The client's kernel learns the path's MTU by this, before datagrams need it; the origin's by the first that it sends.
answer=$(in_node client ping -n -c 1 -W 2 -M 'do' -s 1452 "$vip_v6" 2>&1) && fail "1500 B got an answer"
grep -q "mtu *= *$((underlay_mtu - 76))" <<<"$answer" || fail "no 'packet too big': $answer"
for size in 100 1300 8000; do
    report=$(in_node client python3 "$E2E/probe.py" send "$vip_v6" 9 --count 100 --rate 40 -j --size "$size" --fragment)
    # One: the gateway tells the origin's kernel what fits.
    expect "datagrams of $size B lost" "$(jq .lost <<<"$report")" -eq "$((size > 1400))"
    expect "datagrams of $size B repeated" "$(jq '.duplicated + .foreign' <<<"$report")" -eq 0
done

# Errors reach the sockets that they are about only if what they quote is what those have sent.
hops() { in_node client traceroute -n -q 1 -w 2 -N 1 -m 6 "$@" 120 | awk 'NR > 1 { print $2 }' | paste -sd ' '; }
[[ $(hops -I "$vip_v6") == "$edge_v6 $vip_v6 $vip_v6" ]] || fail "hops of echoes: $(hops -I "$vip_v6")"
[[ $(hops -U -p 10 "$vip_v6") == "$edge_v6 $vip_v6 $vip_v6" ]] || fail "hops of datagrams: $(hops -U -p 10 "$vip_v6")"
# refused NODE OWN PORT OTHER PORT: whether the other end says that nothing listens there.
refused() {
    in_node "$1" python3 - "${@:2}" <<'END'
import socket, sys
own, port, other, to = sys.argv[1:]
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.settimeout(3)
one.bind((own, int(port)))
one.connect((other, int(to)))
one.send(b"hello")
try:
    print(one.recv(10))
except ConnectionRefusedError:
    print("refused")
END
}
[[ $(refused client "$client_v6" 0 "$vip_v6" 10) == refused ]] || fail "the client was not told of the closed port"
# The origin speaks first: clients have an address of their own there.
[[ $(refused origin "${origins_v6[0]}" 10 "$external" 4444) == refused ]] || fail "the origin was not told of the closed port"
in_node origin ping -n -c 1 -W 1 "$external" >/dev/null && fail "an echo request reached the client"
expect "echo requests to clients dropped" "$(drops gateway nat_icmp)" -eq 1

make_file long 4
spawn client slow curl -fsS --limit-rate 1M --max-time 60 "http://[$vip_v6]/long" -o "$LAB_DIR/slow.received"
download=$!
sleep 1
node_stop gateway KILL || true
nodes_up gateway
{ wait "$download"; } 2>/dev/null || fail "the download ended with its gateway"
cmp "$LAB_DIR/www/long" "$LAB_DIR/slow.received" || fail "the download differs from the original"
expect "sessions" "$(ctl gateway nat show -j | jq '.sessions | length')" -eq 0
expect "packets counted" "$(ctl gateway nat prefix -j | jq .to_origin)" -gt 100
node_stop gateway || fail "the gateway's packets do not balance"

pass "$client_v6 is $external to the origin: HTTP, datagrams up to 8,000 B, ping, traceroute, errors; a download went on through another gateway process"
