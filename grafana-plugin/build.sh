#!/usr/bin/env bash
# build.sh [debug|release] [TARGET]: the whole plugin in dist/, as Grafana's plugin folder wants it: front end, dashboards,
# backend for this machine, or for a target of rustc's such as aarch64-unknown-linux-gnu.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PROFILE=${1:-release}
RUST_TARGET=${2:-}
case $PROFILE in
    release) FLAGS=(--release) ;;
    debug) FLAGS=() ;;
    *) printf 'error: unknown profile: %s\nremedy: build.sh debug, or build.sh release\n' "$PROFILE" >&2; exit 1 ;;
esac
# Grafana looks for the name of Go's platform.
case ${RUST_TARGET:-$(uname -s)-$(uname -m)} in
    Linux-x86_64 | x86_64-*-linux-*) PLATFORM=linux_amd64 ;;
    Linux-aarch64 | aarch64-*-linux-*) PLATFORM=linux_arm64 ;;
    Darwin-x86_64 | x86_64-apple-darwin) PLATFORM=darwin_amd64 ;;
    Darwin-arm64 | aarch64-apple-darwin) PLATFORM=darwin_arm64 ;;
    *) printf 'error: no plugin for %s\nremedy: build for Linux or macOS, on amd64 or arm64\n' "${RUST_TARGET:-$(uname -sm)}" >&2; exit 1 ;;
esac
[ -z "$RUST_TARGET" ] || FLAGS+=(--target "$RUST_TARGET")

[ -d node_modules ] && [ node_modules/.package-lock.json -nt package-lock.json ] || npm install --no-save --no-audit --no-fund --loglevel=error
npm run --silent build
# Between tests all crates are built: a part of them has other features, and would compile their dependencies once more.
[ -n "${BUILD_ALL:-}" ] && PACKAGES=(--bins) || PACKAGES=(--package iot-kpi-grafana --bin gpx_iot_kpi)
cargo build "${PACKAGES[@]}" ${FLAGS[@]+"${FLAGS[@]}"}
BUILT=${CARGO_TARGET_DIR:-../target}${RUST_TARGET:+/$RUST_TARGET}/$PROFILE
# The front end's build leaves older backends where they are; only this one belongs to it.
rm -f dist/gpx_iot_kpi_*
install -m 755 "$BUILT/gpx_iot_kpi" "dist/gpx_iot_kpi_$PLATFORM"
printf 'built %s\n' "$PWD/dist"
