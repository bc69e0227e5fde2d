#!/usr/bin/env bash
# Both client families over an IPv6 underlay: nothing of the overlay goes over IPv4.
source "$(dirname "$0")/lab.sh"

underlay=ipv6
lab_up
origin_up
nodes_up
in_node internet nft -f - <<-END
	table netdev watch {
	  chain in {
	    type filter hook ingress device "edge" priority 0; policy accept;
	    ip protocol udp counter drop
	  }
	}
END
make_file file 16
fetch_and_compare "$vip_v4" file
fetch_and_compare "[$vip_v6]" file
over_ipv4=$(in_node internet nft -j list ruleset | jq '[.. | .counter? // empty | .packets] | add')
expect "overlay packets over IPv4" "$over_ipv4" -eq 0

pass "16 MiB unchanged for either client family, all of it over IPv6"
