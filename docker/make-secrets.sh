#!/usr/bin/env bash
# make-secrets.sh FOLDER: a random password for each part of the stack, in a folder that only you may enter. Those that are there stay.
set -euo pipefail
FOLDER=${1:?error: no folder is named; remedy: docker/make-secrets.sh docker/secrets}
mkdir -p "$FOLDER"
chmod 700 "$FOLDER"
for name in postgres_password collector_password grafana_password grafana_admin_password; do
    [ -s "$FOLDER/$name" ] || head -c 24 /dev/urandom | base64 | tr '+/' '-_' > "$FOLDER/$name"
    # The containers' users read the file alone; on this machine the folder keeps others out.
    chmod 444 "$FOLDER/$name"
done
printf 'passwords are in %s\n' "$FOLDER"
