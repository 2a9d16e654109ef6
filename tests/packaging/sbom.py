"""sbom.py FILE: checks a bill of materials with the schema of CycloneDX, and that a broken one is refused."""

import json
import pathlib
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

validator = JsonStrictValidator(SchemaVersion.V1_5)
text = pathlib.Path(sys.argv[1]).read_text()
if error := validator.validate_str(text):
    sys.exit(f"{sys.argv[1]}: {error}")
bom = json.loads(text)
names = [part["name"] for part in bom["components"]]
assert {"ring", "rustls", "clap"} <= set(names) and "proptest" not in names, names
bom["components"][0]["type"] = "crate"
assert validator.validate_str(json.dumps(bom)), "a type that does not exist is accepted"
