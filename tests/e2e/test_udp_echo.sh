#!/usr/bin/env bash
# Numbered datagrams come back once each, for both IP versions and for sizes from tiny to full.
source "$(dirname "$0")/lab.sh"

lab_up
origin_up
nodes_up
for vip in "$vip_v4" "$vip_v6"; do
    for size in 12 100 1376; do
        report=$(probe "$vip" 2000 2000 --size "$size")
        expect "datagrams of $size B lost to $vip" "$(jq .lost <<<"$report")" -eq 0
        expect "datagrams of $size B repeated from $vip" "$(jq '.duplicated + .foreign' <<<"$report")" -eq 0
    done
done

pass "12,000 datagrams, none lost, none twice; p50 $(jq .rtt_us_p50 <<<"$report") us"
