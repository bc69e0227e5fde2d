#!/usr/bin/env bash
# Shows what real programs make of the gateway's translation: iperf3, ping, traceroute, wrk. Prints figures of this machine;
# fails where one of them is not served.
#
#   tests/e2e/show_nat.sh [SECONDS]       of each load, 10 if left out
#
# wrk runs twice: with connections that stay, and as a browser without keep-alive, with one connection per request, so that
# each request is a session of its own.
source "$(dirname "$0")/lab.sh"

seconds=${1:-10}
services='"tcp/80", "tcp/5201", "udp/5201", "udp/7", "icmp"'

row() { printf '%-34s %s\n' "$1" "$2"; }

# made: the sessions that the gateway has made since it started.
made() { in_node gateway curl -fsS http://127.0.0.1:9464/metrics | awk '/^proa_sessions_made/ { n += $2 } END { print n + 0 }'; }

lab_up
origin_up
spawn origin iperf3 iperf3 -s
nodes_up
head -c 4096 /dev/urandom >"$LAB_DIR/www/small"

for way in "$vip_v4" "$vip_v6"; do
    for direction in "" -R; do
        result=$(in_node client iperf3 -c "$way" -t "$seconds" $direction -J) || fail "iperf3 to $way: $result"
        row "iperf3, TCP, $way ${direction:-up}" \
            "$(jq -r '.end | "\(.sum_received.bits_per_second / 1e6 | round) Mbit/s, \(.sum_sent.retransmits) segments sent again"' <<<"$result")"
    done
    result=$(in_node client iperf3 -c "$way" -u -b 20M -l 1200 -t "$seconds" -J) || fail "iperf3 -u to $way: $result"
    row "iperf3, UDP 20 Mbit/s, $way" "$(jq -r '.end.sum | "\(.packets) datagrams, \(.lost_packets) lost, jitter \(.jitter_ms * 1000 | round) us"' <<<"$result")"
    row "ping, $way" "$(in_node client ping -q -c 200 -i 0.01 "$way" | awk '/packets/ { print $4 " of " $1 } /rtt/ { print "min/avg/max/mdev " $4 " ms" }' | paste -sd ',')"
    row "traceroute, $way" "$(in_node client traceroute -n -I -q 1 -w 2 -N 1 -m 6 "$way" 120 | awk 'NR > 1 { print $2 }' | paste -sd ' ')"
done

# load NAME HEADER…
load() {
    local out before
    before=$(made)
    out=$(in_node client wrk -t 1 -c 50 -d "${seconds}s" --latency "${@:2}" "http://$vip_v4/small") || fail "wrk: $out"
    row "$1" "$(awk '/requests in/ { print $1 " requests" } /Requests\/sec/ { print $2 "/s" } /50%/ { print "p50 " $2 } /99%/ { print "p99 " $2 } /Socket errors|Non-2xx/ { print }' <<<"$out" | paste -sd ',' | sed 's/,/, /g'), $(($(made) - before)) sessions made"
}
load "wrk, 50 connections kept"
load "wrk, a connection per request" -H 'Connection: close'
row "sessions that live" "$(ctl gateway status -j | jq .sessions_used) of $(ctl gateway status -j | jq .sessions_capacity)"
row "NAT's drops" "$(ctl gateway drops show -j | jq -c '[.drops[] | select(.packets > 0) | {(.reason): .packets}] | add')"
pass "iperf3, ping, traceroute and wrk were served"
