#!/usr/bin/env bash
# run.sh PROGRAM ARGUMENT...: builds the programs of this folder, of the tests and of the collector, and becomes one of them.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
use_postgres
cd "$ROOT"
# The servers do without the plugin. Between tests it is built all the same: a part of the crates has other features, and would
# compile their dependencies once more. So would the demo, which builds the plugin where it finds a Grafana to show it in.
if [ "$1" = demo ] && { [ -n "${GRAFANA_HOME:-}" ] || command -v grafana grafana-server > /dev/null; }; then
    export BUILD_ALL=1
fi
[ -n "${BUILD_ALL:-}" ] && PACKAGES=() || PACKAGES=(--package iot-kpi-tools --package iot-kpi-tests --package iot-kpi-collector)
cargo build --bins ${PACKAGES[@]+"${PACKAGES[@]}"}
exec "${CARGO_TARGET_DIR:-$TARGET}/debug/$1" "${@:2}"
