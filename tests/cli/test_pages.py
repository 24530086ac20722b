"""The man page and the completions in the repository: they are made of the tables, and well formed."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from supervise.commands import manual_pages
from supervise.commands.subcommands import SUBCOMMANDS, first_words
from supervise.commands.topics import TOPICS, text_of
from supervise.options.table import OPTIONS, option_names
from supervise.pages import build
from tests.support.programs import needed

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "man"
PAGES = {page.name: page for page in manual_pages.pages()}
REFERENCE = re.compile(r"(?<![\w.-])(supervise[\w.-]*)\(([1-8])\)")
TEXTS = (
    "README.md",
    "supervise/README.md",
    ".github/CONTRIBUTING.md",
    ".github/SECURITY.md",
    ".github/actions/supervise/README.md",
)
"""The texts beside the manual that may name its pages."""


def plain(source):
    """Return the source of a page without the escapes and macros of man(7) for fonts: `supervise-ps(1)` for a name."""
    text = re.sub(r"\\f[BIR]|\\&", "", source).replace("\\-", "-").replace("\\e", "\\")
    # What stands between the quotes of a macro has its spaces; the words outside of them are joined.
    return re.sub(r"^\.([BIR]{2}) (.*)", lambda line: _joined(line[2]), text, flags=re.MULTILINE)


def _joined(words):
    return "".join(quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', words))


def page_text(name):
    return plain((MANUAL / PAGES[name].path).read_text(encoding="ascii"))


def section(name, title):
    """Return the lines of one section of a page, as text without escapes."""
    return page_text(name).split(f"\n.SH {title}\n")[1].split("\n.SH ")[0].splitlines()


def named_options(rows):
    """Return the lines by which a page names the options of these rows."""
    names = option_names(tuple(rows))
    lines = []
    for option in rows:
        value = f"[={option.metavar}]" if option.implied else f" {option.metavar}".rstrip()
        lines.append(", ".join(name for name, row in names.items() if row is option) + value)
    return lines


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


def test_the_page_of_run_has_every_option_with_its_names_once_and_in_order():
    named = [line for line in section("supervise-run", "OPTIONS") if line.startswith("-")]
    assert named == [*named_options(OPTIONS), "--help", "--version"]


@pytest.mark.parametrize("word", [word for word in first_words() if word != "run"])
def test_the_page_of_a_subcommand_has_its_operands_and_options_once_and_in_order(word):
    rows = [row for row in SUBCOMMANDS if row.name.split()[0] == word]
    lines = page_text(f"supervise-{word}").split("\n.SH OPTIONS")[0].splitlines()
    usage = [line for line in lines if line.startswith("supervise ")]
    assert usage == [f"supervise {row.usage}" for row in rows]
    whole = page_text(f"supervise-{word}").split("\n.SH DESCRIPTION\n")[1]
    named = [after for before, after in pairwise(whole.splitlines()) if before == ".TP" and after.startswith("-")]
    assert named == [*(line for row in rows for line in named_options(row.options)), "-h, --help"]


def test_each_page_names_its_own_subject():
    """apropos(1) shows these lines."""
    for page in PAGES.values():
        source = (MANUAL / page.path).read_text(encoding="ascii")
        # The mark is for man(1): without it some leave the tables as they are.
        assert source.startswith("'\\\" t\n") == ("\n.TS\n" in source)
        assert re.match(rf"(?:'.*\n)?.*\n.*\n\.TH {page.name.upper()} {page.section} ", source)
        assert " ".join(section(page.name, "NAME")) == f"{page.name} - {page.about}"
    assert len({page.about for page in PAGES.values()}) == len(PAGES)


def test_the_manual_names_no_unknown_option_and_all_that_there_are():
    # Of other programs it names these.
    text = "\n".join(map(page_text, PAGES))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    rows = [*OPTIONS, *(option for row in SUBCOMMANDS for option in row.options)]
    known = {name for name in option_names(tuple(rows)) if name.startswith("--")} | {"--help", "--version"}
    engines = {"--image", "--template", "--manifest", "--namespace"}
    assert (
        named
        - engines
        - {"--follow-symlinks", "--epochs", "--user", "--db-password", "--token", "--no-", "--pin", "--time"}
        == known
    )


# --- the cross references ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_each_page_that_a_page_names_is_there(name):
    named = {(one, int(number)) for one, number in REFERENCE.findall(page_text(name))}
    assert named <= {(page.name, page.section) for page in PAGES.values()}
    assert (name, PAGES[name].section) not in REFERENCE.findall("".join(section(name, "SEE ALSO")))


@pytest.mark.parametrize("name", PAGES)
def test_each_section_that_a_page_names_is_on_it(name):
    """Sections have names in capitals, so `see STOPPING` is one of the page's own, or a leftover."""
    text = " ".join(page_text(name).split())
    named = re.findall(r"\b(?:see|under|in) (?:\.BR )?\"?([A-Z]{3,}(?: [A-Z]{2,})*)\b(?![_$(=])", text)
    titles = re.findall(r"^\.SH (.*)", page_text(name), re.MULTILINE)
    assert set(named) - {"TMPDIR", "PATH", "HOME", "XML", "STATUS", "COMMAND", "UTC", "JSON", "TOML", "FILE"} <= {
        *titles
    }


def test_the_page_of_the_program_leads_to_all_others():
    others = {(page.name, str(page.section)) for page in PAGES.values()} - {("supervise", "1")}
    lists = "\n".join((*section("supervise", "SUBCOMMANDS"), *section("supervise", "GUIDES")))
    assert others == set(REFERENCE.findall(lists))


@pytest.mark.parametrize("path", TEXTS)
def test_each_page_that_another_text_names_is_there(path):
    assert_known(REFERENCE.findall((ROOT / path).read_text()))


def test_each_page_that_the_help_names_is_there():
    rows = [f"{row.help} {row.about} {' '.join(option.help for option in row.options)}" for row in SUBCOMMANDS]
    texts = [*rows, *(option.help for option in OPTIONS), *map(text_of, TOPICS)]
    assert_known([found for text in texts for found in REFERENCE.findall(" ".join(text.split()))])


def assert_known(references):
    assert {(name, int(number)) for name, number in references} <= {
        (page.name, page.section) for page in PAGES.values()
    }


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic != "cron"])
def test_the_page_of_a_topic_begins_with_the_text_of_the_help(topic):
    """The page of cron is a longer text with the same crontab; `test_topics.py` compares them."""
    (page,) = [page for page in PAGES.values() if page.word == topic]
    words = re.sub(r"^\.[A-Z]+\b[^\n]*", "", page_text(page.name), flags=re.MULTILINE)
    there = " ".join(words.split())
    for block in text_of(topic).rstrip("\n").split("\n\n")[1:]:
        if not block.startswith(("## ", "More is in ")):
            for item in re.split(r"^- ", block, flags=re.MULTILINE):
                assert " ".join(item.split()) in there


def test_man_finds_the_pages_by_their_names(tmp_path):
    """man(1) reads a folder of this form, as share/man is."""
    for name, words in {"supervise-wait": "wait for the end", "supervise.toml": "defaults for the options"}.items():
        call = subprocess.run(
            [needed("man"), "-P", "cat", "-M", MANUAL, name],
            capture_output=True, text=True, timeout=60, check=True, env=os.environ | {"HOME": str(tmp_path)},
        )  # fmt: skip
        assert words in " ".join(call.stdout.split())
