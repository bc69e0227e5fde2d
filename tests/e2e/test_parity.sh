#!/usr/bin/env bash
# Lost packets are rebuilt of parity packets on the disjoint path: UDP and TCP over a first path that loses 5 % each way, sealed,
# beside the same over that path alone; what is left of the loss, and what it costs.
source "$(dirname "$0")/lab.sh"

seal=aes-256-gcm
extra_topology=$(
    # Liveness is another test's; here a loaded machine must not make anything dead.
    printf '[liveness]\nenabled = false\n'
    write_application alone 203.0.113.21 2001:db8:a::21 1
    write_application light 203.0.113.22 2001:db8:a::22 2
    printf 'routing = "parity"\nparity = { data_packets = 8, parity_packets = 1, wait_ms = 10 }\n'
    write_application strong 203.0.113.23 2001:db8:a::23 2
    printf 'routing = "parity"\nparity = { data_packets = 4, parity_packets = 2, wait_ms = 10 }\nordered = true\ntrace = { one_in = 10 }\n'
)
extra_node=$'[ordering]\nhold_ms = 500\n[parity]\nmemory_mib = 4\n'
lab_up
origin_up
make_file file 1
nodes_up
eventually 10 fetch http://203.0.113.21/whoami || fail "no answer within 10 s: the nodes did not agree on keys"

# metric NODE NAME: the sum over all workers.
metric() { in_node "$1" curl -fsS http://127.0.0.1:9464/metrics | awk -F '[{ ]' -v name="proa_$2" '$1 == name { n += $NF } END { print n + 0 }'; }
dropped() { local count; count=$(drops "$1" "$2") && echo "${count:-0}"; }
sent() { echo $(($(path_counter edge "$1" sent) + $(path_counter gateway "$1" sent))); }

# try ADDRESS: loss in thousandths of a percent there and back, and packets over the first path and the second, of 3,000 datagrams.
try() {
    local before report
    before=("$(sent 1)" "$(sent 2)")
    report=$(probe "$1" 3000 1000 --linger 3)
    expect "datagrams duplicated" "$(jq .duplicated <<<"$report")" -eq 0
    tried=("$(jq '.lost_percent * 1000 | round' <<<"$report")" $(($(sent 1) - before[0])) $(($(sent 2) - before[1])))
    reordered=$(jq .reordered <<<"$report")
}

lose mid-1 5
try 203.0.113.21
single=("${tried[@]}")
expect "what one path loses, there and back, thousandths of a percent" "${single[0]}" -ge 7000

try 203.0.113.22
light=("${tried[@]}")
expect "what is left of it with one parity packet for eight" "${light[0]}" -le $((single[0] / 2))
expect "parity packets for a thousand of data" $((light[2] * 1000 / light[1])) -le 260

try 203.0.113.23
strong=("${tried[@]}")
expect "what is left of it with two for four" "${strong[0]}" -le $((single[0] / 10))
expect "parity packets for a thousand of data" $((strong[2] * 1000 / strong[1])) -ge 450
expect "datagrams reordered, where they are ordered" "$reordered" -eq 0
for node in edge gateway; do
    expect "packets that $node rebuilt" "$(metric "$node" parity_rebuilt_total)" -ge 150
    expect "parity that contradicts itself at $node" "$(dropped "$node" parity_malformed)" -eq 0
    expect "sealed packets of $node's that did not open" "$(dropped "$node" overlay_forged)" -eq 0
done

# Data with records is rebuilt like any other; records tell of the first path, where data goes.
traced=$(ctl gateway path trace strong -j | jq '[.paths[] | select(.path == 1) | .won] | add')
expect "packets with records" "$traced" -ge 200

# TCP, IPv4 and IPv6: what is sent again is what parity did not bring back.
again=$(retransmitted)
fetch_and_compare 203.0.113.23 file
fetch_and_compare '[2001:db8:a::23]' file
with=$(($(retransmitted) - again))

# All data of the first path lost: nothing is left to rebuild with, groups are given up, and what comes again is carried.
settled() { [[ $(metric "$1" parity_waiting) -eq 0 ]]; }
lose mid-1 100
report=$(probe 203.0.113.23 200 500)
expect "datagrams that came without any data" "$(jq .received <<<"$report")" -le 20
for node in edge gateway; do
    eventually 5 settled "$node" || fail "groups wait at $node for ever"
done
lose mid-1 0
fetch_and_compare 203.0.113.22 file

thousandth() { printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)); }
pass "one path lost $(thousandth "${single[0]}") %; 8+1 lost $(thousandth "${light[0]}") % for $((light[2] * 100 / light[1])) % more packets," \
    "4+2 $(thousandth "${strong[0]}") % for $((strong[2] * 100 / strong[1])) %; TCP sent $with segments again"
