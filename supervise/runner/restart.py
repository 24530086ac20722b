"""The next attempt of a run: new pipes or a new terminal for the command, and the same guardian, who starts it."""

from supervise.launch import environment, launch
from supervise.launch.state import Launched
from supervise.runner import relay


def start(launched: Launched, number: int, previous: str) -> None:
    """Have it started; `previous` is how the one before it ended.

    Raises OSError, and RuntimeError where there can be no more threads: then it is not to be started, or is killed.
    """
    launched.streams.leave_attempt()
    launched.access.end_attempt()
    if launched.streams.spool:
        launched.streams.spool.forget()
        # The output of an attempt that no other can follow is shown as it comes.
        launched.streams.spool.is_through = number > launched.info.values["retries"]
    stdio, tty = launch.open_stdio(launched)
    relay.start_pumps(launched)
    launched.child.change_environment(
        {**environment.of_attempt(launched.info, number), b"SUPERVISE_PREVIOUS_OUTCOME": previous.encode()}
    )
    copies = () if launched.terminals.pty_input else launched.streams.sources
    launched.child.channel.send(
        ("spawn", launched.info.request.command, launched.child.variables, tty), (*stdio, *copies)
    )
    launch.close(stdio)
