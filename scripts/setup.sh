#!/usr/bin/env bash
# Installs the system packages that Proa needs, and nothing else. Runs as root or through sudo, may be repeated:
# what is present is left alone.
#
#   scripts/setup.sh [build] [test] [bench] [hugepages]      without arguments: build and test
set -euo pipefail

# To compile: DPDK with its drivers, libclang for bindgen, a C compiler for the shim and for AWS-LC (no cmake, no Go).
build_packages=(build-essential clang libclang-dev pkg-config libdpdk-dev libpcap-dev ca-certificates)
# To run the namespace tests, the dissector's tests and the demo.
test_packages=(dpdk iproute2 ethtool nftables nginx-light iperf3 wrk curl jq tshark tcpdump python3
    iputils-ping traceroute procps coturn bind9-dnsutils shellcheck)
# The peers that the benchmarks run beside, on the same frames.
bench_packages=(dpdk dpdk-doc dpdk-dev openvswitch-switch-dpdk iproute2 nftables procps)
# The benchmarks' memory, in pages of 2 MiB. Tests and the demo use ordinary pages.
hugepages_wanted=${PROA_HUGEPAGES:-1024}

say() { printf '  %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "root is needed for '$1'; run this as root or install sudo"
    fi
}

is_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# Some packages start a service as soon as they are installed; a policy file that denies it keeps the machine quiet.
install_packages() {
    local missing=() package policy=/usr/sbin/policy-rc.d log=""
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    if ((${#missing[@]} == 0)); then
        say "system packages: all present"
        return
    fi
    command -v apt-get >/dev/null ||
        die "this script knows Debian and Ubuntu; install the like of: ${missing[*]}"
    say "system packages: installing ${missing[*]}"
    log=$(mktemp)
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        # The path is fixed now, so that the trap needs no variable of this function.
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    if ! { as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        die "apt-get failed; its output is in $log"
    fi
    rm -f "$log"
}

check_rust() {
    command -v cargo >/dev/null ||
        die "no Rust toolchain found; install it with: curl --proto '=https' -sSf https://sh.rustup.rs | sh"
    say "$(cargo --version)"
}

reserve_hugepages() {
    local pages=/proc/sys/vm/nr_hugepages present
    present=$(<"$pages")
    if ((present < hugepages_wanted)); then
        echo "$hugepages_wanted" | as_root tee "$pages" >/dev/null
        present=$(<"$pages")
    fi
    ((present >= hugepages_wanted)) ||
        die "only $present of $hugepages_wanted hugepages of 2 MiB could be reserved; free some memory, or set PROA_HUGEPAGES"
    say "hugepages: $present of 2 MiB"
    if ! findmnt -t hugetlbfs >/dev/null; then
        as_root mkdir -p /dev/hugepages
        as_root mount -t hugetlbfs hugetlbfs /dev/hugepages
    fi
}

main() {
    local part packages=() wants_hugepages=no
    (($# > 0)) || set -- build test
    for part in "$@"; do
        case $part in
            build) packages+=("${build_packages[@]}") ;;
            test) packages+=("${test_packages[@]}") ;;
            bench) packages+=("${bench_packages[@]}") ;;
            hugepages) wants_hugepages=yes ;;
            *) die "unknown part '$part'; there are: build, test, bench, hugepages" ;;
        esac
    done
    ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
    check_rust
    [[ $wants_hugepages == no ]] || reserve_hugepages
}

main "$@"
