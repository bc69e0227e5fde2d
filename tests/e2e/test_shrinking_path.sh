#!/usr/bin/env bash
# A path that suddenly carries 1,280 bytes only, without a word, stalls TCP for two retransmission timeouts at most: with
# one copy on that path as with two on two. Datagrams without "don't fragment" that are too large for the overlay pass all the time, in
# fragments. (Packet sockets have the kernel put hosts' own fragments together, so larger ones do not reach a node here.)
source "$(dirname "$0")/lab.sh"

extra_topology='
[liveness]
interval_ms = 100
'
# ms: a timeout waits for so long and a round trip, the second for twice, the third for four times that. Twice an ordinary host's, so that
# a busy machine does not decide.
rto_ms=400

# slowly ADDRESS NAME FILE: fetches a file at 4 MB/s, by reading no faster; prints the longest pause in its arrival, ms.
slowly() {
    in_node client python3 - "$@" <<-'END'
		import socket, sys, time
		address, name, path = sys.argv[1:]
		reader = socket.socket()
		reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
		reader.settimeout(60)
		reader.connect((address, 80))
		reader.sendall(f"GET /{name} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
		data, most, last = b"", 0.0, time.monotonic()
		while piece := reader.recv(40000):
		    now = time.monotonic()
		    most, last = max(most, now - last), now
		    data += piece
		    time.sleep(len(piece) / 4e6)
		open(path, "wb").write(data.split(b"\r\n\r\n", 1)[1])
		print(int(most * 1000))
	END
}

timeouts() { in_node origin nstat -asz TcpExtTCPTimeouts | awk '/^TcpExt/ { print $2 }'; }
link_mtu() { ctl "$1" status -j | jq '[.links[] | select(.node == "mid-1") | .mtu] | min'; }
settled() { [[ $(link_mtu edge) == "$1" && $(link_mtu gateway) == "$1" ]]; }

# carry BYTES: from now on mid-1's wire loses longer packets, in both directions, without a word. (With a smaller MTU there
# the veth would refuse them, and a packet socket's ring stops at what is refused.)
carry() {
    in_node internet nft -f - <<-END
		table netdev narrow
		delete table netdev narrow
		table netdev narrow {
		  chain in {
		    type filter hook ingress device "mid-1" priority 0; policy accept;
		    ip length > $1 counter drop
		  }
		  chain out {
		    type filter hook egress device "mid-1" priority 0; policy accept;
		    ip length > $1 counter drop
		  }
		}
	END
}

# datagrams WHEN: both ways, since the echo answers with as much.
datagrams() {
    local report
    report=$(in_node client python3 "$E2E/probe.py" send "$vip_v4" 9 --count 50 --rate 100 --size 1472 --linger 2 --fragment -j)
    [[ $(jq .lost <<<"$report") == 0 ]] || fail "datagrams of 1500 B $1: $report"
}

# transfer VIP NAME: fetches slowly enough that the path shrinks in between; prints the longest pause, ms.
transfer() {
    local fetched=$LAB_DIR/$2.received pause
    (sleep 1.5 && carry 1280) >/dev/null &
    pause=$(slowly "$1" "$2" "$fetched") || fail "fetching from $1 failed"
    cmp "$LAB_DIR/www/$2" "$fetched" || fail "what was fetched from $1 differs from the original"
    echo "$pause"
}

lab_up
for host in client origin; do
    router=$([[ $host == client ]] && echo "$edge_v4" || echo "$gateway_v4")
    ip -n "$LAB-$host" route replace default via "$router" rto_min "${rto_ms}ms"
done
origin_up
spawn origin echo python3 "$E2E/probe.py" echo "${origins_v4[0]}" 9 --fragment
nodes_up
eventually 15 settled 1500 || fail "the links do not carry 1500 B after 15 s: $(link_mtu edge) and $(link_mtu gateway)"
datagrams "before"
make_file file 20
report=""
# Both applications use path 1; "single" uses no other.
for vip in "$single_v4" "$vip_v4"; do
    before=$(timeouts)
    pause=$(transfer "$vip" file)
    count=$(($(timeouts) - before))
    report+="$pause ms and $count timeouts with $([[ $vip == "$single_v4" ]] && echo one copy || echo two copies), "
    expect "retransmission timeouts" "$count" -le 2
    expect "the longest pause, ms: less than until a third timeout" "$pause" -lt $((7 * rto_ms))
    eventually 15 settled 1280 || fail "the links are said to carry $(link_mtu edge) and $(link_mtu gateway), not 1280 B"
    datagrams "after"
    # New connections fit from the start.
    before=$(drops gateway too_big)
    fetch_and_compare "$vip" file
    expect "packets too big in a new connection" "$(($(drops gateway too_big) - before))" -eq 0
    # Found wide again by new nodes, for the raise timer has ten minutes.
    carry 1500
    for host in client origin; do in_node "$host" ip route flush cache; done
    for node in edge gateway mid-1; do node_stop "$node" || true; done
    nodes_up edge gateway mid-1
    eventually 15 settled 1500 || fail "the links do not carry 1500 B again"
done

pass "paused for ${report%, }; datagrams of 1500 B pass before and after"
