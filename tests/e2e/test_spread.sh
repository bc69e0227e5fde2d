#!/usr/bin/env bash
# Packets of one flow spread over two paths, of which one is slower, arrive in order: the protocol "spread", sealed, over a
# gateway with two workers.
source "$(dirname "$0")/lab.sh"

seal=aes-256-gcm
gateway_workers=2
extra_topology=$(
    # Liveness is another test's; here a loaded machine must not make anything dead.
    printf '[liveness]\nenabled = false\n'
    write_application spread 203.0.113.21 2001:db8:a::21 1
    printf 'routing = "spread"\ntrace = { one_in = 10 }\n'
    write_application weighted 203.0.113.22 2001:db8:a::22 1
    printf 'routing = { to_origin = "spread", to_client = "replicate" }\nweights = [3, 1]\n'
)
extra_node=$'[ordering]\nhold_ms = 500\n'
lab_up
origin_up
make_file file 2
nodes_up
eventually 10 fetch http://203.0.113.21/whoami || fail "no answer within 10 s: the nodes did not agree on keys"

slow mid-2 10
sent() { path_counter "$1" "$2" sent; }
before=("$(sent edge 1)" "$(sent edge 2)" "$(sent gateway 1)" "$(sent gateway 2)")
report=$(probe 203.0.113.21 3000 1000 --linger 5)
for what in lost duplicated reordered; do
    expect "datagrams $what" "$(jq ".$what" <<<"$report")" -eq 0
done
at=0
for node in edge gateway; do
    for path in 1 2; do
        expect "packets that $node sent over path $path" $(($(sent "$node" "$path") - before[at])) -eq 1500
        at=$((at + 1))
    done
    expect "packets that overtook others on the way to $node" "$(path_counter "$node" 2 out_of_order)" -gt 1000
done

# Every tenth packet has told which path it took, and through which node.
traced=$(ctl gateway path trace spread -j -n 200 | jq -r '[.paths[] | select(.won > 100) | .path] | sort | join(" ")')
[[ $traced == "1 2" ]] || fail "paths of packets with records: $traced"
nodes=$(ctl gateway path trace spread -j -n 200 | jq -r '[.packets[].copies[] | .records[].node] | unique | join(" ")')
[[ $nodes == "mid-1 mid-2" ]] || fail "nodes in the records: $nodes"

again=$(retransmitted)
fetch_and_compare 203.0.113.21 file
fetch_and_compare '[2001:db8:a::21]' file
expect "segments sent again" $(($(retransmitted) - again)) -eq 0

before=("$(sent edge 1)" "$(sent edge 2)")
report=$(probe 203.0.113.22 400 500 --linger 5)
expect "datagrams reordered" "$(jq .reordered <<<"$report")" -eq 0
# A packet or two may be of something else.
over=($(($(sent edge 1) - before[0])) $(($(sent edge 2) - before[1])))
expect "packets over path 1, of three in four" "${over[0]}" -ge 300
expect "packets over path 1, of three in four" "${over[0]}" -le 303
expect "packets over path 2, of one in four" "${over[1]}" -ge 100
expect "packets over path 2, of one in four" "${over[1]}" -le 103

# A slow path that dies holds nothing up for longer than the hold time.
lose mid-2 100
report=$(probe 203.0.113.21 400 500 --linger 5)
expect "datagrams over the other path, there and back" "$(jq .received <<<"$report")" -gt 50
expect "datagrams reordered" "$(jq .reordered <<<"$report")" -eq 0

pass "two paths 10 ms apart carried half of the packets each, in order; TCP sent nothing again"
