#!/usr/bin/env bash
# Two workers and two queues per port at the gateway: copies come in on either queue, yet meet on one worker.
source "$(dirname "$0")/lab.sh"

gateway_workers=2
lab_up
origin_up
nodes_up
clients=()
for host in {10..41}; do
    ip -n "$LAB-client" address add "198.51.100.$host/24" dev wan0
    clients+=("198.51.100.$host")
done
report=$(probe "$vip_v4" 16000 2000 --bind "${clients[@]}")
expect "datagrams lost" "$(jq .lost <<<"$report")" -eq 0
expect "datagrams repeated" "$(jq .duplicated <<<"$report")" -eq 0
make_file file 16
fetch_and_compare "$vip_v4" file

workers=$(ctl gateway status -j | jq -c '[.workers[] | {streams, sessions, packets, handed_off}]')
expect "workers with streams" "$(jq 'map(select(.streams > 0)) | length' <<<"$workers")" -eq 2
expect "workers with sessions" "$(jq 'map(select(.sessions > 0)) | length' <<<"$workers")" -eq 2
handed_off=$(jq 'map(.handed_off) | add' <<<"$workers")
expect "packets handed to the other worker" "$handed_off" -gt 0
passed=$(($(path_counter gateway 1 passed) + $(path_counter gateway 2 passed)))
expect "first copies passed" "$passed" -ge 16000
expect "second copies eliminated" "$(($(path_counter gateway 1 discarded) + $(path_counter gateway 2 discarded)))" -eq "$passed"

pass "16,000 datagrams of 32 clients and 16 MiB, none lost or twice; $handed_off packets handed over; $workers"
