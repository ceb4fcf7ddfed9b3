#!/usr/bin/env bash
# fuzz.sh [SECONDS [TARGET...]]: each fuzzer for so many seconds, from the inputs in fuzz/ and from what earlier runs found.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools/env.sh"
cd "$ROOT"
TIME=${1:-60}
shift $(($# > 0))
[ $# -gt 0 ] && TARGETS=("$@") || TARGETS=(states queries rest)
# As long as a state or a request may well be. Of states, a few bytes may stand for megabytes besides.
LONGEST=$((1 << 20))
command -v c++ > /dev/null || die "libFuzzer is C++, and there is no c++" "apt-get install g++"

say "build the fuzzers"
# With all crates that `make test` builds, so that their dependencies have the same features and are there already; of them
# only what the fuzzers need is linked.
RUSTC_WORKSPACE_WRAPPER=$ROOT/tests/instrument.sh cargo build --workspace --exclude pg_iot_kpi --lib \
    --bin fuzz_states --bin fuzz_queries --bin fuzz_rest || exit 1

failures=0
for target in "${TARGETS[@]}"; do
    found=$TARGET/fuzz/$target
    mkdir -p "$found/corpus"
    # -fork would hide which input it was; an input over a second, or a gigabyte, is a finding too.
    if "${CARGO_TARGET_DIR:-$TARGET}/debug/fuzz_$target" "$found/corpus" "fuzz/corpus/$target" "fuzz/regressions/$target" \
        ${IOT_KPI_SEED:+-seed="$IOT_KPI_SEED"} -dict=fuzz/words.dict -max_total_time="$TIME" -max_len=$LONGEST -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$found/" > "$found/log" 2>&1; then
        say "ok - fuzz $target: $(sed -n 's/^stat::number_of_executed_units: //p' "$found/log") inputs in $TIME s"
    else
        failures=$((failures + 1))
        grep -v '^#' "$found/log" | tail -n 30
        say "not ok - fuzz $target: the input stands above; when it is mended, keep it in fuzz/regressions/$target"
    fi
done
exit $((failures > 0))
