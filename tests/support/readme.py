"""The README's text: its recipes, each of which a test runs."""

import re
from collections.abc import Mapping
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
RECIPE = re.compile(r"^<!-- recipe: (\w+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def recipes() -> dict[str, str]:
    """Return the code of each recipe, by its name."""
    return dict(RECIPE.findall(README.read_text(encoding="utf-8")))


def recipe(name: str, changes: Mapping[str, str]) -> str:
    """Return the code of that recipe with the changes that a test needs: short limits, free ports.

    Each change must be in the code, so that the README and the test stay one.
    """
    text = recipes()[name]
    for old, new in changes.items():
        assert old in text, f"the recipe {name} has no {old!r}"
        text = text.replace(old, new)
    return text
