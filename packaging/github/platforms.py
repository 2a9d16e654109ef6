"""platforms.py BINARY: the platforms whose programs run here, the machine's own first, with commas between them."""

import json
import platform
import subprocess
import sys


def ask(*words):
    return subprocess.run([sys.argv[1], *words], capture_output=True, text=True)


def is_native(row):
    return "without an emulator" in ask("register", row["system"], "--dry-run").stderr


def names(row):
    """Of a system with several, those that images are made for: the plain one, and ARM's two."""
    return ["linux/arm/v7", "linux/arm/v6"] if row["system"] == "arm" else row["oci_platforms"][:1]


rows = json.loads(ask("list", "--json").stdout)["systems"]
status = json.loads(ask("status", "--json").stdout)["systems"]
works = {system["system"] for system in status if system["state"] == "works"}
# What processors of one kind may run of another's, besides their own.
also = {"x86_64": ["i386"], "aarch64": ["arm"]}.get(platform.machine(), [])
native = [row for row in rows if (platform.machine() in row["uname"] or row["system"] in also) and is_native(row)]
emulated = [row for row in rows if row["system"] in works and row not in native]
print(",".join(name for row in native + emulated for name in names(row)))
