"""platforms.py BINARY: prints the platforms whose programs run here, separated by commas, the machine's own first."""

import json
import platform
import subprocess
import sys


def ask(*words):
    return subprocess.run([sys.argv[1], *words], capture_output=True, text=True)


def is_native(row):
    return "without an emulator" in ask("register", row["system"], "--dry-run").stderr


def names(row):
    """The platforms of a system that images are built for: the first one, or two for ARM."""
    return ["linux/arm/v7", "linux/arm/v6"] if row["system"] == "arm" else row["oci_platforms"][:1]


rows = json.loads(ask("list", "--json").stdout)["systems"]
status = json.loads(ask("status", "--json").stdout)["systems"]
works = {system["system"] for system in status if system["state"] == "works"}
# The systems that a processor may run natively in addition to its own.
also = {"x86_64": ["i386"], "aarch64": ["arm"]}.get(platform.machine(), [])
native = [row for row in rows if (platform.machine() in row["uname"] or row["system"] in also) and is_native(row)]
emulated = [row for row in rows if row["system"] in works and row not in native]
print(",".join(name for row in native + emulated for name in names(row)))
