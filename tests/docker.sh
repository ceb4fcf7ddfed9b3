#!/usr/bin/env bash
# docker.sh [postgres|collector|grafana]...: really runs the steps of the Dockerfiles, where images cannot be pulled: with buildah, each base
# replaced by a stand-in made of Debian's packages and this machine's Rust and Node. Compiles without optimising, for what is tried
# are the steps. Needs root, and ten to forty minutes; docs/docker.md says what this covers and what not.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools/env.sh"
cd "$ROOT"
WORK=$TARGET/docker
LOG=$WORK/log
mkdir -p "$WORK"
: > "$LOG"

[ "$(id -u)" = 0 ] || die "only root can make a Debian tree and change into it" "sudo env \"PATH=\$PATH\" make docker-check"
for program in buildah debootstrap; do
    command -v $program > /dev/null || apt-get install -y --no-install-recommends $program >> "$LOG" 2>&1 || die "$program cannot be installed" "apt-get install $program"
done

bh() { buildah --storage-driver overlay --root "$WORK/storage" --runroot "$WORK/run" "$@"; }
# Whom this machine trusts: there may be a registry of its own behind the usual names.
CERTIFICATES=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
# build NAME ARGUMENT...: with what has been downloaded already; a chroot is all the isolation there is everywhere.
build() {
    local name=$1
    shift
    bh bud --format docker --isolation chroot --pull-never --layers --network host --volume "${CARGO_HOME:-$HOME/.cargo}/registry:/usr/local/cargo/registry" \
        --volume "$CERTIFICATES:/run/machine-ca.crt:ro" --env CARGO_HTTP_CAINFO=/run/machine-ca.crt --env NODE_EXTRA_CA_CERTS=/run/machine-ca.crt --tag "$name" "$@" >> "$LOG" 2>&1 ||
        { tail -n 30 "$LOG" >&2; die "$name was not built" "all of it: $LOG"; }
}
# base NAME CONTEXT < CONTAINERFILE
base() { has "$1" || { say "make $1"; build "$1" --file - "$2"; }; }
has() { bh inspect --type image "$1" > /dev/null 2>&1; }

if ! has stand-in-debian; then
    if [ ! -e "$WORK/bookworm/etc/debian_version" ]; then
        say "make a Debian tree"
        rm -rf "$WORK/bookworm"
        debootstrap --variant=minbase --include=ca-certificates bookworm "$WORK/bookworm" >> "$LOG" 2>&1 || die "debootstrap failed" "see $LOG"
    fi
    printf 'FROM scratch\nCOPY / /\n' | base stand-in-debian "$WORK/bookworm"
fi

