"""compare.py VALUES: checks what evaluate.nix has evaluated."""

import hashlib
import json
import sys
import tomllib

values = json.load(open(sys.argv[1]))
cargo = tomllib.load(open("Cargo.toml", "rb"))
version = cargo["workspace"]["package"]["version"]
assert values["version"] == version and values["lock"] and not values["doCheck"], values
assert {"Cargo.lock", "Cargo.toml", "magic", "packaging", "src"} <= set(values["source"]), values["source"]
assert not {"target", ".git"} & set(values["source"]), values["source"]
both = ["aarch64-linux", "x86_64-linux"]
assert values["outputs"] == {
    "packages": both,
    "apps": both,
    "overlays": ["default"],
    "systemManagerModules": ["default"],
    "homeModules": ["default"],
}, values["outputs"]
package = f"/nix/store/{'0' * 32}-binfmt-nix-{version}"
assert values["app"] == {"type": "app", "program": f"{package}/bin/binfmt-nix"} and values["overlay"], values
# The file of the system-manager module, whose path has the digest of its text.
text = 'nix = true\nsource = "host"\nsystems = ["aarch64-linux","riscv64-linux"]\n'
assert tomllib.loads(text) == {"nix": True, "source": "host", "systems": ["aarch64-linux", "riscv64-linux"]}
config = f"/nix/store/{hashlib.sha256(text.encode()).hexdigest()}-binfmt-nix.toml/binfmt-nix.toml"
assert values["config"] == config, values["config"]
unit = values["unit"]
assert unit["wantedBy"] == ["system-manager.target"], unit
assert unit["serviceConfig"]["ExecStart"] == f"{package}/bin/binfmt-nix apply --config {config}", unit
activation = values["activation"]
assert activation["after"] == ["writeBoundary"] and "apply --config - --check <" in activation["data"], activation
assert (values["disabled"], values["enabled"]) == (False, True), values
