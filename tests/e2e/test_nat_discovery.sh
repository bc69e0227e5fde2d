#!/usr/bin/env bash
# A client asks a STUN server of two addresses, behind two virtual IPs, what kind of NAT lies between (RFC 5780).
source "$(dirname "$0")/lab.sh"

# stun NAME VIP ORIGIN FILTER: an application for one of the server's addresses, with both of its ports.
stun() {
    cat <<-END
		[[application]]
		name = "$1"
		vips = [{ address = "$2", node = "edge" }]
		services = ["udp/3478-3479"]
		gateway = "frankfurt"
		origins = [{ address = "$3" }]
		copies = 2
		seal = "none"
		nat = { filter_udp = "$4" }
	END
}

vips=(203.0.113.20 203.0.113.21)
origins_v4=(10.9.0.2 10.9.0.3)

# both FILTER: the applications of both addresses.
both() { stun stun-1 "${vips[0]}" "${origins_v4[0]}" "$1" && stun stun-2 "${vips[1]}" "${origins_v4[1]}" "$1"; }

extra_topology=$(both endpoint-independent)
lab_up
# The server knows its addresses, and tells those that clients know.
spawn origin turnserver turnserver -n --log-file stdout --pidfile "$LAB_DIR/turnserver.pid" --userdb "$LAB_DIR/turn.db" \
    --stun-only --no-cli --no-tls --no-dtls --listening-port 3478 --alt-listening-port 3479 \
    --listening-ip "${origins_v4[0]}" --listening-ip "${origins_v4[1]}" \
    --external-ip "${vips[0]}/${origins_v4[0]}" --external-ip "${vips[1]}/${origins_v4[1]}"
nodes_up
eventually 15 in_node client timeout 3 turnutils_natdiscovery -m "${vips[0]}" || fail "the STUN server does not answer"

# discover OPTION: the verdict of natdiscovery's last line that has one.
discover() { in_node client timeout 20 turnutils_natdiscovery "$1" "${vips[0]}" 2>&1 | tee -a "$LAB_DIR/natdiscovery.log"; }

mapping=$(discover -m | grep -oE '(No NAT|NAT with [A-Za-z ]*Mapping)' | tail -n 1) || fail "no verdict about mapping"
[[ $mapping == "NAT with Endpoint Independent Mapping" ]] || fail "mapping: $mapping"
filtering=$(discover -f | grep -oE 'NAT with [A-Za-z ]*Filtering' | tail -n 1) || fail "no verdict about filtering"
[[ $filtering == "NAT with Endpoint Independent Filtering" ]] || fail "filtering: $filtering"
expect "sessions that were opened from outside" "$(ctl gateway nat show -j | jq '[.sessions[] | select(.vip_port == 3479)] | length')" -ge 1

pass "turnutils_natdiscovery: $mapping, $filtering"
