"""The completions in a real bash, zsh and fish."""

import subprocess

import pytest

from supervise.commands.subcommands import first_words
from supervise.options.table import OPTIONS
from supervise.pages.completions import NAMES
from tests.support.programs import needed
from tests.support.shells import BASH_RC, COMPLETIONS, HANG_SECONDS, ZSH_RC, environ, interactive

LONG_NAMES = {name for name in NAMES if name.startswith("--")} | {"--help", "--version"}
BASH_CALL = r"""
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_supervise
printf '%s\n' "${COMPREPLY[@]}"
"""
# A stand-in for the package bash-completion, which has a function of this name and argument.
BASH_PACKAGE = r"""
_command_offset() { COMPREPLY=("handed-over-from-$1"); }
"""


@pytest.fixture
def home(tmp_path):
    """Make a home that is empty but for one file with an awkward name; the shells run in it."""
    (tmp_path / "my report.json").touch()
    return tmp_path


def bash_offers(words, home, before=""):
    """Return what the function puts into COMPREPLY; the cursor is at the last word."""
    call = subprocess.run(
        [needed("bash"), "--norc", "-c", before + BASH_CALL, "bash", COMPLETIONS / "supervise.bash", *words],
        env=environ(home), cwd=home, capture_output=True, text=True, timeout=HANG_SECONDS, check=True,
    )  # fmt: skip
    assert call.stderr == ""
    return call.stdout.split("\n")[:-1]


def fish_offers(line, home):
    """Return the completions that fish offers for that line."""
    call = subprocess.run(
        [needed("fish"), "-c", f"source {COMPLETIONS}/supervise.fish; complete -C $argv[1]", line],
        env=environ(home), cwd=home, capture_output=True, text=True, timeout=HANG_SECONDS, check=True,
    )  # fmt: skip
    assert call.stderr == ""
    return [offer.split("\t")[0] for offer in call.stdout.splitlines()]


# --- bash ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (["supervise", ""], [*first_words()]),
        (["supervise", "sl"], ["sleep"]),
        (["supervise", "sleep", "--"], ["--help"]),
        (["supervise", "sleep", ""], []),
        (["supervise", "--idle-t"], ["--idle-timeout"]),
        (["supervise", "run", "--idle-t"], ["--idle-timeout"]),
        (["supervise", "run", "-q", "--timeout", "=", "5", "--idle-t"], ["--idle-timeout"]),
        (["supervise", "--signal", "T"], ["TERM", "TSTP"]),
        (["supervise", "--signal", "=", "T"], ["TERM", "TSTP"]),
        (["supervise", "run", "-qs", "T"], ["TERM", "TSTP"]),
        (["supervise", "--stragglers", "="], ["report", "kill", "wait"]),
        (["supervise", "--idle-on", "std"], ["stdout", "stderr"]),
        (["supervise", "--extend-on", "cpu,s"], ["cpu,socket"]),
        (["supervise", "--report", "my"], ["my report.json"]),
        (["supervise", "--timeout", ""], []),
        (["supervise", "make", ""], []),
        (["supervise", "-q", ""], []),
        (["supervise", "run", "mkdi"], ["mkdir"]),
    ],
)
def test_bash_offers_the_words(words, offers, home):
    assert [offer for offer in bash_offers(words, home) if offer] == offers


def test_bash_offers_the_names_on_record(home):
    stand_in = 'supervise() { [[ $* == "completions --list names" ]] && printf "build\\nnightly\\n"; }\n'
    assert bash_offers(["supervise", "suggest", "n"], home, stand_in) == ["nightly"]
    assert bash_offers(["supervise", "suggest", "--l"], home, stand_in) == ["--list"]


def test_bash_offers_every_option(home):
    assert set(bash_offers(["supervise", "--"], home)) == LONG_NAMES


@pytest.mark.parametrize(
    ("words", "offset"),
    [
        (["supervise", "run", "mkdir", "--par"], 2),
        (["supervise", "run", "-qt", "5", "mkdir", "--par"], 4),
        (["supervise", "run", "-qt5", "--timeout", "=", "5", "mkdir", ""], 6),
        (["supervise", "run", "--", "-x", ""], 3),
        (["supervise", "--", ""], 2),
        (["supervise", "-t", "5", "--", "mkdir", "--par"], 4),
        (["supervise", "--report", "run", "--", "mkdir", "--par"], 4),
        (["supervise", "run", "make", "--", "-j"], 2),
    ],
)
def test_bash_leaves_the_words_of_the_command_to_bash_completion(words, offset, home):
    assert bash_offers(words, home, before=BASH_PACKAGE) == [f"handed-over-from-{offset}"]


