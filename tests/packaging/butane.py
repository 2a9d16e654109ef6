"""butane.py FILE.bu FILE.ign: checks that both are equal, for the parts of Butane that FILE.bu uses.

Butane's fcos 1.4.0 is Ignition's 3.3.0 (its docs/specs.md); files with a source and units are the same in both, and
a small inline file is a data: URL."""

import json
import sys
import urllib.parse

import yaml

butane = yaml.safe_load(open(sys.argv[1]))
ignition = json.load(open(sys.argv[2]))
assert (butane.pop("variant"), butane.pop("version")) == ("fcos", "1.4.0"), butane
for file in butane["storage"]["files"]:
    assert file.keys() == {"path", "mode", "contents"}, file
    if file["contents"].keys() == {"inline"}:
        file["contents"] = {"source": "data:," + urllib.parse.quote(file["contents"]["inline"], safe="")}
    else:
        assert file["contents"].keys() == {"source", "verification"}, file
assert butane.keys() == {"storage", "systemd"}, butane.keys()
assert {"ignition": {"version": "3.3.0"}, **butane} == ignition, "they differ"
