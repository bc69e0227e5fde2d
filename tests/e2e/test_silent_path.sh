#!/usr/bin/env bash
# A path that silently stops to contribute loses nothing, and is told all the same: in the status, the streams, the metrics
# and the log; and so is its return. With windows of a million packets.
source "$(dirname "$0")/lab.sh"

# With liveness, the path would be known as dead, and its sender would owe nothing.
extra_topology='
[liveness]
enabled = false
'
window=1048576
extra_node='
[elimination]
latent_period_ms = 500
latent_difference = 50
'
lab_up
origin_up
nodes_up

# Of the gateway's streams over path 1: how many are silent there.
silent() { path_counter gateway 1 silent_streams; }
is_silent() { (($(silent) > 0)); }
speaks() { (($(silent) == 0)); }

# An application with one copy only owes nothing to the other path.
probe "$single_v4" 2000 2000 >/dev/null
probe "$vip_v4" 12000 1000 >"$LAB_DIR/probe" &
good_flow=$!
sleep 2
speaks || fail "a path is silent before anything happened"
lose_from edge mid-1
eventually 4 is_silent || fail "nobody noticed that path 1 brings nothing"
status=$(ctl gateway status)
grep -q '^ALARM: a path of 1 stream brings nothing' <<<"$status" || fail "no alarm in the status"
stream='.streams[] | select(.source == "edge" and .latent)'
[[ $(ctl gateway stream show -j | jq -c "$stream | [.window, (.paths | map(select(.silent).path))]") == "[1048576,[1]]" ]] ||
    fail "the stream says otherwise: $(ctl gateway stream show -j | jq -c .)"
metrics=$(in_node gateway curl -fsS http://127.0.0.1:9464/metrics)
grep -q '^proa_path_silent_streams{path="1"} 1$' <<<"$metrics" || fail "no metric"
in_node internet nft delete table netdev cut_edge
eventually 4 speaks || fail "path 1 is back, and silent still"
wait $good_flow
report=$(<"$LAB_DIR/probe")
expect "datagrams lost" "$(jq .lost <<<"$report")" -eq 0
expect "datagrams repeated" "$(jq .duplicated <<<"$report")" -eq 0
told() { grep -q 'path 1 brings nothing to 1 streams' "$LAB_DIR/gateway.log" && grep -q 'path 1 brings its copies again' "$LAB_DIR/gateway.log"; }
eventually 3 told || fail "the log has not both"
lost=$(ctl gateway stream show -j | jq '[.streams[] | .lost] | add')
expect "packets of streams lost" "$lost" -eq 0
expect "streams listed in two lines at least" "$(ctl gateway stream show | wc -l)" -ge 4

pass "path 1 silent and back told in status, streams, metrics and log; 12,000 datagrams, none lost, windows of 1,048,576"
