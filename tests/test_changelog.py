"""The changelog agrees with the program."""

import re
from pathlib import Path

import pytest

from supervise import __version__
from supervise.commands.subcommands import SUBCOMMANDS
from supervise.options.table import option_names

CHANGELOG = (Path(__file__).parents[1] / ".github/CHANGELOG.md").read_text(encoding="utf-8")
HEAD = re.compile(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)
NAMES = {*option_names(), *(name for row in SUBCOMMANDS for name in option_names(row.options))}
OTHER_PROGRAMS_OPTIONS = {"--image", "--password", "--token"}
"""Options of other programs, whose values are masked, and words of --engine-option."""


def test_the_newest_version_in_the_changelog_is_that_of_the_program():
    """Only the section `Unreleased` may come before it."""
    newest = next(version for version, _ in HEAD.findall(CHANGELOG) if version != "Unreleased")
    assert newest == __version__


def test_each_version_in_the_changelog_has_its_day():
    heads = HEAD.findall(CHANGELOG)
    assert [version for version, day in heads if not day] in ([], ["Unreleased"])
    assert all(day for _, day in heads[1:])
    assert len(heads) == CHANGELOG.count("\n## ")


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", CHANGELOG)) - OTHER_PROGRAMS_OPTIONS)
)
def test_each_option_in_the_changelog_exists(name):
    assert name in {*NAMES, "--help", "--version"}
