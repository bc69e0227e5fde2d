#!/usr/bin/env bash
# Shows what each routing protocol makes of loss, on real TCP and a UDP stream of 1,000 packets/s: residual loss, round
# trips, time to fetch a file, overlay packets spent; and for how long nothing comes when an intermediate is killed. No test: it takes
# minutes. Run it on a machine that does nothing else.
#
#   tests/e2e/show_protocols.sh [RUNS [LOSS…]]      each case so many times, 3 if left out; of 0 1 5 10 bursts kill, all if left out
#
# Loss is what both intermediates' links lose, each on its own: at random, or in bursts of 20 ms every 400 ms (5 %).
source "$(dirname "$0")/lab.sh"

runs=${1:-3}
losses=("${@:2}")
((${#losses[@]} > 0)) || losses=(0 1 5 10 bursts kill)
protocols=(replicate shortest cleanest spread parity adaptive source-route direct auto)
extra_topology=$(
    # Patient, so that losses alone make nothing dead.
    printf '[liveness]\ninterval_ms = 50\nmultiplier = 10\nhold_down_ms = 300\ndamping_seconds = 0\n'
    printf '[quality]\ninterval_ms = 50\n'
    for at in "${!protocols[@]}"; do
        write_application "${protocols[at]}" "203.0.113.$((21 + at))" "2001:db8:a::$((21 + at))" 2
        printf 'routing = "%s"\n' "${protocols[at]}"
        [[ ${protocols[at]} != source-route ]] || printf 'source_route = ["mid-1"]\n'
        [[ ${protocols[at]} != auto ]] || printf 'auto = { overlay = "shortest", price_ms = 1, dwell_seconds = 1 }\n'
    done
)

# disturb LOSS: percent at random, "bursts", or "kill" for mid-1; also on the direct way, towards gateway and edge.
disturb() {
    local node
    for node in mid-1 mid-2; do
        if [[ $1 == bursts || $1 == kill ]]; then lose "$node" 0; else lose "$node" "$1"; fi
    done
    if [[ $1 == kill ]]; then
        (sleep 2; node_signal mid-1 KILL) &
        return 0
    fi
    [[ $1 == bursts ]] || return 0
    (while :; do
        for node in mid-1 mid-2; do lose "$node" 100; sleep 0.02; lose "$node" 0; sleep 0.18; done
    done) &
    bursts=$!
}

calm() {
    [[ -z ${bursts:-} ]] || { kill "$bursts" && wait "$bursts"; } 2>/dev/null || true
    bursts=""
    lose mid-1 0
    lose mid-2 0
    if [[ $1 == kill ]]; then
        { wait "${NODE_PID[mid-1]}"; } 2>/dev/null || true
        nodes_up mid-1
        # Until it is used again.
        sleep 3
    fi
}

sent() { for node in edge gateway; do ctl "$node" path show -j | jq '[.paths[].sent] | add'; done | awk '{ n += $1 } END { print n }'; }

lab_up
origin_up
make_file file 1
nodes_up
printf '%-13s %-7s %4s %9s %11s %11s %8s %10s %12s\n' protocol loss run 'lost %' 'p50 ms' 'p99 ms' 'gap ms' 'fetch ms' 'copies/UDP'
for loss in "${losses[@]}"; do
    for at in "${!protocols[@]}"; do
        for ((run = 1; run <= runs; run++)); do
            disturb "$loss"
            before=$(sent)
            report=$(probe "203.0.113.$((21 + at))" 5000 1000)
            spent=$(($(sent) - before))
            fetched=$(fetch "http://203.0.113.$((21 + at))/file" -o /dev/null -w '%{time_total}' || echo nan)
            calm "$loss"
            jq -r --arg name "${protocols[at]}" --arg loss "$loss" --arg run "$run" --arg fetched "$fetched" --arg spent "$spent" \
                '[$name, $loss, $run, .lost_percent, .rtt_us_p50 / 1000, .rtt_us_p99 / 1000, .gap_ms, $fetched, $spent, .received] | @tsv' <<<"$report" |
                awk -F'\t' '{ printf "%-13s %-7s %4s %9.3f %11.2f %11.2f %8d %10.0f %12.2f\n", $1, $2, $3, $4, $5, $6, $7, $8 * 1000, $9 / (5000 + $10) }'
        done
    done
done
pass "${#protocols[@]} protocols at ${losses[*]}, $runs runs each"
