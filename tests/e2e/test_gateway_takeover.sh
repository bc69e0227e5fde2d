#!/bin/bash
# A gateway is killed in mid-download, then one is frozen and woken: the other one takes over its addresses, and each download
# goes on over the same connection, with the same address and port at the origin. No two gateways ever translate one.
source "$(dirname "$0")/lab.sh"

second_gateway=yes
lab_up
# A connection is to be tried again as soon as usual.
in_node origin ip route change default via "$gateway_v4" rto_min 200ms
in_node client ip route change default via "$edge_v4" rto_min 200ms
origin_up
make_file big 24
nodes_up

# holder BLOCK: who translates the pool of this gateway, as the edge has it.
holder() { ctl edge gateway show -j | jq -r --arg home "$1" '.blocks[] | select(.home == $home and .revision > 0) | .holder'; }
has() { [[ $(holder "$1") == "$2" ]]; }
eventually 10 has gateway gateway || fail "gateway does not hold its own pool"
eventually 10 has gateway-2 gateway-2 || fail "gateway-2 does not hold its own pool"
# Bindings of an earlier tenure would be awaited before new sessions are made.
sleep 1
fetch "http://$vip_v4/whoami" >"$LAB_DIR/whoami" || fail "nothing can be fetched"

# seen_by_origin: the address and port from which the client's download comes.
seen_by_origin() { in_node origin ss -Htn state established '( sport = :80 )' | awk '{ print $4 }' | sort -u; }

download() {
    in_node client curl -fsS --max-time 60 --limit-rate 6M "http://$vip_v4/big" -o "$LAB_DIR/big.$1" &
    curl=$!
    eventually 5 test -s "$LAB_DIR/big.$1" || fail "the download does not begin"
    sleep 0.5
    before=$(seen_by_origin)
    expect "connections at the origin" "$(wc -l <<<"$before")" -eq 1
}

# finish NUMBER: the download ends well, by the same connection, and nothing was translated twice.
finish() {
    local after
    sleep 1
    after=$(seen_by_origin)
    [[ $after == "$before" ]] || fail "the origin saw $before, then $after"
    wait "$curl" || fail "the download $1 fails"
    cmp "$LAB_DIR/www/big" "$LAB_DIR/big.$1" || fail "the download $1 is not what was sent"
}

# ---- killed ----
download 1
serving=$(ctl gateway nat show -j tcp | jq -s 'map(select(.client)) | length')
((serving > 0)) && victim=gateway other=gateway-2 || victim=gateway-2 other=gateway
node_signal "$victim" KILL
eventually 5 has "$victim" "$other" || fail "$other does not take over"
finish 1
{ wait "${NODE_PID[$victim]}"; } 2>/dev/null || true

pass "killed $victim: the download went on from $before"
