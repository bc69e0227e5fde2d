#!/usr/bin/env bash
# A gateway writes what happens to sessions as JSON lines, as IPFIX that tshark reads, and to a collector; without
# destinations; a file that is moved away is begun anew on SIGHUP.
source "$(dirname "$0")/lab.sh"

lab_up
cat >>"$LAB_DIR/gateway.toml" <<END

[nat]
udp_sessions_per_client = 2

[events]
json_file = "$LAB_DIR/sessions.jsonl"
ipfix_file = "$LAB_DIR/sessions.ipfix"
ipfix_collector = "127.0.0.1:4739"
END
ip -n "$LAB-gateway" link set lo up
spawn gateway collector python3 -c '
import socket, sys
at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
at.bind(("127.0.0.1", 4739))
while True:
    with open(sys.argv[1], "ab") as file: file.write(at.recv(65535))
' "$LAB_DIR/collected.ipfix"
origin_up
nodes_up

json() { jq -s "$1" "$LAB_DIR/sessions.jsonl"; }
created() { [[ $(json "[.[] | select(.event == \"session-create\" and .protocol == \"$1\")] | length") -ge $2 ]]; }
fetch "http://$vip_v4/whoami" >"$LAB_DIR/seen"
eventually 5 created tcp 1 || fail "no TCP session is told: $(cat "$LAB_DIR/sessions.jsonl")"
told=$(json '[.[] | select(.protocol == "tcp")][0]')
[[ $(jq -r '[.client, .node, .event] | join(" ")' <<<"$told") == "$client_v4 gateway session-create" ]] || fail "told: $told"
[[ $(jq -r .external <<<"$told") == $(cut -d' ' -f2 "$LAB_DIR/seen") ]] || fail "the origin saw $(cat "$LAB_DIR/seen"), told was $told"
[[ $(jq 'has("vip") or has("origin")' <<<"$told") == false ]] || fail "destinations are told"
now=$(date +%s) at=$(date -d "$(jq -r .time <<<"$told")" +%s)
((now - at >= 0 && now - at < 30)) || fail "the time told is $((now - at)) s off"

# One client's third session of UDP is refused.
for _ in 1 2 3 4; do probe "$vip_v4" 1 100 --linger 0.2 >/dev/null || true; done
refused() { [[ $(json '[.[] | select(.event == "limit-reached" and .reason == "nat_client_limit")] | length') -ge 1 ]]; }
eventually 5 refused || fail "no refusal is told"

# IPFIX: by the templates in it, in the file and at the collector.
port=$(jq .external_port <<<"$told")
for file in sessions collected; do
    fields=$(tshark -r "$LAB_DIR/$file.ipfix" -T fields -e cflow.natevent -e cflow.post_natsource_ipv4_address \
        -e cflow.post_napt_source_transport_port 2>>"$LAB_DIR/tshark.log") || true
    [[ -n $fields ]] || fields=$(tshark -V -r "$LAB_DIR/$file.ipfix" 2>>"$LAB_DIR/tshark.log")
    grep -q "$port" <<<"$fields" || fail "tshark finds no port $port in $file.ipfix: $fields"
done
decoded=$(tshark -V -r "$LAB_DIR/sessions.ipfix" 2>>"$LAB_DIR/tshark.log")
grep -qi "malformed" <<<"$decoded" && fail "tshark calls the messages malformed"
grep -q "NAT44 session create" <<<"$decoded" || fail "tshark finds no NAT44 session create"
grep -q "Quota" <<<"$decoded" || fail "tshark finds no exceeded quota"

# The file is moved away.
mv "$LAB_DIR/sessions.jsonl" "$LAB_DIR/old.jsonl"
node_signal gateway HUP
begun_anew() { [[ -e $LAB_DIR/sessions.jsonl ]]; }
eventually 5 begun_anew || fail "no new file after SIGHUP"
fetch "http://$vip_v4/whoami" >/dev/null
eventually 5 created tcp 1 || fail "nothing is written into the new file"
node_stop gateway || fail "the gateway did not stop cleanly"

pass "sessions and refusals are told in JSON, in an IPFIX file and to a collector"
