"""The JSON Schema of the configuration, made from the table of options, for editors and checks of TOML.

It knows the keys, the types and the choices; `supervise config check` also reads the values.
"""

import json
from typing import Any

from supervise.options.config import KINDS_OF_LISTS, KINDS_OF_NUMBERS, NOT_CONFIGURED, PROFILES
from supervise.options.table import OPTIONS, Option
from supervise.options.values import FLAG_WORDS

TITLE = "The configuration of supervise: defaults for the options of run, and profiles"


def text() -> str:
    """Return the schema as a document of JSON."""
    options = {
        name: _value(option)
        for option in OPTIONS
        if option.name not in NOT_CONFIGURED
        for name in (option.name, *option.aliases)
    }
    profile = {"type": "object", "properties": options, "additionalProperties": False}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:supervise:config:1",
        "title": TITLE,
        "type": "object",
        "properties": {
            **{name: {"$ref": f"#/$defs/profile/properties/{name}"} for name in options},
            PROFILES: {
                "description": "Options for the runs with --profile NAME.",
                "type": "object",
                "additionalProperties": {"$ref": "#/$defs/profile"},
            },
        },
        "additionalProperties": False,
        "$defs": {"profile": profile},
    }
    return json.dumps(schema, indent=2) + "\n"


def _value(option: Option) -> dict[str, Any]:
    """Return the schema of the values of the option that `options.config.word_of` takes."""
    number = [{"type": "number"}] if option.kind in KINDS_OF_NUMBERS else []
    forms: list[dict[str, Any]] = [{"enum": [*option.choices]}] if option.kind == "choice" else [{"type": "string"}]
    if option.is_flag:
        forms = [{"type": "boolean"}, {"enum": [*FLAG_WORDS]}]
    elif "on" in option.choices:
        forms.append({"type": "boolean"})
    if option.is_repeatable or option.kind in KINDS_OF_LISTS:
        forms.append(
            {"type": "array", "items": {"anyOf": [{"type": "string"}, *number]} if number else {"type": "string"}}
        )
    forms += number
    described = {"description": option.help} | ({"default": option.default} if option.default else {})
    return described | (forms[0] if len(forms) == 1 else {"anyOf": forms})
