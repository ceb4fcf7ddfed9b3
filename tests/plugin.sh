#!/usr/bin/env bash
# The Grafana plugin's front end: types, lints, unit tests, the bundle, and its editors in a real browser.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools/env.sh"
cd "$ROOT/grafana-plugin"

# Unpacks the package and looks at it as Grafana does: the folder, what is in it, and whether its backend shakes hands.
packaged() {
    local zip first folder plugin file line pid
    BUILD_ALL=1 ./package.sh debug > "$TARGET/package.log" 2>&1 || { tail -n 20 "$TARGET/package.log"; return 1; }
    zip=$(tail -n 1 "$TARGET/package.log")
    first=$(cksum "$zip")
    BUILD_ALL=1 ./package.sh debug > "$TARGET/package.log" 2>&1 || { tail -n 20 "$TARGET/package.log"; return 1; }
    [ "$(cksum "$zip")" = "$first" ] || { say "# packed again, it is another: $first, $(cksum "$zip")"; return 1; }
    folder=$(mktemp -d)
    unzip -q "$zip" -d "$folder" || return 1
    plugin=$folder/iotkpi-postgres-datasource
    [ "$(ls "$folder")" = "$(basename "$plugin")" ] || { say "# other folders: $(ls "$folder")"; return 1; }
    for file in plugin.json module.js README.md LICENSE CHANGELOG.md img/logo.svg dashboards/status-overview.json; do
        [ -s "$plugin/$file" ] || { say "# missing: $file"; return 1; }
    done
    [ ! -e "$plugin/.browser" ] && ! grep -q '%VERSION%\|%TODAY%' "$plugin/plugin.json" || { say "# not fit to be given away"; return 1; }
    grafana_plugin_type=datasource "$plugin"/gpx_iot_kpi_* < /dev/null > "$folder/line" 2> "$folder/log" &
    pid=$!
    for _ in $(seq 200); do
        [ ! -s "$folder/line" ] || break
        sleep 0.05
    done
    kill $pid
    line=$(cat "$folder/line")
    rm -rf "$folder"
    [[ $line =~ ^1\|2\|tcp\|127\.0\.0\.1:[0-9]+\|grpc$ ]] || { say "# no handshake: $line"; return 1; }
}

say "fetch the front end's packages"
# Not `npm ci`: it wants the binaries of every platform in the lock file, which not every mirror has.
npm install --no-save --no-audit --no-fund --loglevel=error || die "npm install failed" "see that npm reaches its registry, then run it again"
check "types" npm run --silent typecheck
check "lints" npm run --silent lint
# Jest counts for itself, below.
npm run --silent test -- --ci 2>&1 || failures=$((failures + 1))
# With it the bundle, which the browser looks at.
check "package" packaged
npm run --silent browser || failures=$((failures + 1))
exit $((failures > 0))
