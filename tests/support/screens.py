"""Terminals at which a test types, and whose screen it reads as an emulator (pyte) draws it.

No step sleeps: each waits, with a bound, for a text that a person would wait to see.
"""

import os
import re
import select
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import pexpect
import pyte

from tests.support.harness import HANG_SECONDS, TOKEN, Place, child, state_of, wait_until
from tests.support.programs import needed

ROWS, COLUMNS = 24, 80
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "sh": ["dash", "-i"],
}
LAST_BYTES_SECONDS = 0.2
"""Seconds to wait for the last output of a program that has ended; a process that it has left may hold the terminal."""
CTRL_C, CTRL_D, CTRL_Z, CTRL_BACKSLASH = "\x03", "\x04", "\x1a", "\x1c"


def words(*actions: str) -> str:
    """Return the command line of children.py for these words, quoted for a shell."""
    return shlex.join(child(*actions))


def environ_of(place: Place) -> dict[str, str]:
    """Return the environment of a shell in that place: with numbered prompts, and with the token of the test."""
    more = {"TERM": "xterm", "PS1": r"[\#]$ ", "HISTFILE": "/dev/null", TOKEN: f"{place._token}-shell;"}
    return {**place.environ, **more}


class Emulator(pyte.Screen):
    """A screen of pyte that passes over private attributes, which pyte does not know and vim asks for."""

    def select_graphic_rendition(self, *attributes: int, private: bool = False) -> None:
        if not private:
            super().select_graphic_rendition(*attributes)


