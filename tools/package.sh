#!/usr/bin/env bash
# Packages for machines that build nothing, in target/package: Debian packages and tar files of the extension and the collector, the
# plugin's zip, a bill of materials, checksums. For PostgreSQL 15 and 18, or for the one of PG_CONFIG=... alone.
# COLLECTOR=/path/to/a/program packages that one instead of building a static one. ARM64=1 adds the plugin's zip for linux arm64.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

VERSION=$(cargo pkgid --package iot-kpi-collector | sed 's/.*[#@]//')
# The same sources give the same bytes: no time in a package is later than the last commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || echo 1700000000)}
export SOURCE_DATE_EPOCH
export TZ=UTC LC_ALL=C
umask 022
# Where the sources lay is nobody's business, and the same everywhere.
WHERE_FROM="--remap-path-prefix=$ROOT=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
SYSTEM=$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
MAINTAINER=${MAINTAINER:-The pg_iot_kpi authors <maintainers@pg-iot-kpi.invalid>}
OUT=$TARGET/package
WORK=$OUT/work
rm -rf "$OUT"
mkdir -p "$WORK"

# tarball FOLDER: FOLDER.tar.gz in OUT, of the folder of that name in WORK.
tarball() {
    tar -C "$WORK" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --owner=0 --group=0 --numeric-owner -cf - "$1" | gzip -9n > "$OUT/$1.tar.gz"
    say "$OUT/$1.tar.gz"
}

# documents FOLDER PACKAGE FILE...: what Debian wants to be in a package's folder of documents, and those files.
documents() {
    local folder=$1/usr/share/doc/$2 package=$2
    shift 2
    mkdir -p "$folder"
    cp "$@" "$folder/"
    gzip -9n < CHANGELOG.md > "$folder/changelog.gz"
    {
        printf '%s (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n' "$package" "$VERSION"
        printf ' -- %s  %s\n' "$MAINTAINER" "$(date -R -d "@$SOURCE_DATE_EPOCH")"
    } | gzip -9n > "$folder/changelog.Debian.gz"
    {
        printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: pg_iot_kpi\n\n'
        printf 'Files: *\nCopyright: %s\nLicense: Expat\n' "$(sed -n 's/^Copyright (c) //p' LICENSE)"
        # A licence's text is indented, and an empty line has a dot.
        sed -n '/^Permission/,$p' LICENSE | sed 's/^$/./; s/^/ /'
    } > "$folder/copyright"
}

# needs PROGRAM: the packages of the shared libraries it is linked with, as Depends has them.
needs() {
    local version
    # `|| true`: a static one needs none.
    version=$(objdump -T "$1" 2> /dev/null | sed -nE 's/.*GLIBC_([0-9.]+).*/\1/p' | sort -uV | tail -n 1) || true
    [ -z "$version" ] || printf 'libc6 (>= %s)' "$version"
    if objdump -p "$1" | grep -q 'NEEDED *libgcc_s'; then printf ', libgcc-s1'; fi
}

# deb TREE PACKAGE DEPENDS DESCRIPTION LONG: the tree as a Debian package.
deb() {
    local tree=$1 package=$2 depends=$3 description=$4 long=$5 architecture
    architecture=$(dpkg --print-architecture)
    mkdir -p "$tree/DEBIAN"
    (cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) > "$tree/DEBIAN/md5sums"
    {
        printf 'Package: %s\nSource: pg-iot-kpi\nVersion: %s-1\n' "$package" "$VERSION"
        printf 'Architecture: %s\nMaintainer: %s\nInstalled-Size: %s\n' "$architecture" "$MAINTAINER" "$(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f1)"
        [ -z "$depends" ] || printf 'Depends: %s\n' "$depends"
        printf 'Section: database\nPriority: optional\nDescription: %s\n' "$description"
        printf '%s\n' "$long" | fold -s -w 78 | sed 's/ *$//; s/^/ /'
    } > "$tree/DEBIAN/control"
    find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$tree" "$OUT/${package}_$VERSION-1_$architecture.deb" > /dev/null
    say "$OUT/${package}_$VERSION-1_$architecture.deb"
}

has_dpkg() {
    command -v dpkg-deb > /dev/null || { say "no Debian packages: there is no dpkg-deb here"; return 1; }
}

# extension PG_CONFIG
extension() {
    export PG_CONFIG=$1
    use_postgres
    local built=$WORK/built-$PG_MAJOR name=pg_iot_kpi-$VERSION-pg$PG_MAJOR-$SYSTEM package=postgresql-$PG_MAJOR-iot-kpi library files
    say "build pg_iot_kpi for PostgreSQL $PG_MAJOR"
    # In a folder of its own: with other flags all would be built anew, here and then there.
    (cd pg_iot_kpi && RUSTFLAGS=$WHERE_FROM CFLAGS="-ffile-prefix-map=$ROOT=/src ${CFLAGS:-}" CARGO_TARGET_DIR=$TARGET/packaged \
        cargo pgrx package --pg-config "$PG_CONFIG" --no-default-features --features "pg$PG_MAJOR" --out-dir "$built" > "$WORK/pgrx.log" 2>&1) ||
        { tail -n 20 "$WORK/pgrx.log" >&2; die "pg_iot_kpi does not build for PostgreSQL $PG_MAJOR" "see above"; }
    library=$(find "$built" -name 'pg_iot_kpi.so' -o -name 'pg_iot_kpi.dylib')
    files=$(find "$built" -path '*/extension/*' -type f)
    strip --strip-unneeded "$library"

