#!/usr/bin/env bash
# What can not start says why in one clear sentence, exits non-zero at once, and leaves nothing behind.
source "$(dirname "$0")/lab.sh"

lab_up
# refused WHAT PATTERN COMMAND…: at the edge, the command fails within 10 s and its output matches.
refused() {
    local output
    output=$(in_node edge timeout 10 "${@:3}" 2>&1 </dev/null) && fail "$1: accepted"
    grep -qiE "$2" <<<"$output" || fail "$1: said only: $output"
    ! grep -qE 'panicked|RUST_BACKTRACE|Segmentation' <<<"$output" || fail "$1: crashed: $output"
}
config=$LAB_DIR/edge.toml
refused "no such file" "no such file|not found" "$BIN/proa" run "$LAB_DIR/nowhere.toml"
sed 's/iface=wan0/iface=nowhere0/' "$config" >"$LAB_DIR/port.toml"
refused "no such port" "nowhere0|wan" "$BIN/proa" run "$LAB_DIR/port.toml"
cp "$BIN/proa" "$LAB_DIR/proa"
chmod -R a+rX "$LAB_DIR"
refused "no permission" "permission|root|privilege|CAP_NET" \
    setpriv --reuid 65534 --regid 65534 --clear-groups "$LAB_DIR/proa" run "$config"
sed 's/hugepages = false/hugepages = true/; s/memory_mib = 256/memory_mib = 900000/' "$config" >"$LAB_DIR/huge.toml"
refused "no hugepages" "hugepage" "$BIN/proa" run "$LAB_DIR/huge.toml"
printf 'colour = "red"\n[nonsense\n' >"$LAB_DIR/syntax.toml"
refused "not TOML" "syntax.toml" "$BIN/proa" run "$LAB_DIR/syntax.toml"
sed 's/^node = .*/node = "nobody"/; s/^poll = .*/poll = "sometimes"/' "$config" >"$LAB_DIR/two.toml"
refused "two errors at once" "nobody" "$BIN/proa" check "$LAB_DIR/two.toml"
refused "two errors at once" "sometimes" "$BIN/proa" check "$LAB_DIR/two.toml"
sed 's/via = \["madrid"\]/via = ["london"]/' "$LAB_DIR/overlay.toml" >"$LAB_DIR/shared.toml"
sed 's/^topology = .*/topology = "shared.toml"/' "$config" >"$LAB_DIR/sharing.toml"
refused "paths that share a region" "london" "$BIN/proa" run "$LAB_DIR/sharing.toml"
"$BIN/proa" check "$config" >/dev/null || fail "a good configuration is refused"

pass "missing file, port, permission, hugepages, bad TOML, bad values and a shared region each told in a sentence"
