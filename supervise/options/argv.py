"""The fast reader: the words of a plain run to a Request, by the table alone.

What it does not know whole (help, an error, another command) it leaves to `app`, which gives the same result for the
same words or says what is wrong.  It is imported before the command is born, so built-in modules only; argparse or
typer would cost more than the command's own start.
"""

import os
import sys

from supervise.options import paths
from supervise.options.table import OPTIONS, PREFIX, WORD_SEPARATOR, BadValueError, Option, option_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from supervise.options.config import Setting


FILE = "config.toml"
ON = "on"
"""The word of a flag that stands on the command line."""
NAMES = option_names()
CONFIG, PROFILE = NAMES["--config"], NAMES["--profile"]


class Request:
    """What the words ask for."""

    __slots__ = ("command", "hints", "notice", "said", "taken", "values")

    def __init__(
        self,
        values: "dict[str, Any]",
        command: "list[str]",
        taken: "tuple[str, ...]",
        said: "dict[str, str]",
        notice: str = "",
        hints: "tuple[str, ...]" = (),
    ) -> None:
        self.values = values
        """Of every option, by its key."""
        self.command = command
        """The program and its arguments; never empty."""
        self.taken = taken
        """The environment variables that were for us and that the command must not inherit."""
        self.said = said
        """The words of all options that are not as the table has them, by their names: said again, they do the same."""
        self.hints = hints
        """What is to be said of variables of the environment that look like an option's."""
        self.notice = notice
        """Why the configuration that the environment names is left alone: one line; empty where it is not."""


def read(words: "list[str]", environ: "Mapping[str, str]") -> "Request | None":
    """The Request of `run [OPTIONS] [--] COMMAND...` or `[OPTIONS] -- COMMAND...`; None for whatever else."""
    is_bare = words[:1] != ["run"]
    rest = list(words if is_bare else words[1:])
    said = take_options(rest, NAMES)
    if said is None:
        return None
    has_dashes = rest[:1] == ["--"]
    command = rest[1:] if has_dashes else rest
    if not command or (is_bare and not has_dashes):
        return None
    try:
        return fill(said, command, environ)
    except BadValueError:
        return None


def take_options(rest: "list[str]", names: "Mapping[str, Option]") -> "dict[str, str] | None":
    """Take the options of these names off the front of `rest`: their words by key, the last one where one stands twice.

    Of one that is repeatable all of them, with BETWEEN between.  A flag's word is what the environment would say.
    None where a word is not one of ours or has no value.
    """
    said: dict[str, str] = {}
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        word = rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            option = names.get(name)
            if option is None or (option.is_flag and equals):
                return None
        else:
            while (option := names.get(word[:2])) is not None and option.is_flag and len(word) > 2:
                said[option.key] = ON
                word = "-" + word[2:]
            if option is None:
                return None
            equals = value = word[2:]
        if option.is_flag:
            value = ON
        elif not equals:
            if not rest:
                return None
            value = rest.pop(0)
        is_added = option.is_repeatable and option.key in said
        said[option.key] = said[option.key] + WORD_SEPARATOR + value if is_added else value
    return said


def fill(
    said: "Mapping[str, str]",
    command: "list[str]",
    environ: "Mapping[str, str]",
    written: "Mapping[str, str] | None" = None,
) -> Request:
    """The Request for the words that the command line said, with the environment's and the defaults for the others.

    `written`: how the options are written on the command line, by their keys, where that is known.
    Raises BadValueError, its text beginning with the option's or the variable's name.
    """
    values, words = {option.key: option.value for option in OPTIONS}, {}
    ours = {name: word for name, word in environ.items() if name.startswith(PREFIX)}
    configured, notice = configuration(said, environ)
    for option in OPTIONS if said or ours or configured else ():
        source, word = source_of(option, said, ours)
        setting = None if source else configured.get(option.key)
        if not (source or setting):
            continue
        try:
            values[option.key] = setting.value if setting else read_word(option, word)
        except BadValueError as error:
            source = (written or {}).get(option.key, source) if source == "--" + option.name else source
            raise BadValueError(f"{source}: {error}") from None
        words[option.name] = setting.word if setting else word
    if configured or values["config"]:
        # What is configured now is in those words; what will be then shall add nothing.
        words["config"] = os.devnull
        words.pop("profile", None)
    _check_together(values, written or {})
    # All of them, used or not: a supervise inside the command is not governed by what was said to this one.
    taken = tuple(name for option in OPTIONS for name in option.variables if name in ours) if ours else ()
    hints: tuple[str, ...] = ()
    if len(ours) > len(taken):
        from supervise.options import misspelt_variables

        hints = misspelt_variables.misspelt(ours)
    return Request(values, command, taken, words, notice, hints)


