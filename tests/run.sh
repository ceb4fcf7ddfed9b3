#!/usr/bin/env bash
# run.sh PROGRAM ARGUMENT...: builds the programs of the collector and the tests crate, and becomes one of the latter.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
use_postgres
cd "$ROOT"
cargo build --bins
exec "${CARGO_TARGET_DIR:-$TARGET}/debug/$1" "${@:2}"
