"""A subcommand as the command line asks for it: its words, read by its row of the table, and its execution."""

import sys
from importlib import import_module

from supervise import EXIT_ERROR
from supervise.commands.subcommands import Subcommand, find, second_words
from supervise.options.argv import take_options
from supervise.options.table import WORD_SEPARATOR, BadValueError, option_names
from supervise.options.values import read as read_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


HELP = ("--help", "-h")


class Invocation:
    """One subcommand with the values of its options and its operands."""

    __slots__ = ("operands", "row", "values")

    def __init__(self, row: Subcommand, values: "dict[str, Any]", operands: "list[str]") -> None:
        self.row = row
        self.values = values
        """The value of every option of the row, by the option's key."""
        self.operands = operands


def read(words: "list[str]") -> "Invocation | None":
    """Return the invocation that the words of the command line mean.

    None where the reader by click has to read the words: no row of the table, `--help` among other words, or an error
    that it explains.
    """
    if asked := help_of(words):
        return asked
    row = find(words)
    if row is None:
        return None
    names = option_names(row.all_options)
    rest, operands = words[len(row.name.split()) :], list[str]()
    said: dict[str, str] = {}
    while rest:
        taken = take_options(rest, names)
        if taken is None:
            return None
        for key, word in taken.items():
            is_added = key in said and any(option.key == key and option.is_repeatable for option in row.options)
            said[key] = said[key] + WORD_SEPARATOR + word if is_added else word
        if rest[:1] == ["--"]:
            operands += rest[1:]
            break
        if row.runs_command and rest:
            operands += rest
            break
        operands += rest[:1]
        del rest[:1]
    try:
        return fill(row, said, operands)
    except BadValueError:
        return None


def help_of(words: "list[str]") -> "Invocation | None":
    """Return the invocation of `help` that words such as `--help`, `run --help` or `config -h` mean, or None."""
    if words[-1:] not in ([one] for one in HELP):
        return None
    name = " ".join(words[:-1])
    row, shower = find(words), find(["help"])
    if shower is None or (name and name != "run" and not (row and row.name == name) and not second_words(name)):
        return None
    return Invocation(shower, {}, [name] if name else [])


def fill(
    row: Subcommand,
    said: "Mapping[str, str]",
    operands: "list[str]",
    written: "Mapping[str, str] | None" = None,
) -> Invocation:
    """Return the invocation of the row with these words of its options, by their keys, and these operands.

    `written` has the name of each option as the command line has it (`-n`), by the option's key, for the messages.
    Raises BadValueError.
    """
    if not row.min_operands <= len(operands) <= row.max_operands:
        wrong = (
            "an operand is missing"
            if len(operands) < row.min_operands
            else f"unexpected operand {operands[row.max_operands]!r}"
        )
        raise BadValueError(f"{row.name}: {wrong}; usage: supervise {row.usage}")
    values = {}
    for option in row.options:
        try:
            values[option.key] = read_value(option, said[option.key]) if option.key in said else option.value
        except BadValueError as error:
            name = (written or {}).get(option.key, f"--{option.name}")
            raise BadValueError(f"{name}: {error}") from None
    if row.runs_command:
        values["run"] = {key: word for key, word in said.items() if key not in values}
    return Invocation(row, values, operands)


def carry_out(invocation: Invocation) -> int:
    """Carry the subcommand out and return its exit code; an error is one line on stderr and 125.

    `__main__` ends the process with the code by os._exit: the interpreter's own shutdown takes longer than most of
    these subcommands.
    """
    from supervise.text import writer

    writer.make_stdout_wait()
    row = invocation.row
    try:
        code: int = import_module(row.module).main(invocation.values, invocation.operands)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BadValueError as error:
        return _refuse(f"{row.name}: {error}")
    except BrokenPipeError:
        # The reader of stdout has left, as `| head -1` does: that is no error.
        return 0
    except KeyboardInterrupt:
        import _signal

        # The process dies of the signal, as without a handler, so that a shell loop around it stops, too.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        _signal.raise_signal(_signal.SIGINT)
        return 130
    except OSError as error:
        from supervise.text.stderr import reason_of

        return _refuse(f"{row.name}: {reason_of(error)}")


def _refuse(why: str) -> int:
    from supervise.text import stderr

    stderr.say(why)
    return EXIT_ERROR
