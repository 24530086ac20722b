"""The next attempt of a run: new pipes or a new terminal for the command, and the same guardian, who starts it."""

import os

from supervise.launch import launch
from supervise.launch.launch import Launched
from supervise.runner import relay


def start(launched: Launched, number: int, previous: str) -> None:
    """Have it started; `previous` is how the one before it ended.

    Raises OSError, and RuntimeError where there can be no more threads: then it is not to be started, or is killed.
    """
    _leave(launched)
    if launched.spool:
        launched.spool.forget()
        # The output of an attempt that no other can follow is shown as it comes.
        launched.spool.is_through = number > launched.request.values["retries"]
    stdio, tty = launch.open_stdio(launched)
    relay.start_pumps(launched)
    launched.variables |= {
        **launch.of_attempt(launched, number),
        b"SUPERVISE_PREVIOUS_OUTCOME": previous.encode(),
    }
    copies = () if launched.relay else launched.sources
    launched.channel.send("spawn", launched.request.command, launched.variables, tty, fds=(*stdio, *copies))
    for fd in {*stdio} - {0}:
        os.close(fd)


def _leave(launched: Launched) -> None:
    """What is left of the attempt before it: nobody of its tree is alive, and its bytes have had their time."""
    for pump in launched.pumps:
        pump.abandon()
        launched.shown[pump.stream] += pump.count
    for _, fd in launched.kept:
        os.close(fd)
    launched.kept.clear()
    launched.pumps = tuple(pump for pump in launched.pumps if not pump.has_ended)
    if launched.cut >= 0:
        os.close(launched.cut)
        launched.cut = -1
    if launched.signs:
        launched.signs.stop()
        launched.signs = None
