# shellcheck shell=bash
# A lab of network namespaces for the tests beside this file and for the demo. To be sourced by bash.
#
#    client ──── edge ────┐            ┌──── gateway ──── origin
#          access         ├─ internet ─┤           data centre
#               mid-1 ────┘  (switch)  └──── mid-2
#
# client and origin are ordinary kernel hosts; edge, mid-1, mid-2 and gateway run `proa` on DPDK over their ends of
# the veth pairs, which carry no address, so that the kernel stays silent there. "internet" is a switch: one segment
# with every node's underlay address, where faults are injected per node with nftables.
#
# With second_gateway=yes a gateway-2 stands beside the gateway, on the same segment of the data centre, "dc".
#
# A test sets what it wants otherwise (see lab_config.sh), then:  lab_up; origin_up; nodes_up; …; pass "what was shown"
# A lab's names carry the process id, so labs may run side by side, and one that was killed is reaped by the next.
set -Eeuo pipefail

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$E2E/../.." && pwd)
BIN=$(realpath -m "${BIN:-${CARGO_TARGET_DIR:-$ROOT/target}/test-release}")
LAB=proa-$$
LAB_DIR=""
NODES=(edge mid-1 mid-2 gateway)
declare -A NODE_PID=()

# shellcheck source=lab_config.sh
source "$E2E/lab_config.sh"

# ---- the lab itself ----

# Builds the namespaces, the wires and the configuration files. Nothing runs yet.
lab_up() {
    ((EUID == 0)) || fail "network namespaces need root"
    [[ -x $BIN/proa && -x $BIN/proactl ]] || fail "no proa or proactl in $BIN; run 'make build'"
    lab_reap
    LAB_DIR=$(mktemp -d "/tmp/$LAB.XXXXXX")
    local node
    [[ $second_gateway == no ]] || NODES+=(gateway-2)
    for node in client internet dc origin "${NODES[@]}"; do
        ip netns add "$LAB-$node"
        ip -n "$LAB-$node" link set lo up
    done
    ip -n "$LAB-internet" link add name switch type bridge
    ip -n "$LAB-internet" link set dev switch mtu "$underlay_mtu" up type bridge mcast_snooping 0
    for node in internet "${NODES[@]}"; do
        in_node "$node" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    done
    for node in "${NODES[@]}"; do
        wire internet "$node" "$node" wan0
        ip -n "$LAB-internet" link set dev "$node" master switch mtu "$underlay_mtu"
        ip -n "$LAB-$node" link set dev wan0 mtu "$underlay_mtu" arp off
    done
    wire client wan0 edge lan0
    if [[ $second_gateway == no ]]; then
        wire origin wan0 gateway lan0
    else
        ip -n "$LAB-dc" link add name switch type bridge
        ip -n "$LAB-dc" link set dev switch up type bridge mcast_snooping 0
        in_node dc sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
        wire dc origin origin wan0
        for node in gateway gateway-2; do wire dc "$node" "$node" lan0; done
        for node in origin gateway gateway-2; do ip -n "$LAB-dc" link set dev "$node" master switch; done
    fi
    for node in edge gateway gateway-2; do
        [[ $second_gateway != no || $node != gateway-2 ]] || continue
        ip -n "$LAB-$node" link set dev lan0 arp off
    done
    host_up client "$client_v4/24 $client_v6/64" "$edge_v4" "$edge_v6"
    host_up origin "${origins_v4[*]/%//24} ${origins_v6[*]/%//64}" "$gateway_v4" "$gateway_v6"
    write_configs
}

# wire NODE INTERFACE NODE INTERFACE: connects two namespaces.
wire() {
    ip link add name "$2" netns "$LAB-$1" type veth peer name "$4" netns "$LAB-$3"
    ip -n "$LAB-$1" link set dev "$2" up
    ip -n "$LAB-$3" link set dev "$4" up
}

# host_up HOST ADDRESSES ROUTER-V4 ROUTER-V6: an ordinary host behind one router. A veth hands over packets with
# unfinished checksums and of any size unless it is told to behave like a wire. TCP is told to be patient: on a machine
# that does everything at once, a pause is no loss, and a segment is to be sent again only when it is truly missing.
host_up() {
    local address
    in_node "$1" ethtool -K wan0 tx off tso off gso off gro off >/dev/null
    in_node "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.wan0.accept_dad=0 net.ipv4.tcp_early_retrans=0
    for address in $2; do ip -n "$LAB-$1" address add "$address" dev wan0; done
    ip -n "$LAB-$1" route add default via "$3" rto_min 3s
    [[ $2 != *:* ]] || ip -n "$LAB-$1" -6 route add default via "$4" rto_min 3s
}

