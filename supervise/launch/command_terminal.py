"""The command's own terminal, which supervise opens (`--pty`)."""

import os

from supervise.launch import environment
from supervise.launch.state import Launched
from supervise.terminal.pty_input import PtyInput


def open_stdio(launched: Launched) -> "tuple[tuple[int, int, int], str]":
    """Return what the command's stdin, stdout and stderr are to be, and the name of its terminal.

    Raises OSError.
    """
    if not launched.terminals.pty_input:
        launched.terminals.set_pty_input(
            PtyInput(launched.terminals.caller, is_detached=launched.info.is_detached, is_utf8=_is_utf8())
        )
    pty_input = launched.terminals.pty_input
    assert pty_input
    pty = pty_input.open()
    launched.child.open_master(pty)
    # The caller of this function closes what it has handed over; the terminal keeps its own descriptor.
    theirs = os.dup(pty.peer)
    return (theirs if pty_input.is_stdin else 0, theirs, theirs), pty.name


def take_keys(launched: Launched) -> None:
    """Take the keys for the command while supervise is in the foreground."""
    pty_input = launched.terminals.pty_input
    assert pty_input
    pty_input.copy_size()
    if launched.child.guardian.has_terminal and launched.terminals.caller is None:
        # A supervisor that was started in the background has not seen the terminal in its own state yet.
        caller = launched.terminals.share(is_commands=False)
        if caller:
            launched.child.channel.send(("terminal", caller.facts), caller.opened)
    pty_input.look(launched.terminals.caller)


def _is_utf8() -> bool:
    """Return whether the caller's environment names a locale of UTF-8 (locale(7))."""
    names = ("LC_ALL", "LANG") if environment.is_lc_ctype_ours() else ("LC_ALL", "LC_CTYPE", "LANG")
    name = next((value for value in map(os.environ.get, names) if value), "")
    return "utf8" in name.lower().replace("-", "")
