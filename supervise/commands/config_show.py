"""`supervise config show`: the value that each option of `run` has now, and where it comes from."""

import os
from typing import Any

from supervise.commands import formats
from supervise.commands.config_path import check_readable
from supervise.options import argv, config, config_location
from supervise.options.table import OPTIONS, WORD_SEPARATOR, BadValueError, Option
from supervise.options.values import is_secret_check
from supervise.options.values import read as read_value
from supervise.text import stderr
from supervise.text.redaction import MASK
from supervise.text.sanitizer import clean


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print a line for each option, or one JSON object; return 0."""
    given = {key: values[key] for key in config.NOT_CONFIGURED if values[key]}
    check_readable(values)
    path, _ = config_location.find(given, os.environ)
    settings, notice = argv.configuration(given, os.environ)
    if notice:
        stderr.say(notice)
    lines = config.load(path).lines if settings else {}
    rows = [_row(option, settings.get(option.key), path, lines) for option in OPTIONS if option.name not in given]
    rows = [row for row in rows if row["option"] not in config.NOT_CONFIGURED]
    if values["json"]:
        import json

        print(json.dumps({"file": path or None, "options": rows}))
        return 0
    width = max(len(row["option"]) for row in rows)
    value_width = max(len(_shown(row["value"])) for row in rows if len(_shown(row["value"])) <= 20)
    for row in rows:
        formats.print_line(f"{row['option']:{width}}  {_shown(row['value']):{value_width}}  {row['from']}")
    return 0


def _row(
    option: Option, setting: "config.Setting | None", path: str, lines: dict[tuple[str, ...], int]
) -> dict[str, Any]:
    """Return the row of the option in the JSON.

    `value` is the word as on the command line, or a list of words for a repeatable option.
    Raises BadValueError where the variable of the option has a bad value.
    """
    variable, word = argv.source_of(option, {}, os.environ)
    row: dict[str, Any] = {"option": option.name, "from": "default", "file": None, "line": None, "profile": None}
    if variable:
        try:
            read_value(option, word)
        except BadValueError as error:
            raise BadValueError(f"{variable}: {error}") from None
        row["from"] = variable
    elif setting:
        word, line = setting.word, lines.get(setting.path, 1)
        row |= {"from": f"{config.shown(path)}:{line}", "file": path, "line": line}
        if len(setting.path) > 1:
            row["profile"] = setting.path[1]
            row["from"] += f" (profile {config.shown(setting.path[1])})"
    else:
        word = "off" if option.is_flag else option.default
    if option.kind == "check" and is_secret_check(word):
        word = MASK
    return row | {"value": word.split(WORD_SEPARATOR) if option.is_repeatable and word else word or None}


def _shown(value: "str | list[str] | None") -> str:
    text = " ".join(value) if isinstance(value, list) else value or "-"
    return clean(text)
