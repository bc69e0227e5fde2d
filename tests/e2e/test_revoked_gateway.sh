#!/usr/bin/env bash
# Of two gateways that stand in for each other one is revoked in the topology file, in mid-download: the other takes its pool over, and the download goes
# on with the same address at the origin. No server is needed for that.
source "$(dirname "$0")/lab.sh"
source "$(dirname "$0")/lab_gateways.sh"

lab_up
origin_up
make_file big 16
nodes_up

pair_up

before=$(fetches)
in_node client curl -fsS --max-time 60 --limit-rate 6M "http://$vip_v4/big" -o "$LAB_DIR/big" &
curl=$!
sleep 1
sed -i "/^name = \"$home\"/,/^roles/ s/^id = .*/&\nrevoked = true/" "$LAB_DIR/overlay.toml"
for node in edge mid-1 mid-2 "$other"; do node_signal "$node" HUP; done
eventually 5 has "$home" "$other" || fail "$other does not take over from $home, which is revoked"
expect "bytes when the pool had moved" "$(stat -c %s "$LAB_DIR/big")" -lt $((16 << 20))
wait "$curl" || fail "the download fails"
cmp "$LAB_DIR/www/big" "$LAB_DIR/big" || fail "what arrives is not what was sent"
after=$(fetches)
[[ $after == "$before" ]] || fail "the origin saw $before, then $after"
# It still speaks, and nobody listens.
strange=$(drops edge overlay_not_member)
expect "packets of the revoked gateway that the edge dropped" "${strange:-0}" -gt 0
node_signal "$home" HUP
refuses() { grep -q 'is revoked' "$LAB_DIR/$home.log"; }
eventually 5 refuses || fail "$home does not say that it is revoked: $(tail -n 3 "$LAB_DIR/$home.log")"

pass "$home revoked: its pool is with $other, the download went on, $after before and after"
