"""The exits of a run that cannot begin: the words and the steps of each.

Memory or descriptors may be what is short, so the launch loads this module before the guardian is forked; the module
itself loads only what it can do without.
"""

import posix

from supervise import EXIT_ERROR
from supervise.options.table import BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from supervise.launch.state import Launched

OUT_OF_MEMORY = b"supervise: cannot go on: out of memory; stopping the command\n"
"""The line of a run that has no memory left to make one."""


class EarlyExit(Exception):  # noqa: N818 - the run is over, and all is said: no error
    """The process ends now, with `code`: the run is over before the runner has it, or never begins."""

    def __init__(self, code: int, die_of: "int | None" = None) -> None:
        super().__init__(code)
        self.code = code
        self.die_of = die_of
        """The signal of which the process dies instead; None for the code."""


class Refusal(Exception):  # noqa: N818 - an answer to the caller, not an error of the program
    """The call cannot be carried out; its text is the whole message."""


def refuse(launched: "Launched", why: str) -> "NoReturn":
    """Say the refusal on stderr, write the outcome `error` into the report, the events and the record.

    Raises EarlyExit.
    """
    launched.files.free_reserve()
    say(why)
    try:
        # Where descriptors are short, what is loaded and written now needs those of the channel and the pipes.
        if launched.child.has_guardian:
            launched.child.channel.close()
        if not launched.pumps:
            launched.child.close_sources()
        if launched.info.fence:
            from supervise.launch import ci_fence

            ci_fence.lower(launched)
        launched.child.lift_memory_limit()
        from supervise.launch import refusal

        refusal.write_end(launched, why)
    except (OSError, ImportError, MemoryError, RuntimeError) as error:
        say(f"that is not told in the report or on record: {reason_of(error) or 'out of memory'}")
    raise EarlyExit(EXIT_ERROR)


def refuse_start(launched: "Launched", error: Exception) -> "NoReturn":
    """Refuse a run whose guardian has not started the command, because of that error.

    Raises EarlyExit.
    """
    launched.access.remove_socket()
    if launched.terminals.pty_input:
        launched.terminals.give_back()
    if launched.child.has_guardian:
        launched.child.guardian.dismiss()
    is_whole = isinstance(error, (BadValueError, Refusal))
    refuse(launched, str(error) if is_whole else f"cannot start: {reason_of(error)}")


def take_back(launched: "Launched", error: Exception) -> "NoReturn":
    """Refuse a run whose command may exist already: kill the command and all that it has started.

    Raises EarlyExit.
    """
    launched.terminals.give_back()
    launched.child.channel.send(("kill",))
    # The guardian reports a command that never came into being before it kills anything.
    if not launched.child.has_heard("failed") and not launched.child.has_heard("empty"):
        _hear_end(launched)
    launched.child.guardian.dismiss()
    launched.access.remove_socket()
    refuse(launched, f"cannot start: {reason_of(error)}")


def _hear_end(launched: "Launched") -> None:
    """Hear the guardian until no process of the command is left; the kill has a bound, and so has this wait."""
    for message in launched.child.guardian.last_messages():
        launched.child.note_heard(message)
        if message[0] in ("empty", "failed"):
            break


def say(text: str) -> None:
    """Say the text on stderr; where no descriptor is left to load the library with, say it without that."""
    try:
        from supervise.text import stderr

        stderr.say(text)
    except (OSError, ImportError):
        try:
            posix.write(2, "".join(one if one.isprintable() else "?" for one in f"supervise: {text}").encode() + b"\n")
        except OSError:
            pass


def reason_of(error: Exception) -> str:
    """Return what is the matter, without a path, as `text.stderr.reason_of` does.

    That module may be what cannot be loaded any more; this function is loaded before memory or descriptors run out.
    """
    if isinstance(error, MemoryError) or "failed to map segment" in str(error):
        # The second text is what the dynamic loader says of a library for which there is no memory (dlopen(3)).
        return "out of memory"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, RuntimeError) and "thread" in text:
        return "no more threads can be had"
    # Of a module that cannot be loaded, the text ends with the reason.
    return text.rpartition(": ")[2].lower()
