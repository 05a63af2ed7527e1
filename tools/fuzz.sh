#!/usr/bin/env bash
# Runs the fuzz targets of tools/fuzz, each for SECONDS. Needs Rust (stable) and a C++ compiler. An input that fails is
# printed with the command that repeats it.
#
# usage: tools/fuzz.sh [SECONDS [TARGET...]]
#   SECONDS  default 60
#   TARGET   frames, opening, decode, session, recording; default all
#
# Inputs that reach new code are kept in target/fuzz/corpus, so that the next run continues from there.
set -euo pipefail
cd "$(dirname "$0")/.."
usage() {
    sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//p;}' tools/fuzz.sh
}

all=(frames opening decode session recording)
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
case $seconds in
-h | --help)
    usage
    exit
    ;;
*[!0-9]* | 0)
    echo "SECONDS is '$seconds': give a whole number above 0" >&2
    exit 2
    ;;
esac
for target in "${targets[@]}"; do
    [[ " ${all[*]} " == *" $target "* ]] || {
        echo "there is no target '$target': choose from ${all[*]}" >&2
        exit 2
    }
done

host=$(rustc -vV | sed -n 's/^host: //p')
out=$PWD/target/fuzz
# What libFuzzer needs to see which code an input reaches. `--target` keeps the flags away from build scripts.
flags='--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4'
flags+=' -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table'
flags+=' -Cllvm-args=-sanitizer-coverage-trace-compares'
RUSTFLAGS=$flags CARGO_TARGET_DIR=$out cargo build --manifest-path tools/fuzz/Cargo.toml --bins --release --locked \
    --target "$host"

for target in "${targets[@]}"; do
    program=$out/$host/release/$target
    corpus=$out/corpus/$target
    failures=$out/failures/$target
    rm -rf "$failures"
    mkdir -p "$corpus" "$failures"
    log=$out/$target.log
    if "$program" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$failures/" \
        "$corpus" "tools/fuzz/seeds/$target" >"$log" 2>&1; then
        echo "$target: $(grep '^Done ' "$log")"
        continue
    fi
    cat "$log"
    for input in "$failures"/*; do
        [ -e "$input" ] || continue
        # shellcheck disable=SC2028
        printf '\n%s failed. To repeat it:\n  base64 -d <<< %s > /tmp/input && %s /tmp/input\n' \
            "$target" "$(base64 -w0 "$input")" "${program#"$PWD/"}"
    done
    exit 1
done
