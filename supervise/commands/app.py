"""The reader by click: version, errors, and every command line that the fast reader cannot read whole.

Its options are made from the same tables as those of the fast reader, and the same functions read the values, so that a
command line means the same to both (a property test compares them).
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn

import click

from supervise import __version__
from supervise.commands import help as help_pages
from supervise.commands import invocation, misplaced_options, subcommands
from supervise.commands.invocation import HELP
from supervise.commands.subcommands import Subcommand
from supervise.core.exit_codes import ExitCode
from supervise.options.argv import Request, fill
from supervise.options.table import OPTIONS, WORD_SEPARATOR, BadValueError, Option, option_names
from supervise.process import command_hints
from supervise.text import shell_words, stderr, writer
from supervise.text.nearest import nearest
from supervise.text.redaction import MASK, Redaction

USAGE = "supervise run [OPTIONS] [--] COMMAND [ARG]..."
SHORT_HELP = (
    "runs a command under limits: stops it if it does not come up, goes silent or runs too long, and says why",
    f"usage: {USAGE}",
    "for example: supervise run --timeout 30m --idle-timeout 5m -- make",
    "see supervise --help",
)
HELP_AND_VERSION = (*HELP, "--version")
HABITS = {"-?": "--help", "-V": "--version", "version": "--version"}
"""What users of other programs write for help and version."""
COMMANDS_OF_OTHERS = {
    "kill": "stop", "cancel": "stop", "abort": "stop", "terminate": "stop",
    "list": "ps", "ls": "ps", "jobs": "ps", "htop": "top",
    "status": "show", "info": "show", "inspect": "show", "describe": "show", "report": "show",
    "tail": "logs -f", "follow": "logs -f", "log": "logs", "output": "logs", "journal": "logs",
    "start": "run", "exec": "run", "restart": "recover", "resume": "recover",
    "rm": "prune", "clean": "prune", "gc": "prune",
}  # fmt: skip
"""Commands of systemctl, docker, kill(1), at(1) and the like, and the subcommands of supervise that do the same."""

QUOTE_CHARACTERS = 200
"""Characters of a command line that a message quotes."""
QUOTE_WORDS = 100
"""Words of a command line that a message quotes."""

Words = tuple[dict[str, str], list[str]]
"""The words of the options by key, and the command."""


def main(words: list[str], environ: Mapping[str, str]) -> Request | invocation.Invocation:
    """Return the run or the subcommand that the words ask for.

    Raises SystemExit after help and version (0), and after a refusal (125).
    """
    if not words:
        refuse(*SHORT_HELP)
    if asked := invocation.help_of(words):
        return asked
    is_bare = words[0].startswith("-") and words[0] not in ("-", *HELP_AND_VERSION)
    if not is_bare and words[0] not in (*subcommands.first_words(), *HELP_AND_VERSION):
        refuse(_no_such_command(words))
    row = subcommands.find(words)
    if row is None and (parts := subcommands.second_words(words[0])):
        if words[1:] and (asked := invocation.help_of(words[:2])):
            return asked
        refuse(_no_such_part(words, parts))
    try:
        given, command = _parse(_with_implied_words(["run", *words] if is_bare else words), row)
        if row:
            return invocation.fill(row, given, command, _written(words, option_names(row.all_options)))
        if not command:
            refuse("there is no COMMAND to run", f"usage: {USAGE}")
        options = words[: len(words) - len(command)]
        if is_bare and options[-1] != "--":
            refuse(_not_separated(words, command))
        request = fill(given, command, environ, _written(options, option_names()))
        # The message about a `--` that an option does not take as its value comes first.
        if is_bare and not _has_dashes(options):
            refuse(_not_separated(words, command))
        return request
    except BadValueError as error:
        refuse(str(error))
    except click.UsageError as error:
        refuse(_explain(error, words, row))


def refuse(*lines: str) -> NoReturn:
    """Print the lines on stderr and exit with 125.

    Raises SystemExit.
    """
    stderr.say(*lines)
    raise SystemExit(ExitCode.ERROR)


def _parse(words: list[str], row: Subcommand | None) -> Words:
    """Return what click reads from the words; `row` is that of the subcommand, None for `run`, help and version.

    Raises SystemExit after a help page or the version, and where stdout cannot be written.
    """
    writer.make_stdout_wait()
    is_run = words[0] == "run"
    command = _command(row) if row else RUN if is_run else TOP
    # Not by the command's `main`, which obeys variables for completion, and which turns a broken pipe into an error.
    try:
        context = command.make_context("supervise", words[len(row.name.split()) if row else int(is_run) :])
        return _given(context.params), context.args
    except click.exceptions.Exit:
        pass
    except BrokenPipeError:
        # The reader of stdout has left, as `| head -1` does.
        _forget_stdout()
    except OSError as error:
        _forget_stdout()
        refuse(f"cannot write to stdout: {stderr.reason_of(error)}")
    raise SystemExit(0)


def _forget_stdout() -> None:
    """Replace stdout by /dev/null, so that the flush at the end of the interpreter does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _given(params: Mapping[str, str | bool | tuple[str, ...] | None]) -> dict[str, str]:
    """Return the words of the options that are given, by key."""
    given: dict[str, str] = {}
    for key, word in params.items():
        if isinstance(word, tuple):
            given |= {key: WORD_SEPARATOR.join(word)} if word else {}
        elif word is True:
            given[key] = "on"
        elif isinstance(word, str):
            given[key] = word
    return given


