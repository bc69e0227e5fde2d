#!/usr/bin/env bash
# 2 % random loss on both paths: two copies leave a residual loss near 0.04 % each way, one copy loses 2 % each way.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
lose mid-1 2
lose mid-2 2
probe "$vip_v4" 10000 1250 >"$LAB_DIR/two" &
single=$(probe "$single_v4" 10000 1250)
wait $!
two=$(<"$LAB_DIR/two")
# What else may have taken packets, should the figures be off: a path that was thought dead, a port that was not emptied.
for node in edge gateway; do
    echo "$node: deaths of paths $(ctl $node path show -j | jq -c '[.paths[].ends[].deaths]'), drops $(ctl $node drops show -j | jq -c '[.drops[] | select(.packets > 0) | {(.reason): .packets}] | add'), missed by ports $(ctl $node status -j | jq -c "[.ports[].rx_missed]")"
done
# 10,000 round trips: one copy loses 396 ± 20 of them, two copies 8 ± 3; the bounds are five deviations wide.
expect "round trips lost with one copy" "$(jq .lost <<<"$single")" -ge 296
expect "round trips lost with one copy" "$(jq .lost <<<"$single")" -le 496
expect "round trips lost with two copies" "$(jq .lost <<<"$two")" -le 23
expect "datagrams repeated" "$(jq .duplicated <<<"$two")" -eq 0
# Both ends saw it on each path, by the path's own sequence: 10,000 copies and more with 2 % lost, so 200 ± 14.
sleep 1.2
for node in edge gateway; do
    for path in 1 2; do
        expect "data that $node missed on path $path" "$(data_lost "$node" "$path")" -ge 120
        expect "data that $node missed on path $path" "$(data_lost "$node" "$path")" -le 600
    done
done

pass "lost of 10,000 round trips: $(jq .lost <<<"$single") with one copy, $(jq .lost <<<"$two") with two"
