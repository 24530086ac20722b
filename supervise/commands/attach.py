"""`supervise attach`: show the output of a run to its end, and send keys to the terminal of its command."""

import _signal
import os
import select
from typing import Any

from supervise import EXIT_ERROR, EXIT_SIGNALED
from supervise.commands import lookup
from supervise.commands.keyboard import Detached, Keyboard
from supervise.control.client import Connection
from supervise.records.bounded_output import Chunk
from supervise.records.output_follower import Follower
from supervise.text import stderr
from supervise.text.byte_count import size
from supervise.text.writer import write_all


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Show the output of the run and return the run's exit code; 0 where the user has detached."""
    target = lookup.find(operands[0])
    connection, answer = target.ask("attach")
    follower = Follower(answer["folder"], connection)
    keys = target.connect() if answer["has_pty"] and not values["read_only"] else None
    if keys is None:
        for chunk in follower.chunks(connection.wait):
            write_chunk(chunk)
        return _code(follower, target)
    with Keyboard(keys) as keyboard:
        if keyboard.is_terminal:
            stderr.say(f"attached to run {target.run_id}; Ctrl-\\ twice detaches", end="\r\n")
        end = "\r\n" if keyboard.is_terminal else "\n"
        try:
            for chunk in follower.chunks(lambda: _send_keys_until_line(connection, keyboard)):
                write_chunk(chunk, end)
        except Detached as detached:
            number = detached.signal
        else:
            number = -1
    if number < 0:
        return _code(follower, target)
    if number == 0:
        os.write(2, b"\n")
        stderr.say(f"detached; run {target.run_id} goes on")
        return 0
    _signal.signal(number, _signal.SIG_DFL)
    _signal.raise_signal(number)
    return EXIT_SIGNALED + number


def write_chunk(chunk: Chunk, end: str = "\n") -> None:
    """Write the chunk to the stream that the command wrote it to, after a line about bytes that are left out before it.

    Raises OSError.
    """
    if chunk.left_out:
        stderr.say(f"{size(chunk.left_out)} of output are left out here", end=end)
    write_all(2 if chunk.stream == "stderr" else 1, chunk.data)


def _send_keys_until_line(connection: Connection, keyboard: Keyboard) -> None:
    """Wait for a line of the run on its connection, and send keys and the window's size meanwhile.

    Raises Detached where the user detaches.
    """
    while not connection.has_line:
        keyboard.send()
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.register(keyboard.connection, select.POLLIN)
        poll.register(keyboard.wake, select.POLLIN)
        if keyboard.wants_more:
            poll.register(0, select.POLLIN)
        seconds = keyboard.seconds_to_next_step
        ready = dict(poll.poll(None if seconds is None else seconds * 1000 + 1))
        if 0 in ready:
            keyboard.read()
        if keyboard.connection.fileno() in ready:
            keyboard.hear_answer()
        if connection.fileno() in ready:
            return


def _code(follower: Follower, target: lookup.Target) -> int:
    """Return the exit code of the run; 125, with a line on stderr, where the run has no end on record."""
    if follower.end is None:
        target.wait_for_end()
        stderr.say(f"run {target.run_id} {target.ending()}")
        return EXIT_ERROR
    code = follower.end.get("exit_code")
    return code if isinstance(code, int) else EXIT_ERROR
