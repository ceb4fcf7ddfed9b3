#!/usr/bin/env bash
# Looks at what package.sh has made, as TAP: checksums, fields, the bill of materials, the unit, and the packages installed by dpkg
# beside Debian's PostgreSQL 15, used there, and removed. The system stays as it is: dpkg works in a tree of its own.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools/env.sh"
cd "$ROOT"
OUT=$TARGET/package
TREE=$TARGET/package-root
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
failures=0

# check NAME COMMAND...: its output is shown when it fails.
check() {
    local name=$1 said
    shift
    if said=$("$@" 2>&1); then
        say "ok - $name"
    else
        say "not ok - $name"
        printf '%s\n' "$said" | tail -n 20 | sed 's/^/# /'
        failures=$((failures + 1))
    fi
}

one() { local found=("$OUT"/$1); [ -e "${found[0]}" ] && printf '%s\n' "${found[0]}"; }

checksums() { (cd "$OUT" && sha256sum --check --strict SHA256SUMS); }

# Nothing is of anybody, or younger than the last commit.
no_times() {
    local file latest
    latest=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || echo 1700000000)}" '+%F %T')
    for file in "$OUT"/*.tar.gz; do
        TZ=UTC tar -tvzf "$file" --full-time > "$WORK/list" || return 1
        awk -v latest="$latest" '$2 != "0/0" || ($4 " " $5) > latest { print; wrong = 1 } END { exit wrong || !NR }' "$WORK/list" || return 1
    done
}

no_folders() {
    local file
    for file in "$OUT"/pg_iot_kpi-*.tar.gz; do
        tar -xzOf "$file" --wildcards '*/lib/*' > "$WORK/library" && [ -s "$WORK/library" ] || return 1
        ! grep -aoF -e "$ROOT/" -e "${CARGO_HOME:-$HOME/.cargo}/" "$WORK/library" | sort | uniq -c | grep . || return 1
    done
}

fields() {
    local field list
    list=$(dpkg-deb -c "$1")
    for field in Package Version Architecture Maintainer Installed-Size Section Priority Description; do
        [ -n "$(dpkg-deb -f "$1" "$field")" ] || { echo "$1 has no $field"; return 1; }
    done
    for field in copyright changelog.gz changelog.Debian.gz; do
        grep -q "/usr/share/doc/$(dpkg-deb -f "$1" Package)/$field\$" <<< "$list" || { echo "$1 has no $field"; return 1; }
    done
    # Of root's, and not to be written by anybody else.
    ! grep -vE '^(d|-)rw[x-]r-[x-](r-[x-]|---) root/root ' <<< "$list"
}

materials() {
    python3 - "$OUT"/*.cdx.json <<'PYTHON'
import json, re, sys
bom = json.load(open(sys.argv[1]))
assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.5", 1)
assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"]), bom["serialNumber"]
refs = [part["bom-ref"] for part in bom["components"]]
assert len(refs) == len(set(refs)) > 100, len(refs)
for part in bom["components"]:
    assert part["type"] == "library" and part["name"] and part["version"] and part["licenses"], part
    assert re.match(r"pkg:(cargo|npm)/", part["purl"]), part
    for hash in part.get("hashes", []):
        assert re.fullmatch("[0-9a-f]+", hash["content"]) and len(hash["content"]) == {"SHA-256": 64, "SHA-512": 128}[hash["alg"]], part
known = {bom["metadata"]["component"]["bom-ref"], *refs}
for entry in bom["dependencies"]:
    assert known >= {entry["ref"], *entry["dependsOn"]}, entry
names = {part["name"] for part in bom["components"]}
assert {"pg_iot_kpi", "iot-kpi-collector", "iot-kpi-grafana", "pgrx", "rustls", "tokio-postgres", "react"} <= names
# What only tests need is not shipped.
assert not {"proptest", "rcgen", "jest"} & names
PYTHON
}

# dpkg's own books for the tree: this system's word for the C library, and the real package of PostgreSQL 15 as installed.
books() {
    rm -rf "$TREE"
    cp -al "$POSTGRES_15" "$TREE"
    rm -rf "$TREE/packages" "$TREE"/usr/lib/postgresql/15/lib/pg_iot_kpi* "$TREE"/usr/share/postgresql/15/extension/pg_iot_kpi*
    mkdir -p "$TREE"/var/lib/dpkg/{updates,info,triggers}
    local package
    for package in libc6 libgcc-s1; do
        printf 'Package: %s\nStatus: install ok installed\nMaintainer: x\nDescription: x\nArchitecture: %s\nVersion: %s\n\n' \
            "$package" "$(dpkg --print-architecture)" "$(dpkg-query -W -f '${Version}' "$package")"
    done > "$TREE/var/lib/dpkg/status"
    package=$(ls "$POSTGRES_15"/packages/postgresql-15_*.deb)
    printf 'Package: postgresql-15\nStatus: install ok installed\nMaintainer: x\nDescription: x\nArchitecture: %s\nVersion: %s\n\n' \
        "$(dpkg-deb -f "$package" Architecture)" "$(dpkg-deb -f "$package" Version)" >> "$TREE/var/lib/dpkg/status"
    : > "$TREE/var/lib/dpkg/available"
}

in_tree() { dpkg --root="$TREE" --force-not-root --force-script-chrootless --force-unsafe-io --log="$TREE/dpkg.log" "$@"; }

# A server of the tree's own PostgreSQL, and CREATE EXTENSION in it.
usable() {
    local said
    said=$(PG_CONFIG=$TREE/usr/lib/postgresql/15/bin/pg_config cargo test --package iot-kpi-tests --test release -- --exact versions_agree 2>&1) &&
        grep -q 'test result: ok. 1 passed' <<< "$said" || { printf '%s\n' "$said"; return 1; }
}

unusable() {
    local said
    said=$(usable 2>&1) && { echo "it can be created"; return 1; }
    grep -q 'extension "pg_iot_kpi" is not available' <<< "$said" || { printf '%s\n' "$said"; return 1; }
}

left_behind() { ! find "$TREE" -name '*iot?kpi*' ! -path "$TREE/var/lib/dpkg/*" | grep .; }

unit() {
    local folder status=0
    folder=$(mktemp -d)
    # It looks whether the program is there.
    sed "s#^ExecStart=/usr/bin/#ExecStart=$TREE/usr/bin/#; s#^Documentation=.*#Documentation=man:true(1)#" packaging/iot-kpi-collector.service > "$folder/iot-kpi-collector.service"
    SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$folder/iot-kpi-collector.service" > "$folder/said" 2>&1 || status=1
    # What it says about other units of this system is not ours.
    ! grep iot-kpi "$folder/said" || status=1
    rm -rf "$folder"
    return $status
}

# In tenths: 2.0 and better is what it calls OK.
exposure() { systemd-analyze security --offline=true --threshold=20 --no-pager packaging/iot-kpi-collector.service; }

check "checksums" checksums
check "tar files know neither the builder nor the time" no_times
check "the extension knows no folder of the builder" no_folders
check "bill of materials" materials
if command -v dpkg-deb > /dev/null; then
    check "Debian packages of the collector and the extension" bash -c "ls '$OUT'/iot-kpi-collector_*.deb '$OUT'/postgresql-*-iot-kpi_*.deb"
    for deb in "$OUT"/*.deb; do
        check "fields of $(basename "$deb")" fields "$deb"
    done
fi
if [ -z "$GIVEN_PG_CONFIG" ] && command -v dpkg-deb apt-get > /dev/null; then
    check "the extension for Debian's PostgreSQL 15" one 'postgresql-15-iot-kpi_*.deb'
fi
if DEB=$(one 'postgresql-15-iot-kpi_*.deb'); then
    books
    check "before: no such extension" unusable
    check "dpkg installs the extension beside Debian's PostgreSQL 15" in_tree -i "$DEB"
    check "files are as packed" in_tree --verify postgresql-15-iot-kpi
    check "CREATE EXTENSION there" usable
    check "dpkg installs the collector" in_tree -i "$(one 'iot-kpi-collector_*.deb')"
    check "the collector runs" "$TREE/usr/bin/iot-kpi-collector" --version
    check "its settings can be used" "$TREE/usr/bin/iot-kpi-collector" check --config "$TREE/etc/iot-kpi-collector/collector.toml"
    check "dpkg refuses to remove PostgreSQL from under it" bash -c "! dpkg --root='$TREE' --force-not-root --simulate -r postgresql-15"
    if command -v systemd-analyze > /dev/null; then
        check "the unit is sound" unit
        check "the unit is hardened" exposure
    else
        say "the unit is not judged: systemd-analyze is not here (Debian: apt-get install systemd)"
    fi
    check "dpkg removes the extension" in_tree -r postgresql-15-iot-kpi
    check "after: no such extension" unusable
    check "dpkg removes the collector and its settings" in_tree -P iot-kpi-collector postgresql-15-iot-kpi
    check "nothing is left behind" left_behind
    rm -rf "$TREE"
fi
exit $((failures > 0))
