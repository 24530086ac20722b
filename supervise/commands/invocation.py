"""The words of such a command, read by its row of the table; and the command, done."""

import os
import sys
from importlib import import_module

from supervise import EXIT_ERROR
from supervise.commands.registry import Subcommand, find
from supervise.options.argv import take_options
from supervise.options.table import BadValueError, option_names
from supervise.options.values import read as read_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn


class Call:
    """What the words ask for."""

    __slots__ = ("operands", "row", "values")

    def __init__(self, row: Subcommand, values: "dict[str, Any]", operands: "list[str]") -> None:
        self.row = row
        self.values = values
        """The value of every option, by its key."""
        self.operands = operands


def read(words: "list[str]") -> "Call | None":
    """The Call for the words; None for what typer has to say something about."""
    row = find(words)
    if row is None:
        return None
    names = option_names(row.options)
    rest, operands = words[len(row.name.split()) :], list[str]()
    said: dict[str, str] = {}
    while rest:
        taken = take_options(rest, names)
        if taken is None:
            return None
        said |= taken
        if rest[:1] == ["--"]:
            operands += rest[1:]
            break
        operands += rest[:1]
        del rest[:1]
    try:
        return fill(row, said, operands)
    except BadValueError:
        return None


def fill(
    row: Subcommand,
    said: "Mapping[str, str]",
    operands: "list[str]",
    written: "Mapping[str, str] | None" = None,
) -> Call:
    """The Call for the words of the options by their keys, and the operands.

    `written`: how the options are written on the command line, by their keys, where that is known.
    Raises BadValueError.
    """
    if not row.least <= len(operands) <= row.most:
        wrong = "there is something missing" if len(operands) < row.least else f"{operands[row.most]!r} is too much"
        raise BadValueError(f"{row.name}: {wrong}; usage: supervise {row.usage}")
    values = {}
    for option in row.options:
        try:
            values[option.key] = read_value(option, said[option.key]) if option.key in said else option.value
        except BadValueError as error:
            name = (written or {}).get(option.key, f"--{option.name}")
            raise BadValueError(f"{name}: {error}") from None
    return Call(row, values, operands)


def carry_out(call: Call) -> "NoReturn":
    """Do it, and end this process with its code."""
    from supervise.text import writer

    writer.make_stdout_wait()
    try:
        code = import_module(call.row.module).main(call.values, call.operands)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BadValueError as error:
        _refuse(f"{call.row.name}: {error}")
    except BrokenPipeError:
        # The reader has left, as `| head -1` does: that is no error.
        code = 0
    except KeyboardInterrupt:
        import _signal

        # As any program that does not handle it, so that a loop around us stops too.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        _signal.raise_signal(_signal.SIGINT)
        code = 130
    except OSError as error:
        from supervise.text.stderr import reason_of

        _refuse(f"{call.row.name}: {reason_of(error)}")
    # Not by way of the interpreter's own shutdown, which costs more than most of these commands.
    os._exit(code)


def _refuse(why: str) -> "NoReturn":
    from supervise.text import stderr

    stderr.say(why)
    os._exit(EXIT_ERROR)
