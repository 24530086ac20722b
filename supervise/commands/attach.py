"""`supervise attach`: see what a run has printed and what it prints, and type into its terminal."""

import _signal
import os
import select
from typing import Any

from supervise import EXIT_ERROR, EXIT_SIGNALED
from supervise.commands import display, lookup
from supervise.commands.keyboard import Detached, Keyboard
from supervise.control.client import Connection
from supervise.records.bounded_output import Chunk
from supervise.records.output_follower import Follower
from supervise.text.writer import write_all


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Follow the run to its end, and end with its code; 0 where the user has detached, which leaves it running."""
    target = lookup.find(operands[0])
    connection, answer = target.ask("attach")
    follower = Follower(answer["folder"], connection)
    keys = target.connect() if answer["has_pty"] and not values["read_only"] else None
    if keys is None:
        for chunk in follower.chunks(connection.wait):
            show(chunk)
        return _code(follower, target)
    with Keyboard(keys) as keyboard:
        if keyboard.is_terminal:
            lookup.say(f"attached to run {target.run_id}; Ctrl-\\ twice detaches", end="\r\n")
        end = "\r\n" if keyboard.is_terminal else "\n"
        try:
            for chunk in follower.chunks(lambda: _type(connection, keyboard)):
                show(chunk, end)
        except Detached as detached:
            number = detached.signal
        else:
            number = -1
    if number < 0:
        return _code(follower, target)
    if number == 0:
        os.write(2, b"\n")
        lookup.say(f"detached; run {target.run_id} goes on")
        return 0
    _signal.signal(number, _signal.SIG_DFL)
    _signal.raise_signal(number)
    return EXIT_SIGNALED + number


def show(chunk: Chunk, end: str = "\n") -> None:
    """Write it where the command has written it; what was left out before it is said."""
    if chunk.left_out:
        lookup.say(f"{display.size(chunk.left_out)} of output are left out here", end)
    write_all(2 if chunk.stream == "stderr" else 1, chunk.data)


def _type(connection: Connection, keyboard: Keyboard) -> None:
    """Wait for the run to say something, and pass on the keys meanwhile."""
    while not connection.has_line:
        keyboard.send()
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.register(keyboard.connection, select.POLLIN)
        poll.register(keyboard.wake, select.POLLIN)
        if keyboard.wants_more:
            poll.register(0, select.POLLIN)
        patience = keyboard.patience
        ready = dict(poll.poll(None if patience is None else patience * 1000 + 1))
        if 0 in ready:
            keyboard.read()
        if keyboard.connection.fileno() in ready:
            keyboard.hear()
        if connection.fileno() in ready:
            return


def _code(follower: Follower, target: lookup.Target) -> int:
    if follower.end is None:
        target.wait_for_end()
        lookup.say(f"run {target.run_id} {target.ending()}")
        return EXIT_ERROR
    code = follower.end.get("exit_code")
    return code if isinstance(code, int) else EXIT_ERROR
