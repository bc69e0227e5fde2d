#!/usr/bin/env bash
# A gateway is drained, gets its pool back, and is stopped, each time while downloads, datagrams and pings of both IP versions go
# through it: the other gateway knows its sessions before it takes over, and nothing is lost, of no protocol.
source "$(dirname "$0")/lab.sh"
source "$(dirname "$0")/lab_gateways.sh"

client_v6=2001:db8:c::3 # of the same gateway as its IPv4 address
edge_workers=2
gateway_workers=2
lab_up
for node in gateway gateway-2; do
    printf '\n[takeover]\nnotices = "%s"\n' "$LAB_DIR/notices.$node" >>"$LAB_DIR/$node.toml"
done
origin_up
make_file big 32
nodes_up

pair_up

declare -A settling
for node in "$home" "$other"; do settling[$node]=$(drops "$node" nat_settling); done

# sees: the addresses and ports of the client's connections and datagrams at the origin, by the gateway that translates now.
sees() { ctl "$1" nat show -j | jq -r '.sessions[] | select(.protocol != "tcp" or .vip_port == 80) | "\(.protocol) \(.external):\(.external_port)"' | sort -u; }

# needless: segments that came a second time, as their receivers have said (RFC 2883): what was sent again though it was not lost.
needless() {
    local node
    for node in client origin; do in_node "$node" nstat -asz TcpExtTCPDSACKRecv; done | awk '/^TcpExt/ { n += $2 } END { print n }'
}

declare -A traffic
# flow begins: 5 s of traffic of all kinds, each of which counts what it loses.
flow_begins() {
    local vip
    for vip in "$vip_v4" "$vip_v6"; do
        local host=$vip
        [[ $vip != *:* ]] || host="[$vip]"
        probe "$vip" 2500 500 >"$LAB_DIR/probe.$vip" &
        traffic[probe $vip]=$!
        in_node client ping -q -i 0.01 -c 500 "$vip" >"$LAB_DIR/ping.$vip" &
        traffic[ping $vip]=$!
        in_node client curl -fsS --max-time 60 --limit-rate 6M "http://$host/big" -o "$LAB_DIR/big.$vip" &
        traffic[download $vip]=$!
    done
    resent=$(retransmitted) repeated=$(needless)
    sleep 1.5
    before=$(sees "$1")
    expect "sessions" "$(wc -l <<<"$before")" -ge 6
}

# flow_ends WHAT GATEWAY: nothing was lost, and the sessions are as they were.
flow_ends() {
    local vip after kind
    sleep 1
    after=$(sees "$2")
    [[ $after == "$before" ]] || fail "$1: $2 translates '$after', before it was '$before'"
    for kind in "${!traffic[@]}"; do
        wait "${traffic[$kind]}" || fail "$1: $kind fails"
    done
    for vip in "$vip_v4" "$vip_v6"; do
        expect "$1: datagrams lost to $vip" "$(jq .lost "$LAB_DIR/probe.$vip")" -eq 0
        expect "$1: datagrams repeated from $vip" "$(jq '.duplicated + .foreign' "$LAB_DIR/probe.$vip")" -eq 0
        grep -q '500 received' "$LAB_DIR/ping.$vip" || fail "$1: $(grep received "$LAB_DIR/ping.$vip")"
        cmp "$LAB_DIR/www/big" "$LAB_DIR/big.$vip" || fail "$1: what arrives from $vip is not what was sent"
    done
    resent=$(($(retransmitted) - resent)) repeated=$(($(needless) - repeated))
    # Those that went by the other gateway may overtake: TCP takes them for lost, and learns that they were not.
    expect "$1: segments lost" $((resent - repeated)) -le 0
    echo "# $1: $resent segments sent again, all of them needlessly; longest wait of a datagram" \
        "$(jq -s 'map(.rtt_us_max) | max / 1000 | round' "$LAB_DIR"/probe.*) ms"
}

# pool GATEWAY: its IPv4 addresses, as notices have them.
pool() { if [[ $1 == gateway ]]; then echo 10.9.0.100/30; else echo 10.9.0.104/30; fi; }

# noticed GATEWAY WORD HOME: whether the last that a routing daemon heard from a gateway of a pool is this.
noticed() {
    local last
    last=$(grep -F "route $(pool "$3") " "$LAB_DIR/notices.$1" | tail -n 1)
    [[ $last == "$2 route $(pool "$3") next-hop self" ]]
}

# none_dropped NODE…: since it took its pool, no packet was dropped for want of a session or of a holder.
none_dropped() {
    local node reason
    for node in "$@"; do
        for reason in nat_not_holder nat_no_session nat_unsolicited no_destination too_big; do
            expect "$node: packets dropped as $reason" "$(drops "$node" $reason)" -eq 0
        done
        expect "$node: packets dropped as nat_settling" "$(drops "$node" nat_settling)" -eq "${settling[$node]}"
    done
}

# ---- drained ----
flow_begins "$home"
ctl "$home" gateway drain >"$LAB_DIR/drain"
eventually 10 has "$home" "$other" || fail "$other does not get the pool of $home"
flow_ends drained "$other"
none_dropped "$home" "$other"
noticed "$home" withdraw "$home" || fail "drained: no notice that $home has left its pool"
noticed "$other" announce "$home" || fail "drained: no notice that $other has taken the pool of $home"
told=$(ctl "$home" gateway show -j | jq .sessions_told)
expect "sessions told of" "$told" -ge 6

# ---- and back ----
flow_begins "$other"
ctl "$home" gateway resume >"$LAB_DIR/resume"
eventually 10 has "$home" "$home" || fail "$other does not hand the pool back"
flow_ends resumed "$home"
noticed "$other" withdraw "$home" || fail "resumed: no notice that $other has left the pool of $home"
noticed "$home" announce "$home" || fail "resumed: no notice that $home has its pool again"
none_dropped "$home" "$other"

# ---- stopped ----
flow_begins "$home"
node_stop "$home" || fail "$home did not stop well: its packets do not balance"
eventually 10 has "$home" "$other" || fail "$other does not get the pool of $home"
flow_ends stopped "$other"
none_dropped "$other"

noticed "$home" withdraw "$home" || fail "stopped: no notice that $home has left its pool"

node_stop "$other" || fail "$other did not stop well: its packets do not balance"
noticed "$other" withdraw "$home" || fail "no notice that $other has left the pool of $home, as it stopped"
node_stop edge || fail "edge did not stop well: its packets do not balance"
pass "drained, resumed and stopped: no datagram, no ping and no byte lost, every address and port kept"
