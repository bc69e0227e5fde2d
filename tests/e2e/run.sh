#!/usr/bin/env bash
# Runs the namespace tests one after the other and prints their results in TAP form, with the seconds of each.
#
#   tests/e2e/run.sh [PATTERN…]      only the tests whose name contains one of the patterns
#
# Needs root and the programs that `make build` puts into BIN (default: target/test-release). TEST_SECONDS bounds a
# single test. What a failed test said, with the ends of its nodes' logs, follows its line. A machine that is shared may
# stand still for longer than a port's ring lasts, so a test that failed gets a second try; its line and the last line
# say so, with what failed the first one.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
test_seconds=${TEST_SECONDS:-180}
output=$(mktemp)
trap 'rm -f "$output"' EXIT
trap 'exit 130' INT TERM

# attempt NAME: runs a test; its status, verdict and seconds are in variables of these names.
attempt() {
    local start=${EPOCHREALTIME/./}
    status=0
    timeout --kill-after=10 "$test_seconds" "$here/test_$1.sh" >"$output" 2>&1 </dev/null || status=$?
    seconds=$(((${EPOCHREALTIME/./} - start) / 100000))
    seconds=$((seconds / 10)).$((seconds % 10))
    verdict=$(grep -m 1 -E '^(not )?ok - ' "$output" || true)
}

chosen=()
for script in "$here"/test_*.sh; do
    name=${script##*/test_}
    name=${name%.sh}
    if (($# == 0)); then
        chosen+=("$name")
        continue
    fi
    for pattern in "$@"; do
        if [[ $name == *"$pattern"* ]]; then
            chosen+=("$name")
            break
        fi
    done
done
((${#chosen[@]} > 0)) || {
    echo "no test matches: $*" >&2
    exit 2
}

failed=()
again=()
number=0
echo "1..${#chosen[@]}"
for name in "${chosen[@]}"; do
    number=$((number + 1))
    note=""
    attempt "$name"
    if ((status != 0 && status != 130)); then
        note=", second try: ${verdict#*ok - }"
        attempt "$name"
    fi
    if ((status == 0)) && [[ $verdict == "ok - "* ]]; then
        [[ -z $note ]] || again+=("$name")
        echo "ok $number - $name: ${verdict#ok - } ($seconds s$note)"
        continue
    fi
    ((status != 124)) || verdict="not ok - no end within $test_seconds s"
    ((status != 130)) || exit 130
    echo "not ok $number - $name: ${verdict#*ok - } ($seconds s, status $status)"
    grep -vxF -- "$verdict" "$output" | sed 's/^#* */    # /' || true
    failed+=("$name")
done

((${#failed[@]} == 0)) || echo "# failed: ${failed[*]}"
((${#again[@]} == 0)) || echo "# at the second try: ${again[*]}"
echo "# $((${#chosen[@]} - ${#failed[@]})) passed, ${#failed[@]} failed"
((${#failed[@]} == 0))
