#!/usr/bin/env bash
# Several routing protocols at once, on real TCP and UDP: each goes its own way; an intermediate's own table decides (D6).
source "$(dirname "$0")/lab.sh"

# carried NAME LAST-BYTE ROUTING…: an application of its own.
carried() {
    local vip=203.0.113.$2
    write_application "$1" "$vip" "2001:db8:a::$2" 1
    printf '%s\n' "${@:3}" 'trace = { one_in = 10 }'
}
# London is quick and, by its link, lossy; Madrid slow and clean.
# Liveness is another test's; here a loaded machine must not make anything dead.
extra_topology=$(
    printf '[liveness]\nenabled = false\n'
    printf '[[link]]\nbetween = ["%s", "%s"]\nlatency_ms = %s\nloss = %s\n' \
        paris london 1 0.01 london frankfurt 1 0 paris madrid 9 0 madrid frankfurt 9 0 london madrid 50 0
    carried shortest 21 'routing = "shortest"'
    carried cleanest 22 'routing = "cleanest"'
    carried routed 23 'routing = "source-route"' 'source_route = ["mid-1", "mid-2"]'
    carried direct 24 'routing = "direct"'
    carried mixed 25 'routing = { to_origin = "shortest", to_client = "cleanest" }'
)
lab_up
origin_up
make_file file 2
nodes_up

# goes VIP MID-1 MID-2: how many packets without a path these two forward, of 200 datagrams and their echoes.
goes() {
    local node before=() after=()
    for node in mid-1 mid-2; do before+=("$(without_path "$node")"); done
    expect "datagrams to 203.0.113.$1 lost" "$(probe "203.0.113.$1" 200 1000 --linger 5 | jq .lost)" -eq 0
    for node in mid-1 mid-2; do after+=("$(without_path "$node")"); done
    expect "packets of 203.0.113.$1 over mid-1" $((after[0] - before[0])) -eq "$2"
    expect "packets of 203.0.113.$1 over mid-2" $((after[1] - before[1])) -eq "$3"
}
without_path() { path_counter "$1" 0 forwarded | grep . || echo 0; }

for vip in 21 22 23 24 25; do fetch_and_compare "203.0.113.$vip" file; done
goes 21 400 0
goes 22 0 400
goes 23 400 400
goes 24 0 0
goes 25 200 200
[[ $(ctl edge flow show udp 7 -j | jq -r '[.flows[].routing] | sort | join(" ")') == \
    "cleanest direct shortest shortest source-route" ]] || fail "$(ctl edge flow show)"

# Every tenth packet has told which nodes it met.
hops() { ctl gateway path trace "$1" -j | jq -r '[.hops[] | "\(.from) \(.node)"] | sort | join(", ")'; }
[[ $(hops shortest) == "edge mid-1, mid-1 gateway" ]] || fail "shortest: $(hops shortest)"
[[ $(hops cleanest) == "edge mid-2, mid-2 gateway" ]] || fail "cleanest: $(hops cleanest)"
[[ $(hops routed) == "edge mid-1, mid-1 mid-2, mid-2 gateway" ]] || fail "source-route: $(hops routed)"
[[ $(hops direct) == "edge gateway" ]] || fail "direct: $(hops direct)"

# Only mid-1 is told: packets of "shortest" now leave it for mid-2; the source sends them to mid-1 as before.
printf '\n[[route]]\nprotocol = "shortest"\ndestination = "gateway"\nnext = "mid-2"\n' >>"$LAB_DIR/mid-1.toml"
node_signal mid-1 HUP
eventually 5 sh -c "$BIN/proactl --socket $LAB_DIR/mid-1.sock status -j | jq -e '.reloads == 1'"
goes 21 400 200
fetch_and_compare 203.0.113.21 file
for node in "${NODES[@]}"; do
    refused=$(ctl "$node" drops show -j | jq '[.drops[] | select(.reason | startswith("overlay_")) | .packets] | add')
    expect "packets of the overlay that $node dropped" "$refused" -eq 0
done

pass "shortest, cleanest, source-route, direct and a protocol for each direction at once; a table changed on mid-1 alone"
