"""crates.py sbom | licences: what is compiled into the program, on standard output.

sbom is a bill of materials in JSON (CycloneDX 1.5), with the digests of Cargo.lock. licences has the texts of the licences
of all crates, of Rust's standard library (from the documentation that this Rust has) and of musl. Both are made of `cargo metadata --locked` for both architectures. Crates that are used by tests or by the
build alone are left out. The same sources produce the same bytes: the time is SOURCE_DATE_EPOCH, or 0.

cargo-cyclonedx and cargo-about do the same, but compiling one of them takes longer than compiling this program.
"""

import datetime
import html.parser
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


class Notices(html.parser.HTMLParser):
    """The list of licences that Rust's documentation has: the text before the crates, and the notices of each crate."""

    def __init__(self, text):
        super().__init__()
        self.introduction, self.crates, self.notices = [], [], []
        self.within, self.line = [], ""
        self.feed(text)

    def handle_starttag(self, tag, _):
        self.within.append(tag)

    def handle_endtag(self, tag):
        while self.within and self.within.pop() != tag:
            pass
        if tag == "h3":
            # A sign is before the name.
            self.crates.append(self.line.split()[-1])
        elif tag == "pre":
            self.notices.append((self.crates[-1], tidy(self.line)))
        elif tag in ("p", "h1", "h2") and not self.crates:
            self.introduction.append(" ".join(self.line.split()))
        elif tag not in ("p", "h1", "h2", "summary", "div", "title", "li", "ul"):
            return
        self.line = ""

    def handle_data(self, data):
        self.line += data


def tidy(text):
    return "\n".join(line.rstrip() for line in text.strip("\n").rstrip().splitlines())


def standard_library():
    """Prints what the standard library needs, and returns its version and the notices of its crates."""
    [rust, version] = [run("rustc", option) for option in (["--print", "sysroot"], ["--version"])]
    folder = pathlib.Path(rust) / "share/doc/rust"
    if not (folder / "COPYRIGHT-library.html").exists():
        sys.exit(f"crates.py: {folder} has no COPYRIGHT-library.html, the licences of the standard library; rustup's Rust has it")
    found = Notices((folder / "COPYRIGHT-library.html").read_text())
    if not found.notices or not found.introduction:
        sys.exit(f"crates.py: {folder}/COPYRIGHT-library.html has an unknown form")
    print(f"\nRust's standard library ({version}), and the crates that it may have:\n")
    print("\n".join(line for line in found.introduction if line))
    named = [(f"{crate} of the standard library", text) for crate, text in found.notices]
    for file in "LLVM-exception.txt", "Apache-2.0.txt", "MIT.txt", "BSD-2-Clause.txt", "Unicode-3.0.txt":
        named.append((f"the standard library: {file}", tidy((folder / "licenses" / file).read_text())))
    print("\nIts libunwind and compiler-rt are of LLVM: Apache-2.0 WITH LLVM-exception.")
    return named


def run(program, arguments):
    return subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def musl():
    [file] = pathlib.Path("packaging/licences").glob("musl-*")
    return file.name.replace("-", " "), tidy(file.read_text())


def licences():
    root, packages, _ = compiled_in()
    print("Licences of what is compiled into binfmt-nix: crates, Rust's standard library, and musl.")
    crates = {}
    for package in ordered(package for id, package in packages.items() if id != root):
        folder = pathlib.Path(package["manifest_path"]).parent
        for file in sorted(folder.iterdir()):
            if TEXT.match(file.name) and file.is_file():
                text = "\n".join(line.rstrip() for line in file.read_text(errors="replace").strip().splitlines())
                crates.setdefault(text, []).append(f"{package['name']} {package['version']}")
        if not package["license"]:
            sys.exit(f"crates.py: {package['name']} has no licence in its manifest")
        source = package["repository"] or "no repository"
        print(f"\n{package['name']} {package['version']}: {expression(package)}\n    {source}", end="")
    print()
    for user, text in [*standard_library(), musl()]:
        crates.setdefault(text, []).append(user)
    for text, users in crates.items():
        print("\n" + "=" * 120)
        print("\n".join(dict.fromkeys(users)))
        print("-" * 120 + "\n" + text)


if sys.argv[1:] not in (["sbom"], ["licences"]):
    sys.exit(__doc__)
globals()[sys.argv[1]]()