# Rust as its image has it: rustup, cargo and rustc under /usr/local.
if ! has stand-in-rust; then
    context=$WORK/rust
    sysroot=$(rustc --print sysroot)
    rm -rf "$context"
    mkdir -p "$context/cargo/bin" "$context/rustup/toolchains"
    cp -a "${CARGO_HOME:-$HOME/.cargo}"/bin/{rustup,cargo,rustc,rustfmt} "$context/cargo/bin/"
    cp -al "$sysroot" "$context/rustup/toolchains/" 2> /dev/null || cp -a "$sysroot" "$context/rustup/toolchains/"
    rm -rf "$context"/rustup/toolchains/*/share
    printf 'default_toolchain = "%s"\nprofile = "minimal"\nversion = "12"\n' "$(basename "$sysroot")" > "$context/rustup/settings.toml"
    base stand-in-rust "$context" <<'TEXT'
FROM stand-in-debian
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev pkg-config
COPY cargo /usr/local/cargo
COPY rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=0
TEXT
    rm -rf "$context"
fi

# try_postgres: a first start of the image, as its user and with its script: then both roles can log in, and do what they are for.
try_postgres() {
    local container status=0
    rm -rf "$WORK/secrets"
    docker/make-secrets.sh "$WORK/secrets" > /dev/null
    # The folder is closed, and an engine would mount the files.
    chmod 755 "$WORK/secrets"
    container=$(bh from --pull-never stand-in-postgres-kpi)
    bh run --isolation chroot --volume "$WORK/secrets:/run/secrets:ro" --env POSTGRES_DB=iot --env POSTGRES_PASSWORD_FILE=/run/secrets/postgres_password \
        "$container" -- timeout 120 bash -euc '
        docker-entrypoint.sh postgres -c listen_addresses=127.0.0.1 -c port=54329 -c shared_preload_libraries=pg_iot_kpi -c iot_kpi.databases=iot & server=$!
        trap "kill -INT $server; wait $server" EXIT
        until pg_isready --host=127.0.0.1 --port=54329 --quiet; do kill -0 $server; sleep 0.2; done
        as() { PGPASSWORD=$(cat "/run/secrets/$1_password") psql --no-psqlrc --tuples-only --no-align --set=ON_ERROR_STOP=1 --host=127.0.0.1 --port=54329 --username="$1" --dbname=iot --command="$2"; }
        as collector "SELECT stored FROM iot_kpi.ingest_metrics(ARRAY[\$\$A\$\$], ARRAY[\$\$heartbeat\$\$], ARRAY[now()], ARRAY[1])" | grep -x 1
        as grafana "SELECT count(*) FROM iot_kpi.device_kpis(tstzrange(now() - interval \$\$1 hour\$\$, now()))" | grep -x 1
        ! as grafana "DELETE FROM iot.devices"
        ! PGPASSWORD=wrong psql --host=127.0.0.1 --port=54329 --username=grafana --dbname=iot --command="SELECT 1"
    ' >> "$LOG" 2>&1 || status=1
    bh rm "$container" > /dev/null
    return $status
}

for image in "${@:-collector postgres grafana}"; do
    # Unquoted: the default is three words.
    for image in $image; do
        start=$SECONDS
        case $image in
            collector)
                build stand-in-collector --file docker/collector.Dockerfile --build-arg RUST_IMAGE=stand-in-rust .
                container=$(bh from --pull-never stand-in-collector)
                bh run --isolation chroot "$container" -- /usr/bin/iot-kpi-collector --version
                bh rm "$container" > /dev/null
                ;;
            postgres)
                # Debian has 15 alone. The entrypoint does what the image's does at a first start, and no more.
                mkdir -p "$WORK/postgres"
                cp tests/docker-entrypoint.sh "$WORK/postgres/"
                base stand-in-postgres "$WORK/postgres" <<'TEXT'
FROM stand-in-debian
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-15 && rm -rf /var/lib/postgresql/15
COPY docker-entrypoint.sh /usr/local/bin/
ENV CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=0
ENV PGDATA=/var/lib/postgresql/data PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
TEXT
                build stand-in-postgres-kpi --file docker/postgres.Dockerfile --build-arg RUST_IMAGE=stand-in-rust --build-arg POSTGRES=15 \
                    --build-arg POSTGRES_IMAGE=stand-in-postgres .
                try_postgres || { tail -n 30 "$LOG" >&2; die "the image does not start" "all of it: $LOG"; }
                ;;
            grafana)
                mkdir -p "$WORK/node/bin" "$WORK/node/lib/node_modules"
                cp -L "$(command -v node)" "$WORK/node/bin/"
                cp -a "$(dirname "$(realpath "$(command -v npm)")")/.." "$WORK/node/lib/node_modules/npm"
                base stand-in-node "$WORK/node" <<'TEXT'
FROM stand-in-debian
COPY / /usr/local/
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && chmod +x /usr/local/lib/node_modules/npm/bin/npm-cli.js && npm --version
TEXT
                # No Grafana: its folders and its user.
                base stand-in-grafana "$WORK/postgres" <<'TEXT'
FROM stand-in-debian
RUN apt-get update && apt-get install -y --no-install-recommends wget && useradd --uid 472 grafana \
    && mkdir -p /etc/grafana/provisioning/datasources /etc/grafana/provisioning/dashboards /usr/share/grafana
TEXT
                build stand-in-grafana-kpi --file docker/grafana.Dockerfile --build-arg RUST_IMAGE=stand-in-rust --build-arg NODE_IMAGE=stand-in-node \
                    --build-arg GRAFANA_IMAGE=stand-in-grafana .
                container=$(bh from --pull-never stand-in-grafana-kpi)
                # Without Grafana it says so, and ends.
                bh run --isolation chroot "$container" -- sh -c 'cd /usr/share/grafana-plugins/iotkpi-postgres-datasource && ls plugin.json module.js dashboards && ./gpx_iot_kpi_linux_*' \
                    > "$WORK/said" 2>&1 || true
                bh rm "$container" > /dev/null
                grep -q 'Grafana starts it, people do not' "$WORK/said" || { cat "$WORK/said" >&2; die "the plugin's backend does not run in the image" "see above"; }
                ;;
            *) die "there is no image $image" "postgres, collector or grafana" ;;
        esac
        say "ok - docker/$image.Dockerfile ($((SECONDS - start)) s)"
    done
done
