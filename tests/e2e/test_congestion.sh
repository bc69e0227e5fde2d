#!/usr/bin/env bash
# `adaptive` under congestion: where copies themselves fill a link, redundancy is what goes first. Both paths end in the gateway's
# own wire; it carries the data, but not the data twice.
source "$(dirname "$0")/lab.sh"

extra_topology=$(
    printf '[liveness]\ninterval_ms = 50\nmultiplier = 20\n'
    printf '[quality]\ninterval_ms = 50\n'
    write_application adapts 203.0.113.21 2001:db8:a::21 1
    printf 'routing = "adaptive"\n'
    printf 'adaptive = { target_percent = 2, recovery_seconds = 30, extra_percent = 150 }\ntrace = { one_in = 20 }\n'
)
lab_up
origin_up
nodes_up

of_edge() { ctl edge path show -j | jq -r '.steps[] | select(.application == "adapts") | '"$1"; }
is_at() { [[ $(of_edge .step) == "$1" ]]; }
sheds() { in_node edge curl -fsS http://127.0.0.1:9464/metrics | awk '/^proa_adaptive_sheds_total/ { n += $NF } END { print n + 0 }'; }

# 1,000 packets a second are 2.5 Mbit/s at the gateway's wire, a fifth less once mid-1 loses some, and probes one more; with copies it would be 5.5.
flow() { probe 203.0.113.21 "$1" 1000 --size 200 --linger 2; }
flow 1000 >/dev/null
eventually 15 is_at none || fail "before any loss: $(of_edge .)"
lose mid-1 20
flow 3000 >"$LAB_DIR/wide" &
sender=$!
eventually 5 is_at copy || fail "20 % of loss bring no copies: $(of_edge .)"
sleep 1
is_at copy || fail "copies that have room are taken back: $(of_edge .)"
expect "times that redundancy was shed while there was room" "$(sheds)" -eq 0
wait $sender

in_node internet tc qdisc add dev gateway root tbf rate 3800kbit burst 4kb latency 60ms
flow 6000 >"$LAB_DIR/narrow" &
sender=$!
eventually 4 is_at none || fail "copies go on filling the gateway's wire: $(of_edge .)"
expect "times that redundancy was shed" "$(sheds)" -eq 1
copies() { path_counter edge 2 sent; }
before=$(copies)
sleep 1.5
expect "copies beside 1,500 packets after that" $(($(copies) - before)) -le 50
queue=$(in_node internet tc -s -j qdisc show dev gateway | jq '.[0].backlog')
expect "bytes that wait at the gateway's wire" "$queue" -le 8000
# The other direction has room, and keeps its copies.
[[ $(ctl gateway path show -j | jq -r '.steps[] | select(.application == "adapts") | .step') == copy ]] ||
    fail "the way back has lost its copies: $(ctl gateway path show -j | jq -c '.steps')"
wait $sender
reason=$(of_edge .why)
[[ $reason == *congestion* ]] || fail "the reason given is: $reason"
# Records tell of what was sent: of some packets one copy, of others two.
lost=$(ctl gateway path trace adapts -j | jq '[.paths[].lost] | add')
won=$(ctl gateway path trace adapts -j | jq '[.paths[].won] | add')
expect "copies with records that lost to another" "$lost" -ge 50
expect "packets with records" "$won" -ge $((lost + 100))

pass "20 % of loss met with copies; none once they filled the wire, $(jq .lost "$LAB_DIR/wide") of 3,000 round trips lost before, $(jq .lost "$LAB_DIR/narrow") of 6,000 through the narrow wire"
