#!/usr/bin/env bash
# Stands in for the entrypoint of PostgreSQL's image: at a first start it makes the data, runs the scripts, and then the server.
set -euo pipefail
: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
export POSTGRES_USER POSTGRES_DB
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256 --pgdata="$PGDATA" > /dev/null
    pg_ctl --pgdata="$PGDATA" --wait --options="-c listen_addresses=''" start > /dev/null
    createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do
        bash "$script"
    done
    pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop > /dev/null
fi
exec "$@"
