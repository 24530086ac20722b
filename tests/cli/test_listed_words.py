"""The completion of runs, names, batches, profiles and locks, in a real bash, zsh and fish."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.support.clients import command, newest
from tests.support.harness import Place
from tests.support.programs import needed
from tests.support.shells import BASH_RC, COMPLETIONS, HANG_SECONDS, ZSH_RC, Terminal, interactive

ODD = {
    "my ci": "my",
    "it's": "it",
    'say "hi"': "say",
    "$HOME dir": r"\$",
    "a`b`": "a",
    "semi;colon & (more)": "semi",
    "star*": "star",
    "na\u00efve": "na",
    "tilde~": "til",
    "who'": "who",
    "x#y!z": "x",
}
"""Names of profiles, and what is typed of each before TAB."""
Shell = Callable[[Place], AbstractContextManager[Terminal]]
FISH_RC = """
function fish_prompt; printf 'ready> '; end
function fish_greeting; end
source {completions}/supervise.fish
"""


@pytest.fixture
def known(supervise: Place, lock_name: str) -> Place:
    """A home with two runs that have names, a batch, a lock and profiles."""
    folder = Path(supervise.environ["HOME"]) / ".config/supervise"
    folder.mkdir(parents=True)
    profiles = [*ODD, "plain", "two\nlines"]
    (folder / "config.toml").write_text("".join(f"[profiles.{json.dumps(name)}]\nquiet = true\n" for name in profiles))
    assert supervise("--name", "build", "--lock", lock_name, "--", "true").code == 0
    assert supervise("--name", "nightly", "--", "true").code == 0
    assert command(supervise, "submit", "--name", "thumbs", "--", "true", ":::", "1").code == 0
    return supervise


def listed(place: Place, *kinds: str) -> list[str]:
    """Return the words that the program lists."""
    printed = command(place, "completions", "--list", ",".join(kinds))
    assert (printed.code, printed.err) == (0, b"")
    return printed.out.decode().splitlines()


# --- the list --------------------------------------------------------------------------------------------------------


def test_the_list_has_what_there_is(known: Place, lock_name: str) -> None:
    ids = listed(known, "runs")
    assert ids[0] == newest(known)
    assert len(ids) == 3
    assert listed(known, "names") == ["build", "nightly", "thumbs.1"]
    assert listed(known, "batches") == ["thumbs"]
    assert lock_name in listed(known, "locks")
    assert listed(known, "names", "batches") == ["build", "nightly", "thumbs.1", "thumbs"]


def test_a_profile_that_is_no_line_is_left_out(known: Place) -> None:
    assert sorted(listed(known, "profiles")) == sorted([*ODD, "plain"])


def test_the_list_is_empty_where_nothing_is_known(supervise: Place) -> None:
    assert listed(supervise, "runs", "names", "batches", "profiles") == []
    supervise.environ["HOME"] = "/nonexistent"
    assert listed(supervise, "runs", "names", "batches", "profiles") == []


def test_the_list_of_a_configuration_with_an_error_is_empty(supervise: Place) -> None:
    supervise.file("it.toml").write_text("[profiles.x\n")
    supervise.environ["SUPERVISE_CONFIG"] = str(supervise.file("it.toml"))
    assert listed(supervise, "profiles") == []
    supervise.file("it.toml").write_text("[profiles.x]\n")
    assert listed(supervise, "profiles") == ["x"]


def test_another_list_is_refused(supervise: Place) -> None:
    wrong = command(supervise, "completions", "--list", "users")
    assert (wrong.code, wrong.out) == (125, b"")
    assert "runs,names,batches,profiles,locks" in wrong.messages[0]


# --- in the shells ---------------------------------------------------------------------------------------------------


@contextmanager
def bash(known: Place) -> Iterator[Terminal]:
    rc = known.file("rc")
    rc.write_text(BASH_RC.format(completions=COMPLETIONS))
    words = [needed("bash"), "--noprofile", "--rcfile", str(rc), "-i"]
    with interactive(words, known.folder, {**known.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8"}) as terminal:
        yield terminal


@contextmanager
def zsh(known: Place) -> Iterator[Terminal]:
    known.file(".zshrc").write_text(ZSH_RC.format(completions=COMPLETIONS))
    env = {**known.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8", "ZDOTDIR": str(known.folder)}
    with interactive([needed("zsh"), "-i"], known.folder, env) as terminal:
        yield terminal


def fish_offers(known: Place, line: str) -> list[str]:
    """Return what fish offers for that line."""
    call = subprocess.run(
        [needed("fish"), "-c", f"source {COMPLETIONS}/supervise.fish; complete -C $argv[1]", line],
        env={**known.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8"}, cwd=known.folder,
        capture_output=True, text=True, timeout=HANG_SECONDS, check=True,
    )  # fmt: skip
    assert call.stderr == ""
    return [offer.split("\t")[0] for offer in call.stdout.splitlines()]


LINES = {
    "supervise show bu": "supervise show build ",
    "supervise logs -f ni": "supervise logs -f nightly ",
    "supervise stop thumbs": "thumbs.1",
    "supervise collect th": "supervise collect thumbs ",
    "supervise suggest bu": "supervise suggest build ",
    "supervise --name bu": "supervise --name build ",
    "supervise run --profile pl": "supervise run --profile plain ",
    "supervise submit --resume th": "supervise submit --resume thumbs ",
    "supervise config set idle-t": "supervise config set idle-timeout ",
    "supervise man lock": "supervise man locks ",
}
"""Lines that are typed before TAB, and what is seen then."""


@pytest.mark.parametrize("shell", [bash, zsh])
def test_a_shell_completes_words_at_a_terminal(known: Place, lock_name: str, shell: Shell) -> None:
    run_id = newest(known)
    with shell(known) as terminal:
        for line, shown in LINES.items():
            terminal.complete(line, shown)
        terminal.complete(f"supervise wait {run_id[:-3]}", f"{run_id} ")
        terminal.complete(f"supervise --lock {lock_name[:-3]}", f"{lock_name} ")


@pytest.mark.parametrize("shell", [bash, zsh])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_completed_word_means_what_it_says(known: Place, shell: Shell, quote: str) -> None:
    """The completed line is run: a profile that does not exist ends with 125."""
    with shell(known) as terminal:
        for name, begun in ODD.items():
            typed = quote + begun.replace("\\", "" if quote == "'" else "\\")
            if "!" in name and quote == '"':
                # A shell for people takes ! within double quotes for its history, whatever stands before it.
                continue
            os.write(terminal.fd, f"supervise config show --profile {typed}\t".encode())
            os.write(terminal.fd, b' >/dev/null && printf "%s%s\\n" go od || printf "%s%s\\n" b ad\n')
            terminal.wait_for(r"(good|bad)\r?\n")
            assert "good" in terminal.last, (name, terminal.last)


@pytest.mark.parametrize(("line", "shown"), LINES.items())
def test_fish_completes_words(known: Place, line: str, shown: str) -> None:
    offers = fish_offers(known, line)
    assert shown.split()[-1] in offers


def test_fish_completes_every_profile(known: Place) -> None:
    assert sorted(fish_offers(known, "supervise --profile ")) == sorted([*ODD, "plain"])
    assert fish_offers(known, f"supervise extend {newest(known)[:-3]}") == [newest(known)]


def test_fish_quotes_what_it_completes(known: Place) -> None:
    """A fish at a terminal runs the completed line: a profile that does not exist ends with 125."""
    rc = known.file("rc.fish")
    rc.write_text(FISH_RC.format(completions=COMPLETIONS))
    env = {**known.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "TMPDIR": str(known.folder)}
    with interactive([needed("fish"), "--no-config", "-i", "-C", f"source {rc}"], known.folder, env) as terminal:
        for name, begun in ODD.items():
            os.write(terminal.fd, f"supervise config show --profile {begun}\t".encode())
            os.write(terminal.fd, b' >/dev/null; and printf "%s%s\\n" go od; or printf "%s%s\\n" b ad\n')
            terminal.wait_for(r"(good|bad)\r?\n")
            assert "good" in terminal.last, (name, terminal.last)
