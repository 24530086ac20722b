"""Each exception from a rule of ruff or mypy has its reason."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXCEPTION = re.compile(r"# (?:noqa|type: ignore)\b")
REASON = re.compile(r"# noqa: [A-Z]+\d+ - \w|# type: ignore\[[\w, -]+\]  # \w")
FOUND = [
    (path, number)
    for path in sorted((ROOT / "supervise").rglob("*.py"))
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines())
    if EXCEPTION.search(line)
]


@pytest.mark.parametrize(("path", "number"), FOUND, ids=lambda one: getattr(one, "stem", None))
def test_each_exception_in_the_code_has_its_reason(path: Path, number: int) -> None:
    """The reason is on the line, or in a comment on the line above."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert REASON.search(lines[number]) or lines[number - 1].strip().startswith("# ")


def test_each_exception_in_the_configuration_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _, _, rules = text.partition("[tool.ruff.lint]")
    lists = re.findall(r'^(?:ignore|"[^"]+") = \[\n(.*?)^\]', rules, re.MULTILINE | re.DOTALL)
    rows = [row for one in lists for row in one.splitlines()]
    assert rows
    assert [row for row in rows if not re.fullmatch(r'    "[A-Z]+\d+", +# \w.+', row)] == []
    assert re.findall(r'^(?:ignore|"[^"]+") = \[.*\]', rules, re.MULTILINE) == []
