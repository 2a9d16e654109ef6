#!/usr/bin/env python3
"""talk.py [--pid PID] [--wait] SOCKET: runs the script on standard input in a machine, by its agent.

Prints the output of the script and exits with its status. With --wait it only waits until the agent is ready, which is at
the end of the boot. Exits with 97 if the process PID (qemu-system) ended, and with 98 after an hour.
"""

import argparse
import base64
import os
import select
import socket
import sys
import time

LIMIT = 3600


def alive(pid):
    """Whether the process still runs; one that only has to be waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def connect(path, pid, end):
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            return connection
        except OSError:
            connection.close()
        stop_if_over(pid, end)
        time.sleep(0.2)


def stop_if_over(pid, end):
    if pid and not alive(pid):
        fail(97, "the machine ended")
    if time.monotonic() > end:
        fail(98, "no answer from the machine")


def fail(status, why):
    print(why, file=sys.stderr)
    sys.exit(status)


def lines(connection, pid, end):
    rest = b""
    while True:
        while b"\n" in rest:
            line, rest = rest.split(b"\n", 1)
            yield line.decode(errors="replace")
        if select.select([connection], [], [], 1)[0]:
            received = connection.recv(65536)
            if not received:
                fail(97, "the machine ended")
            rest += received
        stop_if_over(pid, end)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int)
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("socket")
    args = parser.parse_args()
    end = time.monotonic() + LIMIT
    connection = connect(args.socket, args.pid, end)
    answers = lines(connection, args.pid, end)
    if args.wait:
        next(line for line in answers if line.startswith("READY"))
        return 0
    # An answer with another mark is the late one to an earlier script.
    mark = f"{os.getpid()}.{time.time()}"
    script = f"echo {mark}\n".encode() + sys.stdin.buffer.read()
    connection.sendall(base64.b64encode(script) + b"\n")
    for line in answers:
        if line.startswith("ANSWER "):
            output = base64.b64decode(next(answers)).decode(errors="replace")
            first, _, output = output.partition("\n")
            if first == mark:
                sys.stdout.write(output)
                return int(line.split()[1])
    return 97


sys.exit(main())