# Removes everything; on failure it shows the ends of the logs first. Set LAB_KEEP=1 to keep a failed lab's files.
lab_down() {
    local status=$? log
    trap - EXIT ERR
    set +e
    if ((status != 0 && status != 130)) && [[ -n $LAB_DIR ]]; then
        for log in "$LAB_DIR"/*.log; do
            [[ -s $log ]] && printf '# ---- %s\n' "${log##*/}" && tail -n 15 "$log" | sed 's/^/#   /'
        done
    fi
    remove_namespaces "$LAB"
    [[ -z $LAB_DIR ]] || ((status != 0 && ${LAB_KEEP:-0} != 0)) || rm -rf "$LAB_DIR"
    exit "$status"
}

# remove_namespaces LAB: ends what runs in a lab's namespaces, then deletes them and DPDK's run-time files.
remove_namespaces() {
    local name pids
    for name in $(ip netns list | awk -v lab="$1-" 'index($1, lab) == 1 { print $1 }'); do
        pids=$(ip netns pids "$name")
        # shellcheck disable=SC2086  # a list of numbers
        [[ -z $pids ]] || { kill -KILL $pids && wait $pids; } 2>/dev/null || true
        ip netns del "$name"
    done
    rm -rf /run/dpdk/"$1"-*
}

# Removes the labs of test processes that no longer exist.
lab_reap() {
    local pid
    for pid in $(ip netns list | sed -nE 's/^proa-([0-9]+)-.*/\1/p' | sort -u); do
        [[ -d /proc/$pid ]] || { remove_namespaces "proa-$pid" && rm -rf /tmp/"proa-$pid".*; }
    done
}

trap lab_down EXIT
trap 'exit 130' INT TERM HUP
trap 'on_error "$LINENO" "$BASH_COMMAND"' ERR

# ---- verdicts ----

# A test gives one verdict: the first. A failure inside $(…) would otherwise be told again by whoever waits for it.
verdict() {
    if [[ -n $LAB_DIR ]]; then
        [[ ! -e $LAB_DIR/verdict ]] || return 0
        touch "$LAB_DIR/verdict"
    fi
    printf '%s - %s\n' "$1" "$2"
}
pass() { verdict ok "$*"; }
fail() {
    verdict "not ok" "$*"
    trap - ERR
    exit 1
}

