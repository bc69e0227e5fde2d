#!/usr/bin/env bash
# Every node measures its links and tells all others: a link that gets lossy and one that dies are known at nodes that have no
# part in them, and what is forged is not believed.
source "$(dirname "$0")/lab.sh"

seal=aes-256-gcm
extra_topology='
[liveness]
interval_ms = 50
multiplier = 6
hold_down_ms = 300
damping_seconds = 0
'
# What a loaded machine may add: control threads and a proactl that must be scheduled, ms.
slack=400

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
# told AT NODE NEIGHBOUR FILTER: what a node has been told of another's link, as JSON, through a jq filter.
told() {
    ctl "$1" link show -j |
        jq -e --arg node "$2" --arg neighbor "$3" "[.overlay[] | select(.node == \$node and .neighbor == \$neighbor)][0] | $4"
}
# Four links, told by both ends, measured, and the same at every node.
complete() {
    local node
    for node in "${NODES[@]}"; do
        ctl "$node" link show -j |
            jq -e '.overlay | length == 8 and all(.up and .latency_us != null)' >/dev/null || return 1
    done
}
# until_told SECONDS AT NODE NEIGHBOUR FILTER: ms until a node is told so.
until_told() {
    local start=$6
    eventually "$1" told "$2" "$3" "$4" "$5" || fail "$2 was not told that $3 - $4: $5"
    echo $(($(now_ms) - start))
}

lab_up
origin_up
nodes_up
eventually 20 complete || fail "not every node knows of all links: $(ctl edge link show --all)"
measured() {
    ctl edge link show -j | jq -e '.links | length == 2 and
        all(.quality.probes > 5 and .quality.round_trip_us.p99 > 0 and .mtu >= 1200)'
}
eventually 5 measured || fail "the edge's links are not measured: $(ctl edge link show)"
in_node edge curl -fsS http://127.0.0.1:9464/metrics | grep '^proa_link_latency_seconds{node="mid-1"' >/dev/null ||
    fail "no metric of the link"

# A forged record in mid-1's name, unsigned, and noise to the port.
for case in link_state+origin link_state+length link_state+ancient; do
    in_node internet python3 "$E2E/forge.py" send "$case" --interface gateway --mac "$(mac_of gateway)" --count 50
done
rejected() { ctl gateway link show -j | jq -e '[.flood.rejected[].messages] | add >= 150'; }
eventually 3 rejected || fail "forged messages are not counted: $(ctl gateway link show -j | jq -c .flood)"
complete || fail "forged messages changed what is known"

# Probes get lost between the gateway and mid-1, one way: the edge, which has no part in that link, hears of it.
lose_probes() {
    in_node internet nft -f - <<-END
		table netdev lose_probes {
		  chain out {
		    type filter hook ingress device "gateway" priority 0; policy accept;
		    ip daddr ${node_v4[mid-1]} udp dport { 862, 4796 } udp length 52 numgen random mod 100 < 40 counter drop
		  }
		}
	END
}
start=$(now_ms)
lose_probes
lossy=$(until_told 20 edge gateway mid-1 '.loss_percent > 25' "$start")
told edge mid-1 gateway '.loss_percent < 15' >/dev/null || fail "the other direction counts as lossy, too: $(ctl edge link show --all; ctl mid-1 link show)"
told edge gateway mid-2 '.loss_percent < 15' >/dev/null || fail "a link that loses nothing counts as lossy"
in_node internet nft delete table netdev lose_probes
healed=$(until_told 25 edge gateway mid-1 '.loss_percent < 15' "$(now_ms)")

# A node that dies: both its neighbours say so, and mid-1, which is none, knows.
start=$(now_ms)
node_stop mid-2 KILL || true
dead=$(until_told 5 mid-1 edge mid-2 '.up == false' "$start")
eventually 2 told mid-1 gateway mid-2 '.up == false' || fail "mid-1 does not know that the gateway lost mid-2"
expect "ms until mid-1 knew of the death, of which 300 are for noticing it" "$dead" -le $((1000 + slack))

# It comes back and knows everything again, and everybody hears it.
nodes_up mid-2
eventually 20 complete || fail "not complete after mid-2's return: $(ctl mid-2 link show --all)"
sent=$(ctl edge link show -j | jq .flood.sent_bytes)
sleep 4
rate=$((($(ctl edge link show -j | jq .flood.sent_bytes) - sent) / 4))
for node in edge gateway; do node_stop "$node" || fail "$node's account does not balance"; done

pass "loss known afar after $lossy ms, its end after $healed ms, a death after $dead ms; forged messages refused; $rate bytes/s at rest"
