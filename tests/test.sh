#!/usr/bin/env bash
# Every test. A stage that fails hides none of the others; the last line counts, and the exit code says the same.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools/env.sh"

HERE=$ROOT/tests
LOGS=$TARGET/test-logs
SUMMARY=()
PASSED=0
FAILED=0
mkdir -p "$LOGS"
cd "$ROOT"

# count LOG: passed and failed tests, from the result lines of Rust's test runner, of Jest and from TAP.
count() {
    awk '/^test result: / { passed += $4; failed += $6 } /^ok( |$)/ { passed++ } /^not ok( |$)/ { failed++ }
        /^Tests: / { for (i = 2; i < NF; i++) if ($(i + 1) ~ /^passed/) passed += $i; else if ($(i + 1) ~ /^failed/) failed += $i } END { print passed + 0, failed + 0 }' "$1"
}

# stage NAME COMMAND...
stage() {
    local name=$1 log=$LOGS/${1//[^a-zA-Z0-9]/-}.log start=$SECONDS status=0 passed failed
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee "$log" || status=1
    read -r passed failed < <(count "$log")
    # A stage that counts nothing is one test; one that ended early has failed, whatever it counted.
    [ $status = 0 ] || [ "$failed" != 0 ] || failed=1
    [ $((passed + failed)) != 0 ] || passed=1
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
    SUMMARY+=("$(printf '%-44s %6d passed %4d failed %5d s' "$name" "$passed" "$failed" $((SECONDS - start)))")
    return $status
}

# on_this_postgres TARGET...: everything that needs the server which PG_CONFIG names; of the crates' tests those of TARGET.
on_this_postgres() {
    use_postgres
    stage "install into PostgreSQL $PG_MAJOR" "$ROOT/tools/install.sh" tests || return
    stage "regression tests, PostgreSQL $PG_MAJOR" env BUILD_ALL=1 "$ROOT/tools/run.sh" pg-regress
    # Always all default members together: a part of them would have other features, and compile their dependencies anew.
    stage "crates, PostgreSQL $PG_MAJOR" cargo test --no-fail-fast "$@"
}

# With the collector of the tests: what is tried is the packing.
packages() {
    env -u PG_CONFIG COLLECTOR="$TARGET/debug/iot-kpi-collector" WITHOUT_PLUGIN=1 "$ROOT/tools/package.sh" && "$HERE/package-check.sh"
}

stage "set-up" env WITH_BROWSER=1 "$ROOT/tools/setup.sh" || { say "0 passed, 1 failed"; exit 1; }
use_postgres
# First, since tests of TLS are asked of it where PostgreSQL 18 was built without.
if [ -z "$GIVEN_PG_CONFIG" ]; then
    if [ -n "${CI:-}" ]; then
        stage "PostgreSQL 15" "$ROOT/tools/postgres-15.sh"
    else
        "$ROOT/tools/postgres-15.sh" || SUMMARY+=("PostgreSQL 15: SKIPPED, see above (CI does not skip it)")
    fi
fi
stage "lint" "$HERE/lint.sh"
stage "docker" "$HERE/docker-lint.sh"
stage "the plugin's front end" "$HERE/plugin.sh"
on_this_postgres
# What they find is new each time, what was found before is tried again; `make fuzz` looks longer.
stage "fuzzers" "$HERE/fuzz.sh" 5

if [ -z "$GIVEN_PG_CONFIG" ] && [ -x "$POSTGRES_15/usr/lib/postgresql/15/bin/postgres" ]; then
    export PG_CONFIG=$POSTGRES_15/usr/lib/postgresql/15/bin/pg_config
    # What needs no server has passed or failed above.
    on_this_postgres --test '*'
    ! command -v dpkg-deb > /dev/null || stage "packages" packages
fi

printf '\n'
printf '%s\n' "${SUMMARY[@]}"
say "logs: $LOGS"
say "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