# Names the test's own line, whatever function it called there.
on_error() {
    local line=$1 depth=${#BASH_LINENO[@]}
    ((depth <= 2)) || line=${BASH_LINENO[depth - 2]}
    verdict "not ok" "${0##*/}:$line: \"$2\" failed"
}

# expect WHAT A OPERATOR B: an integer comparison as of test(1), with the numbers in the verdict when it fails.
expect() {
    test "$2" "$3" "$4" || fail "$1: $2, expected $3 $4"
}

# eventually SECONDS COMMAND…: whether the command succeeds within that time.
eventually() {
    local deadline=$((SECONDS + $1))
    until "${@:2}" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# ---- processes ----

# in_node NODE COMMAND…: runs a command in a namespace of this lab.
in_node() { ip netns exec "$LAB-$1" "${@:2}"; }

# spawn NODE LOG COMMAND…: the same in the background; its process id is in $!.
spawn() { ip netns exec "$LAB-$1" "${@:3}" >>"$LAB_DIR/$2.log" 2>&1 </dev/null & }

# nodes_up [NODE…]: starts nodes (all by default) and waits until each is ready.
nodes_up() {
    (($# > 0)) || set -- "${NODES[@]}"
    local node
    for node in "$@"; do
        spawn "$node" "$node" "$BIN/proa" run "$LAB_DIR/$node.toml"
        NODE_PID[$node]=$!
    done
    for node in "$@"; do
        eventually 20 node_is_ready_or_dead "$node" || fail "$node is not ready after 20 s"
        kill -0 "${NODE_PID[$node]}" 2>/dev/null || fail "$node ended while starting"
    done
}

node_is_ready_or_dead() { ctl "$1" status -j | jq -e .ready || ! kill -0 "${NODE_PID[$1]}"; }

# node_signal NODE SIGNAL
node_signal() { kill "-$2" "${NODE_PID[$1]}"; }

# node_stop NODE [SIGNAL]: ends a node (SIGTERM by default), waits for it and returns its exit status.
node_stop() {
    node_signal "$1" "${2:-TERM}"
    # The shell would report a killed child in its own words.
    { wait "${NODE_PID[$1]}"; } 2>/dev/null
}

# ctl NODE ARGUMENTS…: proactl against a node's control socket.
ctl() { "$BIN/proactl" --socket "$LAB_DIR/$1.sock" "${@:2}"; }

# origin_up: nginx and a UDP echo on every origin address.
origin_up() {
    local address
    write_nginx_config
    spawn origin nginx nginx -p "$LAB_DIR" -c "$LAB_DIR/nginx.conf"
    for address in "${origins_v4[@]}" "${origins_v6[@]}"; do
        spawn origin echo python3 "$E2E/probe.py" echo "$address" 7
    done
    eventually 10 in_node origin curl -fsS "http://${origins_v4[0]}/whoami" || fail "nginx does not answer"
}

# make_file NAME MEBIBYTES: a random file in the origin's web root.
make_file() { head -c "$(($2 << 20))" /dev/urandom >"$LAB_DIR/www/$1"; }

# fetch URL [CURL-OPTION…]: from the client, to standard output.
fetch() { in_node client curl -fsS --max-time 60 "${@:2}" "$1"; }

# fetch_and_compare VIP NAME: fetches a file and fails unless it arrives unchanged.
fetch_and_compare() {
    fetch "http://$1/$2" -o "$LAB_DIR/$2.received" || fail "fetching $2 from $1 failed"
    cmp "$LAB_DIR/www/$2" "$LAB_DIR/$2.received" || fail "$2 from $1 differs from the original"
}

# probe VIP COUNT RATE [OPTION…]: sends numbered datagrams to the echo service; prints what came back, as JSON.
probe() { in_node client python3 "$E2E/probe.py" send "$1" 7 --count "$2" --rate "$3" -j "${@:4}"; }

# ---- counters ----

# drops NODE REASON: how many packets a node has dropped for this reason.
drops() { ctl "$1" drops show -j | jq --arg reason "$2" '.drops[] | select(.reason == $reason) | .packets'; }

# path_counter NODE PATH NAME: sent, forwarded, received, passed, discarded, rogue or out_of_order.
path_counter() { ctl "$1" path show -j | jq --argjson path "$2" ".paths[] | select(.path == \$path) | .$3"; }

# data_lost NODE PATH: copies of data lost on the way to a node, by the path's own sequence.
data_lost() { path_counter "$1" "$2" "incoming | map(.lost) | add // 0"; }

# retransmitted: TCP segments sent again, client and origin together, since the lab was built.
retransmitted() {
    local node
    for node in client origin; do in_node "$node" nstat -asz TcpRetransSegs; done | awk '/^Tcp/ { n += $2 } END { print n }'
}

# ---- faults ----

# lose NODE PERCENT: loses packets towards this node's underlay interface at random; 0 heals. As every overlay packet
# enters each intermediate once, this is the loss of the paths through it, in both directions.
lose() {
    in_node internet nft -f - <<-END
		table netdev lose_$1
		delete table netdev lose_$1
	END
    (($2 > 0)) || return 0
    # All is lost without asking: nft refuses a comparison that always holds.
    local some="numgen random mod 100 < $2"
    (($2 < 100)) || some=""
    in_node internet nft -f - <<-END
		table netdev lose_$1 {
		  chain out {
		    type filter hook egress device "$1" priority 0; policy accept;
		    ip protocol udp $some counter drop
		    ip6 nexthdr udp $some counter drop
		  }
		}
	END
}

# slow NODE MILLISECONDS: from now on everything to and from this node's underlay interface takes so long.
slow() {
    in_node internet ip link add "slow-$1" type veth peer name "wire-$1"
    in_node internet ip link set dev "slow-$1" mtu "$underlay_mtu" up
    in_node internet ip link set dev "wire-$1" mtu "$underlay_mtu" up
    in_node internet ip link set dev "$1" nomaster
    in_node internet ip link set dev "slow-$1" master switch
    spawn internet "slow-$1" python3 "$E2E/delay.py" "wire-$1" "$1" "$2"
}

# mac_of NODE: the Ethernet address of its underlay interface.
mac_of() { ip -n "$LAB-$1" -j link show wan0 | jq -r '.[0].address'; }

# lose_from NODE TO-NODE: cuts one direction between two nodes' underlay addresses, and that one only.
lose_from() {
    in_node internet nft -f - <<-END
		table netdev cut_$1 {
		  chain out {
		    type filter hook ingress device "$1" priority -500; policy accept;
		    ip daddr ${node_v4[$2]} counter drop
		    ip6 daddr ${node_v6[$2]} counter drop
		  }
		}
	END
}
