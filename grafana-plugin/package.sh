#!/usr/bin/env bash
# package.sh [debug|release] [TARGET]: a zip of the plugin as Grafana wants it, in target/package/: one folder named as the
# plugin's id. For the machine that builds it; for arm64 on amd64: package.sh release aarch64-unknown-linux-gnu, see below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PROFILE=${1:-release}
RUST_TARGET=${2:-}
ID=iotkpi-postgres-datasource

if [ -n "$RUST_TARGET" ] && command -v rustup > /dev/null && ! rustup target list --installed | grep -qx "$RUST_TARGET"; then
    printf 'error: rustc does not know %s\nremedy: rustup target add %s; and a C compiler and linker for it, on Debian: apt-get install gcc-aarch64-linux-gnu, then CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc\n' \
        "$RUST_TARGET" "$RUST_TARGET" >&2
    exit 1
fi
./build.sh "$PROFILE" ${RUST_TARGET:+"$RUST_TARGET"}

VERSION=$(sed -n 's/.*"version": "\([^"]*\)".*/\1/p' dist/plugin.json | head -n 1)
PLATFORM=$(basename dist/gpx_iot_kpi_*)
OUT=${CARGO_TARGET_DIR:-$PWD/../target}/package
ZIP=$OUT/$ID-$VERSION.${PLATFORM#gpx_iot_kpi_}.zip
STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
mkdir -p "$OUT" "$STAGE/$ID"
# Without what the tests leave there.
cp -r dist/. "$STAGE/$ID/"
rm -rf "$STAGE/$ID/.browser"
# Where the sources lay is nobody's business. Another system's program may be beyond this one's strip.
strip "$STAGE/$ID"/gpx_iot_kpi_* 2> /dev/null || true
# The same sources give the same bytes, where a time is given.
[ -z "${SOURCE_DATE_EPOCH:-}" ] || find "$STAGE" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
rm -f "$ZIP"
# Python's own archiver keeps what may be executed, and set-up needs Python anyway.
(cd "$STAGE" && python3 -m zipfile -c "$ZIP" "$ID")
printf '%s\n' "$(cd "$OUT" && pwd)/$(basename "$ZIP")"
