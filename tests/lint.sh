#!/usr/bin/env bash
# Format and lints of every crate. The last lines say which of the checks passed, as TAP, so that none hides another.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools/env.sh"
use_postgres
cd "$ROOT"

check "format" cargo fmt --all --check
check "clippy" cargo clippy --workspace --exclude pg_iot_kpi --exclude iot-kpi-fuzz --all-targets -- -D warnings
# The fuzzers see what is compiled for them alone.
check "clippy of the fuzzers" cargo clippy --package iot-kpi-fuzz --bins --lib -- -D warnings --cfg fuzzing
# In the profile of `make install`, so that the bindings to PostgreSQL are generated once for both.
check "clippy of the extension, PostgreSQL $PG_MAJOR" cargo clippy --release --package pg_iot_kpi --all-targets \
    --no-default-features --features "pg$PG_MAJOR" -- -D warnings
exit $((failures > 0))
