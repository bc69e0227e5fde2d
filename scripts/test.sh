#!/usr/bin/env bash
# Every test of the tree, from formatting to network namespaces, with one summary at the end.
#
#   scripts/test.sh [STEP…]      all steps by default; their names are in the list at the end of this file
#
# A step's output goes to LOGS (default: target/test-logs) and is shown when the step fails. A failed step does not
# stop the others. The last line is "N passed, N failed", counted in single tests; the exit status says the same.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PATH=$PATH:$HOME/.cargo/bin
export CARGO_TERM_COLOR=never
target=${CARGO_TARGET_DIR:-target}
export BIN=${BIN:-$target/test-release}
logs=${LOGS:-$target/test-logs}
lines_of_a_failed_step=80
fuzz_seconds=${FUZZ_SECONDS:-5}
total_passed=0
total_failed=0
table=()

# ---- the steps, one command each ----

setup() { scripts/setup.sh build test; }
format() { cargo fmt --all --check; }
lints() { cargo clippy --workspace --all-targets -- -D warnings; }
scripts() { printf '%s\0' scripts/*.sh tests/e2e/*.sh | xargs -0 -n 8 -P "$(nproc)" shellcheck -x -P SCRIPTDIR; }
programs() { cargo build --profile test-release -p proa-appliance -p proa-ctl -p proa-server; }
unit() { run_tests --workspace --exclude proa-tests; }
documentation() { cargo test --workspace --doc; }
simulator() { run_tests -p proa-tests; }
dissector() { tests/pcaps/test_dissector.sh; }
# One seed, so that the same tree fails or passes alike; `make fuzz` takes a new one each time.
fuzz() { FUZZ_SECONDS=$fuzz_seconds FUZZ_SEED=1 scripts/fuzz.sh; }
namespaces() { tests/e2e/run.sh; }

# nextest runs tests in parallel and apart from each other; plain cargo does where it is missing.
run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --no-fail-fast --no-tests=pass "$@"
    else
        cargo test --no-fail-fast --lib --bins --tests "$@"
    fi
}

# ---- running and counting them ----

# count WORD LOG: the sum of the runners' own summaries ("12 passed", "1 failed"), in whatever form they print them.
count() {
    grep -E '^test result:|^ *Summary \[|^# [0-9]+ passed' "$2" |
        grep -oE "[0-9]+ $1" | awk '{ n += $1 } END { print n + 0 }' || true
}

run_step() {
    local name=$1 log=$logs/$1.log start=$SECONDS result=passed passed failed
    printf '  %-14s ' "$name"
    "$name" >"$log" 2>&1 </dev/null || result=FAILED
    passed=$(count passed "$log")
    failed=$(count failed "$log")
    # A step without a summary of its own counts as one test, and so does one that failed before its summary.
    if [[ $result == FAILED ]]; then
        ((failed > 0)) || failed=1
    elif ((passed == 0)); then
        passed=1
    fi
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
    table+=("$(printf '  %-14s %-7s %6d %6d %8d' "$name" "$result" "$passed" "$failed" $((SECONDS - start)))")
    printf '%s in %d s\n' "$result" $((SECONDS - start))
    [[ $result == passed ]] || show_log "$name" "$log"
}

show_log() {
    printf '\n---- %s: the last lines of %s\n' "$1" "$2"
    tail -n "$lines_of_a_failed_step" "$2"
    printf -- '----\n\n'
}

main() {
    local step start=$SECONDS
    (($# > 0)) || set -- setup format lints scripts unit documentation simulator fuzz dissector programs namespaces
    mkdir -p "$logs"
    for step in "$@"; do
        declare -F "$step" >/dev/null || {
            echo "test: no step is called '$step'" >&2
            exit 2
        }
    done
    for step in "$@"; do run_step "$step"; done
    printf '\n  %-14s %-7s %6s %6s %8s\n' step result passed failed seconds
    printf '%s\n' "${table[@]}"
    printf '  %-14s %-7s %6d %6d %8d\n\n' all "" "$total_passed" "$total_failed" $((SECONDS - start))
    echo "$total_passed passed, $total_failed failed"
    ((total_failed == 0))
}

main "$@"
