#!/usr/bin/env bash
# Runs the namespace tests one after the other and prints their results in TAP form, with the seconds of each.
#
#   tests/e2e/run.sh [PATTERN…]      only the tests whose name contains one of the patterns
#
# Needs root and the programs that `make build` puts into BIN (default: target/test-release). TEST_SECONDS bounds a
# single test. What a failed test said, with the ends of its nodes' logs, follows its line.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
test_seconds=${TEST_SECONDS:-180}
output=$(mktemp)
trap 'rm -f "$output"' EXIT
trap 'exit 130' INT TERM

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
number=0
echo "1..${#chosen[@]}"
for name in "${chosen[@]}"; do
    number=$((number + 1))
    start=${EPOCHREALTIME/./}
    status=0
    timeout --kill-after=10 "$test_seconds" "$here/test_$name.sh" >"$output" 2>&1 </dev/null || status=$?
    seconds=$(((${EPOCHREALTIME/./} - start) / 100000))
    seconds=$((seconds / 10)).$((seconds % 10))
    verdict=$(grep -m 1 -E '^(not )?ok - ' "$output" || true)
    if ((status == 0)) && [[ $verdict == "ok - "* ]]; then
        echo "ok $number - $name: ${verdict#ok - } ($seconds s)"
        continue
    fi
    ((status != 124)) || verdict="not ok - no end within $test_seconds s"
    ((status != 130)) || exit 130
    echo "not ok $number - $name: ${verdict#*ok - } ($seconds s, status $status)"
    grep -vxF -- "$verdict" "$output" | sed 's/^#* */    # /' || true
    failed+=("$name")
done

((${#failed[@]} == 0)) || echo "# failed: ${failed[*]}"
echo "# $((${#chosen[@]} - ${#failed[@]})) passed, ${#failed[@]} failed"
((${#failed[@]} == 0))
