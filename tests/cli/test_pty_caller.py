"""`--pty` and the terminal of the caller: its modes, the keys typed there, and its restoration."""

import contextlib
import fcntl
import os
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from tests.support.harness import HANG_SECONDS, PYTHON, Place, wait_until
from tests.support.screens import CTRL_C, environ_of, shell
from tests.support.terminals import named

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def lead_a_session() -> None:
    """Make this process the leader of a session whose terminal is its stdin."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class OnTerminal:
    """A program that leads a session on a terminal, and all its output."""

    def __init__(self, place: Place, words: list[str], typed: bytes = b"", size: tuple[int, int] = (24, 80)) -> None:
        """Start the program; `typed` is typed before that."""
        self.ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, size)
        self.found = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.out = b""
        self.type(typed)
        self.process = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=place.folder,
            env=environ_of(place),
            preexec_fn=lead_a_session,
        )

    def type(self, keys: bytes) -> None:
        while keys:
            keys = keys[os.write(self.ours, keys) :]

    def read(self, seconds: float = 0.02) -> None:
        while select.select([self.ours], [], [], seconds)[0]:
            self.out += os.read(self.ours, 1 << 16)

    def wait(self) -> int:
        """Wait for the end; return the exit code as a shell has it: 128 + N after signal N."""

        def has_ended() -> bool:
            self.read()
            return self.process.poll() is not None

        try:
            wait_until(has_ended)
        except AssertionError:
            raise AssertionError(f"it has not ended: {self.out!r}") from None
        self.read()
        code = self.process.returncode
        return 128 - code if code < 0 else code

    def wait_for(self, text: bytes) -> None:
        def has_come() -> bool:
            self.read()
            return text in self.out

        wait_until(has_come)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.theirs)
        os.close(self.ours)


@contextlib.contextmanager
def on_terminal(
    place: Place, words: list[str], typed: bytes = b"", size: tuple[int, int] = (24, 80)
) -> Iterator[OnTerminal]:
    """Run a program that leads a session on a terminal; at the end it is killed."""
    one = OnTerminal(place, words, typed, size)
    try:
        yield one
    finally:
        one.close()


def supervised(place: Place, *words: str) -> list[str]:
    """Return the words that run a command with `--pty`, quietly and without a record."""
    return [str(place.program), "-q", "--no-record", "--pty", *words]


# --- the modes and the size

SETTINGS = {
    "as it is": "sane",
    "another erase key": "erase ^H",
    "UTF-8": "iutf8",
    "no UTF-8": "-iutf8",
    "other keys": "intr ^X eof ^E kill ^K susp ^Y werase ^A",
    "no flow control": "-ixon",
    "no echo": "-echo",
    "no control characters shown": "-echoctl",
    "no postprocessing": "-opost",
    "a slow line": "9600",
    "single keys": "-icanon min 1 time 0",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_terminal_has_the_modes_of_the_callers(supervise: Place, name: str) -> None:
    """All modes of stty(1) are copied, and the caller's are the same at the end."""
    script = f"stty {SETTINGS[name]} || exit 9; stty -g; {SUPERVISE} stty -g; stty -g"
    with on_terminal(supervise, ["sh", "-c", script]) as on:
        assert on.wait() == 0
        lines = on.out.replace(b"\r", b"").split()
        assert len(lines) == 3
        assert lines[0] == lines[1] == lines[2]


SUPERVISE = "supervise -q --no-record --pty --"


@pytest.mark.parametrize(("language", "flag"), [("C.UTF-8", b" iutf8"), ("C", b"-iutf8")])
def test_a_terminal_without_a_caller_terminal_has_sane_modes(supervise: Place, language: str, flag: bytes) -> None:
    ended = supervise("--pty", "--", "sh", "-c", "stty -a </dev/tty", env={"LANG": language, "LC_ALL": ""})
    said = ended.out.replace(b"\r\n", b" ")
    assert flag in said
    for each in (b" icanon ", b" echo ", b" isig ", b" opost ", b" onlcr ", b" icrnl ", b"erase = ^?", b"eof = ^D"):
        assert each in said


