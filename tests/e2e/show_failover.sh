#!/usr/bin/env bash
# Shows how long a stream is interrupted when an intermediate fails, and what hostile packets achieve. Not a test: it prints
# figures, of this machine, and takes some minutes.
#
#   tests/e2e/show_failover.sh [ROUNDS]       10 rounds of each fault if left out; 0 for the hostile packets alone
#
# An intermediate is killed (SIGKILL), frozen (SIGSTOP) and cut in one direction, under load, with BFD and probes at 50 ms x 3,
# everything sealed. Two streams of 1,000 datagrams a second see it: one with one copy, over the path that fails, and one with
# two. Then captured overlay packets come again: as they were, in another order, with one changed bit; and forged ones.
source "$(dirname "$0")/lab.sh"

rounds=${1:-10}
seal=aes-256-gcm
extra_topology='
[liveness]
interval_ms = 50
hold_down_ms = 500
damping_seconds = 0
'
say() { printf '%s\n' "$*"; }

all_up() {
    local node
    for node in "${NODES[@]}"; do
        ctl "$node" status -j | jq -e '.links | length > 0 and all(.session == "up" and .state == "up")' >/dev/null || return 1
    done
    for node in edge gateway; do
        ctl "$node" path show -j | jq -e '[.paths[].ends[]] | all(.usable and .state == "up")' >/dev/null || return 1
    done
}

murder() { node_stop mid-1 KILL || true; }
again() { nodes_up mid-1; }
freeze() { node_signal mid-1 STOP; }
thaw() { node_signal mid-1 CONT; }
cut() { lose_from edge mid-1; }
uncut() { in_node internet nft delete table netdev cut_edge; }

# percentiles FILE FIELD: minimum / median / maximum of a field in a file of reports.
spread() { jq -s -r "[.[].$2] | sort | \"\(.[0]) / \(.[length / 2 | floor]) / \(.[-1])\"" "$1"; }

# round NAME: both streams see one fault.
round() {
    probe "$single_v4" 3500 1000 >"$LAB_DIR/one" &
    local one=$!
    probe "$vip_v4" 3500 1000 >"$LAB_DIR/two" &
    local two=$!
    sleep 1.5
    "$2"
    wait $one $two
    cat "$LAB_DIR/one" >>"$LAB_DIR/$1.one"
    cat "$LAB_DIR/two" >>"$LAB_DIR/$1.two"
}

lab_up
origin_up
nodes_up
eventually 30 all_up || fail "not all links and paths are up after 30 s"
fetch "http://$vip_v4/whoami" >/dev/null

# The load beside: 2,000 datagrams a second until the end.
(until [[ -e $LAB_DIR/enough ]]; do probe "$vip_v4" 4000 2000 --linger 0.1 >/dev/null; done) &
load=$!

for kind in "killed murder again" "frozen freeze thaw" "cut cut uncut"; do
    read -r name break mend <<<"$kind"
    for ((number = 1; number <= rounds; number++)); do
        round "$name" "$break"
        "$mend"
        eventually 30 all_up || fail "not all is up 30 s after mid-1 was $name"
        say "# $name $number/$rounds: one copy lost $(jq .lost_in_a_row "$LAB_DIR/one") in a row, two copies $(jq .lost_in_a_row "$LAB_DIR/two")"
    done
done
touch "$LAB_DIR/enough"
wait $load

if ((rounds > 0)); then
    say ""
    say "fail-over at 1,000 datagrams/s, BFD 50 ms x 3, $rounds rounds each: minimum / median / maximum"
    printf '%-8s %-7s %-26s %-26s %s\n' fault copies "gap between arrivals, ms" "lost in a row" "lost in all"
    for name in killed frozen cut; do
        for copies_of in one two; do
            file=$LAB_DIR/$name.$copies_of
            printf '%-8s %-7s %-26s %-26s %s\n' "$name" "$copies_of" "$(spread "$file" gap_ms)" "$(spread "$file" lost_in_a_row)" "$(spread "$file" lost)"
        done
    done
    say ""
fi

# What hostile packets achieve, on the way from the intermediates to the gateway.
in_node internet tcpdump --immediate-mode -Z root -Uqni gateway -w "$LAB_DIR/between.pcap" udp port 6081 2>/dev/null &
capture=$!
sleep 1
probe "$vip_v4" 2000 1000 >/dev/null
sleep 0.5
pkill -TERM -P $capture 2>/dev/null || kill $capture
wait $capture 2>/dev/null || true
# state: streams, sessions, resident memory in kB, datagrams that reached the origin.
state() {
    local pid=${NODE_PID[gateway]}
    printf '%s %s %s\n' "$(ctl gateway status -j | jq -r '[.workers[].streams, .workers[].sessions] | map(tostring) | join(" ")')" \
        "$(awk '/VmRSS/ { print $2 }' "/proc/$pid/status")" "$(ctl gateway status -j | jq '[.ports[].rx_missed] | add')"
}
delivered() { in_node gateway curl -fsS http://127.0.0.1:9464/metrics | awk '/^proa_gateway_forward_packets_total/ { n += $2 } END { print n }'; }
printf '%-12s %9s %9s %10s %12s %10s %11s %14s\n' packets sent a/second delivered streams+ sessions+ memory+kB "good flow lost"
for kind in replayed shuffled changed forged; do
    case $kind in
        replayed) command=(python3 "$E2E/replay.py" "$LAB_DIR/between.pcap" gateway "$(mac_of gateway)" --repeat 60 --pace "${PACE:-0}") ;;
        shuffled | changed) command=(python3 "$E2E/replay.py" "$LAB_DIR/between.pcap" gateway "$(mac_of gateway)" "--$kind" --repeat 60 --pace "${PACE:-0}") ;;
        forged) command=(python3 "$E2E/forge.py" noise --interface gateway --mac "$(mac_of gateway)" --count 100000 --rate 1000000) ;;
    esac
    # The good flow's session and streams exist before the first look at them.
    before=$(delivered)
    probe "$vip_v4" 8000 1000 --linger 2 >"$LAB_DIR/good" &
    good=$!
    sleep 0.5
    read -r streams sessions memory _ <<<"$(state)"
    start=${EPOCHREALTIME/./}
    sent=$(in_node internet "${command[@]}" | tail -n 1)
    took=$((${EPOCHREALTIME/./} - start))
    [[ $sent =~ ^[0-9]+$ ]] || sent=100000
    wait $good
    read -r streams_then sessions_then memory_then missed <<<"$(state)"
    # What was delivered beyond the good flow's own datagrams.
    others=$(($(delivered) - before - 8000))
    printf '%-12s %9s %9s %10s %12s %10s %11s %14s\n' "$kind" "$sent" "$((sent * 1000000 / took))" "$others" \
        "$((streams_then - streams))" "$((sessions_then - sessions))" "$((memory_then - memory))" "$(jq .lost "$LAB_DIR/good")"
done
say "(frames that the gateway's receive ring lost: ${missed:-0}; at full rate the good flow can lose some there, before anybody looks)"
pass "shown"
