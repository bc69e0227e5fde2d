#!/usr/bin/env bash
# `auto` weighs the overlay against the direct way, for each direction: it goes straight while that is as good, takes the overlay
# where the direct way gets slow or lossy by more than the overlay's price, comes back, and leaves a way that is dead at once.
source "$(dirname "$0")/lab.sh"

# Both ways of the overlay cost their links; the direct one is not drawn: it is measured.
extra_topology=$(
    printf '[liveness]\ninterval_ms = 50\nmultiplier = 6\nhold_down_ms = 300\ndamping_seconds = 0\n'
    printf '[quality]\ninterval_ms = 20\n'
    printf '[[link]]\nbetween = ["%s", "%s"]\nlatency_ms = 1\n' paris london london frankfurt paris madrid madrid frankfurt
    write_application weighed 203.0.113.21 2001:db8:a::21 1
    printf 'routing = { to_origin = "auto", to_client = "auto" }\n'
    printf 'auto = { overlay = "shortest", price_ms = 20, margin_percent = 20, dwell_seconds = 1 }\n'
    write_application fixed 203.0.113.22 2001:db8:a::22 1
    printf 'routing = "shortest"\n'
)
lab_up
origin_up
make_file file 1
nodes_up

# chosen NODE: what it has chosen, and why.
chosen() { ctl "$1" path show -j | jq -r '.choices[] | select(.application == "weighed") | .chosen'; }
why() { ctl "$1" path show -j | jq -c '.choices[]'; }
# becomes NODE SIDE SECONDS
becomes() { eventually "$3" test_chosen "$1" "$2" || fail "$1 does not choose the $2 way: $(why "$1")"; }
test_chosen() { [[ $(chosen "$1") == "$2" ]]; }
# goes NODES: how many packets without a path both intermediates forward, of 200 datagrams and their echoes.
without_path() { for node in mid-1 mid-2; do path_counter "$node" 0 forwarded | grep . || echo 0; done | awk '{ n += $1 } END { print n }'; }
forwarded() {
    local before
    before=$(without_path)
    expect "datagrams lost" "$(probe "203.0.113.$1" 200 1000 --linger 5 | jq .lost)" -eq 0
    echo $(($(without_path) - before))
}

# All links are as quick as veth is: the overlay is not worth its price. What got lost before all nodes were up is forgotten first.
calm() {
    ctl "$1" path show -j | jq -e '.choices | all([.direct, .overlay] | all(.state == "measured" and .loss_percent < 0.4))'
}
sleep 3
for node in edge gateway; do
    eventually 30 calm "$node" || fail "$node still measures losses: $(why "$node")"
    becomes "$node" direct 5
done
fetch_and_compare 203.0.113.21 file
expect "packets over intermediates while the direct way is as good" "$(forwarded 21)" -eq 0
expect "packets of the application that is not weighed" "$(forwarded 22)" -eq 400

# Probes of the direct way get lost, from the edge to the gateway: 1 % costs 10 ms, the overlay 20.
in_node internet nft -f - <<-END
	table netdev lose_direct {
	  chain out {
	    type filter hook ingress device "edge" priority 0; policy accept;
	    ip daddr ${node_v4[gateway]} udp dport { 862, 4796 } udp length 52 numgen random mod 100 < 20 counter drop
	  }
	}
END
becomes edge overlay 20
reason=$(ctl edge path show -j | jq -r '.choices[0].why')
loss=$(ctl edge path show -j | jq '.choices[0].direct.loss_percent | floor')
expect "loss on the direct way that was the reason, percent" "$loss" -ge 5
[[ $(chosen gateway) == direct ]] || fail "the other direction is left too: $(why gateway)"
expect "packets over an intermediate, of one direction" "$(forwarded 21)" -eq 200
fetch_and_compare 203.0.113.21 file
in_node internet nft delete table netdev lose_direct
becomes edge direct 60
expect "packets over intermediates once the direct way is good again" "$(forwarded 21)" -eq 0

# The direct way is cut: it is left at once, in both directions, and nothing is waited for.
cut() {
    in_node internet nft -f - <<-END
		table netdev cut_direct {
		  chain out {
		    type filter hook ingress device "edge" priority -500; policy accept;
		    ip daddr ${node_v4[gateway]} counter drop
		    ip6 daddr ${node_v6[gateway]} counter drop
		  }
		}
	END
}
cut
becomes edge overlay 3
becomes gateway overlay 3
[[ $(why edge) == *"the other way is dead"* ]] || fail "$(why edge)"
expect "packets over an intermediate while the direct way is dead" "$(forwarded 21)" -eq 400
ctl edge path show | grep -q 'the other way is dead' || fail "it is not shown: $(ctl edge path show)"
in_node edge curl -fsS http://127.0.0.1:9464/metrics | grep -q '^proa_auto_direct{application="weighed".*} 0' ||
    fail "no metric of the choice"
in_node internet nft delete table netdev cut_direct
becomes edge direct 20
changes=$(ctl edge path show -j | jq '.choices[0].changes')
expect "changes of the edge's choice: no more than there were reasons for" "$changes" -le 7
for node in "${NODES[@]}"; do
    refused=$(ctl "$node" drops show -j | jq '[.drops[] | select(.reason | startswith("overlay_")) | .packets] | add')
    expect "packets of the overlay that $node dropped" "$refused" -eq 0
done

pass "straight while that was as good, over the overlay at $loss % loss ($reason) and when the direct way died, each direction for itself"
