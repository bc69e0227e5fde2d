#!/usr/bin/env bash
# An IPv6 client reaches an origin that speaks IPv4 only: HTTP, ping, traceroute, datagrams of 8 KB, path MTU, a closed port.
source "$(dirname "$0")/lab.sh"

origins_v6=()
lab_up
sed -i 's/net_af_packet1,iface=lan0.*"/net_pcap1,rx_iface_in=lan0,tx_iface=lan0"/' "$LAB_DIR"/{edge,gateway}.toml
in_node origin sysctl -qw net.ipv6.conf.all.disable_ipv6=1
origin_up
spawn origin echo python3 "$E2E/probe.py" echo "${origins_v4[0]}" 9 --fragment
nodes_up

whoami=$(fetch "http://[$vip_v6]/whoami")
[[ $whoami == "${origins_v4[0]} 10.9.0.10"* ]] || fail "the origin sees something else: $whoami"
make_file file 8
fetch_and_compare "[$vip_v6]" file
spawn origin iperf3 iperf3 -s
eventually 5 in_node client iperf3 -6 -c "$vip_v6" -n 8M || fail "no upload"

lost=$(in_node client ping -n -c 20 -i 0.02 -W 2 "$vip_v6" | sed -nE 's/.* ([0-9]+)% packet loss.*/\1/p')
expect "percent of pings lost" "$lost" -eq 0
hops=$(in_node client traceroute -n -I -q 1 -w 2 -N 1 -m 6 "$vip_v6" 120 | awk 'NR > 1 { print $2 }' | paste -sd ' ')
[[ $hops == "$edge_v6 $vip_v6 $vip_v6" ]] || fail "hops: $hops"
# The client's kernel learns the path's MTU by this, before datagrams need it.
answer=$(in_node client ping -n -c 1 -W 2 -M 'do' -s 1452 "$vip_v6" 2>&1) && fail "1500 B got an answer"
grep -q "mtu *= *$((underlay_mtu - 76))" <<<"$answer" || fail "no 'packet too big': $answer"
for size in 100 1300 8000; do
    report=$(in_node client python3 "$E2E/probe.py" send "$vip_v6" 9 --count 100 --rate 40 -j --size "$size" --fragment)
    expect "datagrams of $size B lost" "$(jq .lost <<<"$report")" -eq 0
    expect "datagrams of $size B repeated" "$(jq '.duplicated + .foreign' <<<"$report")" -eq 0
done
# Nothing listens on port 7 once the echo has ended: the origin says so in IPv4, and the client hears it in IPv6.
echoes=$(ip netns pids "$LAB-origin" | while read -r pid; do grep -qz -- "^7$" "/proc/$pid/cmdline" && echo "$pid"; done || true)
# shellcheck disable=SC2086  # a list of numbers
[[ -z $echoes ]] || kill $echoes
refused=$(in_node client python3 - "$vip_v6" <<'END'
import socket, sys
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.settimeout(3)
one.connect((sys.argv[1], 7))
one.send(b"hello")
try:
    print(one.recv(10))
except ConnectionRefusedError:
    print("refused")
END
)
[[ $refused == refused ]] || fail "no port unreachable from IPv4 to IPv6: $refused"
sessions=$(ctl gateway nat show -j | jq '[.sessions[] | select(.client != null)] | length')
expect "sessions" "$sessions" -gt 5
node_stop gateway || fail "the gateway's packets do not balance"

pass "curl, 8 MiB down and up, ping, traceroute, datagrams up to 8,000 B from IPv6 to an IPv4 origin"
