#!/usr/bin/env bash
# A revoked node's packets are taken by nobody within two seconds, under load and without a loss, and it comes back by joining again; certificates
# that last twelve seconds renew themselves meanwhile.
source "$(dirname "$0")/lab.sh"
source "$(dirname "$0")/lab_server.sh"

seal=aes-256-gcm
lab_up
origin_up
server_init 'certificate_seconds = 12'
nodes_join
old_certificate=$(<"$LAB_DIR/edge.server/node.pem")
apply >/dev/null || fail "the definition is refused: $(tail -n 3 "$LAB_DIR/server.log")"
nodes_up
eventually 10 all_in_step || fail "$(nodes_in_step) of ${#NODES[@]} nodes are in step"
eventually 10 fetch "http://$vip_v4/whoami" || fail "no answer within 10 s"

now_ms() { echo $(($(date +%s%N) / 1000000)); }
forwarded() { path_counter "$1" "$2" forwarded; }
knows() { ctl "$1" link show -j | jq -e --arg node "$2" '.links[] | select(.node == $node)'; }
knows_not() { ! knows "$1" "$2"; }

# An intermediate, under load.
probe "$vip_v4" 4000 1000 >"$LAB_DIR/probe" &
good_flow=$!
sleep 1
since=$(now_ms)
overlay node revoke mid-1 >/dev/null
for node in edge gateway mid-2; do
    eventually 2 knows_not "$node" mid-1 || fail "$node knows mid-1 still"
done
told=$(($(now_ms) - since))
expect "until all know that mid-1 is revoked, ms" "$told" -le 2000
sleep 0.2
before=$(forwarded mid-1 1)
sleep 1
expect "packets that mid-1 forwards after that" $(($(forwarded mid-1 1) - before)) -eq 0
wait $good_flow
expect "datagrams lost" "$(jq .lost "$LAB_DIR/probe")" -eq 0
[[ $(overlay node show -j | jq -r '.nodes[] | select(.name == "mid-1") | .revoked') == true ]] || fail "it is not shown: $(overlay node show)"

# It joins again, and carries packets again.
in_node mid-1 "$BIN/proa" join "$LAB_DIR/mid-1.toml" "$(overlay node add mid-1)" >/dev/null || fail "mid-1 can not join again"
node_stop mid-1 || fail "mid-1 did not stop well"
nodes_up mid-1
eventually 5 all_in_step || fail "mid-1 is not in step again: $(overlay node show)"
before=$(forwarded mid-1 1)
carries() { fetch "http://$vip_v4/whoami" >/dev/null && (($(forwarded mid-1 1) > before)); }
eventually 10 carries || fail "mid-1 does not carry packets again"

# Certificates have renewed themselves, and nobody has noticed.
renewed() { overlay event show | grep -q "$1 has a new certificate"; }
for node in edge mid-2 gateway; do eventually 15 renewed "$node" || fail "the certificate of $node is not renewed"; done
[[ $(<"$LAB_DIR/edge.server/node.pem") != "$old_certificate" ]] || fail "the edge has its old certificate"
eventually 3 all_in_step || fail "not all are in step with their new certificates: $(overlay node show)"

# The edge: what its clients send ends at the next nodes.
in_node client ping -n -c 1 -W 1 "$vip_v4" >/dev/null || fail "no answer before the edge is revoked"
strange() { drops mid-2 overlay_not_member | grep . || echo 0; }
overlay node revoke edge >/dev/null
no_answer() { ! in_node client ping -n -c 1 -W 0.3 "$vip_v4" >/dev/null; }
since=$(now_ms)
eventually 2 no_answer || fail "packets of a revoked edge are answered"
ended=$(($(now_ms) - since))
before=$(strange)
in_node client ping -n -c 5 -i 0.2 -W 1 "$vip_v4" >/dev/null && fail "packets of a revoked edge are answered"
expect "packets of the edge that mid-2 dropped as nobody's" $(($(strange) - before)) -ge 5

pass "mid-1 revoked everywhere after $told ms, nothing lost, and back by joining again; certificates renewed; a revoked edge unheard after $ended ms"
