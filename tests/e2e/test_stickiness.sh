#!/usr/bin/env bash
# Several origins: a client address keeps its origin over many connections, and client addresses spread.
source "$(dirname "$0")/lab.sh"

origins_v4=(10.9.0.2 10.9.0.3)
lab_up
origin_up
nodes_up
declare -A clients_of=()
for host in {10..41}; do
    client=198.51.100.$host
    ip -n "$LAB-client" address add "$client/24" dev wan0
    origin=$(fetch "http://$vip_v4/whoami" --interface "$client")
    for _ in 1 2; do
        again=$(fetch "http://$vip_v4/whoami" --interface "$client")
        [[ $again == "$origin" ]] || fail "$client went to $origin and then to $again"
    done
    clients_of[${origin% *}]=$((${clients_of[${origin% *}]:-0} + 1))
done
first=${clients_of[10.9.0.2]:-0} second=${clients_of[10.9.0.3]:-0}
expect "clients of the first origin" "$first" -ge 6
expect "clients of the second origin" "$second" -ge 6

pass "32 client addresses keep their origin and NAT address; they spread $first to $second"
