# shellcheck shell=bash disable=SC2154,SC2034  # the variables are lab.sh's, or a test's
# Two gateways that stand in for each other, of a sealed application. To be sourced after lab.sh and before lab_up.

second_gateway=yes
seal=aes-256-gcm

# has HOME HOLDER: whether the edge has heard that the pool of one gateway is with the other.
has() {
    ctl edge gateway show -j | jq -e --arg home "$1" --arg holder "$2" \
        '.blocks[] | select(.home == $home and .holder == $holder and .revision > 0)'
}

fetches() { fetch "http://$vip_v4/whoami" --max-time 2; }

# pair_up: waits until each gateway holds its own pool and something can be fetched; then home is the gateway whose client the lab's
# client is, and other the one that is not.
pair_up() {
    eventually 10 has gateway gateway || fail "gateway does not hold its own pool"
    eventually 10 has gateway-2 gateway-2 || fail "gateway-2 does not hold its own pool"
    eventually 10 fetches || fail "nothing can be fetched"
    home=gateway other=gateway-2
    (($(ctl gateway nat show tcp -j | jq '.sessions | length') > 0)) || home=gateway-2 other=gateway
}