class Screen:
    """A program on a terminal of 24 lines of 80 characters."""

    def __init__(self, place: Place, words: list[str], env: dict[str, str] | None = None) -> None:
        environ = {**environ_of(place), **(env or {})}
        self._child = pexpect.spawn(
            words[0], words[1:], cwd=str(place.folder), env=environ, dimensions=(ROWS, COLUMNS), timeout=HANG_SECONDS
        )
        self._child.delaybeforesend = None
        self._screen = Emulator(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self.transcript = b""
        """Every byte that the program has written."""

    @property
    def pid(self) -> int:
        return int(self._child.pid)

    @property
    def text(self) -> str:
        """Return the screen without empty lines at its top and bottom."""
        return "\n".join(line.rstrip() for line in self._screen.display).strip("\n")

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def cursor_line(self) -> str:
        return self.lines[self._screen.cursor.y]

    @property
    def cursor_column(self) -> int:
        return int(self._screen.cursor.x)

    def cell(self, line: int, column: int) -> tuple[str, str]:
        """Return a character of the screen, and how it looks: the name of its colour, with `bold`, or ''."""
        character = self._screen.buffer[line][column]
        looks = [*([] if character.fg == "default" else [character.fg]), *(["bold"] if character.bold else [])]
        return character.data, " ".join(looks)

    def type(self, keys: str) -> None:
        self._child.send(keys)

    def enter(self, line: str) -> None:
        self.type(line + "\r")

    def wait_until(self, condition: Callable[[], object], what: str = "") -> None:
        """Read from the terminal until the condition is true; `what` names it in an error."""
        end = monotonic() + HANG_SECONDS
        while not condition():
            assert monotonic() < end, f"{what or 'it'} has not come; the screen:\n{self.text}"
            try:
                data = self._child.read_nonblocking(1 << 16, timeout=0.05)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                self._drain()
                assert condition(), f"it has ended without {what or 'that'}; the screen:\n{self.text}"
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Draw what the program has written."""
        self.transcript += data
        self._stream.feed(data)

    def _drain(self) -> None:
        """Read the last output of a program that has ended.

        pexpect takes the end of the program for that of its output, whose last bytes the kernel may still be moving to
        this end of the terminal. A read waits for them, and fails once there are no more (EIO).
        """
        end = monotonic() + HANG_SECONDS
        with suppress(OSError):
            while monotonic() < end and select.select([self._child.child_fd], [], [], LAST_BYTES_SECONDS)[0]:
                self._take(os.read(self._child.child_fd, 1 << 16))

    def wait_for(self, pattern: str) -> str:
        """Wait until the pattern matches the screen; return the first group, or the whole match without groups."""
        self.wait_until(lambda: re.search(pattern, self.text, re.M), repr(pattern))
        found = re.search(pattern, self.text, re.M)
        assert found
        return found[1] if found.groups() else found[0]

    def wait_for_prompt(self, number: int) -> None:
        """Wait for the prompt of that number."""
        self.wait_until(lambda: self.cursor_line == f"[{number}]$", f"prompt {number}")

    def resize(self, rows: int, columns: int) -> None:
        self._child.setwinsize(rows, columns)
        self._screen.resize(rows, columns)

    def foreground(self) -> int:
        """Return the process group in the foreground of the terminal."""
        return os.tcgetpgrp(self._child.child_fd)

    def hang_up(self) -> None:
        """Close the terminal, as a window is closed."""
        self._child.fileobj.close() if hasattr(self._child, "fileobj") else os.close(self._child.child_fd)
        self._child.closed = True

    def wait_for_end(self) -> int:
        """Wait for the end of the program; return its exit code as a shell has it: 128 + N after signal N."""
        end = monotonic() + HANG_SECONDS
        while True:
            try:
                data = self._child.read_nonblocking(1 << 16, timeout=0.05)
            except pexpect.TIMEOUT:
                assert monotonic() < end, f"it has not ended; the screen:\n{self.text}"
            except pexpect.EOF:
                break
            else:
                self._take(data)
        self._drain()
        self._child.wait()
        return 128 + self._child.signalstatus if self._child.signalstatus else int(self._child.exitstatus)

    def close(self) -> None:
        """Kill the program, so that the sweep of the place finds what has escaped, and not the shell."""
        if self._child.isalive():
            os.kill(self.pid, signal.SIGKILL)
        if not self._child.closed:
            self._child.close(force=True)


@contextmanager
def screen(place: Place, words: list[str], env: dict[str, str] | None = None) -> Iterator[Screen]:
    """Run a program on a terminal; at the end it is killed."""
    one = Screen(place, words, env)
    try:
        yield one
    finally:
        one.close()


class Shell:
    """An interactive shell on a terminal, with job control; it counts its prompts."""

    def __init__(self, on: Screen) -> None:
        self.screen = on
        self.number = 1
        on.wait_for_prompt(1)

    def start(self, line: str) -> None:
        """Enter a line, and do not wait for the end of its command."""
        self.screen.enter(line)
        self.number += 1

    def wait_for_prompt(self) -> None:
        self.screen.wait_for_prompt(self.number)

    def run(self, line: str) -> None:
        """Enter a line and wait for the next prompt."""
        self.start(line)
        self.wait_for_prompt()

    def wait_for(self, pattern: str) -> str:
        return self.screen.wait_for(pattern)

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        self.screen.wait_until(condition, what)

    def count(self, text: str) -> int:
        """Return how often the text is on the screen."""
        return self.screen.text.count(text)

    def has_line(self, line: str) -> bool:
        return line in self.screen.lines

    def type(self, keys: str) -> None:
        self.screen.type(keys)

    def stop_job(self) -> None:
        """Type Ctrl-Z, and wait until the shell reports the stopped job."""
        self.type(CTRL_Z)
        self.wait_for_prompt()
        assert any("Stopped" in line for line in self.screen.lines), self.screen.text

    def check_usable(self) -> None:
        """Check that the terminal echoes what is typed, that `Enter` enters it, and that no job is left."""
        self.run("clear; jobs; echo us''able")
        assert "usable" in self.screen.lines, self.screen.text
        assert self.screen.lines[0] == "usable", f"a job is left:\n{self.screen.text}"

    def exit(self) -> None:
        """End the shell by `exit`."""
        self.screen.enter("exit 0")
        self.screen.wait_for_end()


@contextmanager
def shell(place: Place, env: dict[str, str] | None = None) -> Iterator[Shell]:
    """Run a bash on a terminal; where the test has passed, check at the end that the shell is usable."""
    with screen(place, SHELLS["bash"], env) as on:
        one = Shell(on)
        yield one
        one.check_usable()
        one.exit()


class Tmux:
    """A tmux server with one window."""

    def __init__(self, place: Place, command: str) -> None:
        self._socket = place.folder / "tmux"
        self._environ = environ_of(place)
        self._call("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), command)
        self.pid, self._shell = map(int, self._call("display-message", "-p", "#{pid} #{pane_pid}").split())

    def _call(self, *words: str) -> str:
        return subprocess.run(
            ["tmux", "-S", str(self._socket), *words],
            env=self._environ,
            cwd=self._socket.parent,
            check=True,
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
        ).stdout

    @property
    def text(self) -> str:
        return self._call("capture-pane", "-p").strip("\n")

    def type(self, *keys: str) -> None:
        """Type keys by their names in tmux (`C-c`, `Enter`), and any other text as it is."""
        self._call("send-keys", *keys)

    def enter(self, line: str) -> None:
        self.type(line, "Enter")

    def wait_for(self, pattern: str) -> str:
        def match() -> "re.Match[str] | None":
            return re.search(pattern, self.text, re.M)

        try:
            found = wait_until(match)
        except AssertionError:
            raise AssertionError(f"{pattern!r} has not come; the screen:\n{self.text}") from None
        assert found
        return found[1] if found.groups() else found[0]

    def wait_for_prompt(self, number: int) -> None:
        self.wait_for(rf"^\[{number}\]\$ *\Z")

    def resize(self, rows: int, columns: int) -> None:
        self._call("resize-window", "-x", str(columns), "-y", str(rows))

    def kill_window(self) -> None:
        """Close the window."""
        self._call("kill-window")

    def close(self) -> None:
        subprocess.run(["tmux", "-S", str(self._socket), "kill-server"], env=self._environ, capture_output=True)
        # The shell ends when its terminal is gone.
        wait_until(lambda: state_of(self.pid) in "XZ" and state_of(self._shell) in "XZ")
        self._socket.unlink(missing_ok=True)


@contextmanager
def tmux(place: Place, command: str = r"PS1='[\#]$ ' exec bash --norc --noprofile -i") -> Iterator[Tmux]:
    """Run a shell in a window of tmux."""
    needed("tmux")
    one = Tmux(place, command)
    try:
        yield one
    finally:
        one.close()
