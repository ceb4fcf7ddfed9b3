#!/usr/bin/env bash
# build.sh [debug|release]: the whole plugin in dist/, as Grafana's plugin folder wants it: front end, dashboards, backend for this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PROFILE=${1:-release}
case $PROFILE in
    release) FLAGS=(--release) ;;
    debug) FLAGS=() ;;
    *) printf 'error: unknown profile: %s\nremedy: build.sh debug, or build.sh release\n' "$PROFILE" >&2; exit 1 ;;
esac
# Grafana looks for the name of Go's platform.
case $(uname -s)-$(uname -m) in
    Linux-x86_64) PLATFORM=linux_amd64 ;;
    Linux-aarch64) PLATFORM=linux_arm64 ;;
    Darwin-x86_64) PLATFORM=darwin_amd64 ;;
    Darwin-arm64) PLATFORM=darwin_arm64 ;;
    *) printf 'error: no plugin for %s\nremedy: build on Linux or macOS\n' "$(uname -sm)" >&2; exit 1 ;;
esac

[ -d node_modules ] && [ node_modules/.package-lock.json -nt package-lock.json ] || npm install --no-save --no-audit --no-fund --loglevel=error
npm run --silent build
cargo build --package iot-kpi-grafana --bin gpx_iot_kpi ${FLAGS[@]+"${FLAGS[@]}"}
TARGET=${CARGO_TARGET_DIR:-../target}
install -m 755 "$TARGET/$PROFILE/gpx_iot_kpi" "dist/gpx_iot_kpi_$PLATFORM"
printf 'built %s\n' "$PWD/dist"