    mkdir -p "$WORK/$name"/{lib,share/extension}
    install -m 644 "$library" "$WORK/$name/lib/"
    install -m 644 $files "$WORK/$name/share/extension/"
    cp LICENSE CHANGELOG.md "$WORK/$name/"
    cat > "$WORK/$name/INSTALL" <<TEXT
For PostgreSQL $PG_MAJOR. As a user who may write there:

    cp lib/* "\$(pg_config --pkglibdir)/"
    cp share/extension/* "\$(pg_config --sharedir)/extension/"

Then, in each database: CREATE EXTENSION pg_iot_kpi; SELECT iot_kpi.create_store();
TEXT
    tarball "$name"

    has_dpkg || return 0
    local tree=$WORK/$package
    install -D -m 644 -t "$tree/usr/lib/postgresql/$PG_MAJOR/lib" "$library"
    install -D -m 644 -t "$tree/usr/share/postgresql/$PG_MAJOR/extension" $files
    documents "$tree" "$package" README.md docs/*.md
    deb "$tree" "$package" "postgresql-$PG_MAJOR, $(needs "$library")" "KPIs of IoT devices inside PostgreSQL $PG_MAJOR" \
        "Uptime, availability, consistency, response time, error rate and throughput of devices as SQL functions and aggregates, with a time-series store to keep what they report. In each database: CREATE EXTENSION pg_iot_kpi; SELECT iot_kpi.create_store();"
}

# Builds a collector that needs no shared library, and sets COLLECTOR: with musl where Rust's library for it can be had, else with glibc.
static_collector() {
    local target
    target=$(uname -m)-unknown-linux-musl
    [ "$(uname -s)" = Linux ] || { cargo build --release --package iot-kpi-collector; COLLECTOR=$TARGET/release/iot-kpi-collector; return; }
    # Not an `apt-get install` behind somebody's back: without musl-gcc it is built with glibc all the same.
    if command -v musl-gcc > /dev/null || { [ "$(id -u)" = 0 ] && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends musl-tools > "$WORK/apt.log" 2>&1; }; then
        if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || rustup target add "$target" > "$WORK/rustup.log" 2>&1; then
            say "build the collector for $target"
            RUSTFLAGS=$WHERE_FROM cargo build --release --package iot-kpi-collector --target "$target"
            COLLECTOR=$TARGET/$target/release/iot-kpi-collector
            return
        fi
    fi
    target=$(uname -m)-unknown-linux-gnu
    say "no Rust library or C compiler for musl here (rustup target add $(uname -m)-unknown-linux-musl; apt-get install musl-tools): build the collector with a static glibc"
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --package iot-kpi-collector --target "$target"
    COLLECTOR=$TARGET/$target/release/iot-kpi-collector
}

collector() {
    local name=iot-kpi-collector-$VERSION-$SYSTEM package=iot-kpi-collector
    local program=${COLLECTOR:-}
    if [ -z "$program" ]; then
        static_collector
        program=$COLLECTOR
        if [ "$(uname -s)" = Linux ] && ldd "$program" 2>&1 | grep -q '=>'; then
            die "$program is linked with shared libraries" "see what asks for them: ldd $program"
        fi
    fi
    mkdir -p "$WORK/$name/bin"
    install -m 755 "$program" "$WORK/$name/bin/iot-kpi-collector"
    strip "$WORK/$name/bin/iot-kpi-collector"
    cp LICENSE CHANGELOG.md docs/collector.md packaging/iot-kpi-collector.service "$WORK/$name/"
    cp collector/example.toml "$WORK/$name/collector.toml"
    cp collector/env.example "$WORK/$name/collector.env"
    tarball "$name"

    has_dpkg || return 0
    local tree=$WORK/$package
    install -D -m 755 -t "$tree/usr/bin" "$WORK/$name/bin/iot-kpi-collector"
    install -D -m 644 -t "$tree/usr/lib/systemd/system" packaging/iot-kpi-collector.service
    install -D -m 644 collector/example.toml "$tree/etc/iot-kpi-collector/collector.toml"
    documents "$tree" "$package" docs/collector.md
    mkdir -p "$tree/DEBIAN"
    echo /etc/iot-kpi-collector/collector.toml > "$tree/DEBIAN/conffiles"
    install -m 755 packaging/deb/{postinst,prerm,postrm} "$tree/DEBIAN/"
    deb "$tree" "$package" "$(needs "$tree/usr/bin/iot-kpi-collector")" "collector that feeds pg_iot_kpi" \
        "Sends the samples of its sources to a store of pg_iot_kpi, and keeps them on disk while the database is away. It does not start by itself: see /usr/share/doc/iot-kpi-collector/collector.md."
}

if [ -n "$GIVEN_PG_CONFIG" ]; then
    extension "$GIVEN_PG_CONFIG"
else
    extension "$PRIVATE_PG_CONFIG"
    if command -v apt-get > /dev/null; then
        tools/postgres-15.sh
        extension "$POSTGRES_15/usr/lib/postgresql/15/bin/pg_config"
    fi
fi
collector
if [ -z "${WITHOUT_PLUGIN:-}" ]; then
    grafana-plugin/package.sh
    [ -z "${ARM64:-}" ] || grafana-plugin/package.sh release aarch64-unknown-linux-musl
fi
python3 packaging/sbom.py "$VERSION" > "$OUT/pg_iot_kpi-$VERSION.cdx.json"
say "$OUT/pg_iot_kpi-$VERSION.cdx.json"
rm -rf "$WORK"
(cd "$OUT" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum > SHA256SUMS)
say "$OUT/SHA256SUMS"
