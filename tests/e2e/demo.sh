#!/usr/bin/env bash
# Shows on this machine what Proa is for: a client fetches a file from an origin over two paths that share nothing;
# one of them is killed in mid-transfer, and later both lose packets. Everything shown is measured and checked, and
# the exit status says whether all of it held. Needs root; installs what is missing; removes its lab, also after Ctrl-C.
#
# FILE_MIB (48) and RATE_MBIT (100) change the transfer's size and the speed of the origin's access line.
demo_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lab.sh
source "$demo_dir/lab.sh"
# shellcheck source=demo_screen.sh
source "$demo_dir/demo_screen.sh"

file_mib=${FILE_MIB:-48}
rate_mbit=${RATE_MBIT:-100}
loss_percent=2
round_trips=10000

# The demo has no verdict for a test runner, but a last line for a person.
verdict() {
    progress_end
    if [[ $1 == ok ]]; then
        printf '\n   %s%s %s%s\n\n' "$bold$green" "$tick" "$2" "$plain"
    else
        printf '\n   %s%s %s%s\n\n' "$bold$red" "$cross" "$2" "$plain"
    fi
}

prepare() {
    step "Preparing"
    busy "system packages" "$ROOT/scripts/setup.sh" build test
    export PATH=$PATH:$HOME/.cargo/bin
    [[ -n ${SKIP_BUILD:-} ]] ||
        busy "building proa" cargo build --manifest-path "$ROOT/Cargo.toml" --profile test-release \
            -p proa-appliance -p proa-ctl
    lab_up
    origin_up
    in_node origin tc qdisc add dev wan0 root tbf rate "${rate_mbit}mbit" burst 32kb latency 200ms
    make_file file "$file_mib"
    nodes_up
    good "four nodes on DPDK" "ready"
    picture
}

picture() {
    local line
    printf '%s' "$dim"
    for line in \
        "                        +-- mid-1, London --+" \
        "   client -- edge, Paris+                   +gateway, Frankfurt -- origin (nginx)" \
        "                        +-- mid-2, Madrid --+"; do
        printf '   %s\n' "$line"
    done
    printf '%s' "$plain"
}

