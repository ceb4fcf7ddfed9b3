#!/usr/bin/env python3
"""sbom.py VERSION: what is in the packages, as CycloneDX 1.5 JSON on stdout: the crates that are linked into the extension, the
collector and the plugin's backend, and the npm packages of its front end. The same checkout gives the same bytes."""

import base64
import datetime
import json
import os
import pathlib
import subprocess
import sys
import uuid
from urllib.parse import quote

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHIPPED = ("pg_iot_kpi", "iot-kpi-collector", "iot-kpi-grafana")
NO_LICENSE = "NOASSERTION"


def crates():
    """The shipped members and all they are built from, tests left out: (package, ids it depends on)."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--manifest-path={ROOT}/Cargo.toml"]
    if platform := os.environ.get("SBOM_PLATFORM"):
        command.append(f"--filter-platform={platform}")
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    edges = {
        node["id"]: [dep["pkg"] for dep in node["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
        for node in metadata["resolve"]["nodes"]
    }
    waiting = [id for id, package in packages.items() if package["name"] in SHIPPED]
    found = {}
    while waiting:
        id = waiting.pop()
        if id not in found:
            found[id] = edges[id]
            waiting += edges[id]
    return [(packages[id], [packages[to] for to in found[id]]) for id in found]


def checksums():
    """By name and version, as Cargo.lock has them."""
    import tomllib

    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}


def crate_purl(package):
    return f"pkg:cargo/{package['name']}@{quote(package['version'])}"


def component(name, version, purl, license, hashes):
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "licenses": [{"expression": license}] if license else [{"license": {"name": NO_LICENSE}}],
        "purl": purl,
        **({"hashes": hashes} if hashes else {}),
    }


def rust():
    sums = checksums()
    for package, needs in crates():
        checksum = sums.get((package["name"], package["version"]))
        hashes = [{"alg": "SHA-256", "content": checksum}] if checksum else []
        # An older way of writing "or".
        license = (package["license"] or "").replace("/", " OR ")
        purl = crate_purl(package)
        yield component(package["name"], package["version"], purl, license, hashes), sorted(set(map(crate_purl, needs)))


def npm():
    lock = json.loads((ROOT / "grafana-plugin/package-lock.json").read_text())
    for path, package in lock["packages"].items():
        if not path or package.get("dev") or package.get("devOptional"):
            continue
        name = path.split("node_modules/")[-1]
        purl = f"pkg:npm/{quote(name, safe='/')}@{quote(package['version'])}"
        hashes = []
        if integrity := package.get("integrity", "").partition("sha512-")[2]:
            hashes = [{"alg": "SHA-512", "content": base64.b64decode(integrity).hex()}]
        yield component(name, package["version"], purl, package.get("license"), hashes), []


def direct():
    """What our own parts name."""
    members = [crate_purl(package) for package, _ in crates() if package["name"] in SHIPPED]
    lock = json.loads((ROOT / "grafana-plugin/package-lock.json").read_text())["packages"]
    named = ((name, lock[f"node_modules/{name}"]["version"]) for name in lock[""].get("dependencies", {}))
    return sorted(members + [f"pkg:npm/{quote(name, safe='/')}@{quote(version)}" for name, version in named])


def main(version):
    found = {part["bom-ref"]: (part, needs) for part, needs in [*rust(), *npm()]}
    ours = f"pkg:generic/pg_iot_kpi@{version}"
    # Only a time that is given is the same the next time.
    moment = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", 0)), datetime.timezone.utc)
    content = "\n".join(sorted(found))
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ours + content)}",
        "version": 1,
        "metadata": {
            "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": "pg_iot_kpi",
                "version": version,
                "licenses": [{"license": {"id": "MIT"}}],
                "purl": ours,
            },
        },
        "components": [found[ref][0] for ref in sorted(found)],
        "dependencies": [{"ref": ours, "dependsOn": direct()}]
        + [{"ref": ref, "dependsOn": found[ref][1]} for ref in sorted(found)],
    }
    json.dump(bom, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("error: no version is given\nremedy: sbom.py VERSION > sbom.cdx.json")
    main(sys.argv[1])
