#!/usr/bin/env bash
# At the first start: the extension, its store, and a role each for the collector and Grafana, with the passwords of the secrets.
set -euo pipefail

for secret in collector_password grafana_password; do
    if [ ! -s "/run/secrets/$secret" ]; then
        echo "error: /run/secrets/$secret is missing or empty" >&2
        echo "remedy: give the container a secret $secret, the password on one line (docker/make-secrets.sh makes them)" >&2
        exit 1
    fi
done

# psql reads the passwords itself: they are in no list of processes.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\set collector `head -n 1 /run/secrets/collector_password`
\set grafana `head -n 1 /run/secrets/grafana_password`
SET log_statement = 'none';
CREATE EXTENSION pg_iot_kpi;
SELECT iot_kpi.create_store() \g /dev/null
CREATE ROLE collector LOGIN PASSWORD :'collector';
CREATE ROLE grafana LOGIN PASSWORD :'grafana';
SELECT iot_kpi.grant_writer('collector'), iot_kpi.grant_reader('grafana') \g /dev/null
SQL
