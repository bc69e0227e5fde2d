#!/usr/bin/env bash
# Runs traffic through the lab for long, as fast as it goes, and shows that memory stays flat. Fails where it does not.
#
#   tests/e2e/show_soak.sh [MINUTES]       10 if left out
#
# Three downloads over TCP in a loop, one of them over IPv6, and thousands of short connections beside them, so that sessions
# come and go. Resident memory of each node, buffers in use and sessions are read every 15 seconds; what they were after
# the first minute is what they are compared with.
source "$(dirname "$0")/lab.sh"

minutes=${1:-10}
mib_that_may_come=2

# sample: a line for each node: name, resident KiB, buffers in use.
sample() {
    local node
    for node in "${NODES[@]}"; do
        printf '%s %s %s\n' "$node" "$(awk '/^VmRSS/ { print $2 }' "/proc/${NODE_PID[$node]}/status")" \
            "$(ctl "$node" status -j | jq .buffers_used)"
    done
}

download() {
    while [[ ! -e $LAB_DIR/enough ]]; do
        in_node client curl -gfsS --max-time 120 -o /dev/null -w '%{size_download}\n' "$1" >>"$LAB_DIR/bytes" || true
    done
}

connect() {
    while [[ ! -e $LAB_DIR/enough ]]; do
        in_node client curl -fsS --max-time 20 -o /dev/null "http://$vip_v4/whoami?[1-200]" -H 'Connection: close' || true
    done
}

lab_up
origin_up
nodes_up
make_file file 256
declare -A first_rss
start=$SECONDS
for url in "http://$vip_v4/file" "http://$vip_v4/file" "http://[$vip_v6]/file"; do download "$url" & done
connect &

printf '%6s' s
printf ' %22s' "${NODES[@]}"
printf '   %s\n' "(resident KiB, buffers in use)"
while ((SECONDS - start < minutes * 60)); do
    sleep 15
    sample >"$LAB_DIR/sample"
    printf '%6d' $((SECONDS - start))
    while read -r node rss buffers; do
        printf ' %14s %7s' "$rss" "$buffers"
        if ((SECONDS - start >= 60)) && [[ -z ${first_rss[$node]:-} ]]; then first_rss[$node]=$rss; fi
    done <"$LAB_DIR/sample"
    printf '\n'
done
touch "$LAB_DIR/enough"
wait_for_children() { ! pgrep -f "curl .*$vip_v4" >/dev/null; }
eventually 130 wait_for_children || true

seconds=$((SECONDS - start))
awk -v seconds="$seconds" '{ sum += $1 } END { printf "%.1f GB in %d downloads, %.0f Mbit/s\n", sum / 1e9, NR, sum * 8 / seconds / 1e6 }' \
    "$LAB_DIR/bytes"
while read -r node rss _; do
    grown=$((rss - first_rss[$node]))
    ((grown <= mib_that_may_come * 1024)) || fail "$node grew by $grown KiB after its first minute"
done <"$LAB_DIR/sample"
pass "memory is flat over $minutes minutes of traffic"
