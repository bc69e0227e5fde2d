#!/usr/bin/env bash
# `adaptive`: no redundancy while nothing is lost, a copy within a moment of a path's first losses, in mid-stream and for each direction,
# and none again once the recovery time has passed. What is spent shows in the counters.
source "$(dirname "$0")/lab.sh"

extra_topology=$(
    printf '[liveness]\ninterval_ms = 50\nmultiplier = 10\nhold_down_ms = 300\ndamping_seconds = 0\n'
    printf '[quality]\ninterval_ms = 50\n'
    write_application adapts 203.0.113.21 2001:db8:a::21 1
    printf 'routing = "adaptive"\n'
    printf 'adaptive = { target_percent = 2, recovery_seconds = 2, extra_percent = 150 }\n'
)
lab_up
origin_up
make_file file 1
nodes_up

now_ms() { echo $(($(date +%s%N) / 1000000)); }
# step NODE: with what it sends now.
step() { ctl "$1" path show -j | jq -r '.steps[] | select(.application == "adapts") | .step'; }
why() { ctl "$1" path show -j | jq -c '.steps[]'; }
# becomes NODE STEP MILLISECONDS: waits for a step; prints how long it took.
becomes() {
    local since
    since=$(now_ms)
    until [[ $(step "$1") == "$2" ]]; do
        (($(now_ms) - since <= $3)) || fail "$1 does not come to $2 within $3 ms: $(why "$1")"
    done
    echo $(($(now_ms) - since))
}
# extra NODE: bytes of redundancy so far.
extra() { in_node "$1" curl -fsS http://127.0.0.1:9464/metrics | awk '/^proa_adaptive_extra_bytes_total/ { n += $2 } END { print n + 0 }'; }
sent() { path_counter edge "$1" sent; }

fetch_and_compare 203.0.113.21 file
becomes edge none 15000 >/dev/null
becomes gateway none 15000 >/dev/null
before=$(extra edge)
expect "datagrams lost while no path loses any" "$(probe 203.0.113.21 1000 1000 --linger 2 | jq .lost)" -eq 0
expect "bytes of redundancy while no path loses any" "$(($(extra edge) - before))" -eq 0

# A spell of losses on the first path, in mid-stream.
probe 203.0.113.21 9000 1000 --linger 2 >"$LAB_DIR/spell" &
sender=$!
sleep 1
second=$(sent 2)
lose mid-1 20
up=$(becomes edge copy 1000)
back=$(becomes gateway copy 1000)
expect "until the edge sends copies, ms" "$up" -le 500
[[ $(ctl edge path show) == *copy* ]] || fail "it is not shown: $(ctl edge path show)"
in_node edge curl -fsS http://127.0.0.1:9464/metrics | grep -q '^proa_adaptive_step{application="adapts",direction="to_origin".*} 2' ||
    fail "no metric of the step"
sleep 3
expect "copies over the second path in the spell" "$(($(sent 2) - second))" -ge 2000
[[ $(step edge) == copy ]] || fail "redundancy ends in mid-spell: $(why edge)"
lose mid-1 0
down=$(becomes edge none 12000)
expect "until the edge sends no more copies, ms" "$down" -ge 2000
becomes gateway none 12000 >/dev/null
wait $sender
lost=$(jq .lost "$LAB_DIR/spell")
# Of some 3,500 round trips in the spell 36 % would be lost without redundancy. What is lost is lost before it is seen: 36 % of so many
# milliseconds, of one packet each; each way loses more until the reports of both have come.
expect "round trips lost of 9,000, with 3 to 4 s of 20 % loss each way" "$lost" -le 250
expect "datagrams repeated" "$(jq .duplicated "$LAB_DIR/spell")" -eq 0
spent=$(($(extra edge) - before))
expect "bytes of redundancy in the spell" "$spent" -gt 0
before=$(extra edge)
expect "datagrams lost after the spell" "$(probe 203.0.113.21 1000 1000 --linger 2 | jq .lost)" -eq 0
expect "bytes of redundancy after the spell" "$(($(extra edge) - before))" -eq 0
# A little loss is for parity packets.
probe 203.0.113.21 8000 1000 --linger 2 >"$LAB_DIR/little" &
sender=$!
sleep 1
lose mid-1 4
parity=$(becomes edge parity 5000)
sleep 4
lose mid-1 0
wait $sender
rebuilt() { in_node gateway curl -fsS http://127.0.0.1:9464/metrics | awk '/^proa_parity_rebuilt_total/ { n += $2 } END { print n + 0 }'; }
expect "packets that the gateway rebuilt" "$(rebuilt)" -gt 0
little=$(jq .lost "$LAB_DIR/little")
# Of some 5,000 round trips with 4 % of loss each way, 390 would be lost.
expect "round trips lost of 8,000, with 4 to 5 s of 4 % loss each way" "$little" -le 200
expect "datagrams repeated" "$(jq .duplicated "$LAB_DIR/little")" -eq 0
for node in "${NODES[@]}"; do
    refused=$(ctl "$node" drops show -j | jq '[.drops[] | select(.reason | startswith("overlay_")) | .packets] | add')
    expect "packets of the overlay that $node dropped" "$refused" -eq 0
done

pass "copies $up ms after the first losses ($back ms at the other end), none $down ms after the last; $lost of 9,000 round trips lost, $spent bytes of redundancy; parity packets after $parity ms of a little loss, $little of 8,000 lost"
