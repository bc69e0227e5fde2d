#!/bin/bash
# Shows what a running download sees when its gateway is killed: the gap without a new byte, over KILLS kills (10), each with
# the address and port at the origin before and after. LEASE_MS is the lease (600).
source "$(dirname "$0")/lab.sh"
source "$(dirname "$0")/lab_gateways.sh"

lease_ms=${LEASE_MS:-600}
lab_up
in_node origin ip route change default via "$gateway_v4" rto_min 50ms
in_node client ip route change default via "$edge_v4" rto_min 50ms
origin_up
make_file big 256
nodes_up

seen() { in_node origin ss -Htn state established '( sport = :80 )' | awk '{ print $4 }' | sort -u; }

pair_up

# gap FILE: reads a download and prints the longest time between two pieces of it, ms.
cat >"$LAB_DIR/gap.py" <<-'END'
	import socket, sys, time
	s = socket.create_connection((sys.argv[1], 80))
	s.sendall(b"GET /big HTTP/1.0\r\n\r\n")
	begin = last = time.monotonic()
	gap = received = 0
	while last - begin < float(sys.argv[2]):
	    piece = s.recv(1 << 14)
	    if not piece:
	        break
	    now = time.monotonic()
	    gap, last, received = max(gap, now - last), now, received + len(piece)
	    time.sleep(0.002)
	print(f"{gap * 1000:.0f} {received}")
END

gaps=()
for ((kill = 1; kill <= ${KILLS:-10}; kill++)); do
    in_node client python3 "$LAB_DIR/gap.py" "$vip_v4" 6 >"$LAB_DIR/gap" &
    reader=$!
    sleep 1.5
    before=$(seen)
    node_signal "$home" KILL
    { wait "${NODE_PID[$home]}"; } 2>/dev/null || true
    eventually 5 has "$home" "$other" || fail "$other does not take over"
    sleep 1
    after=$(seen)
    wait "$reader" || fail "the download breaks"
    read -r gap received <"$LAB_DIR/gap"
    [[ -n $before && $before == "$after" ]] || fail "the origin saw '$before', then '$after'"
    printf '# kill %2d: %4d ms without a byte, %s at the origin before and after, %d bytes in all\n' "$kill" "$gap" "$after" "$received"
    gaps+=("$gap")
    nodes_up "$home"
    eventually 5 has "$home" "$other"
    ctl "$home" gateway resume >/dev/null
    eventually 5 has "$home" "$home" || fail "$home does not get its pool back"
    sleep 1
done
readarray -t sorted < <(printf '%s\n' "${gaps[@]}" | sort -n)
pass "gap over ${#gaps[@]} kills with a lease of $lease_ms ms: ${sorted[0]} to ${sorted[-1]} ms, median ${sorted[${#sorted[@]} / 2]} ms"
