"""crates.py sbom | licences: what is compiled into the program, on standard output.

sbom is a bill of materials in JSON (CycloneDX 1.5), with the digests of Cargo.lock. licences has the texts of the licences
of all crates. Both are made of `cargo metadata --locked` for both architectures. Crates that are used by tests or by the
build alone are left out. The same sources produce the same bytes: the time is SOURCE_DATE_EPOCH, or 0.

cargo-cyclonedx and cargo-about do the same, but compiling one of them takes longer than compiling this program.
"""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid

TARGETS = "x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"
TEXT = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def metadata(target):
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", target]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def compiled_in():
    """Returns the packages by their ids, and the ids of the dependencies of each; the program is the first."""
    packages, needs, root = {}, {}, None
    for target in TARGETS:
        data = metadata(target)
        known = {package["id"]: package for package in data["packages"]}
        nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
        [root] = [id for id in data["workspace_members"] if known[id]["name"] == "binfmt-nix"]
        reached = [root]
        for id in reached:
            used = {dep["pkg"] for dep in nodes[id]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])}
            # Macros run while the program is compiled. Nothing of them or of what they need is in it.
            used = {pkg for pkg in used if not any("proc-macro" in part["kind"] for part in known[pkg]["targets"])}
            # The tests use the program itself, with other features.
            used.discard(root)
            packages[id] = known[id]
            needs.setdefault(id, set()).update(used)
            reached += sorted(used - set(reached))
    return root, packages, needs


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def checksums():
    locked = tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]
    return {(package["name"], package["version"]): package.get("checksum") for package in locked}


def expression(package):
    """Returns the licence as an SPDX expression. Old crates separate alternatives by a slash."""
    return re.sub(r"\s*/\s*", " OR ", package["license"])


def component(package, digests, kind):
    made = {
        "type": kind,
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        made["licenses"] = [{"expression": expression(package)}]
    if digest := digests.get((package["name"], package["version"])):
        made["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return made


def ordered(packages):
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def sbom():
    root, packages, needs = compiled_in()
    digests = checksums()
    now = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    libraries = ordered(package for id, package in packages.items() if id != root)
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(packages[root], digests, "application"),
        },
        "components": [component(package, digests, "library") for package in libraries],
        "dependencies": [
            {"ref": reference(packages[id]), "dependsOn": sorted(reference(packages[need]) for need in needs[id])}
            for id in sorted(needs, key=lambda id: reference(packages[id]))
        ],
    }
    # Made of the contents, so that the same contents have the same number.
    bom["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True)).urn
    print(json.dumps(bom, indent=2, ensure_ascii=False))


def licences():
    root, packages, _ = compiled_in()
    print("Licences of the crates that are compiled into binfmt-nix.")
    crates = {}
    for package in ordered(package for id, package in packages.items() if id != root):
        folder = pathlib.Path(package["manifest_path"]).parent
        for file in sorted(folder.iterdir()):
            if TEXT.match(file.name) and file.is_file():
                text = "\n".join(line.rstrip() for line in file.read_text(errors="replace").strip().splitlines())
                crates.setdefault(text, []).append(package)
        if not package["license"]:
            sys.exit(f"crates.py: {package['name']} has no licence in its manifest")
        source = package["repository"] or "no repository"
        print(f"\n{package['name']} {package['version']}: {expression(package)}\n    {source}", end="")
    print()
    for text, users in crates.items():
        print("\n" + "=" * 120)
        print("\n".join(f"{package['name']} {package['version']}" for package in users))
        print("-" * 120 + "\n" + text)


if sys.argv[1:] not in (["sbom"], ["licences"]):
    sys.exit(__doc__)
globals()[sys.argv[1]]()
