"""unit.py UNIT COMMAND…: starts the ExecStart of a unit like systemd starts a Type=notify service, runs COMMAND when the
service is ready, and ends it with SIGTERM. Exits with the status of COMMAND, or 1 if the service does not end with 0."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile

settings = [line.strip().split("=", 1) for line in open(sys.argv[1]) if "=" in line]
unit = dict(settings)
assert unit["Type"] == "notify", unit
with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
    path = os.path.join(place, "notify")
    notifications.bind(path)
    notifications.settimeout(200)
    service = subprocess.Popen(shlex.split(unit["ExecStart"]), env=os.environ | {"NOTIFY_SOCKET": path})
    try:
        while "READY=1" not in (said := notifications.recv(4096).decode()).splitlines():
            print("before it was ready:", said)
        print("ready:", said)
        status = subprocess.run(sys.argv[2:]).returncode
        service.send_signal(signal.SIGTERM)
        ended = service.wait(timeout=200)
    finally:
        service.kill()
print("ended with", ended)
sys.exit(status or (ended != 0))
