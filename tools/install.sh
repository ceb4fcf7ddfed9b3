#!/usr/bin/env bash
# install.sh [programs|tests]: builds the extension and puts it into the PostgreSQL of PG_CONFIG; without PG_CONFIG, into the private one
# of the programs, into the tests' copy of it, or into both. install.sh uninstall [programs|tests]: takes it out again.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
use_postgres

DO=place
if [ "${1:-}" = uninstall ]; then
    DO=take_out
    shift
fi
if [ -n "$GIVEN_PG_CONFIG" ]; then
    PLACES=("$PG_CONFIG")
else
    case ${1:-both} in
        programs) PLACES=("$PRIVATE_PG_CONFIG") ;;
        tests) PLACES=("$TESTS_PG_CONFIG") ;;
        both) PLACES=("$PRIVATE_PG_CONFIG" "$TESTS_PG_CONFIG") ;;
        *) die "unknown: $1" "install.sh, install.sh uninstall; either with programs or tests behind it" ;;
    esac
fi

# A folder for each purpose: `make demo` and `make test` may build at the same time.
BUILT=$TARGET/built/pg$PG_MAJOR-${1:-both}

# Sets LIBRARY_DIR and EXTENSION_DIR.
look_at() {
    local pg_config=$1 dir what=install
    [ $DO = place ] || what=uninstall
    LIBRARY_DIR=$("$pg_config" --pkglibdir)
    EXTENSION_DIR=$("$pg_config" --sharedir)/extension
    for dir in "$LIBRARY_DIR" "$EXTENSION_DIR"; do
        [ -w "$dir" ] || die "$dir cannot be written by $(id -un)" "sudo env \"PATH=\$PATH\" make $what PG_CONFIG=$pg_config"
    done
}

build() {
    say "build pg_iot_kpi for PostgreSQL $PG_MAJOR"
    rm -rf "$BUILT"
    cd "$ROOT/pg_iot_kpi"
    cargo pgrx package --pg-config "$PG_CONFIG" --no-default-features --features "pg$PG_MAJOR" --out-dir "$BUILT"
    cd "$ROOT"
}

# put FOLDER MODE < FILES: each whole at once, and never into a file that is there: a server may have it open, and a copy of the
# installation share it.
put() {
    local file
    while IFS= read -r file; do
        install -m "$2" "$file" "$1/.${file##*/}.new"
        mv -f "$1/.${file##*/}.new" "$1/${file##*/}"
    done
}

place() {
    say "install it into $1"
    find "$BUILT" -type f \( -name '*.so' -o -name '*.dylib' \) | put "$LIBRARY_DIR" 755
    find "$BUILT" -type f \( -name '*.sql' -o -name '*.control' \) | put "$EXTENSION_DIR" 644
    # What another version left there, as a package would take it along.
    local file
    for file in "$EXTENSION_DIR"/pg_iot_kpi--*.sql; do
        find "$BUILT" -name "${file##*/}" | grep -q . || rm -f "$file"
    done
}

take_out() {
    say "take pg_iot_kpi out of $1"
    rm -f "$LIBRARY_DIR"/pg_iot_kpi.so "$LIBRARY_DIR"/pg_iot_kpi.dylib "$EXTENSION_DIR"/pg_iot_kpi.control "$EXTENSION_DIR"/pg_iot_kpi--*.sql
}

for pg_config in "${PLACES[@]}"; do
    look_at "$pg_config"
done
[ $DO = take_out ] || build
for pg_config in "${PLACES[@]}"; do
    look_at "$pg_config"
    $DO "$("$pg_config" --bindir)/.."
done
