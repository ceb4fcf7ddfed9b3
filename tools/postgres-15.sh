#!/usr/bin/env bash
# Unpacks Debian's PostgreSQL 15 into target/postgres-15: its programs find each other wherever they lie, and no system folder is touched.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

BIN=$POSTGRES_15/usr/lib/postgresql/15/bin
PACKAGES=(postgresql-15 postgresql-client-15 postgresql-server-dev-15)

[ ! -x "$BIN/postgres" ] || exit 0
command -v apt-get > /dev/null || die "Debian's PostgreSQL 15 needs apt-get" "run the tests on Debian 12, or on another PostgreSQL with PG_CONFIG=..."

PART=$POSTGRES_15.part
rm -rf "$PART" "$POSTGRES_15"
mkdir -p "$PART/packages"
cd "$PART/packages"
say "fetch Debian's ${PACKAGES[*]}"
if ! apt-get -q download "${PACKAGES[@]}" > ../log 2>&1; then
    { [ "$(id -u)" = 0 ] && apt-get -q update >> ../log 2>&1 && apt-get -q download "${PACKAGES[@]}" >> ../log 2>&1; } || {
        tail -n 5 ../log >&2
        die "PostgreSQL 15 cannot be fetched" "apt-get update (as root), on Debian 12"
    }
fi
for package in *.deb; do
    dpkg -x "$package" "$PART"
done
# Its just-in-time compiler wants all of LLVM, and changes nothing but time.
rm -f "$PART"/usr/lib/postgresql/15/lib/llvmjit.so

if ldd "$PART/usr/lib/postgresql/15/bin/postgres" | grep -q 'not found'; then
    libraries=$(dpkg-deb -f postgresql-15_*.deb Depends | tr ',' '\n' | awk '$1 ~ /^lib/ && $1 !~ /llvm/ { print $1 }' | tr '\n' ' ')
    [ "$(id -u)" = 0 ] || die "PostgreSQL 15 lacks shared libraries" "sudo apt-get install -y --no-install-recommends $libraries"
    say "install with apt: $libraries"
    # Unquoted: a list of packages.
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $libraries >> ../log 2>&1 || {
        tail -n 5 ../log >&2
        die "the libraries of PostgreSQL 15 cannot be installed" "apt-get install $libraries"
    }
fi
mv "$PART" "$POSTGRES_15"
