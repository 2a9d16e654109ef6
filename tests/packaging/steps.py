"""steps.py ACTION [NAME=INPUT…]: runs the steps of a composite action like a runner, and prints its outputs.

Every step is a file for `bash --noprofile --norc -eo pipefail` with its environment, GITHUB_ACTION_PATH, GITHUB_OUTPUT
and RUNNER_TEMP. Supported expressions are inputs and outputs of steps. The action uses no others, and any other is an
error. ONLY=ID ends after that step."""

import os
import re
import subprocess
import sys
import tempfile

import yaml

path = os.path.realpath(sys.argv[1])
action = yaml.safe_load(open(path))
given = dict(word.split("=", 1) for word in sys.argv[2:])
assert given.keys() <= action["inputs"].keys(), given
inputs = {name: given.get(name, spec.get("default", "")) for name, spec in action["inputs"].items()}
outputs = {}


def value(expression):
    match expression.strip().split("."):
        case ["inputs", name]:
            return inputs[name]
        case ["steps", step, "outputs", name]:
            return outputs.get(step, {}).get(name, "")
    raise ValueError(expression)


def expand(text):
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: value(found[1]), text)


with tempfile.TemporaryDirectory() as temp:
    for step in action["runs"]["steps"]:
        script, output = os.path.join(temp, "script.sh"), os.path.join(temp, "output")
        open(script, "w").write(expand(step["run"]))
        open(output, "w").close()
        assert step["shell"] == "bash", step
        runner = {"GITHUB_ACTION_PATH": os.path.dirname(path), "GITHUB_OUTPUT": output, "RUNNER_TEMP": temp}
        environment = {name: expand(text) for name, text in step.get("env", {}).items()}
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script]
        done = subprocess.run(command, env=os.environ | runner | environment)
        if done.returncode:
            sys.exit(done.returncode)
        outputs[step["id"]] = dict(line.split("=", 1) for line in open(output).read().splitlines())
        if os.environ.get("ONLY") == step["id"]:
            print(outputs)
            sys.exit()
for name, spec in action["outputs"].items():
    print(f"output {name}={expand(spec['value'])}")
