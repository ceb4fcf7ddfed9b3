#!/usr/bin/env bash
# package.sh [debug|release] [TARGET]: a zip of the plugin as Grafana wants it, in target/package/: one folder named as the
# plugin's id. The same sources give the same bytes. TARGET is one of rustc's; without it, a release is linked statically
# where this machine can do that, so that it also runs in Grafana's own images, whose C library is another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
PROFILE=${1:-release}
RUST_TARGET=${2:-}
ID=iotkpi-postgres-datasource
ROOT=$(cd .. && pwd)
# No time in it is later than the last commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || echo 1700000000)}
export SOURCE_DATE_EPOCH
export TZ=UTC LC_ALL=C
umask 022

if [ "$PROFILE" = release ]; then
    if [ -z "$RUST_TARGET" ] && [ "$(uname -s)" = Linux ]; then
        RUST_TARGET=$(uname -m)-unknown-linux-musl
        command -v musl-gcc > /dev/null && { [ -d "$(rustc --print sysroot)/lib/rustlib/$RUST_TARGET" ] || rustup target add "$RUST_TARGET"; } || {
            printf 'linked with the C library of this machine, no older one will do; for a static backend: apt-get install musl-tools, rustup target add %s\n' "$RUST_TARGET" >&2
            RUST_TARGET=$(uname -m)-unknown-linux-gnu
        }
    fi
    # Where the sources lay is nobody's business, and the same everywhere. Whoever looks for a fault has symbols in a build of his own.
    export RUSTFLAGS="--remap-path-prefix=$ROOT=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo -C strip=symbols ${RUSTFLAGS:-}"
fi
./build.sh "$PROFILE" ${RUST_TARGET:+"$RUST_TARGET"}

VERSION=$(sed -n 's/.*"version": "\([^"]*\)".*/\1/p' dist/plugin.json | head -n 1)
PLATFORM=$(basename dist/gpx_iot_kpi_*)
OUT=${CARGO_TARGET_DIR:-$ROOT/target}/package
ZIP=$OUT/$ID-$VERSION.${PLATFORM#gpx_iot_kpi_}.zip
STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
mkdir -p "$OUT" "$STAGE/$ID"
# Without what the tests leave there.
cp -r dist/. "$STAGE/$ID/"
rm -rf "$STAGE/$ID/.browser"
find "$STAGE/$ID" -type d -exec chmod 755 {} +
find "$STAGE/$ID" -type f ! -name 'gpx_*' -exec chmod 644 {} +
find "$STAGE/$ID" -exec touch -t "$(python3 -c "import time; print(time.strftime('%Y%m%d%H%M.%S', time.gmtime($SOURCE_DATE_EPOCH)))")" {} +
rm -f "$ZIP"
# Python's own archiver keeps what may be executed, goes by name, and set-up needs Python anyway.
(cd "$STAGE" && python3 -m zipfile -c "$ZIP" "$ID")
printf '%s\n' "$(cd "$OUT" && pwd)/$(basename "$ZIP")"