def _command(row: Subcommand) -> click.Command:
    """Return the command of click for the row."""
    return _made(_options(row.all_options), _help_option(row.name), takes_more_options=not row.runs_command)


def _made(options: Iterable[click.Option], *shown: click.Option, takes_more_options: bool = False) -> click.Command:
    """Return a command of click; if it takes more options, these may also stand behind the first operand."""
    # The operands are no parameters of click, so that the messages about them are those of `invocation`.
    settings = {"allow_extra_args": True, "allow_interspersed_args": takes_more_options}
    return click.Command("supervise", params=[*shown, *options], context_settings=settings, add_help_option=False)


def _options(rows: tuple[Option, ...]) -> Iterator[click.Option]:
    """Yield an option of click for each row of the table."""
    names = option_names(rows)
    for option in rows:
        written = [name for name, row in names.items() if row is option]
        # Not False: then an option would take no word that begins with a dash.
        is_flag = True if option.is_flag else None
        yield click.Option([option.key, *written], is_flag=is_flag, multiple=option.is_repeatable)


def _shown_option(names: tuple[str, ...], show: Callable[[], object]) -> click.Option:
    """Return the option of a flag that shows something, and ends the program."""

    def callback(context: click.Context, _: click.Parameter, is_asked: bool | None) -> None:
        if is_asked:
            show()
            if sys.stdout is not None:
                sys.stdout.flush()
            context.exit()

    return click.Option(names, is_flag=True, callback=callback, is_eager=True, expose_value=False)


def _help_option(name: str) -> click.Option:
    return _shown_option(HELP, lambda: help_pages.main({}, [name] if name else []))


VERSION = _shown_option(("--version",), lambda: print("supervise", __version__))
RUN = _made(_options(OPTIONS), _help_option("run"), VERSION)
TOP = _made((), _help_option(""), VERSION)
"""Without a subcommand and without `run`, whose word `main` adds before options of a run."""


# --- errors in one line ---------------------------------------------------------------------------------------------


def _explain(error: Exception, words: list[str], row: Subcommand | None) -> str:
    """Return the message for an error of click; `row` is that of the subcommand, None for `run`."""
    name = getattr(error, "option_name", None)
    if name is None:
        return str(getattr(error, "message", error)).splitlines()[0]
    names = option_names(row.all_options if row else OPTIONS)
    option = names.get(name)
    if option is not None and option.takes_next_word:
        return f"{name}: needs a value ({option.metavar})"
    if option is not None or name in HELP_AND_VERSION:
        return f"{name}: takes no value"
    if place := misplaced_options.explain(name, words, row):
        return place
    near = HABITS.get(name) or nearest(name, [*names, *HELP_AND_VERSION])
    hint = f"did you mean {near}?" if near else f"see supervise {row.name if row else 'run'} --help"
    return f"no such option {_shown([name])}; {hint}"


def _no_such_part(words: list[str], parts: tuple[str, ...]) -> str:
    """Return the message where none of the second words stands after a first word such as `config`."""
    first, *rest = words
    message = f"{first}: takes one of {', '.join(parts)}" + "".join(f", got {_shown([one])}" for one in rest[:1])
    if rest and rest[0].startswith("-") and (part := next((one for one in rest if one in parts), "")):
        others = [one for one in rest if one != part]
        return f"options stand after {first} {part}: supervise {_shown([first, part, *others])}"
    near = nearest(rest[0], parts) if rest else ""
    return message + (f"; did you mean {near}?" if near else "")


