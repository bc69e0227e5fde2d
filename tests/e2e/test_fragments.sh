#!/usr/bin/env bash
# Datagrams of 4 and 8 KB, which hosts send in fragments, pass both ways over IPv4 and IPv6, while one path loses packets and
# another client floods the gateway with fragments that are never completed.
source "$(dirname "$0")/lab.sh"

lab_up
# A packet socket with fan-out, as net_af_packet opens it, puts fragments together before a node sees them. These do not.
sed -i 's/net_af_packet1,iface=lan0.*"/net_pcap1,rx_iface_in=lan0,tx_iface=lan0"/' "$LAB_DIR"/{edge,gateway}.toml
origin_up
for address in "${origins_v4[0]}" "${origins_v6[0]}"; do
    spawn origin echo python3 "$E2E/probe.py" echo "$address" 9 --fragment
done
nodes_up

# What fits in no packet comes back whole, and so do its fragments on the way.
pings() {
    local vip lost
    for vip in "$vip_v4" "$vip_v6"; do
        lost=$(in_node client ping -n -c 20 -i 0.02 -W 2 -s 4000 "$vip" | sed -nE 's/.* ([0-9]+)% packet loss.*/\1/p')
        expect "percent of pings of 4000 B lost to $vip $1" "$lost" -eq 0
    done
}
datagrams() {
    local vip report
    for vip in "$vip_v4" "$vip_v6"; do
        report=$(probe_large "$vip" 400 200 --size 8000)
        expect "datagrams of 8000 B lost to $vip $1" "$(jq .lost <<<"$report")" -eq 0
        expect "datagrams of 8000 B repeated from $vip $1" "$(jq '.duplicated + .foreign' <<<"$report")" -eq 0
    done
}
lan_mac() { ip -n "$LAB-$1" -j link show lan0 | jq -r '.[0].address'; }
flooded() { (($(drops gateway fragment_limit) > 1000)); }
probe_large() { in_node client python3 "$E2E/probe.py" send "$1" 9 --count "$2" --rate "$3" -j "${@:4}" --fragment; }

pings "in quiet"
datagrams "in quiet"
lose mid-1 10
pings "under loss"
datagrams "under loss"
lose mid-1 0

ip -n "$LAB-client" address add 198.51.100.66/24 dev wan0
ip -n "$LAB-client" address add 2001:db8:c:66::66/128 dev wan0
spawn client flood python3 "$E2E/fragment_flood.py" wan0 "$(lan_mac edge)" 198.51.100.66 "$vip_v4" 2001:db8:c:66::66 "$vip_v6"
flood=$!
eventually 5 flooded || fail "the flood does not reach the gateway"
pings "under a flood"
datagrams "under a flood"
report=$(probe "$vip_v4" 2000 1000 --size 100)
expect "unfragmented datagrams lost under a flood" "$(jq .lost <<<"$report")" -eq 0
kill "$flood"
limited=$(drops gateway fragment_limit)
expect "fragments that had to make room" "$limited" -gt 1000
none_held() { in_node gateway curl -fsS http://127.0.0.1:9464/metrics | grep -q '^proa_fragments_held{.*} 0$'; }
eventually 5 none_held || fail "fragments are held long after the flood"
node_stop gateway || fail "the gateway's packets do not balance"

pass "4,000 B pings and 8,000 B datagrams, 1,720 of each version's, none lost; $limited fragments of a flood made room"
