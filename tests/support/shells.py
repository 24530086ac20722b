"""Interactive shells with the completions of supervise, at whose terminals a test types."""

import contextlib
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.programs import needed

COMPLETIONS = Path(__file__).parents[2] / "completions"
HANG_SECONDS = 30.0
"""Seconds that a shell may take for an answer on a busy machine."""

BASH_RC = """
PS1='ready> '
bind 'set bell-style none'
bind 'set show-all-if-ambiguous on'
bind 'set enable-bracketed-paste off'
source {completions}/supervise.bash
"""
ZSH_RC = """
PS1='ready> '
unsetopt BEEP PROMPT_CR PROMPT_SP
unset zle_bracketed_paste
LISTMAX=1000
fpath=({completions} $fpath)
autoload -Uz compinit
compinit -u -D
"""


def environ(home: Path) -> dict[str, str]:
    """Return the environment of a shell in that home."""
    return {"HOME": str(home), "ZDOTDIR": str(home), "PATH": os.environ["PATH"], "TERM": "dumb", "LC_ALL": "C"}


class Terminal:
    """A shell at whose terminal the test types."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.seen = ""
        self.last = ""
        """What the shell showed in the last wait."""

    def wait_for(self, *patterns: str) -> None:
        """Read until the shell has shown each text since the last wait."""
        until = time.monotonic() + HANG_SECONDS
        while not all(re.search(pattern, self.seen) for pattern in patterns):
            ready = select.select([self.fd], [], [], max(0.0, until - time.monotonic()))[0]
            assert ready, f"not {patterns} in {self.seen!r}"
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                pytest.fail(f"the shell ended after {self.seen!r}")
        self.last, self.seen = self.seen, ""

    def complete(self, line: str, *patterns: str) -> None:
        """Type the line and a TAB, wait for the texts, and delete the line again."""
        os.write(self.fd, line.encode() + b"\t")
        self.wait_for(*patterns)
        os.write(self.fd, b"\x15")


@contextlib.contextmanager
def interactive(command: list[str], home: Path, environ: Mapping[str, str]) -> Iterator[Terminal]:
    """Run an interactive shell on a terminal; at the end it is killed."""
    # Not pty.fork(): Python warns of a fork where pytest has threads, and warnings are errors here. fish needs a
    # controlling terminal, which setsid(1) sets before it becomes the shell.
    ours, theirs = pty.openpty()
    command = [needed("setsid"), "--ctty", *command]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=home, env=environ)
    os.close(theirs)
    try:
        terminal = Terminal(ours)
        terminal.wait_for("ready> ")
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(ours)
