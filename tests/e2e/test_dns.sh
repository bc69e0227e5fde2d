#!/usr/bin/env bash
# The control server's DNS: clients of each subnet get the virtual IP of their edge; one that drains or dies is answered with no more,
# and a client that is moved to the other edge keeps its origin and its NAT address (A2, A12).
source "$(dirname "$0")/lab.sh"
source "$(dirname "$0")/lab_server.sh"

seal=aes-256-gcm
origins_v4=(10.9.0.2 10.9.0.4)
vip=203.0.113.21 vip_2=203.0.113.22
NODES+=(edge-2)
node_id[edge-2]=4 node_region[edge-2]=oslo node_role[edge-2]=edge
node_v4[edge-2]=192.0.2.4 node_v6[edge-2]=2001:db8:1::4
extra_topology=$(
    printf '[[path_set]]\nname = "oslo-frankfurt"\nedge = "oslo"\ngateway = "frankfurt"\n'
    printf 'paths = [{ id = 3, via = ["london"] }, { id = 4, via = ["madrid"] }]\n'
    printf '[[client]]\nprefixes = ["%s"]\nregions = ["%s"]\n' 198.51.100.0/24 paris 198.51.101.0/24 oslo
    write_application app "$vip" 2001:db8:a::21 2 |
        sed "s|^vips = \[|hostname = \"app.apps.example.com\"\n&{ address = \"$vip_2\", node = \"edge-2\" }, |"
)
lab_up
# The second edge is another way for the same client.
wire client wan1 edge-2 lan0
ip -n "$LAB-edge-2" link set dev lan0 arp off
in_node client ethtool -K wan1 tx off tso off gso off gro off >/dev/null
ip -n "$LAB-client" address add 198.51.101.2/24 dev wan1
ip -n "$LAB-client" route add "$vip_2" via 198.51.101.1 src "$client_v4" rto_min 3s
{
    write_port lan0 1 1500 1 198.51.101.1/24 2001:db8:d::1/64
    printf 'routes = [{ to = "%s/32", via = "198.51.101.2" }]\n' "$client_v4"
} >>"$LAB_DIR/edge-2.toml"
origin_up
server_init '[dns]' "listen = [\"${server%:*}:53\"]" 'zone = "apps.example.com"' 'name_servers = ["ns1.example.com"]' \
    'ttl_seconds = 20' 'hold_seconds = 1'
nodes_join
apply >/dev/null || fail "the definition is refused: $(tail -n 3 "$LAB_DIR/server.log")"
nodes_up
eventually 10 all_in_step || fail "$(nodes_in_step) of ${#NODES[@]} nodes are in step"
eventually 10 fetch "http://$vip/whoami" || fail "no answer within 10 s"

ask() { ip netns exec "$LAB-server" dig "@${server%:*}" +time=2 +tries=1 "$@"; }
# answered SUBNET ADDRESS: whether clients of a subnet are sent there.
answered() { [[ $(ask +short "+subnet=$1" app.apps.example.com A) == "$2" ]]; }
eventually 5 answered 198.51.100.0/24 "$vip" || fail "clients of Paris get $(ask +short +subnet=198.51.100.0/24 app.apps.example.com)"
eventually 5 answered 198.51.101.0/24 "$vip_2" || fail "clients of Oslo get $(ask +short +subnet=198.51.101.0/24 app.apps.example.com)"
grep -q 'CLIENT-SUBNET: 198.51.101.0/24/24' <<<"$(ask +subnet=198.51.101.0/24 app.apps.example.com)" || fail "no scope"
[[ $(ask +short +tcp app.apps.example.com AAAA) == 2001:db8:a::21 ]] || fail "no answer over TCP"
grep -q 'status: NXDOMAIN.*' <<<"$(ask nothing.apps.example.com)" || fail "a name that there is none of"
grep -q 'status: REFUSED' <<<"$(ask +recurse www.example.org)" || fail "a name of others is answered"
[[ $(ask +short apps.example.com SOA) == "ns1.example.com. "* ]] || fail "no SOA record"

# One that drains is answered with no more, and then again.
drain() { sed -i "/^name = \"edge-2\"/,/^roles/ { /^draining/d; s/^id = .*/&\ndraining = $1/ }" "$LAB_DIR/overlay.toml" && apply >/dev/null; }
drain true
eventually 3 answered 198.51.101.0/24 "$vip" || fail "clients are sent to an edge that drains"
grep -q 'it is draining' <<<"$(overlay dns show)" || fail "it is not shown: $(overlay dns show)"
drain false
eventually 5 answered 198.51.101.0/24 "$vip_2" || fail "an edge that drains no more gets no clients: $(overlay dns show)"

# One that dies is answered with no more; who is moved keeps origin and NAT address.
before=$(fetch "http://$vip/whoami")
now_ms() { echo $(($(date +%s%N) / 1000000)); }
since=$(now_ms)
node_signal edge KILL
eventually 10 answered 198.51.100.0/24 "$vip_2" || fail "clients are sent to a dead edge: $(overlay dns show)"
moved=$(($(now_ms) - since))
expect "until clients are sent elsewhere, ms" "$moved" -le 5000
after=$(fetch "http://$vip_2/whoami")
[[ $after == "$before" ]] || fail "the client's origin and NAT address were $before and are $after"
overlay event show | grep -q 'clients are not sent here: it is dead' || fail "no event: $(overlay event show)"

pass "each subnet gets its edge; a dead one is out of the answers after $moved ms, and its client keeps origin and NAT address $before"
