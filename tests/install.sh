#!/usr/bin/env bash
# install.sh | install.sh uninstall: puts the extension into the PostgreSQL of PG_CONFIG (default: the private one), or takes it out.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
use_postgres

LIBRARY_DIR=$("$PG_CONFIG" --pkglibdir)
EXTENSION_DIR=$("$PG_CONFIG" --sharedir)/extension

for dir in "$LIBRARY_DIR" "$EXTENSION_DIR"; do
    [ -w "$dir" ] || die "$dir cannot be written by $(id -un)" "sudo env \"PATH=\$PATH\" make ${1:-install} PG_CONFIG=$PG_CONFIG"
done

case ${1:-install} in
    install)
        say "build pg_iot_kpi for PostgreSQL $PG_MAJOR and install it into $("$PG_CONFIG" --bindir)/.."
        # Earlier versions whole, which cargo-pgrx leaves out: an old store can then be made, and updated.
        find "$ROOT/sql/upgrade" -name 'pg_iot_kpi--*.sql' ! -name 'pg_iot_kpi--*--*.sql' -exec cp {} "$EXTENSION_DIR/" \;
        cd "$ROOT/pg_iot_kpi"
        cargo pgrx install --release --pg-config "$PG_CONFIG" --no-default-features --features "pg$PG_MAJOR"
        ;;
    uninstall)
        say "take pg_iot_kpi out of $("$PG_CONFIG" --bindir)/.."
        rm -f "$LIBRARY_DIR"/pg_iot_kpi.so "$LIBRARY_DIR"/pg_iot_kpi.dylib "$EXTENSION_DIR"/pg_iot_kpi.control "$EXTENSION_DIR"/pg_iot_kpi--*.sql
        ;;
    *) die "unknown: $1" "install.sh, or install.sh uninstall" ;;
esac
