#!/usr/bin/env bash
# run.sh PROGRAM ARGUMENT...: builds the programs of the collector and the tests crate, and becomes one of the latter.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
use_postgres
cd "$ROOT"
# Not the plugin: the demo and the servers do without it.
cargo build --package iot-kpi-tests --package iot-kpi-collector --bins
exec "${CARGO_TARGET_DIR:-$TARGET}/debug/$1" "${@:2}"
