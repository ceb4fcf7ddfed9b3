#!/usr/bin/env bash
# What can be said of docker/ without running a container, as TAP: the compose files by a real parser, the Dockerfiles, the scripts.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools/env.sh"
cd "$ROOT/docker"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
failures=0
: > "$WORK/none"

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

if ! command -v docker-compose > /dev/null; then
    install="apt-get install -y --no-install-recommends docker-compose"
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || { say "docker/ is not checked: sudo $install"; [ -z "${CI:-}" ]; exit; }
    say "install with apt: docker-compose"
    { DEBIAN_FRONTEND=noninteractive $install || { apt-get -q update && DEBIAN_FRONTEND=noninteractive $install; }; } > "$WORK/apt.log" 2>&1 ||
        { tail -n 5 "$WORK/apt.log" >&2; die "docker-compose cannot be installed" "$install"; }
fi

secrets() { ./make-secrets.sh "$WORK/secrets" && cp -r "$WORK/secrets" "$WORK/before" && ./make-secrets.sh "$WORK/secrets" && diff -r "$WORK/before" "$WORK/secrets"; }
closed() { [ "$(stat -c %a "$WORK/secrets")" = 700 ] && [ "$(sort -u "$WORK"/secrets/* | wc -l)" = 4 ]; }
certificates() { ./make-tls.sh "$WORK/tls" && ./make-tls.sh "$WORK/tls" && openssl verify -x509_strict -verify_hostname database -CAfile "$WORK/tls/ca.crt" "$WORK/tls/server.crt"; }

# compose ARGUMENT...: nothing comes from the caller's own .env.
compose() { env -i PATH="$PATH" HOME="$WORK" ${MAJOR:+POSTGRES="$MAJOR"} IOT_KPI_SECRETS="${SECRETS-$WORK/secrets}" IOT_KPI_TLS="${TLS-$WORK/tls}" docker-compose --env-file "$WORK/none" "$@"; }
refuses() {
    local says=$1 said
    shift
    if said=$(compose "$@" 2>&1); then
        echo "it was not refused"
        return 1
    fi
    grep -q "$says" <<< "$said" || { echo "$said"; return 1; }
}
example() { (set -a && . ./.env.example && [ -z "$IOT_KPI_SECRETS" ]) && ! grep -iE '^[^#]*password[a-z_]*=.' .env.example; }
demo() { COMPOSE="docker-compose --env-file $WORK/none" IOT_KPI_SECRETS=$WORK/secrets ./demo.sh config --services | grep -x history; }

# judge FILE...: what the parser makes of them, looked through.
judge() {
    local arguments=() file
    for file in "$@"; do arguments+=(-f "$file"); done
    compose "${arguments[@]}" --profile demo config > "$WORK/config.yaml" || return
    grep -F "$(cat "$WORK/secrets/postgres_password")" "$WORK/config.yaml" && { echo "a password is in it"; return 1; }
    # Debian's docker-compose brings a parser of YAML for Debian's Python.
    /usr/bin/python3 - "$WORK/config.yaml" "$*" <<'PYTHON'
import re, sys, yaml
config, tls = yaml.safe_load(open(sys.argv[1])), "tls" in sys.argv[2]
services = config["services"]
assert set(services) == {"database", "collector", "grafana", "history"}, set(services)
assert config["networks"]["inside"]["internal"] is True
published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
assert list(published) == ["grafana"] and all("127.0.0.1:" in str(port) or port.get("host_ip") == "127.0.0.1" for port in published["grafana"]), published
for name, service in services.items():
    assert service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"], name
    assert service["mem_limit"] and service["cpus"] and service["pids_limit"], name
    assert service["restart"] == ("no" if name == "history" else "unless-stopped"), name
    assert "inside" in service["networks"] and ("outside" in service["networks"]) == (name == "grafana"), name
    assert "privileged" not in service and "/var/run/docker.sock" not in str(service), name
    for key, value in service.get("environment", {}).items():
        assert "PASSWORD" not in key or re.match(r"/run/secrets/", value), (name, key)
    if name != "database":
        assert service["depends_on"] == {"database": {"condition": "service_healthy"}}, name
    # A volume with a name, or a file of this folder that cannot be written.
    for volume in service.get("volumes", []):
        source, _, rest = volume.partition(":")
        assert source in config["volumes"] or (source.startswith("/") and rest.endswith(":ro")), volume
    targets = [volume.split(":")[1] for volume in service.get("volumes", [])]
    assert len(targets) == len(set(targets)), targets
    given = {secret["source"] if isinstance(secret, dict) else secret for secret in service.get("secrets", [])}
    assert given <= set(config["secrets"]), given
    if tls:
        assert name == "database" or "ca" in given, name
database = services["database"]
major, place = database["image"].rpartition(":")[2], database["environment"]["PGDATA"]
assert place == f"/var/lib/postgresql/{major}/docker" and "database:/var/lib/postgresql:rw" in database["volumes"], (place, database["volumes"])
for name in ("collector", "history"):
    assert services[name]["environment"]["PGSSLMODE"] == ("verify-full" if tls else "disable")
assert ("ssl=on" in services["database"]["command"]) == tls
PYTHON
}

