#!/usr/bin/env bash
# A path that suddenly carries 1,280 bytes only, without a word, stalls TCP for two retransmission timeouts at most: with
# one copy on that path as with two on two. Datagrams without "don't fragment" of 3,000 bytes pass all the time.
source "$(dirname "$0")/lab.sh"

extra_topology='
[liveness]
interval_ms = 100
'
# An ordinary host's, ms; the first timeout waits for so long at least, and the second twice as long.
rto_ms=200

# progress FILE: prints the largest pause, ms, between two changes of a file's size until it is no longer written.
largest_pause() {
    python3 - "$1" "$2" <<-'END'
		import os, sys, time
		path, size = sys.argv[1], int(sys.argv[2])
		last, since, most, end = 0, time.monotonic(), 0.0, time.monotonic() + 60
		while last < size and time.monotonic() < end:
		    now, have = time.monotonic(), os.path.getsize(path) if os.path.exists(path) else 0
		    if have != last:
		        most = max(most, now - since) if last else 0.0
		        last, since = have, now
		    time.sleep(0.002)
		print(int(most * 1000))
	END
}

link_mtu() { ctl "$1" status -j | jq '[.links[] | select(.node == "mid-1") | .mtu] | min'; }
settled() { [[ $(link_mtu edge) == "$1" && $(link_mtu gateway) == "$1" ]]; }
port_mtu() { ip -n "$LAB-internet" link set dev mid-1 mtu "$1"; }

# datagrams WHEN: both ways, since the echo answers with as much.
datagrams() {
    local report
    report=$(probe "$vip_v4" 50 100 --size 3000 --linger 2)
    [[ $(jq .lost <<<"$report") == 0 ]] || fail "datagrams of 3000 B $1: $report"
}

# transfer VIP NAME: fetches slowly enough that the path shrinks in between; prints the largest pause, ms.
transfer() {
    local fetched=$LAB_DIR/$2.received pause watcher
    rm -f "$fetched"
    largest_pause "$fetched" "$(stat -c %s "$LAB_DIR/www/$2")" >"$LAB_DIR/pause" &
    watcher=$!
    (sleep 1.5 && port_mtu 1280) &
    fetch "http://$1/$2" --limit-rate 4M -o "$fetched" || fail "fetching from $1 failed"
    wait "$watcher"
    cmp "$LAB_DIR/www/$2" "$fetched" || fail "what was fetched from $1 differs from the original"
    pause=$(<"$LAB_DIR/pause")
    echo "$pause"
}

lab_up
for host in client origin; do
    router=$([[ $host == client ]] && echo "$edge_v4" || echo "$gateway_v4")
    ip -n "$LAB-$host" route replace default via "$router" rto_min "${rto_ms}ms"
done
origin_up
nodes_up
eventually 15 settled 1500 || fail "the links do not carry 1500 B after 15 s: $(link_mtu edge) and $(link_mtu gateway)"
datagrams "before"
make_file file 20
report=""
# Both applications use path 1; "single" uses no other.
for vip in "$single_v4" "$vip_v4"; do
    pause=$(transfer "$vip" file)
    report+="$pause ms with $([[ $vip == "$single_v4" ]] && echo one copy || echo two copies), "
    expect "the longest pause, ms" "$pause" -le $((3 * rto_ms))
    eventually 15 settled 1280 || fail "the links are said to carry $(link_mtu edge) and $(link_mtu gateway), not 1280 B"
    datagrams "after"
    # New connections fit from the start.
    before=$(drops gateway too_big)
    fetch_and_compare "$vip" file
    expect "packets too big in a new connection" "$(($(drops gateway too_big) - before))" -eq 0
    # Found wide again by new nodes, for the raise timer has ten minutes.
    port_mtu 1500
    for host in client origin; do in_node "$host" ip route flush cache; done
    for node in edge gateway mid-1; do node_stop "$node" || true; done
    nodes_up edge gateway mid-1
    eventually 15 settled 1500 || fail "the links do not carry 1500 B again"
done

pass "${report%, }: no more than two timeouts, $((3 * rto_ms)) ms; 3000 B datagrams pass before and after"