def test_a_background_job_copies_only_the_keys_of_the_modes(supervise: Place) -> None:
    """The line editor of the shell has set the terminal to single keys without echo at that moment."""
    with shell(supervise) as sh:
        sh.run(
            "stty erase ^H; (sleep 0.5; exec supervise --pty -- sh -c 'stty -a </dev/tty >modes; sleep 0.1') & sleep 0"
        )
        wait_until(lambda: supervise.file("modes").exists() and supervise.file("modes").read_text())
        said = supervise.file("modes").read_text()
        assert "erase = ^H" in said
        assert " icanon" in said
        assert " echo " in said
        sh.run("wait; clear")


@pytest.mark.parametrize(
    ("size", "shown"), [((0, 0), b"24 80"), ((0, 100), b"24 100"), ((30, 0), b"30 80"), ((3, 7), b"3 7")]
)
def test_an_unknown_size_becomes_a_usable_one(supervise: Place, size: tuple[int, int], shown: bytes) -> None:
    with on_terminal(supervise, supervised(supervise, "--", "stty", "size"), size=size) as on:
        assert on.wait() == 0
        assert on.out.strip() == shown


@pytest.mark.parametrize(
    ("sent", "read"), [("a\u00e9\x7fb\r", "a b"), ("ax\x7f\u65e5\x7fb\r", "a b")], ids=["accent", "wide"]
)
def test_a_key_erases_a_whole_character(supervise: Place, sent: str, read: str) -> None:
    command = "stty iutf8; supervise -q --no-record --pty -- sh -c 'printf ready; head -1 | od -An -c'"
    with on_terminal(supervise, ["sh", "-c", command]) as on:
        on.wait_for(b"ready")
        on.type(sent.encode())
        assert on.wait() == 0
        assert re.sub(r"\s+", " ", on.out.decode().split("\n")[-2]).strip() == read + r" \n"


# --- the end of the input

DELAYS_SECONDS = (0.0, 0.01, 0.025, 0.05, 0.3)
TYPED = {
    "at once": (b"\x04", b""),
    "a line": (b"abc\n\x04", b"abc\r\n"),
    "two lines": (b"abc\ndef\n\x04", b"abc\r\ndef\r\n"),
    "an unfinished line": (b"abc\x04\x04", b"abc"),
}


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("delay", DELAYS_SECONDS)
def test_ctrl_d_at_any_moment_ends_the_input(supervise: Place, typed: str, delay: float) -> None:
    """Also before the program exists it ends `cat`, and it is not shown."""
    keys, lines = TYPED[typed]
    with on_terminal(supervise, supervised(supervise, "--", "cat"), b"" if delay else keys) as on:
        if delay:
            # The test types at a moment after the start, and not after an event.
            time.sleep(delay)
            on.type(keys)
        assert on.wait() == 0
        assert b"^" not in on.out
        assert b"\0" not in on.out
        # The echo of a line and the output of `cat` come in any order.
        assert on.out.endswith(b"".join(lines.splitlines(keepends=True)[-1:]))
        assert all(on.out.count(line) >= 2 for line in lines.split())


def test_another_end_of_file_key_ends_the_input(supervise: Place) -> None:
    words = ["sh", "-c", "stty eof ^E; exec supervise -q --no-record --pty -- sh -c 'echo ready; cat; cat; echo end'"]
    with on_terminal(supervise, words) as on:
        on.wait_for(b"ready")
        on.type(b"\x04\n\x05\x05")
        assert on.wait() == 0
        # The usual key is echoed, and is a byte for the command.
        assert on.out == b"ready\r\n^D\r\n\x04\r\nend\r\n"


def test_ctrl_d_on_a_terminal_of_another_session_ends_the_input(supervise: Place) -> None:
    """Such a terminal, as under `su -c`, passes on whole lines, and a line that Ctrl-D sends unfinished."""
    ours, theirs = os.openpty()
    running = supervise.start("--pty", "--", "sh", "-c", "stty -echo; echo ready; cat", stdin=theirs)
    os.close(theirs)
    running.wait_for_out(b"ready")
    for keys in (b"one\n", b"two\x04", b"three\n", b"\x04"):
        os.write(ours, keys)
    ended = running.wait()
    os.close(ours)
    assert ended.code == 0
    assert ended.out == b"ready\r\none\r\ntwothree\r\n"