def _written(words: list[str], names: Mapping[str, Option]) -> dict[str, str]:
    """Return the name by which the words give each option, by its key: `-k`, `--completion-timeout`.

    Of an option that stands twice, the last name counts, as the last value does.
    """
    return {option.key: name for _, name, option in _options_in(words, names) if option}


def _has_dashes(words: list[str]) -> bool:
    """Return whether a `--` ends the options of `run`; one that is the value of an option does not."""
    return any(name == "--" for _, name, _ in _options_in(words, option_names()))


def _with_implied_words(words: list[str]) -> list[str]:
    """Return the words with `=WORD` after each option that stands without its word; click would take the next word."""
    begin = ["run"] if words[:1] == ["run"] else []
    whole = words[len(begin) :]
    joined = []
    for number, name, option in _options_in(list(whole), option_names()):
        if option is None:
            # The command begins here, or a mistake that is refused.
            break
        if option.implied and whole[number] == name:
            is_next = _is_followed_by_choice(whole, number, option)
            whole[number] += f"={whole[number + 1] if is_next else option.implied}"
            joined += [number + 1] if is_next else []
    return begin + [word for number, word in enumerate(whole) if number not in joined]


def _is_followed_by_choice(words: list[str], number: int, option: Option) -> bool:
    """Return whether the word after that one is a choice of the option, which could stand without it."""
    return bool(option.implied) and words[number + 1 : number + 2] != [] and words[number + 1] in option.choices


def _options_in(words: list[str], names: Mapping[str, Option]) -> Iterator[tuple[int, str, Option | None]]:
    """Yield each option of the words, up to a `--`, with its place and the name that stands there.

    A word that is neither an option nor the value of one, such as the `--`, is yielded with None.
    """
    rest = iter(enumerate(words))
    for number, word in rest:
        if word == "--":
            yield number, word, None
            return
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        while (option := names.get(name)) and option.is_flag and not word.startswith("--") and len(word) > 2:
            # A word of several short options, such as -qk5, is split.
            yield number, name, option
            word = "-" + word[2:]
            name = word[:2]
        yield number, name, option
        if option and word == name and (option.takes_next_word or _is_followed_by_choice(words, number, option)):
            next(rest, None)


def _no_such_command(words: list[str]) -> str:
    """Return the message for a first word that is no subcommand, with the command line that was probably meant."""
    first, *rest = words
    if first in HABITS:
        return f"no such command {first!r}; did you mean: supervise {HABITS[first]}"
    if command_hints.is_duration(first) and rest:
        return f"no such command {first!r}; did you mean: supervise {_shown(['-t', first, '--', *rest])}"
    if (other := COMMANDS_OF_OTHERS.get(first)) is not None:
        ours = other.split()
        row = subcommands.find(ours)
        operands = rest or (row.operands.split() if row else ["COMMAND"])
        return f"no such command {first!r}; did you mean: supervise {_shown([*ours, *operands])}"
    near = nearest(first, subcommands.first_words())
    meant = [near, *rest] if near else ["run", *words]
    return f"no such command {first!r}; did you mean: supervise {_shown(meant)}"


def _not_separated(words: list[str], command: list[str]) -> str:
    """Return the message for options without `run` and without `--`, with the command line that was probably meant."""
    options = words[: len(words) - len(command)]
    row = subcommands.find(command)
    if row and (wrong := misplaced_options.foreign(_written(options, option_names()), row)):
        return wrong
    if command[0] in subcommands.first_words():
        return f"options stand after {command[0]}: supervise {_shown([command[0], *options, *command[1:]])}"
    if command_hints.is_duration(command[0]) and command[1:]:
        # The duration comes before the command, as in a call of timeout(1).
        return f"did you mean: supervise {_shown([*options, '-t', command[0], '--', *command[1:]])}"
    return f"put -- before the command: supervise {_shown([*options, '--', *command])}"


def _shown(words: list[str]) -> str:
    """Return the words as one would type them, on one line of at most QUOTE_CHARACTERS.

    Passwords are masked, since the log of a CI job may be public.
    """
    shown = Redaction().words(words[:QUOTE_WORDS])
    text = " ".join(word if word == MASK else shell_words.quoted(word) for word in shown)
    return text if len(text) <= QUOTE_CHARACTERS else text[:QUOTE_CHARACTERS] + " ..."
