"""Where the command's input comes from, and which processes of its tree wait for it."""

import os
import termios
from math import inf

from supervise.activity import input_wait
from supervise.activity.input_wait import Inputs, Wait
from supervise.launch.state import Launched


def find(launched: Launched, until: float = inf) -> tuple[Wait, ...]:
    """Return the threads of the command's tree that wait for input; `until`: see `input_wait.find`."""
    pty_input = launched.terminals.pty_input
    pty = pty_input.pty if pty_input else None
    inputs = input_wait.inputs_of_caller(pty.name if pty else "")
    return input_wait.find(launched.child.holder(), inputs, lambda: _modes(inputs, pty.name if pty else ""), until)


def _modes(inputs: Inputs, pty_name: str) -> list[object] | None:
    """Return the attributes of the terminal that the command asks at; None where it has none."""
    if not inputs.terminals:
        return None
    try:
        fd = os.open(pty_name or "/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return termios.tcgetattr(fd)
    except termios.error:
        return None
    finally:
        os.close(fd)
