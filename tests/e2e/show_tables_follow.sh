#!/usr/bin/env bash
# Tables follow reality within a second of a change: `shortest` leaves a link that gets slow, `cleanest` one that loses packets. Then the
# edge hears nothing of it, so that views differ: its packets still arrive, and none goes in a circle for ever.
source "$(dirname "$0")/lab.sh"

carried() {
    write_application "$1" "203.0.113.$2" "2001:db8:a::$2" 1
    printf 'routing = "%s"\n' "$1"
}
extra_topology=$(
    printf '[liveness]\ninterval_ms = 50\nmultiplier = 8\nhold_down_ms = 300\ndamping_seconds = 0\n'
    printf '[quality]\ninterval_ms = 10\n'
    printf '[[link]]\nbetween = ["%s", "%s"]\nlatency_ms = 1\n' paris london london frankfurt paris madrid madrid frankfurt london madrid
    carried shortest 21
    carried cleanest 22
)
# What a loaded machine may add: to a stream, to proactl, and to control threads that must be scheduled, ms.
slack=600

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
forwarded() { path_counter "$1" 0 forwarded | grep . || echo 0; }
# Which intermediate the stream of an application takes now, by a hundred of its packets.
taken_by() {
    local before
    before=$(forwarded mid-1)
    probe "203.0.113.$1" 100 2000 --linger 0.2 >/dev/null
    if (($(forwarded mid-1) - before >= 100)); then echo mid-1; else echo mid-2; fi
}
# A node stands still for 60 ms of every 62: its links get 30 ms slower.
slow_down() {
    while sleep 0.002 && kill -STOP "${NODE_PID[$1]}" && sleep 0.06; do kill -CONT "${NODE_PID[$1]}"; done 2>/dev/null &
    slowed=$!
}
speed_up() {
    { kill "$slowed" && wait "$slowed"; } 2>/dev/null || true
    node_signal "$1" CONT
}
# Probes through a node's port get lost, and nothing else.
lose_probes() {
    in_node internet nft -f - <<-END
		table netdev lose_probes {
		  chain out {
		    type filter hook egress device "$1" priority 0; policy accept;
		    udp dport { 862, 4796 } udp length 52 numgen random mod 100 < 50 counter drop
		  }
		}
	END
}
# moves VIP TO START-MS: $took is how many ms from the start it was until the stream of an application goes over a node and its packets stay there.
moves() {
    local to=$2 before after
    before=$(forwarded "$to")
    until after=$(forwarded "$to"); ((after - before >= 20)); do
        (($(now_ms) - $3 < 5000)) || fail "203.0.113.$1 does not move to $to: $(ctl edge link show --all)"
    done
    took=$(($(now_ms) - $3))
}
other() { if [[ $1 == mid-1 ]]; then echo mid-2; else echo mid-1; fi; }
measured() { ctl edge link show -j | jq -e '[.overlay[] | select(.latency_us != null)] | length == 10'; }

lab_up
origin_up
nodes_up
eventually 20 measured || fail "not every link is measured: $(ctl edge link show --all)"
sleep 2

# stays_away NODE: that the stream does not come back to it, but for a moment in which the machine held the other one up.
stays_away() {
    local before
    before=$(forwarded "$1")
    sleep 0.5
    expect "packets over $1 after the stream has moved away" $(($(forwarded "$1") - before)) -le 150
}
# disturbed NAME VIP START STOP: two rounds of moving a stream by making what it takes worse; $worst is the longest time.
disturbed() {
    local round now stream start took
    worst=0
    for round in 1 2; do
        now=$(taken_by "$2")
        probe "203.0.113.$2" 3000 1000 --linger 3 >"$LAB_DIR/$1-$round.json" &
        stream=$!
        sleep 0.5
        start=$(now_ms)
        "$3" "$now"
        moves "$2" "$(other "$now")" "$start"
        stays_away "$now"
        "$4" "$now"
        wait "$stream"
        expect "ms until $1 left a link that got worse" "$took" -le $((1000 + slack))
        expect "datagrams of $1 that were lost meanwhile" "$(jq .lost "$LAB_DIR/$1-$round.json")" -eq 0
        ((took <= worst)) || worst=$took
        sleep 1.5
    done
}
heal_probes() { in_node internet nft delete table netdev lose_probes; }

disturbed shortest 21 slow_down speed_up
slow=$worst
disturbed cleanest 22 lose_probes heal_probes
lossy=$worst

# Views differ: no link state reaches the edge any more, and the link behind the intermediate that it uses gets lossy. The edge goes on
# sending there; that node's own table leads around, over the other intermediate.
now=$(taken_by 22)
in_node internet nft -f - <<-END
	table netdev deaf {
	  chain out {
	    type filter hook egress device "edge" priority 0; policy accept;
	    udp sport 4796 udp dport 4796 counter drop
	  }
	}
	table netdev lose_probes {
	  chain out {
	    type filter hook egress device "gateway" priority 0; policy accept;
	    ip saddr ${node_v4[$now]} udp dport { 862, 4796 } udp length 52 numgen random mod 100 < 50 counter drop
	  }
	}
END
probe 203.0.113.22 4000 1000 --linger 3 >"$LAB_DIR/apart.json" &
stream=$!
sleep 2
before=("$(forwarded "$now")" "$(forwarded "$(other "$now")")")
sleep 1
here=$(($(forwarded "$now") - before[0])) there=$(($(forwarded "$(other "$now")") - before[1]))
wait "$stream"
expect "packets that the edge still sends to $now" "$here" -ge 500
expect "packets that $now sends around over the other" "$there" -ge 500
expect "datagrams lost while views differ" "$(jq .lost "$LAB_DIR/apart.json")" -eq 0
for node in mid-1 mid-2; do
    expect "packets that turned in a circle until $node dropped them" "$(drops "$node" overlay_hop_limit)" -eq 0
done
in_node internet nft delete table netdev deaf
in_node internet nft delete table netdev lose_probes

pass "shortest left a slow link after $slow ms, cleanest a lossy one after $lossy ms; nothing lost, also while views differ"
