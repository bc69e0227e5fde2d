#!/bin/sh
# Compares what the Wireshark dissector shows of the captures here with what the codec reads from the same bytes
# (*.expected, written together with the captures by overlay/tests/captures.rs). Needs tshark.
set -eu
cd "$(dirname "$0")"
dissector=../../packaging/wireshark/proa.lua
command -v tshark > /dev/null || { echo "tshark is missing: install Wireshark's command line (package tshark)"; exit 1; }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# Settings of whoever runs this must not change what tshark shows.
export WIRESHARK_CONFIG_DIR="$out" HOME="$out"

# show CAPTURE OPTION...: runs tshark with the dissector.
show() {
    capture=$1
    shift
    if ! tshark -X "lua_script:$dissector" -o proa.all:TRUE -r "$capture.pcap" "$@" 2> "$out/errors"; then
        cat "$out/errors"
        exit 1
    fi
    if grep -i -e lua -e 'dissector bug' "$out/errors"; then
        exit 1
    fi
}

# fields NAME...: tshark's options for one line of these fields per frame, the outermost of each.
fields() {
    printf -- '-T fields -E separator=| -E occurrence=f'
    printf -- ' -e %s' "$@"
}

failures=0
# check WHAT EXPECTED ACTUAL
check() {
    if diff -u "$2" "$3" > "$out/diff"; then
        echo "ok    $1"
    else
        echo "FAIL  $1"
        cat "$out/diff"
        failures=$((failures + 1))
    fi
}

good="$(fields frame.number proa.overlay proa.inner proa.version proa.copies proa.protocol proa.hop_limit proa.source \
    proa.destination proa.authenticator proa.worker proa.bucket proa.path proa.epoch proa.path_sequence \
    proa.sequence proa.copy_of)"
for capture in ipv4 ipv6 accepted; do
    # shellcheck disable=SC2086  # a list of options
    show "$capture" $good > "$out/actual"
    check "$capture: fields" "$capture.expected" "$out/actual"
    show "$capture" -Y 'proa.drop || proa.malformed || proa.refused || _ws.malformed || !proa' > "$out/actual"
    check "$capture: nothing is malformed" /dev/null "$out/actual"
    # The packet inside is dissected as well: ports stand behind the outer ones. A parity packet has none.
    show "$capture" -Y '!(tcp.dstport == 80 || tcp.srcport == 80 || udp.dstport == 443 || icmp || icmpv6 || proa.parity)' > "$out/actual"
    check "$capture: inner packets" /dev/null "$out/actual"
done

# Of each record its own fields; what lies is told to be ignored.
records="$(fields frame.number proa.trace.sent proa.trace.overflow proa.trace.filled proa.record.hop_limit proa.record.queue \
    proa.record.node proa.record.ingress proa.record.egress proa.record.time proa.record.transit)"
# shellcheck disable=SC2046  # a list of options
show traces -Y '!proa.trace.ignored' $(echo "$records" | sed s/occurrence=f/occurrence=a/) > "$out/actual"
show traces -Y proa.trace.ignored -T fields -e frame.number | sed 's/$/|ignored/' >> "$out/actual"
check "traces: hop records" traces.expected "$out/actual"

# shellcheck disable=SC2046  # a list of options
show malformed $(fields frame.number proa.drop) > "$out/actual"
check "malformed: reasons" malformed.expected "$out/actual"
show malformed -Y '!(proa.malformed || proa.refused)' > "$out/actual"
check "malformed: expert information" /dev/null "$out/actual"

# Somebody else's GENEVE is left alone unless the setting says otherwise.
show malformed -o proa.all:FALSE -Y 'proa && !(udp contains ff:50)' > "$out/actual"
check "foreign GENEVE is left alone" /dev/null "$out/actual"

# Messages about link state, out of their vectors.
awk '/^message =/ { on = 1; print "000000"; next } on && /^  / { gsub(/ /, ""); gsub(/../, "& "); print; next } { on = 0 }' \
    ../../docs/vectors/linkstate.txt |
    awk '/^000000/ { at = 0; next } { printf "%06x %s\n", at, $0; at += NF }' > "$out/linkstate.txt"
text2pcap -q -u 4796,4796 "$out/linkstate.txt" "$out/linkstate.pcap" 2> /dev/null
links_dissector=../../packaging/wireshark/proa_links.lua
tshark -X "lua_script:$links_dissector" -r "$out/linkstate.pcap" -T fields -E 'separator=|' -E aggregator=, \
    -e frame.number -e proa_links.sender -e proa_links.overlay -e proa_links.item -e proa_links.origin \
    -e proa_links.sequence -e proa_links.neighbour -e proa_links.latency -e proa_links.loss \
    -e proa_links.path -e proa_links.via > "$out/actual" 2> "$out/errors"
check "linkstate: fields" linkstate.expected "$out/actual"
tshark -X "lua_script:$links_dissector" -r "$out/linkstate.pcap" -Y 'proa_links.malformed || _ws.malformed || !proa_links' \
    > "$out/actual" 2>> "$out/errors"
check "linkstate: nothing is malformed" /dev/null "$out/actual"
if grep -i -e lua -e 'dissector bug' "$out/errors"; then
    failures=$((failures + 1))
fi

[ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }
