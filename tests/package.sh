#!/usr/bin/env bash
# A tar file for a machine that builds nothing: the extension for the PostgreSQL of PG_CONFIG, and the collector.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
use_postgres
cd "$ROOT/pg_iot_kpi"

VERSION=$(cargo pkgid --package pg_iot_kpi | sed 's/.*[#@]//')
NAME=pg_iot_kpi-$VERSION-pg$PG_MAJOR-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
OUT=$TARGET/package
TREE=$OUT/tree

say "build pg_iot_kpi for PostgreSQL $PG_MAJOR and the collector"
rm -rf "$TREE" "${OUT:?}/$NAME"
cargo pgrx package --pg-config "$PG_CONFIG" --no-default-features --features "pg$PG_MAJOR" --out-dir "$TREE"
cargo build --release --package iot-kpi-collector

mkdir -p "$OUT/$NAME"/{lib,share/extension,bin}
find "$TREE" -name 'pg_iot_kpi.so' -o -name 'pg_iot_kpi.dylib' | xargs -I{} cp {} "$OUT/$NAME/lib/"
find "$TREE" -path '*/extension/*' -type f | xargs -I{} cp {} "$OUT/$NAME/share/extension/"
cp "$TARGET/release/iot-kpi-collector" "$OUT/$NAME/bin/"
cp "$ROOT/LICENSE" "$ROOT/CHANGELOG.md" "$OUT/$NAME/"
cat > "$OUT/$NAME/INSTALL" <<TEXT
For PostgreSQL $PG_MAJOR. As a user who may write there:

    cp lib/* "\$(pg_config --pkglibdir)/"
    cp share/extension/* "\$(pg_config --sharedir)/extension/"

Then, in each database: CREATE EXTENSION pg_iot_kpi; SELECT iot_kpi.create_store();
The collector: bin/iot-kpi-collector --help
TEXT
tar -C "$OUT" -czf "$OUT/$NAME.tar.gz" "$NAME"
rm -rf "$TREE" "${OUT:?}/$NAME"
say "$OUT/$NAME.tar.gz"
