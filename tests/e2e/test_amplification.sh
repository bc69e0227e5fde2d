#!/usr/bin/env bash
# Whoever forges a source gets the node to send no more bytes there than were sent to it, on any port and protocol.
# (An error may be longer than its packet where bytes of others, which were not answered, pay for it.)
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
edge_mac=$(ip -n "$LAB-edge" -j link show lan0 | jq -r '.[0].address')
in_node client python3 "$E2E/amplify.py" wan0 "$edge_mac" "$vip_v4" "$edge_v4" >"$LAB_DIR/kinds"
expect "kinds of packets measured" "$(wc -l <"$LAB_DIR/kinds")" -ge 100
expect "kinds that were answered" "$(awk 'NF > 1 && $NF > 0' "$LAB_DIR/kinds" | wc -l)" -ge 10
expect "kinds after which more had come back than was sent" "$(tail -n 1 "$LAB_DIR/kinds")" -eq 0
read -r sent back <<<"$(awk 'NF > 1 { s += $(NF - 1); b += $NF } END { print s, b }' "$LAB_DIR/kinds")"

pass "$(($(wc -l <"$LAB_DIR/kinds") - 1)) kinds of packets with forged sources: $sent bytes in, $back out, never more"
