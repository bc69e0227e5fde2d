#!/usr/bin/env bash
# Builds the fuzz targets of tests/fuzz and runs each from its committed corpus, coverage-guided, with libFuzzer.
#
#   scripts/fuzz.sh [TARGET…]        FUZZ_SECONDS=10 for each, all targets by default; FUZZ_SEED repeats a run
#
# The targets are those of a cargo-fuzz project. The instrumentation that cargo-fuzz asks the compiler for is there
# in stable Rust too; naming it here spares a fresh machine the nightly toolchain and cargo-fuzz itself. What a
# target can not digest is kept in tests/fuzz/artifacts; what it finds is kept when KEEP_CORPUS names a folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${FUZZ_SECONDS:-10}
manifest=tests/fuzz/Cargo.toml
triple=$(rustc -vV | sed -n 's/^host: //p')
build_dir=${CARGO_TARGET_DIR:-target}/fuzz
instrumentation=(
    --cfg fuzzing -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Cdebug-assertions=on -Coverflow-checks=on -Ctarget-cpu=x86-64-v3
)

[[ -e $manifest ]] || {
    echo "fuzz: $manifest is missing" >&2
    exit 1
}
# Given as an array, since a plain RUSTFLAGS would split at spaces.
CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f' "${instrumentation[@]}")
export CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%?}
cargo build --release --manifest-path "$manifest" --target "$triple" --target-dir "$build_dir"
(($# > 0)) ||
    mapfile -t targets < <(cargo metadata --no-deps --format-version 1 --manifest-path "$manifest" |
        jq -r '.packages[].targets[] | select(.kind == ["bin"]) | .name')
(($# == 0)) || targets=("$@")

found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
trap 'exit 130' INT TERM

# fuzz TARGET: runs one; its verdict goes into a file of its own, since as many run at once as there are cores.
fuzz() {
    local target=$1 corpus=tests/fuzz/corpus/$1 new=${KEEP_CORPUS:-$found}/$1 log=$found/$1.log status=0
    mkdir -p "$corpus" "$new" tests/fuzz/artifacts
    "$build_dir/$triple/release/$target" "$new" "$corpus" -max_total_time="$seconds" -seed="${FUZZ_SEED:-0}" -rss_limit_mb=2048 -timeout=10 \
        -artifact_prefix="tests/fuzz/artifacts/$target-" -print_final_stats=1 >"$log" 2>&1 || status=$?
    if ((status == 0)); then
        echo "ok - $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs in $seconds s"
    else
        echo "not ok - $target: status $status"
        tail -n 40 "$log"
    fi >"$found/$target.verdict"
    cat "$found/$target.verdict"
}

cores=$(nproc)
for target in "${targets[@]}"; do
    while (($(jobs -rp | wc -l) >= cores)); do wait -n; done
    fuzz "$target" &
done
wait
passed=$(cat "$found"/*.verdict | grep -c '^ok - ' || true)
failed=$((${#targets[@]} - passed))
echo "# $passed passed, $failed failed"
((failed == 0))
