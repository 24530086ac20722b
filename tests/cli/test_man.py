"""`supervise man`, `completions` and `schema`: what was installed with supervise is printed, or shown on a terminal."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pexpect
import pytest

from supervise.commands import man_text, manual_pages
from supervise.commands.shared_files import COMPLETIONS
from supervise.commands.subcommands import SCHEMAS
from supervise.options import config
from supervise.options.table import OPTIONS, BadValueError
from tests.support.clients import command
from tests.support.harness import Place
from tests.support.programs import needed

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

ROOT = Path(__file__).parents[2]
PAGES = manual_pages.pages()
PATHS = [ROOT / "man" / page.path for page in PAGES]
HANG_SECONDS = 30.0


def words(text: str) -> list[str]:
    """Return the words of a page, without those of its head and its foot, which mandoc sets in another form.

    mandoc has + and o for the bullet of a list.
    """
    found = [word for line in text.strip().splitlines()[1:-1] for word in line.split()]
    return ["*" if word in ("o", "+") else word for word in found]


# --- the text of a page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_the_text_of_a_page_has_the_words_that_mandoc_shows(path: Path) -> None:
    shown = subprocess.run(
        [needed("mandoc"), "-T", "ascii", "-O", "width=78", path], capture_output=True, check=True, timeout=HANG_SECONDS
    ).stdout.decode()
    there = re.sub(r".\x08", "", shown)
    ours = man_text.rendered(path.read_text(encoding="ascii"), 78)
    assert words(ours) == words(there)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_text_of_a_page_fits_the_width(path: Path, width: int) -> None:
    source = path.read_text(encoding="ascii")
    # Examples, tables and long words are not broken.
    fixed = re.findall(r"^\.(?:EX|nf|TS)\n(.*?)^\.(?:EE|fi|TE)", source, re.DOTALL | re.MULTILINE)
    kept = " ".join(
        " ".join(fixed).replace("\\-", "-").replace("\\(aq", "'").replace("\\(ti", "~").replace("\\e", "\\").split()
    )
    for line in man_text.rendered(source, width).splitlines()[1:-1]:
        text = " ".join(line.split())
        assert len(line) <= width or len(text.split()) <= 2 or text in kept or "\t" in kept, line


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_each_macro_and_escape_of_a_page_is_known(path: Path) -> None:
    source = "".join(
        line for line in path.read_text(encoding="ascii").splitlines(True) if line[1:3] != man_text.COMMENT
    )
    assert set(re.findall(r"^\.([A-Za-z]+)", source, re.MULTILINE)) <= {*man_text.MACROS}
    assert "\\" not in man_text.ESCAPES.sub("", source)
    assert {*re.findall(r"\\\((..)", source)} <= {*man_text.SPECIAL}


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.word)
def test_each_page_is_printed_by_each_of_its_names(supervise: Place, page: manual_pages.Page) -> None:
    printed = command(supervise, "man", page.word)
    assert (printed.code, printed.err) == (0, b"")
    assert printed.out.decode().startswith(f"{page.name.upper()}({page.section})")
    if page.word == "ps":
        for name in ("supervise-ps", "supervise-ps.1", "ps(1)", "ps.1"):
            assert command(supervise, "man", name).out == printed.out


def test_the_page_without_a_name_is_that_of_the_program(supervise: Place) -> None:
    assert command(supervise, "man").out == command(supervise, "man", "supervise").out
    assert command(supervise, "man", "toml").out == command(supervise, "man", "supervise.toml").out


def test_a_page_that_is_not_there_names_the_nearest_one(supervise: Place) -> None:
    wrong = command(supervise, "man", "limit")
    assert (wrong.code, wrong.messages) == (125, ["man: no page 'limit'; did you mean limits?"])
    wrong = command(supervise, "man", "zzzz")
    assert wrong.code == 125
    assert wrong.messages[0].startswith("man: no page 'zzzz'; there are supervise, run, ")


def terminal(supervise: Place, path: str, **environ: str) -> pexpect.spawn:
    """Call `supervise man ps` on a terminal, with the programs of that PATH."""
    env = {**supervise.environ, "TERM": "vt100", "LC_ALL": "C.UTF-8", "PATH": path, **environ}
    return pexpect.spawn(str(supervise.program), ["man", "ps"], env=env, timeout=HANG_SECONDS, dimensions=(24, 80))


def folder_of(tmp_path: Path, *programs: str) -> str:
    """Return a folder that has these programs alone."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in programs:
        (folder / name).symlink_to(needed(name))
    return str(folder)


def test_a_terminal_gets_the_page_through_man(supervise: Place) -> None:
    needed("man")
    with_man = terminal(supervise, os.environ["PATH"], MANPAGER="sed s/^/P:/", PAGER="false")
    with_man.expect(r"P:SUPERVISE-PS\(1\)")
    with_man.expect(pexpect.EOF)
    with_man.close()
    assert with_man.exitstatus == 0


