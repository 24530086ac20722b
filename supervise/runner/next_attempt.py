"""The next attempt of a run: new pipes or a new terminal for the command, which the same guardian starts."""

from supervise.launch import environment, launch
from supervise.launch.state import Launched
from supervise.runner import relay


def start(launched: Launched, number: int, previous: str) -> None:
    """Start attempt `number`; `previous` is the outcome of the attempt before.

    Raises OSError, and RuntimeError where the system gives no more threads: then no command is started, or it has to be
    killed.
    """
    launched.streams.leave_attempt()
    launched.access.end_attempt()
    values, spool = launched.info.values, launched.streams.spool
    if spool and values["retry_output"] == "last":
        spool.forget()
        # No attempt can follow the last one: its output is shown as it comes, unless the end decides about that.
        spool.is_through = number > values["retries"] and not launched.info.holds_output
    stdio, tty = launch.open_stdio(launched)
    relay.start_pumps(launched)
    launched.child.change_environment(
        {**environment.of_attempt(launched.info, number), b"SUPERVISE_PREVIOUS_OUTCOME": previous.encode()}
    )
    copies = () if launched.terminals.pty_input else launched.child.sources
    launched.child.channel.send(
        ("spawn", launched.info.request.command, launched.child.variables, tty), (*stdio, *copies)
    )
    launched.child.close_ends(stdio)
