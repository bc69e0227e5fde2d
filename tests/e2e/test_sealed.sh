#!/usr/bin/env bash
# Sealed applications: nobody between edge and gateway reads them, and what is captured, changed and sent again gets
# nowhere and harms nothing.
source "$(dirname "$0")/lab.sh"

seal=aes-256-gcm
lab_up
origin_up
nodes_up
eventually 10 fetch "http://$vip_v4/whoami" || fail "no answer within 10 s: the nodes did not agree on keys"

# Captured on the client's wire and between the nodes.
for _ in {1..3000}; do echo "nobody between the nodes reads this"; done >"$LAB_DIR/www/letter"
in_node client tcpdump --immediate-mode -Z root -Uqni wan0 -w "$LAB_DIR/outside.pcap" 2>/dev/null &
in_node internet tcpdump --immediate-mode -Z root -Uqni gateway -w "$LAB_DIR/between.pcap" udp port 6081 2>/dev/null &
sleep 1
fetch_and_compare "$vip_v4" letter
sleep 0.5
# What runs in the background is a shell around tcpdump.
pkill -TERM -f "$LAB_DIR/(outside|between).pcap"
sleep 0.5
clear_in() { grep -ac "nobody between the nodes" "$LAB_DIR/$1.pcap" || true; }
expect "lines in clear on the client's wire" "$(clear_in outside)" -gt 100
expect "lines in clear between the nodes" "$(clear_in between)" -eq 0

make_file big 16
fetch_and_compare "$vip_v4" big
fetch_and_compare "$single_v4" big
[[ $(fetch "http://[$vip_v6]/whoami") == 2001:db8:9::* ]] || fail "IPv6 does not work"

# What was captured on the way to the gateway comes again, whole and changed, beside a good flow.
total() { for reason in "$@"; do drops gateway "$reason"; done | awk '{ n += $1 } END { print n }'; }
refusals=(duplicate rogue overlay_forged_hop overlay_forged overlay_unknown_key overlay_unknown_path
    overlay_unknown_node overlay_unknown_stream overlay_protocol overlay_version overlay_wrong_hop overlay_hop_limit)
sessions=$(ctl gateway status -j | jq '[.workers[].sessions] | add')
before=$(total "${refusals[@]}")
probe "$vip_v4" 8000 2000 >"$LAB_DIR/probe" &
good_flow=$!
replayed=$(in_node internet python3 "$E2E/replay.py" "$LAB_DIR/between.pcap" gateway "$(mac_of gateway)" --repeat 100)
changed=$(in_node internet python3 "$E2E/replay.py" "$LAB_DIR/between.pcap" gateway "$(mac_of gateway)" --changed --repeat 100)
wait $good_flow
report=$(<"$LAB_DIR/probe")
expect "frames replayed" "$replayed" -gt 100
# At full rate some are lost in the gateway's receive ring, before anyone looks at them.
refused() { (($(total "${refusals[@]}") - before >= (replayed + changed) / 2)); }
eventually 5 refused || fail "of $((replayed + changed)) frames only $(($(total "${refusals[@]}") - before)) were refused"
expect "changed frames that the authenticator caught" "$(drops gateway overlay_forged_hop)" -gt 100
expect "datagrams of the good flow lost" "$(jq .lost <<<"$report")" -eq 0
expect "datagrams nobody sent" "$(jq '.duplicated + .foreign' <<<"$report")" -eq 0
expect "new sessions beside the good flow's" "$(($(ctl gateway status -j | jq '[.workers[].sessions] | add') - sessions))" -le 1

pass "32 MiB unchanged, nothing in clear between the nodes; $replayed frames replayed and $changed changed, none delivered; the good flow of 8,000 lost none"
