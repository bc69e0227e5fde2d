#!/usr/bin/env bash
# proactl shows the edge's flow and the gateway's session of a connection, filtered, in both forms.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
expect "datagrams lost" "$(probe "$vip_v4" 20 200 | jq .lost)" -eq 0
fetch "http://$vip_v4/whoami" >/dev/null
flow=$(ctl edge flow show udp 7 -j | jq -c '.flows')
[[ $(jq -r '.[] | [.client, .vip, .vip_port, .application, .gateway] | join(" ")' <<<"$flow") == \
    "$client_v4 $vip_v4 7 web gateway" ]] || fail "flow show: $flow"
session=$(ctl gateway nat show udp "$client_v4" -j | jq -c '.sessions')
[[ $(jq -r '.[] | [.client, .vip, .origin, .origin_port] | join(" ")' <<<"$session") == \
    "$client_v4 $vip_v4 ${origins_v4[0]} 7" ]] || fail "nat show: $session"
port=$(jq '.[0].client_port' <<<"$session")
[[ $port == $(jq '.[0].client_port' <<<"$flow") ]] || fail "edge and gateway disagree about the client's port"
ctl gateway nat show | grep -q "$client_v4:$port .*$vip_v4:7 .*${origins_v4[0]}:7" || fail "nat show names no session"
expect "sessions" "$(ctl gateway nat show -j | jq '.sessions | length')" -eq 2
expect "ports in use for UDP" "$(ctl gateway nat pool -j | jq '[.pool[] | select(.protocol == "udp") | .used] | add')" -eq 1
grep -q "^10\.9\.0\.100 .*udp" <<<"$(ctl gateway nat pool)" || fail "nat pool names no address of the pool"
[[ $(ctl gateway nat client -j | jq -r '.clients[] | [.client, .tcp, .udp, .ports] | join(" ")') == "$client_v4 1 1 2" ]] ||
    fail "nat client: $(ctl gateway nat client)"
expect "clients that are not there" "$(ctl gateway nat client 192.0.2.99 -j | jq '.clients | length')" -eq 0
expect "sessions by the other name" "$(ctl gateway nat session tcp -j | jq '.sessions | length')" -eq 1
expect "flows to a port that nobody uses" "$(ctl edge flow show 9999 -j | jq '.flows | length')" -eq 0
ctl edge flow show nonsense >/dev/null 2>&1 && fail "a filter without meaning was taken"

pass "flow and session of $client_v4:$port shown by edge and gateway alike"
