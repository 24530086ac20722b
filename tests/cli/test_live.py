"""The live line of the installed program on a real terminal: it shows while the command is silent, without a trace."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from tests.support.harness import HANG_SECONDS, Place, child, wait_for_file, wait_until
from tests.support.listed_runs import listed
from tests.support.screens import CTRL_C, CTRL_Z, Screen, screen, shell, tmux, words

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

DRAWN = re.compile(rb"(?:\x1b\[\d+C\x1b\[\d+D|\r)(supervise: [^\r\n]*?)\x1b\[0K(?:\x1b\[\d+D|\r)")
"""Each drawing of the line, among the bytes that reach the terminal."""
ERASED = re.compile(rb"\x1b\[0[KJ]")
SILENCE_SECONDS = "2.2"
"""Seconds of silence after which the line has been drawn, on a machine that is not too busy."""
PAUSE = "pause() { until rm go 2>>errors; do sleep 0.03; done; }\n"
"""A shell function that waits for the test, which goes on once the line was drawn."""
NO_PAUSE = "pause() { sleep 0.4; }\n"


def run(supervise: Place, line: str, script: str, pauses: int = 0, live: str = "1") -> Screen:
    """Run a line of a shell, to its end, on a terminal of its own; `script` is the content of a file.

    At each of the pauses in the script the test waits for the live line.
    """
    supervise.file("script").write_text((PAUSE if live else NO_PAUSE) + script)
    with screen(supervise, ["bash", "-c", line], {"SUPERVISE_LIVE": live}) as on:
        for number in range(pauses if live else 0):
            wait_to_be_drawn(on, f"drawing {number + 1}")
            supervise.file("go").touch()
            wait_until(lambda: not supervise.file("go").exists())
        on.wait_for_end()
    return on


def wait_to_be_drawn(on: Screen, what: str) -> None:
    """Wait until the line was drawn once more."""
    before = len(on.transcript)
    on.wait_until(lambda: DRAWN.search(on.transcript, before), what)


def cells(on: Screen) -> list[list[Any]]:
    """Return the whole screen with its colours, and the place of the cursor."""
    one = on._screen
    return [[one.buffer[y][x] for x in range(one.columns)] for y in range(one.lines)] + [[one.cursor.x, one.cursor.y]]


def without_the_line(transcript: bytes) -> bytes:
    """Return the bytes without all drawings and erasures of the live line."""
    return ERASED.sub(b"", DRAWN.sub(b"", transcript))


def without_and_with(supervise: Place, line: str, script: str, pauses: int) -> tuple[Screen, Screen]:
    """Run without and with the line; check that the same bytes have come but for the line."""
    plain, on = run(supervise, line, script, live=""), run(supervise, line, script, pauses)
    assert without_the_line(on.transcript) == plain.transcript
    return plain, on


def live(supervise: Place, *options: str) -> list[str]:
    """Return the words that run a command with the live line."""
    return [str(supervise.program), "--live", *options, "--"]


# --- what the line shows


def test_the_line_appears_after_a_silence_and_counts_down(supervise: Place) -> None:
    command = child("ready", "wait_for=go", "ready", "stay")
    with screen(supervise, [*live(supervise, "-t", "5m"), *command]) as on:
        line = r"supervise: running for \d+s, \[[#-]{8}\] completion limit in 4m(\d+)s\Z"
        first = int(on.wait_for(rf"^ready\n{line}"))
        on.wait_until(lambda: int(on.wait_for(rf"^ready\n{line}")) < first - 1, "a later one")
        assert on.cursor_column == 0
        supervise.file("go").touch()
        on.wait_for(rf"^ready\nready\n{line}")
        on.type(CTRL_C)
        on.wait_for_end()
        assert "cancelled by signal INT" in on.text
        assert "running" not in on.text


def test_the_line_shows_the_cpu(supervise: Place) -> None:
    with screen(supervise, [*live(supervise), *child("burn_cpu=60")]) as on:
        on.wait_for(r"^supervise: running for \d+s, no output yet, cpu \d\d+%$")
        on.type(CTRL_C)
        on.wait_for_end()


def test_the_line_shows_access_limit_and_stop(supervise: Place) -> None:
    options = ["-a", "5", "-k", "5", "--warn-at", "off", "--diagnose", "off"]
    with screen(supervise, [*live(supervise, *options), *child("ignore=TERM", "stay")]) as on:
        on.wait_for(r"^supervise: not up yet after \d+s, \[#+-+\] access limit in \ds(, cpu [\d.]+%)?\Z")
        on.wait_for(r"^supervise: stopping \(access timeout\), KILL in \ds\Z")
        assert on.wait_for_end() == 122
        assert not re.search(r"\(access timeout\)|not up yet", on.text), on.text


def test_the_line_shows_the_delay_and_the_next_attempt(supervise: Place) -> None:
    script = "[ $SUPERVISE_ATTEMPT = 2 ] || exit 75; until rm go; do sleep 0.03; done 2>errors"
    with screen(supervise, [*live(supervise, "--retries", "2", "--retry-delay", "6"), "sh", "-c", script]) as on:
        on.wait_for(r"^supervise: attempt 2 of 3 in \ds \(exit 75\)\Z")
        on.wait_for(r"^supervise: running for \d+s, attempt 2 of 3, no output yet(, cpu [\d.]+%)?\Z")
        supervise.file("go").touch()
        assert on.wait_for_end() == 0
        assert re.fullmatch(r"supervise: attempt 2 of 3 in [\d.]+s: exit 75", on.text)


def test_the_line_shows_the_drain(supervise: Place) -> None:
    command = child("fork", "ignore=HUP", "mark=straggler", "stay", "end", "wait_for=straggler", "ready")
    with screen(supervise, [*live(supervise, "--drain", "6"), *command]) as on:
        on.wait_for(r"^ready\nsupervise: waiting for more output, \ds at most\Z")
        assert on.wait_for_end() == 0
        assert "waiting" not in on.text
        os.kill(wait_for_file(supervise.file("straggler")), signal.SIGKILL)


def test_a_warning_replaces_the_line(supervise: Place) -> None:
    on = run(supervise, "supervise -t 8 --warn-at 3s --diagnose off -- sh script", "echo ready; exec sleep 100")
    assert DRAWN.search(on.transcript)
    ready, *messages = on.text.splitlines()
    assert ready == "ready"
    first, *others = (line for line in messages if line.startswith("supervise: "))
    # A busy machine has the warning a little late.
    assert re.match(r"supervise: completion limit in (3|2\.\d)s \(", first)
    assert [line[:38] for line in others] == [
        "supervise: completion timeout: ran lon",
        "supervise: completion timeout: the com",
    ]


def test_the_line_shows_a_status_without_control_characters(supervise: Place) -> None:
    """Wide letters count as two columns, and control characters do not reach the screen."""
    status = "STATUS=\x1b[2J\x1b]0;t\x07\u4f60\u597d" + "\u4e16\u754c" * 60
    command = child("ready", f"notify={status}", "wait_for=go", "ready")
    with screen(supervise, [*live(supervise, "--notify"), *command]) as on:
        shown = r'"\x1b[2J\x1b]0;t\x07' + "\u4f60\u597d"
        on.wait_for(rf"^ready\nsupervise: running for \d+s, no output for \d+s, {re.escape(shown)}\S*\Z")
        supervise.file("go").touch()
        on.wait_for_end()
        assert on.text == "ready\nready"


# --- no trace of it

SCRIPTS = {
    "stdout": "echo one; pause; echo two",
    "stderr": "echo one >&2; pause; echo two >&2",
    "one after the other": "echo one; pause; echo two >&2; pause; echo three; pause",
    "nothing": "pause",
    "an unfinished end": "echo one; pause; printf two",
    "longer than a line": "seq -s ' ' 50; pause; seq -s ' ' 100",
    "a full screen": "seq 60; pause; seq 3",
    "colours": "printf 'a \\033[1;32mgreen\\033[0m word\\n'; pause; printf 'a \\033[44mblue\\033[0m one\\n'",
    "colours, taken back": "printf '\\033[1;32ma\\033[39;22m\\n'; pause; printf '\\033[7mb\\033[m\\033[K\\n'; pause",
    "taken back by 00": "printf '\\033[01;34ma\\033[39;49;00m\\n'; pause; printf '\\033[41mb\\033[00m\\n'; pause",
    "back on its own": "printf 'a\\nb\\n'; pause; printf '\\033[1A\\033[Kc\\n'; sleep 0.2; printf '\\033[1Ad\\n'",
    "a cleared screen": "printf 'a\\nb\\n'; clear; echo; pause; printf '\\033[2J\\033[Hc\\n'; pause; echo d",
    "a screen of rows": "printf 'a\\n\\033[1A'; seq 24; pause; echo b",
    "modes, taken back": "printf '\\033[?25l\\016\\033(0a\\033[?25h\\017\\033(B'; clear; echo; pause; echo b",
    "a title": "printf '\\033]0;title\\007\\033]8;;http://x\\033\\\\link\\033]8;;\\033\\\\\\n'; pause; echo b",
    "an empty line": "echo; pause; echo; echo",
    "a second attempt": "[ $SUPERVISE_ATTEMPT = 2 ] || { pause; echo one; exit 75; }; pause; echo two",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_screen_at_the_end_is_the_same_as_without_the_line(supervise: Place, script: str) -> None:
    line = "supervise -q --retries 1 --retry-delay 0 -- sh script; echo; echo code $?"
    plain = run(supervise, line, script, live="")
    on = run(supervise, line.replace(" -q", ""), script, script.count("pause"))
    retrying = rb"supervise: attempt 2 of 2 in 0s: exit 75\r\n"
    assert re.sub(retrying, b"", without_the_line(on.transcript)) == plain.transcript
    if "ATTEMPT" not in script:
        assert cells(on) == cells(plain)


@pytest.mark.parametrize("reader", ["cat", "tee file", "sed -u s/n/N/"])
def test_the_line_is_gone_before_a_reader_of_stdout_writes_to_the_terminal(supervise: Place, reader: str) -> None:
    line, script = f"supervise -- sh script | {reader}", "echo one; pause; echo two; pause; printf end"
    plain, on = without_and_with(supervise, line, script, script.count("pause"))
    assert cells(on) == cells(plain)


def test_no_line_is_drawn_while_a_reader_has_unread_output(supervise: Place) -> None:
    """The reader may show that output at any moment."""
    line, script = f"supervise -- sh script | (sleep {SILENCE_SECONDS}; cat)", "echo one; pause; echo two"
    plain, on = without_and_with(supervise, line, script, 1)
    assert cells(on) == cells(plain)
    assert not DRAWN.search(on.transcript.partition(b"one")[0])


TORN = {
    "a prompt": "printf 'Name? '; sleep $S; echo Ann",
    "a prompt on stderr": "printf 'Name? ' >&2; sleep $S; echo Ann >&2",
    "a progress bar": "printf '10 %%\\r'; sleep $S; printf '\\r20 %%\\r'; sleep $S; echo done",
    "a cursor elsewhere": "printf 'one\\n\\033[5;5H'; sleep $S; echo two",
    "a row of older text": "printf 'a\\nb\\nc\\n\\033[3AA\\n'; sleep $S; echo; echo two",
    "half a sequence": "printf 'a\\033['; sleep 0.2; printf '?1049h\\nb\\n'; sleep $S; printf '\\033[?1049l'",
    "another screen": "printf '\\033[?1049h\\033[2Ja\\n'; seq 30; sleep $S; printf '\\033[?1049l'",
    "a part that scrolls": "printf '\\033[5;10ra\\n'; seq 30; sleep $S; printf '\\033[r'",
    "a hidden cursor": "printf '\\033[?25la\\n'; clear; echo; sleep $S; printf '\\033[?25h'",
    "other characters": "printf 'a\\033(0\\n'; clear; echo; sleep $S; printf '\\033(B'",
    "colours": "printf '\\033[44mblue\\n'; sleep $S; printf 'and more\\033[m\\n'",
    "a password": "stty -echo; sleep $S; stty echo; echo done",
    "single keys": "stty -icanon; sleep $S; stty icanon; echo done",
    "raw": "stty raw; sleep $S; stty cooked; echo done",
}


READ_BY_CAT = ("a prompt", "a progress bar", "colours")
"""Scripts whose output cat shows unchanged on the terminal."""


@pytest.mark.parametrize(
    ("name", "reader"), [(name, "") for name in TORN] + [(name, " | cat") for name in READ_BY_CAT], ids=str
)
def test_no_line_is_drawn_where_it_could_tear_output(supervise: Place, name: str, reader: str) -> None:
    script = f"S={SILENCE_SECONDS}; echo up; pause; echo torn; sleep 0.5; {TORN[name]}"
    line = f"supervise -- sh script{reader}"
    _, on = without_and_with(supervise, line, script, 1)
    assert not DRAWN.search(on.transcript.partition(b"torn")[2])


UNDRAWN = {
    "no terminal": "supervise -- sh script 2>file; cat file",
    "a pipe": "supervise -- sh script 2>&1 | cat",
    "not asked for": "env -u SUPERVISE_LIVE supervise -- sh script",
    "a dumb one": "TERM=dumb supervise -- sh script",
    "an unknown one": "env -u TERM supervise -- sh script",
    "an empty name": "TERM= supervise -- sh script",
    "--quiet": "supervise -q -- sh script",
    "--pty": "supervise --pty -- sh script",
    "--detach": "id=$(supervise -d -- sh script); supervise wait $id; supervise logs $id",
    "in the background": "set -m; supervise -- sh script & wait",
    "by two names": "supervise -- sh script >/dev/tty",
}


@pytest.mark.parametrize("line", UNDRAWN.values(), ids=UNDRAWN)
def test_no_line_is_drawn_where_there_is_no_terminal_for_it(supervise: Place, line: str) -> None:
    on = run(supervise, line, f"echo one; sleep {SILENCE_SECONDS}; echo two")
    assert [line for line in on.text.splitlines() if "Done" not in line] == ["one", "two"]
    assert not DRAWN.search(on.transcript)


@pytest.mark.parametrize("into", [">out", "| cat >out"], ids=["file", "pipe"])
def test_redirected_output_is_unchanged_by_the_line(supervise: Place, into: str) -> None:
    """Redirected output ends the silence, too."""
    data = bytes(range(256)) * 5000 + b"\n" * 50
    supervise.file("data").write_bytes(data)
    on = run(supervise, f"supervise -- sh script {into}", "cat data; pause; cat data; pause; cat data", 2)
    assert re.search(rb"running for \ds", on.transcript)
    assert without_the_line(on.transcript) == b""
    assert supervise.file("out").read_bytes() == data * 3


def test_fifty_megabytes_arrive_whole_on_a_terminal_with_the_line(supervise: Place) -> None:
    script = f"{PAUSE} seq 3300000; pause; seq 3300000"
    got = bytearray()
    with screen(supervise, [*live(supervise, "--log-max", "0"), "sh", "-c", script]) as on:
        # The bytes do not go to the emulator, which would take minutes.
        while data := read(on):
            got += data
            if DRAWN.search(got, max(0, len(got) - 200)):
                supervise.file("go").touch()
        on.wait_for_end()
    numbers = subprocess.run(["seq", "3300000"], capture_output=True, timeout=HANG_SECONDS).stdout.replace(
        b"\n", b"\r\n"
    )
    assert len(numbers) > 25_000_000
    assert without_the_line(bytes(got)) == 2 * numbers
    assert len(got) > len(numbers) * 2


def read(on: Screen) -> bytes:
    """Return bytes from the terminal; empty at its end."""
    try:
        return os.read(on._child.child_fd, 1 << 16)
    except OSError:
        # EIO shows that no process is left at the other side of the terminal.
        return b""


# --- keys, jobs, windows


def test_ctrl_z_removes_the_line_and_fg_draws_it_again(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start(f"clear; supervise --live -- {words('ready', 'wait_for=go', 'ready')}")
        sh.wait_for(r"^ready\nsupervise: running")
        sh.type(CTRL_Z)
        sh.wait_for_prompt()
        assert sh.count("Stopped") == 1
        assert "pervise: running" not in sh.screen.text
        sh.start("clear; fg")
        sh.wait_for(r"^supervise: running for")
        supervise.file("go").touch()
        sh.wait_for_prompt()
        assert "pervise: running" not in sh.screen.text
        assert sh.has_line("ready")


def test_a_background_run_draws_no_line(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start(f"supervise --live -- {words('ready', 'wait_for=go')}")
        sh.wait_for(r"^ready\nsupervise: running")
        sh.type(CTRL_Z)
        sh.wait_for_prompt()
        drawn = len(DRAWN.findall(sh.screen.transcript))
        sh.run(f"bg; sleep {SILENCE_SECONDS}")
        supervise.file("go").touch()
        sh.run("wait")
        assert len(DRAWN.findall(sh.screen.transcript)) == drawn


@pytest.mark.parametrize("end", ["ctrl-c", "stop", "timeout", "the terminal's other modes"])
def test_the_line_is_removed_at_any_end_of_the_run(supervise: Place, end: str) -> None:
    how: dict[str, Callable[[], object]] = {
        "ctrl-c": lambda: sh.type(CTRL_C),
        "stop": lambda: supervise.shell("supervise stop it"),
        "timeout": lambda: None,
        "the terminal's other modes": supervise.file("go").touch,
    }
    command = {"the terminal's other modes": f"sh -c '{PAUSE.strip()}; echo ready; pause; stty sane'"}
    with shell(supervise) as sh:
        options = "-t 8" if end == "timeout" else "--name it"
        run = command.get(end, words("ready", "stay"))
        sh.start(f"clear; supervise --live {options} --warn-at off --diagnose off -- {run}")
        sh.wait_for(r"^ready\nsupervise: running")
        how[end]()
        sh.wait_for_prompt()
        assert not re.search(r"pervise: (running|stopping)", sh.screen.text), sh.screen.text
        assert sh.screen.lines[0] == "ready"


CALLER = "import subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; input(); print(code)"
"""A caller that prints nothing of its own at first: a shell may print over the line before the guardian erases it."""


def test_the_line_is_removed_after_the_supervisor_was_killed(supervise: Place) -> None:
    command = [sys.executable, "-c", CALLER, *live(supervise, "-k", "0.2"), *child("ready", "stay")]
    with screen(supervise, command) as on:
        on.wait_for(r"^ready\nsupervise: running")
        (one,) = [run for run in listed(supervise) if run["state"] == "running"]
        os.kill(one["pid"], signal.SIGKILL)
        on.wait_for(r"\Aready\Z")
        on.enter("")
        assert on.wait_for_end() == 0
    assert on.text == "ready\n\n-9"


def test_the_line_is_removed_whole_after_the_window_became_narrower(supervise: Place) -> None:
    """A terminal that breaks lines anew (tmux) makes several lines of it, and all of them are removed.

    The line is at the foot of the screen: elsewhere tmux moves the cursor away from it.
    """
    with tmux(supervise) as on:
        on.wait_for_prompt(1)
        command = words("ready", "wait_for=go", "ready", "wait_for=on", "ready")
        on.enter(f"clear; seq 50; supervise --live -t 50m -- {command}")
        on.wait_for(r"^50\nready\nsupervise: running for \d+s, \[[#-]{8}\] completion limit in [^,]+\Z")
        on.resize(24, 30)
        on.wait_for(r"^50\nready\nsupervise: running for \d+s?\Z")
        supervise.file("go").touch()
        on.wait_for(r"^50\nready\nready\nsupervise: running for \d+s?\Z")
        on.resize(24, 80)
        on.wait_for(r"^50\nready\nready\nsupervise: running for \d+s, \[[#-]{8}\] completion limit in [^,]+\Z")
        on.resize(24, 20)
        supervise.file("on").touch()
        on.wait_for(r"^50\nready\nready\nready\n\[2\]\$ *\Z")


def test_a_terminal_stopped_by_ctrl_s_delays_no_deadline(supervise: Place) -> None:
    """The line stays on the screen, and the timeout comes in time."""
    options = ["-t", "8", "--warn-at", "off", "--diagnose", "off"]
    with screen(supervise, [*live(supervise, *options), *child("stay")]) as on:
        on.wait_for("^supervise: running")
        on.type("\x13")
        assert on.wait_for_end() == 124


# --- by default


def by_default(supervise: Place, *options: str) -> list[str]:
    """Return the words that run a command without the option, and not as a job of a CI service."""
    return ["env", "-u", "CI", str(supervise.program), *options, "--"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_line_is_drawn_by_default_in_a_window_of_any_width(supervise: Place, columns: int) -> None:
    command = child("ready", "wait_for=go", "ready", "stay")
    with screen(supervise, [*by_default(supervise, "-t", "5m"), *command]) as on:
        on.resize(24, columns)
        on.wait_for(r"^ready\nsupervise: running for \d+s, .*completion limit in 4m\d+s.*\Z")
        assert len(on.text.splitlines()[-1]) < columns
        on.resize(24, 40)
        wait_to_be_drawn(on, "a narrow line")
        supervise.file("go").touch()
        on.wait_for(r"^ready\nready\nsupervise: running for \d+s\Z")
        on.resize(24, columns)
        on.wait_for(r"^ready\nready\nsupervise: running for \d+s, .*completion limit in 4m\d+s.*\Z")
        on.type(CTRL_C)
        on.wait_for_end()
        assert on.text.startswith("ready\nready\n^Csupervise: cancelled by signal INT")


UNDRAWN_BY_DEFAULT = {
    "in a CI job": "CI=true supervise -t 1m -- sh script",
    "in GitHub's": "env -u CI GITHUB_ACTIONS=true supervise -t 1m -- sh script",
    "with a pipe": "env -u CI supervise -t 1m -- sh script | cat",
    "turned off": "env -u CI supervise --live off -t 1m -- sh script",
    "beside another": "env -u CI sh -c 'sleep 60 & supervise -t 1m -- sh script; kill $!'",
    "without a limit": "env -u CI supervise -- sh script",
    "reading the terminal": "env -u CI supervise -t 1m -- sh -c '(sleep 6; kill $$) & exec cat' || echo two",
}


@pytest.mark.parametrize("line", UNDRAWN_BY_DEFAULT.values(), ids=UNDRAWN_BY_DEFAULT)
def test_by_default_no_line_is_drawn(supervise: Place, line: str) -> None:
    supervise.file("script").write_text("sleep 5; echo two")
    with screen(supervise, ["bash", "-c", line]) as on:
        on.wait_for_end()
    assert "two" in on.text
    assert not DRAWN.search(on.transcript)


def test_the_word_off_may_follow_the_option(supervise: Place) -> None:
    for option in (["--live", "off"], ["--live=off"], ["--live"], ["--live", "on"]):
        assert supervise.popen([str(supervise.program), *option, "--", "true"]).wait().code == 0
        assert supervise.popen([str(supervise.program), "run", *option, "true"]).wait().code == 0
    ended = supervise.popen([str(supervise.program), "run", "--live=perhaps", "true"]).wait()
    assert (ended.code, ended.err) == (125, b"supervise: --live: got 'perhaps', takes auto, on or off\n")


# --- keys that are typed, and what others write


def test_typed_keys_stay_in_front_of_the_line(supervise: Place) -> None:
    with screen(supervise, [*live(supervise), *child("ready", "wait_for=go", "ready")]) as on:
        on.wait_for(r"^ready\nsupervise: running")
        on.type("abc")
        on.wait_for(r"^ready\nabcsupervise: running for \d+s.*\Z")
        supervise.file("go").touch()
        assert on.wait_for_end() == 0
        assert on.text == "ready\nabcready"


@pytest.mark.parametrize("typed", ["", "abc"])
def test_enter_leaves_nothing_of_the_line(supervise: Place, typed: str) -> None:
    with screen(supervise, [*live(supervise), *child("ready", "wait_for=go", "ready")]) as on:
        on.wait_for(r"^ready\nsupervise: running")
        on.type(typed + "\r")
        on.wait_until(lambda: on.text == f"ready\n{typed}".strip("\n"), "the line to go")
        before = len(on.transcript)
        end = monotonic() + float(SILENCE_SECONDS)
        on.wait_until(lambda: monotonic() > end, "the end of the silence")
        assert not DRAWN.search(on.transcript, before)
        supervise.file("go").touch()
        assert on.wait_for_end() == 0
        assert on.lines[:3] == ["ready", typed, "ready"]


def test_a_line_that_the_caller_has_begun_stays(supervise: Place) -> None:
    supervise.file("script").write_text(PAUSE + "pause; echo done")
    line = f"printf 'Backing up... '; {shlex.join(live(supervise))} sh script; :"
    with screen(supervise, ["bash", "-c", line]) as on:
        on.wait_for(r"^Backing up\.\.\. supervise: running for \d+s(, no output yet)?\Z")
        supervise.file("go").touch()
        assert on.wait_for_end() == 0
        assert on.text == "Backing up... done"


def test_a_question_on_the_terminal_itself_stays(supervise: Place) -> None:
    script = PAUSE + "echo up; pause; printf 'Sure? ' >/dev/tty; read answer </dev/tty; echo $answer"
    supervise.file("script").write_text(script)
    with screen(supervise, [*live(supervise), "sh", "script"]) as on:
        on.wait_for(r"^up\nsupervise: running")
        supervise.file("go").touch()
        on.wait_for(r"^up\nSure\?\Z")
        on.enter("yes")
        assert on.wait_for_end() == 0
        assert on.text == "up\nSure? yes\nyes"


@pytest.mark.parametrize("variable", ["X=1", "NO_COLOR=1"])
def test_the_line_is_yellow_and_then_red_near_a_limit(supervise: Place, variable: str) -> None:
    seconds = "14" if variable == "X=1" else "5"
    command = [*live(supervise, "-t", seconds, "--warn-at", "off", "--diagnose", "off"), *child("ready", "stay")]
    with screen(supervise, ["env", variable, *command]) as on:
        assert on.wait_for_end() == 124
    colours = [re.findall(rb"\x1b\[3\dm", one) for one in DRAWN.findall(on.transcript)]
    if variable == "NO_COLOR=1":
        assert colours
        assert not any(colours)
    else:
        assert colours[0] == [b"\x1b[33m", b"\x1b[39m"]
        assert colours[-1] == [b"\x1b[31m", b"\x1b[39m"]


def test_the_line_leaves_the_terminal_with_the_caller(supervise: Place) -> None:
    """The caller gets control back (--detach-after), and the run goes on."""
    with shell(supervise) as sh:
        sh.start(f"clear; supervise --live --name it --detach-after 4 -- {words('ready', 'wait_for=go', 'ready')}")
        sh.wait_for(r"^ready\nsupervise: running for")
        sh.wait_for_prompt()
        assert not re.search(r"pervise: running", sh.screen.text), sh.screen.text
        drawn = len(DRAWN.findall(sh.screen.transcript))
        sh.start("supervise attach it")
        sh.wait_for(r"attach it\nready$")
        supervise.file("go").touch()
        sh.wait_for_prompt()
        assert len(DRAWN.findall(sh.screen.transcript)) == drawn