def _check_together(values: "Mapping[str, Any]", written: "Mapping[str, str]") -> None:
    """Raises BadValueError for options that make no sense together, whoever says each of them."""
    if values["access_on"] and values["access_timeout"] is None:
        raise BadValueError(
            "--access-on: needs an access limit (--access-timeout); without one, access is at the start"
        )
    if values["access_on"] and not {*values["access_on"]} - {"attach"}:
        # Where a record was to be and cannot be made, that is said, and the access limit ends it.
        if values["no_record"]:
            raise BadValueError("--access-on: nobody can attach without the record, of which --no-record leaves none")
        if not values["log_max"]:
            raise BadValueError("--access-on: nobody can attach without recorded output, of which --log-max keeps none")
    if values["streams"] == "together" and values["idle_on"] != "both":
        raise BadValueError(f"--streams: --idle-on {values['idle_on']} needs the two apart, not together")
    if values["streams"] == "apart" and values["pty"]:
        raise BadValueError("--streams: a terminal (--pty) is one stream, stdout and stderr cannot be apart there")
    if values["detach"] and values["no_record"]:
        detach = written.get("detach", "--detach")
        raise BadValueError(f"{detach}: its output goes into the record, of which --no-record leaves none")
    if values["no_record"] and values["on_interrupt"] == "rerun":
        raise BadValueError("--on-interrupt: a run is found again by its record, of which --no-record leaves none")


def source_of(option: Option, said: "Mapping[str, str]", environ: "Mapping[str, str]") -> "tuple[str, str]":
    """Who says something about the option, and what; two empty strings where nobody does."""
    if option.key in said:
        return "--" + option.name, said[option.key]
    for variable in option.variables if environ else ():
        if word := environ.get(variable):
            return variable, WORD_SEPARATOR.join(filter(None, word.split("\n"))) if option.is_repeatable else word
    return "", ""


def configuration(said: "Mapping[str, str]", environ: "Mapping[str, str]") -> "tuple[Mapping[str, Setting], str]":
    """Return what the configuration says of each option, by its key, and why the configuration is left alone, or ''.

    Raises BadValueError.
    """
    profile = source_of(PROFILE, said, environ)
    if not profile[0] and not source_of(CONFIG, said, environ)[0] and _has_no_file(environ):
        return {}, ""
    from supervise.options import config_location

    path, notice = config_location.find(said, environ)
    if not path:
        if profile[0]:
            where = f" ({notice})" if notice else ""
            raise BadValueError(
                f"{profile[0]}: there is no configuration that could have a profile {profile[1]!r}{where}"
            )
        return {}, notice
    from supervise.options import config

    return config.load(path, is_named=bool(source_of(CONFIG, said, environ)[0])).settings(
        profile[1] if profile[0] else None
    ), notice


def _has_no_file(environ: "Mapping[str, str]") -> bool:
    """Return whether the user has no configuration, as the kernel knows at once; False where it is to be looked for."""
    folder = paths.config(environ) if sys.platform == "linux" else None
    if not folder:
        return False
    from supervise.process import system

    path = f"{folder}/{FILE}"
    if not system.is_at_hand(path) or not paths.closed_way(folder):
        return False
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # What is wrong with it is said when it is read.
        pass
    return False


def read_word(option: Option, word: str) -> object:
    """Return the value of that word.

    Raises BadValueError.
    """
    if option.is_flag and word == ON:
        return True
    # Not for a run of which nothing else is said: it would be the largest file but one that is loaded for it.
    from supervise.options import values

    return values.read(option, word)
