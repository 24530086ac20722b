"""The man page and the completions in the repository: they are made of the tables, and well formed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from supervise.commands.subcommands import SUBCOMMANDS
from supervise.options.table import OPTIONS, option_names
from supervise.pages import build
from tests.support.programs import needed

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "man" / "supervise.1"


def section(title):
    """Return the lines of one section of the man page, as text without escapes."""
    text = MANUAL.read_text(encoding="ascii").split(f"\n.SH {title}\n")[1].split("\n.SH ")[0]
    return re.sub(r"\\f[BIR]|\\&", "", text).replace("\\-", "-").replace("\\e", "\\").splitlines()


@pytest.mark.parametrize("path", build.pages())
def test_each_generated_page_is_up_to_date(path):
    made, there = build.pages()[path], (ROOT / path).read_text(encoding="ascii")
    assert made == there, "run python -m supervise.pages at the top of the checkout"


def test_no_placeholder_of_a_template_is_left():
    for text in build.pages().values():
        assert not re.search(r"@[A-Z_]+@", text)


def test_python_m_supervise_pages_writes_the_pages(tmp_path):
    for path in build.pages():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "supervise.pages"], cwd=tmp_path, env=environ_with_checkout(), check=True, timeout=60
    )
    written = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == build.pages()


def test_python_m_supervise_pages_outside_of_a_checkout_is_refused(tmp_path):
    call = subprocess.run(
        [sys.executable, "-m", "supervise.pages"], cwd=tmp_path, env=environ_with_checkout(),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert call.returncode == 1
    assert re.fullmatch(r"supervise\.pages: .*\n", call.stderr)


def environ_with_checkout():
    """Return an environment in which Python imports the package from the checkout."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("page", [path for path in build.pages() if path.startswith("man/")])
def test_mandoc_finds_no_fault_in_a_man_page(page):
    call = subprocess.run(
        [needed("mandoc"), "-T", "lint", "-W", "all", ROOT / page],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (call.returncode, call.stdout, call.stderr) == (0, "", "")


def test_the_man_page_has_every_option_with_its_names_once_and_in_order():
    named = [line for line in section("OPTIONS") if line.startswith("-")]
    expected = []
    for option in OPTIONS:
        names = ", ".join(name for name, row in option_names().items() if row is option)
        value = f"[={option.metavar}]" if option.implied else f" {option.metavar}".rstrip()
        expected.append(names + value)
    assert named == [*expected, "--help", "--version"]


def test_the_man_page_names_no_unknown_option():
    # Of other programs it names these.
    text = re.sub(r"\\f[BIR]|\\&", "", MANUAL.read_text(encoding="ascii")).replace("\\-", "-")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    rows = [*OPTIONS, *(option for row in SUBCOMMANDS for option in row.options)]
    known = {name for name in option_names(tuple(rows)) if name.startswith("--")} | {"--help", "--version"}
    assert named - {"--epochs", "--user", "--db-password", "--token", "--no-", "--pin"} == known


def test_the_man_page_has_every_command_with_its_operands_once_and_in_order():
    named = [line for line in section("COMMANDS") if line.startswith("supervise ")]
    assert named == [f"supervise {row.name} {row.operands}".rstrip() for row in SUBCOMMANDS]
