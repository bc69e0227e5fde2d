#!/usr/bin/env bash
# Datagrams of 4 and 8 KB, which hosts send in fragments, pass both ways over IPv4 and IPv6, while one path loses packets and
# another client floods the gateway with fragments that are never completed.
source "$(dirname "$0")/lab.sh"

# Copies on both paths all the time, whatever the machine makes of their probes.
extra_topology=$'[liveness]\nenabled = false'
lab_up
# A packet socket with fan-out, as net_af_packet opens it, puts fragments together before a node sees them. These do not.
sed -i 's/net_af_packet1,iface=lan0.*"/net_pcap1,rx_iface_in=lan0,tx_iface=lan0"/' "$LAB_DIR"/{edge,gateway}.toml
# Hosts give up a datagram after 64 fragments of others; one path of this lab may lag further behind the other.
for host in client origin; do in_node "$host" sysctl -qw net.ipv4.ipfrag_max_dist=0; done
origin_up
for address in "${origins_v4[0]}" "${origins_v6[0]}"; do
    spawn origin echo python3 "$E2E/probe.py" echo "$address" 9 --fragment
done
nodes_up

# net_pcap has small rings: of a machine that is busy for long it misses frames, and counts them. Each costs one datagram.
missed() {
    local node
    for node in edge gateway; do ctl "$node" status -j | jq '[.ports[].rx_missed] | add'; done | awk '{ n += $1 } END { print n }'
}
# What fits in no packet comes back whole, and so do its fragments on the way.
pings() {
    local vip lost before
    for vip in "$vip_v4" "$vip_v6"; do
        before=$(missed)
        lost=$(in_node client ping -n -c 10 -i 0.05 -W 3 -s 4000 "$vip" | sed -nE 's/.* ([0-9]+)(\.[0-9]+)?% packet loss.*/\1/p')
        expect "percent of pings of 4000 B lost to $vip $1" "$lost" -le $((10 * ($(missed) - before)))
    done
}
datagrams() {
    local vip report before
    for vip in "$vip_v4" "$vip_v6"; do
        before=$(missed)
        report=$(probe_large "$vip" 100 100 --size 8000)
        printf '# %s %s: %s\n' "$vip" "$1" "$report"
        expect "datagrams of 8000 B lost to $vip $1" "$(jq .lost <<<"$report")" -le $(($(missed) - before))
        expect "datagrams of 8000 B repeated from $vip $1" "$(jq '.duplicated + .foreign' <<<"$report")" -eq 0
    done
}
lan_mac() { ctl "$1" status -j | jq -r '.ports[] | select(.name == "lan0") | .mac'; }
flooded() { (($(drops gateway fragment_limit) > 1000)); }
probe_large() { in_node client python3 "$E2E/probe.py" send "$1" 9 --count "$2" --rate "$3" -j "${@:4}" --fragment --linger 2; }

# The first learns what IPv6 packets may have.
for vip in "$vip_v4" "$vip_v6"; do
    eventually 20 in_node client ping -n -c 1 -W 1 -s 4000 "$vip" || fail "no ping of 4000 B passes to $vip"
done
pings "in quiet"
datagrams "in quiet"
lose mid-1 5
pings "under loss"
datagrams "under loss"
lose mid-1 0

spawn client flood python3 "$E2E/fragment_flood.py" wan0 "$(lan_mac edge)" 198.51.100.66 "$vip_v4" 2001:db8:c:66::66 "$vip_v6"
flood=$!
eventually 5 flooded || fail "the flood does not reach the gateway"
pings "under a flood"
datagrams "under a flood"
before=$(missed)
report=$(probe "$vip_v4" 1000 1000 --size 100)
expect "unfragmented datagrams lost under a flood" "$(jq .lost <<<"$report")" -le $(($(missed) - before))
kill "$flood"
limited=$(drops gateway fragment_limit)
expect "fragments that had to make room" "$limited" -gt 1000
none_held() { in_node gateway curl -fsS http://127.0.0.1:9464/metrics | grep -q '^proa_fragments_held{.*} 0$'; }
eventually 5 none_held || fail "fragments are held long after the flood"
node_stop gateway || fail "the gateway's packets do not balance"

pass "pings of 4,000 B and datagrams of 8,000 B pass in quiet, under loss and under a flood, of which $limited fragments made room"
