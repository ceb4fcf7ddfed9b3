#!/usr/bin/env bash
# demo.sh [COMPOSE ARGUMENT...]: the whole stack with passwords of its own making and a day of history; without arguments, `up --build`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export IOT_KPI_SECRETS=${IOT_KPI_SECRETS:-$PWD/secrets/demo} COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-iot-kpi-demo}
./make-secrets.sh "$IOT_KPI_SECRETS" >&2
[ $# -gt 0 ] || {
    printf 'Grafana: http://127.0.0.1:%s, user admin, password in %s/grafana_admin_password\n' "${GRAFANA_PORT:-3000}" "$IOT_KPI_SECRETS" >&2
    set -- up --build
}
# Unquoted: `docker compose` is two words.
exec ${COMPOSE:-docker compose} --file compose.yaml --profile demo "$@"
