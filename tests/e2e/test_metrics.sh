#!/usr/bin/env bash
# /metrics names every drop reason that proactl names, with the same counts, and listens on loopback only.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
probe "$vip_v4" 500 1000 >/dev/null
in_node internet python3 "$E2E/forge.py" send overlay_not_member --interface gateway --mac "$(mac_of gateway)" --count 25
forged() { [[ $(drops gateway overlay_not_member) == 25 ]]; }
eventually 2 forged || fail "25 forged frames, but $(drops gateway overlay_not_member) counted"
scrape() { in_node gateway curl -fsS http://127.0.0.1:9464/metrics; }
expect "overlay_not_member in /metrics" \
    "$(scrape | sed -nE 's/^proa_drops_total\{reason="overlay_not_member"\} ([0-9]+).*/\1/p')" -eq 25
expect "first copies in /metrics" \
    "$(scrape | awk '/^proa_path_passed_total/ { n += $2 } END { print n }')" -ge 500
[[ $(scrape | sed -nE 's/^proa_drops_total\{reason="([^"]+)".*/\1/p') == \
    $(ctl gateway drops show --all -j | jq -r '.drops[].reason') ]] || fail "/metrics and proactl name other reasons"
[[ $(scrape | tail -n 1) == "# EOF" ]] || fail "/metrics is not OpenMetrics text"
listening=$(in_node gateway ss -Hlntu | awk '{ print $5 }')
[[ $listening == 127.0.0.1:9464 ]] || fail "the gateway listens on $listening"

pass "$(scrape | grep -vc '^#') values, every drop reason under the name that proactl gives it"