def test_a_hangup_of_the_terminal_ends_the_input(supervise: Place) -> None:
    """HUP is ignored and the run goes on; in line mode each read of the command gives the end of file."""
    command = "cat; cat; cat >rest; touch ended"
    words = ["sh", "-c", f"trap '' HUP; exec supervise -q --no-record --pty -- sh -c '{command}' >out 2>&1"]
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        words,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=supervise.folder,
        env=environ_of(supervise),
        preexec_fn=lead_a_session,
    )
    os.close(theirs)
    wait_until(lambda: named(supervise, "cat"))
    os.close(ours)
    assert process.wait(HANG_SECONDS) == 0
    assert supervise.file("ended").exists()


# --- keys for what opens /dev/tty


@pytest.mark.needs("less")
def test_a_pager_whose_stdin_is_a_pipe_gets_keys(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start("seq 100 | supervise --pty -- less; echo code $?")
        sh.wait_for(r"^23\n:$")
        sh.type(" ")
        sh.wait_for(r"^46\n:$")
        sh.type("q")
        sh.wait_for("^code 0$")
        sh.wait_for_prompt()


def test_ctrl_c_reaches_a_command_whose_stdin_is_a_pipe(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.run("mkfifo pipe; exec 9<>pipe")
        sh.start("supervise --pty -- sh -c 'trap \"echo got; exit 4\" INT; echo ready; read x' <&9; echo code $?")
        sh.wait_for("^ready$")
        sh.type(CTRL_C)
        sh.wait_for("^code 4$")
        sh.wait_for_prompt()
        assert sh.count("got") == 2


def test_ctrl_c_cancels_where_neither_stdin_nor_stdout_is_a_terminal(supervise: Place) -> None:
    """The command gets no keys then."""
    with shell(supervise) as sh:
        sh.start("supervise --pty -- sh -c 'echo ready >ready; exec sleep 100' </dev/null | cat")
        wait_until(supervise.file("ready").exists)
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        sh.run("echo code ${PIPESTATUS[0]}")
        assert sh.has_line("code 130")


# --- restoration


def blocking(fd: int) -> bool:
    """Return whether the open file description blocks."""
    return not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK


def test_o_nonblock_of_the_callers_terminal_is_not_set(supervise: Place) -> None:
    """The flag belongs to the open file description, which the caller shares."""
    with on_terminal(supervise, supervised(supervise, "--", "sh", "-c", "echo ready; read x; echo got $x")) as on:
        on.wait_for(b"ready")
        assert blocking(on.theirs)
        on.type(b"word\n")
        while on.process.poll() is None:
            assert blocking(on.theirs)
            on.read()
        assert on.wait() == 0
        assert b"got word" in on.out


def test_a_non_blocking_terminal_of_the_caller_is_read(supervise: Place) -> None:
    """A read that gives EAGAIN is no end of the input."""
    code = "import os, sys; os.set_blocking(0, False); os.execvp(sys.argv[1], sys.argv[1:])"
    command = supervised(supervise, "--", "sh", "-c", "echo ready; read x; echo got $x; seq 20000 | tail -1")
    with on_terminal(supervise, [*PYTHON, "-c", code, *command]) as on:
        on.wait_for(b"ready")
        on.type(b"word\n")
        assert on.wait() == 0
        assert b"got word" in on.out
        assert on.out.endswith(b"20000\r\n")
        assert not blocking(on.theirs)


def test_a_non_blocking_pipe_reaches_the_command_unchanged(supervise: Place) -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    code = "import os, sys; print(os.get_blocking(0), os.fstat(0).st_ino)"
    ended = supervise("--pty", "--", *PYTHON, "-c", code, stdin=read)
    assert ended.out.split() == [b"False", b"%d" % os.fstat(read).st_ino]
    os.close(read)
    os.close(write)


NONBLOCKING = (
    "import os, sys, time; os.set_blocking(0, False); open('ready', 'w').close(); time.sleep(float(sys.argv[1]))"
)


def test_o_nonblock_set_by_a_command_is_cleared_after_a_timeout(supervise: Place) -> None:
    """Without --pty the command shares the open file description of the caller."""
    words = [str(supervise.program), "-q", "--no-record", "-t", "4", "--", *PYTHON, "-c", NONBLOCKING, "100"]
    with on_terminal(supervise, words) as on:
        wait_until(supervise.file("ready").exists)
        assert not blocking(on.theirs)
        assert on.wait() == 124
        assert blocking(on.theirs)


def test_o_nonblock_set_by_a_command_is_cleared_when_the_supervisor_is_killed(supervise: Place) -> None:
    words = [str(supervise.program), "-q", "--no-record", "--", *PYTHON, "-c", NONBLOCKING, "100"]
    with on_terminal(supervise, words) as on:
        wait_until(supervise.file("ready").exists)
        assert not blocking(on.theirs)
        on.process.kill()
        wait_until(lambda: blocking(on.theirs))
        on.process.wait()
        wait_until(lambda: not named(supervise, "supervise-guard"))


@pytest.mark.parametrize("end", ["exit", "KILL", "TERM"])
def test_the_modes_are_restored_at_each_end(supervise: Place, end: str) -> None:
    with on_terminal(supervise, supervised(supervise, "--", "sh", "-c", "stty -echo; echo ready; read x")) as on:
        on.wait_for(b"ready")
        assert termios.tcgetattr(on.theirs) != on.found
        if end == "exit":
            on.type(b"\n")
        else:
            on.process.send_signal(getattr(signal, f"SIG{end}"))
        on.wait()
        wait_until(lambda: termios.tcgetattr(on.theirs) == on.found)
        wait_until(lambda: not named(supervise, "supervise-guard"))


# --- pid namespaces


def in_namespace(*words: str) -> list[str]:
    """Return the words that run a program in a pid namespace of its own; skip the test where there can be none."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no pid namespace can be made here")
    return [*unshare, *words]


@pytest.mark.parametrize("option", [[], ["--pty"]], ids=["shared", "pty"])
@pytest.mark.parametrize(
    "around",
    [[], ["sh", "-c", '"$@"; exit $?', "sh"], ["setsid", "--ctty", "--wait"]],
    ids=["PID 1", "a child of it", "a session"],
)
def test_a_command_in_a_new_pid_namespace_reads_its_terminal(
    supervise: Place, option: list[str], around: list[str]
) -> None:
    """The process group of the caller has no number there."""
    command = "echo ready; read x; echo got $x; exit 5"
    if around[:1] == ["setsid"]:
        around = ["script", "-qec"]
        line = f"{supervise.program} -q --no-record {' '.join(option)} -- sh -c '{command}'"
        words = in_namespace(*around, line, "/dev/null")
    else:
        words = in_namespace(*around, str(supervise.program), "-q", "--no-record", *option, "--", "sh", "-c", command)
    with on_terminal(supervise, words) as on:
        on.wait_for(b"ready")
        on.type(b"word\n")
        assert on.wait() == 5
        assert b"got word\r\n" in on.out
        assert termios.tcgetattr(on.theirs) == on.found


@pytest.mark.parametrize("option", [[], ["--pty"]], ids=["shared", "pty"])
def test_a_timeout_in_a_new_pid_namespace_stops_the_whole_tree(supervise: Place, option: list[str]) -> None:
    """A process in a group of its own is stopped, too."""
    command = "setsid -f sleep 100; (sleep 100 &); exec sleep 100"
    words = in_namespace(str(supervise.program), "-q", "--no-record", *option, "-t", "1", "--", "sh", "-c", command)
    with on_terminal(supervise, words) as on:
        assert on.wait() == 124
        assert not named(supervise, "sleep")
        assert termios.tcgetattr(on.theirs) == on.found


def test_retries_in_a_new_pid_namespace_read_the_terminal(supervise: Place) -> None:
    command = "echo ready $SUPERVISE_ATTEMPT; read x; echo got $x; exit 5"
    again = ("--retries", "1", "--retry-on", "failed", "--retry-delay", "0")
    words = in_namespace(str(supervise.program), "-q", "--no-record", *again, "--", "sh", "-c", command)
    with on_terminal(supervise, words) as on:
        for number in (1, 2):
            on.wait_for(b"ready %d" % number)
            on.type(b"word %d\n" % number)
            on.wait_for(b"got word %d" % number)
        assert on.wait() == 5
