#!/usr/bin/env bash
# build.sh [debug|release] [TARGET]: the whole plugin in dist/, as Grafana's plugin folder wants it: front end, dashboards,
# backend for this machine, or for a target of rustc's such as aarch64-unknown-linux-musl.
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
BUILD=(cargo build)
if [ -n "$RUST_TARGET" ]; then
    FLAGS+=(--target "$RUST_TARGET")
    if command -v rustup > /dev/null && ! rustup target list --installed | grep -qx "$RUST_TARGET"; then
        rustup target add "$RUST_TARGET" || {
            printf 'error: there is no Rust library for %s here\nremedy: see that rustup reaches its server, then: rustup target add %s\n' "$RUST_TARGET" "$RUST_TARGET" >&2
            exit 1
        }
    fi
    # For another kind of machine a C compiler and a linker are needed too; zig is both for all of them.
    if [ "${RUST_TARGET%%-*}" != "$(uname -m)" ]; then
        ZIG=$(cd .. && pwd)/target/tools/zig
        [ -x "$ZIG/bin/cargo-zigbuild" ] || python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
            --no-compile --no-deps --target "$ZIG" cargo-zigbuild==0.24.0 ziglang==0.17.1
        export PATH=$ZIG/bin:$PATH PYTHONPATH=$ZIG${PYTHONPATH:+:$PYTHONPATH}
        BUILD=(cargo zigbuild)
    fi
fi

[ -d node_modules ] && [ node_modules/.package-lock.json -nt package-lock.json ] || npm install --no-save --no-audit --no-fund --loglevel=error
npm run --silent build
# Between tests all crates are built: a part of them has other features, and would compile their dependencies once more.
[ -n "${BUILD_ALL:-}" ] && PACKAGES=(--bins) || PACKAGES=(--package iot-kpi-grafana --bin gpx_iot_kpi)
"${BUILD[@]}" "${PACKAGES[@]}" ${FLAGS[@]+"${FLAGS[@]}"}
BUILT=${CARGO_TARGET_DIR:-../target}${RUST_TARGET:+/$RUST_TARGET}/$PROFILE
# The front end's build leaves older backends where they are; only this one belongs to it.
rm -f dist/gpx_iot_kpi_*
install -m 755 "$BUILT/gpx_iot_kpi" "dist/gpx_iot_kpi_$PLATFORM"
printf 'built %s\n' "$PWD/dist"