def test_a_pager_takes_the_keys(supervise: Place, tmp_path: Path) -> None:
    less = terminal(supervise, folder_of(tmp_path, "less"))
    less.expect("SYNOPSIS")
    # less goes on after Ctrl-C, and so does supervise.
    less.send("\x03")
    less.send("G")
    less.expect("SEE ALSO")
    less.send("q")
    less.expect(pexpect.EOF)
    less.close()
    assert (less.exitstatus, less.signalstatus) == (0, None)


def test_the_pager_is_that_of_the_user(supervise: Place, tmp_path: Path) -> None:
    shown = terminal(supervise, folder_of(tmp_path, "less", "sed"), PAGER="sed s/^/P:/")
    shown.expect(r"P:SUPERVISE-PS\(1\)")
    shown.expect(pexpect.EOF)


def test_a_terminal_without_man_and_pager_gets_the_text(supervise: Place, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    # Images without a manual have a script of this name.
    (Path(folder) / "man").write_text("#!/bin/sh\necho 'This system has been minimized'\n")
    (Path(folder) / "man").chmod(0o755)
    plain = terminal(supervise, folder)
    plain.expect(r"SUPERVISE-PS\(1\)")
    plain.expect(pexpect.EOF)
    assert b"minimized" not in plain.before
    plain.close()
    assert plain.exitstatus == 0


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_the_completions_are_those_of_the_repository(supervise: Place, shell: str) -> None:
    printed = command(supervise, "completions", shell)
    assert (printed.code, printed.out) == (0, (ROOT / COMPLETIONS[shell][0]).read_bytes())


def test_the_completions_of_another_shell_are_refused(supervise: Place) -> None:
    wrong = command(supervise, "completions", "ksh")
    assert (wrong.code, wrong.out) == (125, b"")
    assert wrong.messages == ["completions: got 'ksh', takes one of bash, zsh, fish; did you mean zsh?"]


# --- the schemas -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", SCHEMAS)
def test_each_schema_is_one(supervise: Place, word: str) -> None:
    printed = command(supervise, "schema", word)
    schema = json.loads(printed.out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (printed.code, schema["$id"]) == (0, f"urn:supervise:{word}:1")


def test_each_schema_of_the_package_can_be_printed() -> None:
    there = {path.name.removesuffix(".schema.json") for path in (ROOT / "supervise" / "schema").glob("*.json")}
    assert there == {*SCHEMAS}


def test_another_schema_is_refused(supervise: Place) -> None:
    wrong = command(supervise, "schema", "reports")
    assert (wrong.code, len(wrong.messages)) == (125, 1)
    assert "takes one of report, event, config, answer, batch; did you mean report?" in wrong.messages[0]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((ROOT / "supervise/schema/config.schema.json").read_text()))


VALUES = [
    "",
    "x",
    "off",
    "on",
    "5m",
    "cpu",
    "yes",
    True,
    3,
    1.5,
    ["5m", "1m"],
    [3, 4],
    ["cpu", "socket"],
    {"a": 1},
    [["x"]],
]


@pytest.mark.parametrize("name", config.configurable())
def test_the_schema_of_the_configuration_takes_what_the_reader_takes(
    validator: jsonschema.Draft202012Validator, name: str
) -> None:
    option = next(option for option in OPTIONS if name in (option.name, *option.aliases))
    for value in [*VALUES, *option.choices, *([option.default] if option.default else [])]:
        try:
            config.word_of(option, value)
            is_type = True
        except BadValueError:
            is_type = False
        problems: list[config.Problem] = []
        is_value = bool(config._read_table({name: value}, (), problems)) and not problems
        document = {"profiles": {"ci": {name: value}}}
        assert validator.is_valid({name: value}) == validator.is_valid(document)
        if is_value:
            assert validator.is_valid({name: value}), value
        if not is_type:
            assert not validator.is_valid({name: value}), value


def test_the_schema_of_the_configuration_knows_the_keys(validator: jsonschema.Draft202012Validator) -> None:
    assert validator.is_valid({"idle-timeout": "15m", "profiles": {"ci": {"quiet": True}}})
    for wrong in (
        {"idle_timeout": "15m"},
        {"profiles": {"ci": {"profile": "x"}}},
        {"profile": {}},
        {"idle-on": "none"},
    ):
        assert not validator.is_valid(wrong)


def test_the_files_are_found_from_any_folder_above_the_package(tmp_path: Path) -> None:
    """As in an installation: the package is five folders below the prefix."""
    packages = tmp_path / "usr/lib/python3.11/site-packages"
    shutil.copytree(ROOT / "supervise", packages / "supervise", ignore=shutil.ignore_patterns("pages", "__pycache__"))
    shutil.copytree(ROOT / "man", tmp_path / "usr/share/man")
    code = f"import sys; sys.path.insert(0, {str(packages)!r}); from supervise.__main__ import main; main()"
    call = [sys.executable, "-I", "-c", code, "man", "ps"]
    shown = subprocess.run(call, capture_output=True, timeout=HANG_SECONDS, check=False, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "supervise-ps - list" in shown.stdout
    shutil.rmtree(tmp_path / "usr/share")
    refused = subprocess.run(call, capture_output=True, timeout=HANG_SECONDS, check=False, text=True)
    assert refused.returncode == 125
    assert refused.stderr.startswith("supervise: man: supervise-ps(1) was not installed with supervise")
