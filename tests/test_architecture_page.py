"""The architecture page, supervise/README.md, names files and folders that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "supervise"
"""The package in the checkout: an installed one has no `pages/`."""
PAGE = (ROOT / "supervise/README.md").read_text(encoding="utf-8")
PICTURE = set(re.findall(r"^      (\w+/|\w+\.py) ", PAGE, re.MULTILINE))
FUTURE = {"batch/"}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_]+/[a-z_./]+\.(?:py|json))`", PAGE))))
def test_each_file_on_the_page_exists(name):
    assert (PACKAGE / name).is_file() or (ROOT / name).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z]+/)`", PAGE)) - FUTURE))
def test_each_folder_on_the_page_exists(name):
    assert (PACKAGE / name).is_dir()


def test_the_picture_has_every_room_and_no_other():
    rooms = {path.name + "/" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms | {"__main__.py"} == PICTURE