older() { MAJOR=15 judge compose.yaml && grep -q 'image: iot-kpi-postgres:15' "$WORK/config.yaml"; }

datasources() {
    /usr/bin/python3 - <<'PYTHON'
import yaml
for name, mode in (("datasource", "disable"), ("datasource.tls", "verify-full")):
    (source,) = yaml.safe_load(open(f"grafana/{name}.yaml"))["datasources"]
    assert source["jsonData"]["tlsMode"] == mode and source["type"] == "iotkpi-postgres-datasource"
    assert all(value.startswith("$__file{/run/secrets/") for value in source["secureJsonData"].values())
PYTHON
}

# Stages, an ordinary user, a health check, pinned bases, and nothing copied that is not there.
dockerfile() {
    python3 - "$1" <<'PYTHON'
import pathlib, re, sys
text = re.sub(r"\\\n", " ", pathlib.Path(sys.argv[1]).read_text())
steps = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
known = {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "ARG", "USER", "HEALTHCHECK", "VOLUME", "ENTRYPOINT", "CMD"}
assert {word for word, _ in steps} <= known, {word for word, _ in steps} - known
defaults = dict(rest.split("=", 1) for word, rest in steps if word == "ARG" and "=" in rest)
bases, stages = [rest.split() for word, rest in steps if word == "FROM"], set()
assert len(bases) > 1, "one stage"
for base in bases:
    image = re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], base[0])
    image = re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], image)
    assert image == "scratch" or image in stages or re.search(r":\d[\w.-]*$", image), f"{image} is not pinned"
    stages |= set(base[2:])
last = max(place for place, (word, _) in enumerate(steps) if word == "FROM")
users = [rest for word, rest in steps[last:] if word == "USER"]
assert users and users[-1].split(":")[0] not in ("root", "0"), "root"
assert any(word == "HEALTHCHECK" for word, _ in steps[last:]), "no health check"
# cargo wants every crate of the workspace, though it builds one.
members = re.search(r"^members = \[(.*?)\]", pathlib.Path("../Cargo.toml").read_text(), re.M | re.S)[1]
for member in re.findall(r'"(.+?)"', members):
    builds = [rest for word, rest in steps if word == "RUN" and "cargo " in rest]
    assert not builds or any(word == "COPY" and rest.startswith(member + " ") for word, rest in steps), f"{member} is not copied"
for word, rest in steps:
    if word == "RUN":
        assert "curl" not in rest and "--no-check" not in rest, rest
        assert "apt-get install" not in rest or "--no-install-recommends" in rest, rest
    parts = rest.split()
    if word == "COPY" and parts[0].startswith("--from="):
        assert parts[0][7:] in stages, rest
    elif word == "COPY":
        for source in parts[:-1]:
            assert (pathlib.Path("..") / source).exists(), f"{source} is not there"
PYTHON
}

check "passwords are made once, and stay" secrets
check "passwords are closed to others, each another" closed
check "certificates for the database" certificates
check "compose.yaml" judge compose.yaml
check "compose.yaml with compose.tls.yaml" judge compose.yaml compose.tls.yaml
check "compose.yaml with PostgreSQL 15" older
check "no start without passwords" env SECRETS= bash -c "$(declare -f refuses compose); WORK='$WORK'; refuses 'there are no passwords' -f compose.yaml config"
check "no TLS without certificates" env TLS= bash -c "$(declare -f refuses compose); WORK='$WORK'; refuses 'there are no certificates' -f compose.yaml -f compose.tls.yaml config"
check "the example gives no password" example
check "the demo makes its own, and has a history" demo
check "data sources read their secrets" datasources
for file in *.Dockerfile; do
    check "$file" dockerfile "$file"
done
for file in *.sh initdb/*.sh; do
    check "$file" bash -n "$file"
done
exit $((failures > 0))
