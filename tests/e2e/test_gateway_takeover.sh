#!/bin/bash
# Two gateways stand in for each other. One is killed, one frozen and woken, one drained, each in mid-download: the other one
# takes over its addresses, and the download goes on over the same connection, with the same address and port at the
# origin. The frozen one translates nothing when it wakes.
source "$(dirname "$0")/lab.sh"
source "$(dirname "$0")/lab_gateways.sh"

client_v6=2001:db8:c::3 # of the same gateway as its IPv4 address
# The client's packets and the replies to them meet at different workers of the edge, or not, as the port is.
edge_workers=2
gateway_workers=2
lab_up
# What is lost is to be sent again as soon as usual.
in_node origin ip route change default via "$gateway_v4" rto_min 200ms
in_node client ip route change default via "$edge_v4" rto_min 200ms
origin_up
make_file big 24
nodes_up

has_ended() { ! kill -0 "$1" 2>/dev/null; }

pair_up

# seen: the addresses and ports from which the downloads come, at the origin.
seen() { in_node origin ss -Htn state established '( sport = :80 )' | awk '{ print $4 }' | sort -u; }

download() {
    in_node client curl -fsS --max-time 60 --limit-rate 6M "http://$vip_v4/big" -o "$LAB_DIR/big.$1" &
    curl=$!
    in_node client curl -fsS --max-time 60 --limit-rate 6M "http://[$vip_v6]/big" -o "$LAB_DIR/big6.$1" &
    curl_v6=$!
    eventually 5 test -s "$LAB_DIR/big.$1" -a -s "$LAB_DIR/big6.$1" || fail "$1: the downloads do not begin"
    sleep 0.5
    before=$(seen)
    expect "$1: connections at the origin" "$(wc -w <<<"$before")" -eq 2
}

# arrives WHAT: the download ends well, by the same connection.
arrives() {
    local after size
    size=$(stat -c %s "$LAB_DIR/big.$1")
    after=$(seen)
    [[ $after == "$before" ]] || fail "$1: the origin saw $before, then '$after'"
    expect "$1: bytes so far" "$size" -lt $((24 << 20))
    wait "$curl" || fail "$1: the download fails"
    wait "$curl_v6" || fail "$1: the download over IPv6 fails"
    cmp "$LAB_DIR/www/big" "$LAB_DIR/big.$1" || fail "$1: what arrives is not what was sent"
    cmp "$LAB_DIR/www/big" "$LAB_DIR/big6.$1" || fail "$1: what arrives over IPv6 is not what was sent"
}

# ---- killed ----
download killed
node_signal "$home" KILL
eventually 5 has "$home" "$other" || fail "$other does not take over from $home, which was killed"
arrives killed
{ wait "${NODE_PID[$home]}"; } 2>/dev/null || true

# ---- back again, and its pool handed back in mid-download ----
nodes_up "$home"
sleep 1
has "$home" "$other" >/dev/null || fail "$home took its pool back by itself"
download resumed
ctl "$home" gateway resume >"$LAB_DIR/resume"
eventually 5 has "$home" "$home" || fail "$other does not hand the pool back"
arrives resumed

# ---- frozen, and woken ----
# Frames from the node's port in the data centre that come from its own pool's addresses.
pool=10.9.0.100-10.9.0.103
[[ $home == gateway ]] || pool=10.9.0.104-10.9.0.107
in_node dc nft -f - <<-END
	table netdev pool {
	  counter translated { }
	  chain in {
	    type filter hook ingress device "$home" priority 0; policy accept;
	    ip saddr $pool counter name translated
	  }
	}
END
translated() { in_node dc nft -j list counters | jq '[.nftables[].counter | select(.name == "translated")][0].packets'; }
download frozen
node_signal "$home" STOP
sleep 0.05
at_freeze=$(translated)
expect "frozen: packets translated before" "$at_freeze" -gt 0
eventually 5 has "$home" "$other" || fail "$other does not take over from $home, which is frozen"
sleep 0.5
node_signal "$home" CONT
arrives frozen
sleep 1
expect "frozen: packets translated after waking" "$(translated)" -eq "$at_freeze"
has "$home" "$other" >/dev/null || fail "$home took its pool back on waking"
expect "frozen: what waited in its port and was not translated" "$(drops "$home" nat_not_holder)" -gt 0
no_sessions() { (($(ctl "$home" nat show tcp -j | jq ".sessions | length") == 0)); }
eventually 20 no_sessions || fail "frozen: the sessions that it had are not forgotten"

# ---- drained ----
download drained
ctl "$other" gateway drain >"$LAB_DIR/drain"
eventually 5 has "$home" "$home" || fail "$home does not get its own pool"
eventually 5 has "$other" "$home" || fail "$home does not get the pool of $other"
arrives drained
eventually 5 fetches || fail "nothing can be fetched from the gateway that is left"

node_stop "$other" || fail "$other did not stop well: its packets do not balance"
node_stop "$home" || fail "$home did not stop well: its packets do not balance"
node_stop edge || fail "edge did not stop well: its packets do not balance"
pass "killed, resumed, frozen and drained: each download went on with its address and port"
