#!/usr/bin/env bash
# The Grafana plugin's front end: types, lints, unit tests, the bundle, and its editors in a real browser.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT/grafana-plugin"

failures=0
# check NAME COMMAND...
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

say "fetch the front end's packages"
# Not `npm ci`: it wants the binaries of every platform in the lock file, which not every mirror has.
npm install --no-save --no-audit --no-fund --loglevel=error || die "npm install failed" "see that npm reaches its registry, then run it again"
check "types" npm run --silent typecheck
check "lints" npm run --silent lint
# Jest counts for itself, below.
npm run --silent test -- --ci 2>&1 || failures=$((failures + 1))
check "bundle" npm run --silent build
npm run --silent browser || failures=$((failures + 1))
exit $((failures > 0))
