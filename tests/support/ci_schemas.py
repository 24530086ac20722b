"""The published schemas of CI services, from SchemaStore as check-jsonschema ships them, and a reader for YAML."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
from ruamel.yaml import YAML


def read_yaml(text: str) -> Any:
    return YAML(typ="safe").load(text)


def check(name: str, document: Any) -> None:
    """Check the document by the schema of that name: `github-actions`, `gitlab-ci`, `buildkite`.

    The schema's own formats and links are left out: no test reaches another machine.
    """
    folder = Path(str(files("check_jsonschema"))) / "builtin_schemas" / "vendor"
    schema = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(document)