# transfer [AT-PERCENT COMMAND…]: fetches the file through the VIP with a bar, and runs the command on the way.
# Leaves the transfer's milliseconds in transfer_ms.
transfer() {
    local at=${1:-101} total=$((file_mib << 20)) received=$LAB_DIR/received start done=0 pid now
    rm -f "$received"
    progress_start
    start=${EPOCHREALTIME/./}
    fetch "http://$vip_v4/file" -o "$received" &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        sleep 0.1
        done=$(stat -c %s "$received" 2>/dev/null || echo 0)
        if ((done * 100 / total >= at)); then
            at=101
            "${@:2}"
        fi
        now=${EPOCHREALTIME/./}
        progress "$done" "$total" "$((done >> 20)) of $file_mib MiB, $((done * 8 / (now - start + 1))) Mbit/s"
    done
    wait $pid || fail "the transfer broke off after $done bytes"
    transfer_ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    progress_end
    [[ $at == "${1:-101}" && $# -gt 0 ]] && fail "the transfer was over before anything could happen to it"
    [[ $(sha256sum <"$received") == "$(sha256sum <"$LAB_DIR/www/file")" ]] || fail "the checksums differ"
    good "SHA-256" "equal, $(sha256sum <"$received" | cut -c 1-16)…"
    transfer_mbit=$((total * 8 / (transfer_ms * 1000)))
    fact "throughput" "$transfer_mbit Mbit/s (the origin's line has $rate_mbit)"
}

calm() {
    step "A file of $file_mib MiB from the origin, through the virtual IP $vip_v4"
    transfer
    calm_mbit=$transfer_mbit
    local report
    report=$(probe "$vip_v4" 2000 1000)
    latency_p50_us=$(jq .rtt_us_p50 <<<"$report")
    latency_p99_us=$(jq .rtt_us_p99 <<<"$report")
    fact "round trip" "median $latency_p50_us us, 99 % below $latency_p99_us us"
}

death() {
    step "The same file, and mid-1 dies on the way (SIGKILL at 40 %)"
    before=$(retransmitted)
    transfer 40 kill_mid_1
    death_mbit=$transfer_mbit
    local after
    after=$(retransmitted)
    ((after == before)) || fail "$((after - before)) TCP segments were sent again after the kill (kernel's counters)"
    good "TCP segments sent again" "0 by the client's and the origin's kernels"
    good "bytes lost" "0"
    nodes_up mid-1
    eventually 30 both_paths_used || fail "path 1 is not used again 30 s after mid-1's start"
    fact "mid-1" "started again, and its path used again"
}

# What was dead is used again once it has lived for a while.
both_paths_used() {
    local node
    for node in edge gateway; do
        ctl "$node" path show -j | jq -e '[.paths[].ends[]] | all(.usable)' >/dev/null || return 1
    done
}

kill_mid_1() {
    before=$(retransmitted)
    node_stop mid-1 KILL || true
    progress_end
    fact "mid-1" "${red}killed$plain"
}

loss() {
    step "$loss_percent % random loss on both paths, $(thousands $round_trips) round trips"
    local single two
    lose mid-1 $loss_percent
    lose mid-2 $loss_percent
    probe "$vip_v4" $round_trips 2500 >"$LAB_DIR/two" &
    local pid=$!
    single=$(probe "$single_v4" $round_trips 2500)
    wait $pid
    two=$(<"$LAB_DIR/two")
    lose mid-1 0
    lose mid-2 0
    single_lost=$(jq .lost <<<"$single") two_lost=$(jq .lost <<<"$two")
    printf '   %s%-26s %10s %10s %10s%s\n' "$dim" "" "sent" "lost" "share" "$plain"
    loss_row "one path" "$single"
    loss_row "two paths" "$two"
    ((single_lost >= 200)) || fail "one path has lost too little for the comparison to mean anything"
    ((two_lost * 10 <= single_lost)) || fail "two paths lose more than a tenth of what one loses"
    [[ $(jq .duplicated <<<"$two") == 0 ]] || fail "the client saw a datagram twice"
    good "delivered twice" "0"
}

# loss_row TITLE REPORT
loss_row() {
    local lost
    lost=$(jq .lost <<<"$2")
    printf '   %-26s %10s %10s %8s %%\n' "$1" "$(thousands $round_trips)" "$(thousands "$lost")" \
        "$((lost * 100 / round_trips)).$(printf %02d $((lost * 10000 / round_trips % 100)))"
}

# The paths' counters, where copies end: the gateway counts what comes from the client, the edge what goes to it.
balance() {
    step "What the paths did, all in all (packets)"
    printf '   %s%-26s %12s %12s %12s %12s%s\n' "$dim" "" arrived "came first" "won" eliminated "$plain"
    path_rows gateway "to the origin"
    path_rows edge "to the client"
    printf '\n'
    fact "throughput" "$calm_mbit Mbit/s calm, $death_mbit Mbit/s while a path died"
    fact "round trip" "median $latency_p50_us us, 99 % below $latency_p99_us us"
}

# path_rows NODE TITLE: what was delivered, and one line per path.
path_rows() {
    local paths region received passed discarded share
    paths=$(ctl "$1" path show -j)
    printf '   %s%-26s %12s %12s%s\n' "$bold" "delivered $2" "" \
        "$(thousands "$(jq '[.paths[].passed] | add' <<<"$paths")")" "$plain"
    while read -r region received passed discarded share; do
        printf '     %-24s %12s %12s %10s %% %12s\n' "over ${region^}" "$(thousands "$received")" \
            "$(thousands "$passed")" "$share" "$(thousands "$discarded")"
    done < <(jq -r '([.paths[].passed] | add) as $all | .paths[]
        | "\(.regions[1]) \(.received) \(.passed) \(.discarded) \(100 * .passed / ([$all, 1] | max) | round)"' <<<"$paths")
}

main() {
    printf '\n   %sProa: two hulls, one course%s\n' "$bold" "$plain"
    prepare
    calm
    death
    loss
    balance
    pass "one path died and nothing was lost; $loss_percent % loss twice left $two_lost lost of $(thousands $round_trips), one path $single_lost"
}

main
