"""Other subcommands that `supervise top` carries out in a process of their own: attach and logs on the terminal, show.

The process is forked and not started anew, so that it is there at once.
"""

import _signal
import os

from supervise import EXIT_ERROR, EXIT_SIGNALED
from supervise.commands import invocation
from supervise.commands.subcommands import find
from supervise.text.sanitizer import clean_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

TEXT_BYTES = 1 << 20
"""Bytes of a text that are kept."""
KEYBOARD = (_signal.SIGINT, _signal.SIGQUIT)
DEFAULT = (_signal.SIGQUIT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGWINCH, _signal.SIGCONT, _signal.SIGTSTP)


def run(name: str, said: "dict[str, str]", run_id: str) -> int:
    """Carry that subcommand out on the terminal, and return its exit code: 128 + N after signal N.

    The keys for signals are meant for the subcommand alone.
    """
    saved = {number: _signal.signal(number, _signal.SIG_IGN) for number in KEYBOARD}
    # Ctrl-Z stops this process and the other one as one job.
    saved[_signal.SIGTSTP] = _signal.signal(_signal.SIGTSTP, _signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _carry_out_and_exit(name, said, run_id)
    try:
        return _code_of(pid)
    except BaseException:
        os.kill(pid, _signal.SIGTERM)
        _code_of(pid)
        raise
    finally:
        for number, action in saved.items():
            _signal.signal(number, action)


def text_of(name: str, said: "dict[str, str]", run_id: str, columns: int) -> "list[str]":
    """Return what that subcommand prints for a width of so many columns, as lines that are harmless for a terminal."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.environ["COLUMNS"] = str(columns)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        _carry_out_and_exit(name, said, run_id)
    os.close(writing)
    try:
        data = b""
        while len(data) < TEXT_BYTES and (more := os.read(reading, 1 << 16)):
            data += more
    except BaseException:
        os.kill(pid, _signal.SIGTERM)
        raise
    finally:
        os.close(reading)
        _code_of(pid)
    return clean_lines(data.decode(errors="replace").expandtabs()).splitlines()


def _code_of(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else EXIT_SIGNALED - code


def _carry_out_and_exit(name: str, said: "dict[str, str]", run_id: str) -> "NoReturn":
    """Carry the subcommand out, in a process that was forked for it."""
    code = EXIT_ERROR
    try:
        _signal.set_wakeup_fd(-1)
        for number in DEFAULT:
            _signal.signal(number, _signal.SIG_DFL)
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        row = find([name])
        assert row
        code = invocation.carry_out(invocation.fill(row, said, [run_id]))
    finally:
        os._exit(code)
