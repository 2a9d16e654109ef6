"""unit.py UNIT COMMAND…: runs the ExecStart of a unit of Type=oneshot like systemd does at two boots, and COMMAND after
each. Exits with 1 if one of them fails."""

import shlex
import subprocess
import sys

settings = [line.strip().split("=", 1) for line in open(sys.argv[1]) if "=" in line]
unit = dict(settings)
assert unit["Type"] == "oneshot", unit
for boot in 1, 2:
    for command in shlex.split(unit["ExecStart"]), sys.argv[2:]:
        done = subprocess.run(command)
        print(f"boot {boot}: {command} ended with {done.returncode}")
        if done.returncode:
            sys.exit(1)
