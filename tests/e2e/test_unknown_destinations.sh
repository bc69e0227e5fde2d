#!/usr/bin/env bash
# An unknown port, an unknown protocol and an unknown VIP are dropped, each under its own reason.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
# Ten datagrams each; the count at the edge grows by exactly that.
dropped_for() { # REASON ADDRESS PORT
    local before after
    before=$(drops edge "$1")
    in_node client python3 "$E2E/probe.py" send "$2" "$3" --count 10 --rate 100 --linger 0.3 >/dev/null
    after=$(drops edge "$1")
    expect "packets to $2 port $3 dropped as $1" $((after - before)) -eq 10
}
dropped_for unknown_service "$vip_v4" 81
dropped_for unknown_service "$vip_v6" 81
dropped_for no_destination 203.0.113.99 7
dropped_for no_destination 2001:db8:a::99 7
expect "datagrams lost to the known port" "$(probe "$vip_v4" 100 1000 | jq .lost)" -eq 0

pass "unknown ports and VIPs dropped and counted, the known one unharmed"
