# shellcheck shell=bash disable=SC2154,SC2034,SC2120  # the variables are lab.sh's
# A control server beside the lab's nodes. To be sourced after lab.sh, with `server` set to its address and port before lab_up.
#
# The nodes' way to it is the kernel's: a network of its own, apart from packets. A test goes: lab_up; server_init [LINES OF ITS FILE…];
# nodes_join; apply; nodes_up

server=10.255.0.1:7443

# Makes the network, the server's file with further lines, and its authority, and starts it.
server_init() {
    local node
    ip netns add "$LAB-server"
    ip -n "$LAB-server" link set lo up
    ip -n "$LAB-server" link add name control type bridge
    ip -n "$LAB-server" addr add "${server%:*}/24" dev control
    ip -n "$LAB-server" link set control up
    for node in "${NODES[@]}"; do
        wire server "$node" "$node" control0
        ip -n "$LAB-server" link set dev "$node" master control
        ip -n "$LAB-$node" addr add "10.255.0.$((10 + ${node_id[$node]}))/24" dev control0
    done
    printf '%s\n' 'data = "data"' "listen = [\"$server\"]" "socket = \"$LAB_DIR/server.sock\"" "$@" >"$LAB_DIR/server.toml"
    "$BIN/proa-server" init "$LAB_DIR/server.toml" || fail "no certificate authority"
    server_up
}

overlay() { "$BIN/proactl" --server "$LAB_DIR/server.sock" "$@"; }

server_up() {
    spawn server server "$BIN/proa-server" run "$LAB_DIR/server.toml"
    NODE_PID[server]=$! # lab.sh ends it by this
    eventually 10 overlay node show || fail "the server does not answer"
}

# Each node joins with a token of its own.
nodes_join() {
    local node
    for node in "${NODES[@]}"; do
        token=$(overlay node add "$node")
        in_node "$node" "$BIN/proa" join "$LAB_DIR/$node.toml" "$token" || fail "$node can not join"
    done
}

nodes_in_step() { overlay node show -j | jq '[.nodes[] | select(.in_step and .connected and .report.ready)] | length'; }
all_in_step() { (($(nodes_in_step) == ${#NODES[@]})); }
revision() { overlay node show -j | jq '.nodes[0].revision'; }
apply() { overlay apply --yes --file "$LAB_DIR/overlay.toml"; }
