#!/usr/bin/env bash
# Builds what the benchmarks need and runs them: in process the stages and the pauses of a worker, then the rig.
# Arguments go to `rig run`; --quick runs the stages no less, but the rig in a minute or two.
set -euo pipefail
cd "$(dirname "$0")/.."

((EUID == 0)) || {
    echo "bench: the rig reserves hugepages and pins threads; run this as root" >&2
    exit 1
}
out=bench/out
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$out"
cargo build --profile test-release -p proa-appliance -p proa-bench
STAGES_JSON=$PWD/$out/stages.json cargo bench -q --profile test-release -p proa-bench --bench stages
cargo bench -q --profile test-release -p proa-bench --bench pauses
"$target/test-release/rig" run --out "$out" "$@"