def test_bash_completes_at_a_terminal(home):
    rc = home / "rc"
    rc.write_text(BASH_RC.format(completions=COMPLETIONS))
    with interactive([needed("bash"), "--noprofile", "--rcfile", str(rc), "-i"], home, environ(home)) as terminal:
        terminal.complete("supervise --idle-t", "--idle-timeout ")
        terminal.complete("supervise --signal=T", "TERM", "TSTP")
        terminal.complete("supervise --extend-on cpu,s", "cpu,socket")
        terminal.complete("supervise run --report my", r"my\\ report.json ")
        terminal.complete("supervise run -t5 mkdi", "mkdir ")
        # Without the package bash-completion the files are offered.
        terminal.complete("supervise run cat my", r"my\\ report.json ")


# --- zsh -------------------------------------------------------------------------------------------------------------


def test_zsh_completes_at_a_terminal(home):
    (home / ".zshrc").write_text(ZSH_RC.format(completions=COMPLETIONS))
    with interactive([needed("zsh"), "-i"], home, environ(home)) as terminal:
        terminal.complete("supervise ru", "supervise run ")
        terminal.complete("supervise sl", "supervise sleep ")
        terminal.complete("supervise sleep --h", "--help ")
        terminal.complete("supervise --idle-t", "--idle-timeout=")
        terminal.complete("supervise run -q --idle-t", "--idle-timeout=")
        terminal.complete("supervise --signal T", "TERM", "TSTP")
        terminal.complete("supervise --signal=T", "TERM", "TSTP")
        terminal.complete("supervise run -qs T", "TERM", "TSTP")
        terminal.complete("supervise --extend-on cpu,so", "cpu,socket")
        terminal.complete("supervise --report my", r"my\\ report.json ")
        terminal.complete("supervise run mkdi", "mkdir ")
        terminal.complete("supervise run -qt5 mkdir --par", "--parents ")
        terminal.complete("supervise run -t 5 -- mkdir --par", "--parents ")
        terminal.complete("supervise -t 5 -- mkdir --par", "--parents ")
        terminal.complete("supervise run supervise run --idle-t", "--idle-timeout=")
        terminal.complete("supervise --", *(f"{name}\\b" for name in LONG_NAMES))


# --- fish ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("supervise ", sorted(first_words())),
        ("supervise sl", ["sleep"]),
        ("supervise sleep --", ["--help"]),
        ("supervise sleep ", []),
        ("supervise --idle-t", ["--idle-timeout"]),
        ("supervise run -q --idle-t", ["--idle-timeout"]),
        ("supervise --signal T", ["TERM", "TSTP"]),
        ("supervise --signal=T", ["--signal=TERM", "--signal=TSTP"]),
        ("supervise run -qs T", ["TERM", "TSTP"]),
        ("supervise --extend-on cpu,s", ["cpu,socket"]),
        ("supervise --report my", ["my report.json"]),
        ("supervise --timeout ", []),
        ("supervise make ", []),
        ("supervise -q ", []),
        ("supervise run mkdi", ["mkdir"]),
        ("supervise run mkdir --par", ["--parents"]),
        ("supervise run -qt 5 mkdir --par", ["--parents"]),
        ("supervise run -qt5 --timeout=5 mkdir --par", ["--parents"]),
        ("supervise run -t 5 -- mkdir --par", ["--parents"]),
        ("supervise -t 5 -- mkdir --par", ["--parents"]),
        ("supervise run mkdir 'a b' --par", ["--parents"]),
        ("supervise run supervise run --idle-t", ["--idle-timeout"]),
        ("supervise run cat my", ["my report.json"]),
    ],
)
def test_fish_offers_the_words(line, offers, home):
    assert fish_offers(line, home) == offers


def test_fish_offers_every_option(home):
    assert set(fish_offers("supervise --", home)) == LONG_NAMES
    assert set(fish_offers("supervise -", home)) >= {"-" + option.short for option in OPTIONS if option.short}
