#!/usr/bin/env bash
# The control server: nodes join with tokens and get everything from it. An application is added under load without losing a
# packet; the server is killed under load, and again nothing is lost; what is wrong is refused and changes nothing.
source "$(dirname "$0")/lab.sh"
source "$(dirname "$0")/lab_server.sh"

seal=aes-256-gcm
new_vip=203.0.113.12 later_vip=203.0.113.13
lab_up
origin_up
server_init # with nothing more in its file
nodes_join
in_node gateway "$BIN/proa" join "$LAB_DIR/gateway.toml" "$token" 2>"$LAB_DIR/again" && fail "a token was good twice"
grep -q "unknown, used" "$LAB_DIR/again" || fail "a used token was refused with other words: $(<"$LAB_DIR/again")"
in_node edge "$BIN/proa" join "$LAB_DIR/edge.toml" "$(overlay node add gateway)" 2>/dev/null && fail "edge has joined as gateway"

apply >"$LAB_DIR/first" || fail "the definition is refused: $(tail -n 3 "$LAB_DIR/server.log")"
nodes_up
eventually 10 all_in_step || fail "$(nodes_in_step) of ${#NODES[@]} nodes are in step"
eventually 10 fetch "http://$vip_v4/whoami" || fail "no answer within 10 s"
make_file big 8
fetch_and_compare "$vip_v4" big
! grep -q "10.9.0.2" "$LAB_DIR/mid-1.server/topology.toml" || fail "an intermediate knows an origin"
grep -q "10.9.0.2" "$LAB_DIR/gateway.server/topology.toml" || fail "the gateway does not know its origin"

# An application more, under load.
probe "$vip_v4" 32000 2000 >"$LAB_DIR/probe" &
good_flow=$!
sleep 1
in_node client ping -n -c 1 -W 1 "$new_vip" >/dev/null && fail "$new_vip answers before it is configured"
write_application new "$new_vip" 2001:db8:a::12 2 >>"$LAB_DIR/overlay.toml"
overlay plan --file "$LAB_DIR/overlay.toml" | grep -qx '+ application new' || fail "the difference is not told"
apply >/dev/null
eventually 5 in_node client ping -n -c 1 -W 1 "$new_vip" || fail "$new_vip does not answer"

# What breaks disjointness is refused whole.
before=$(overlay overlay show)
sed 's/via = \["madrid"\]/via = ["london"]/' "$LAB_DIR/overlay.toml" >"$LAB_DIR/shared.toml"
overlay apply --yes --file "$LAB_DIR/shared.toml" >"$LAB_DIR/refused" 2>&1 && fail "paths that share a region were taken"
grep -q 'london' "$LAB_DIR/refused" || fail "the shared region is not named: $(<"$LAB_DIR/refused")"
[[ $(overlay overlay show) == "$before" ]] || fail "a refused definition has changed something"

# The server dies, under load; a node starts anew without it.
node_stop server KILL || true
sleep 1
node_stop mid-2 || fail "mid-2 did not stop well"
nodes_up mid-2
in_node client ping -n -c 1 -W 1 "$new_vip" >/dev/null || fail "$new_vip does not answer without the server"
server_up
eventually 5 all_in_step || fail "after the server's death $(nodes_in_step) nodes are in step"
write_application later "$later_vip" 2001:db8:a::13 2 >>"$LAB_DIR/overlay.toml"
was=$(revision)
apply >/dev/null
eventually 5 in_node client ping -n -c 1 -W 1 "$later_vip" || fail "$later_vip does not answer"
eventually 5 all_in_step || fail "not all nodes are in step with the last revision"
expect "revisions applied since" "$(($(revision) - was))" -eq 1

# What is and what happened is told.
wait $good_flow
report=$(<"$LAB_DIR/probe")
expect "datagrams lost" "$(jq .lost <<<"$report")" -eq 0
expect "datagrams repeated" "$(jq .duplicated <<<"$report")" -eq 0
expect "links that the edge reports up" "$(overlay node show -j | jq '.nodes[] | select(.name == "edge") | [.report.links[] | select(.up)] | length')" -ge 2
node_signal mid-1 KILL
mid_1_is_away() { overlay node show -j | jq -e '.nodes[] | select(.name == "mid-1") | .connected | not'; }
eventually 4 mid_1_is_away || fail "a dead node is not told"
path_is_down() { overlay node show -j | jq -e '.nodes[] | select(.name == "edge") | .report.paths[] | select(.path == 1) | .up == false'; }
eventually 4 path_is_down || fail "the dead node's path is not told"
overlay event show | grep -q 'path 1 of paris-frankfurt is down' || fail "no event of the dead path"
overlay event audit | grep -q 'application new' || fail "no audit record of the change"

pass "4 nodes joined and configured by the server alone; an application added, the server killed and back under 2,000 datagrams/s, none lost"
