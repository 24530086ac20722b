"""The fast reader: it turns the words of a plain run into a Request by the table of options alone.

Words that it does not fully know (help, an error, another command) it leaves to `commands/app.py`, which returns the
same Request for the same words or says what is wrong. This module is loaded before the command starts, so it uses
built-in modules only; argparse or click would cost more than the start of the command.
"""

import posix
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
"""The word of a flag that is given on the command line."""
NAMES = option_names()
CONFIG, PROFILE, PING = NAMES["--config"], NAMES["--profile"], NAMES["--ping"]
CHECK = "CHECK_UUID"
"""The variable that names a check of healthchecks.io, as for other programs that ping."""


class Request:
    """What the words of the command line ask for."""

    __slots__ = ("command", "given", "hints", "notice", "sources", "values", "withheld")

    def __init__(
        self,
        values: "dict[str, Any]",
        command: "list[str]",
        withheld: "tuple[str, ...]",
        given: "dict[str, str]",
        notice: str = "",
        hints: "tuple[str, ...]" = (),
        sources: "Mapping[str, str]" = {},  # noqa: B006 - is never changed
    ) -> None:
        self.values = values
        """The value of each option, by its key."""
        self.command = command
        """The program and its arguments; never empty."""
        self.withheld = withheld
        """The environment variables that set options of this run, which the command must not inherit."""
        self.given = given
        """The word of each option that is not at its default, by name. Given again, the words make the same run."""
        self.sources = sources
        """Where the word of each such option comes from: the option, a variable, or the key in the configuration."""
        self.hints = hints
        """Messages about environment variables whose names are nearly those of options."""
        self.notice = notice
        """Why the configuration that the environment names is not used, as one line; empty if it is used."""


def read(words: "list[str]", environ: "Mapping[str, str]") -> "Request | None":
    """Return the Request of `run [OPTIONS] [--] COMMAND...` or `[OPTIONS] -- COMMAND...`; None for all other words."""
    is_bare = words[:1] != ["run"]
    rest = list(words if is_bare else words[1:])
    given = take_options(rest, NAMES)
    if given is None:
        return None
    has_dashes = rest[:1] == ["--"]
    command = rest[1:] if has_dashes else rest
    if not command or (is_bare and not has_dashes):
        return None
    try:
        return fill(given, command, environ)
    except BadValueError:
        return None


def take_options(rest: "list[str]", names: "Mapping[str, Option]") -> "dict[str, str] | None":
    """Remove the leading options from `rest` and return their words by key; None if a word is unknown or has no value.

    If an option is given twice, the last word counts; the words of a repeatable option are joined by WORD_SEPARATOR.
    The word of a flag is the one that sets it in the environment.
    """
    given: dict[str, str] = {}
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        word = rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            option = names.get(name)
            if option is None or (option.is_flag and equals):
                return None
        else:
            while (option := names.get(word[:2])) is not None and option.is_flag and len(word) > 2:
                given[option.key] = ON
                word = "-" + word[2:]
            if option is None:
                return None
            equals = value = word[2:]
        if option.is_flag:
            value = ON
        elif not equals and option.implied:
            value = rest.pop(0) if rest and rest[0] in option.choices else option.implied
        elif not equals:
            if not rest:
                return None
            value = rest.pop(0)
        is_added = option.is_repeatable and option.key in given
        given[option.key] = given[option.key] + WORD_SEPARATOR + value if is_added else value
    return given


def fill(
    given: "Mapping[str, str]",
    command: "list[str]",
    environ: "Mapping[str, str]",
    written: "Mapping[str, str] | None" = None,
) -> Request:
    """Return the Request for the words of the command line, with the environment, the configuration and the defaults.

    `written`: how each option is written on the command line, by key, if that is known. Raises BadValueError with a
    text that begins with the name of the option or the variable.
    """
    values, words, sources = {option.key: option.value for option in OPTIONS}, {}, {}
    ours = {name: word for name, word in environ.items() if name.startswith(PREFIX)}
    configured, notice = configuration(given, environ)
    for option in OPTIONS if given or ours or configured else ():
        source, word = source_of(option, given, ours)
        setting = None if source else configured.get(option.key)
        if not (source or setting):
            continue
        try:
            values[option.key] = setting.value if setting else read_word(option, word)
        except BadValueError as error:
            source = (written or {}).get(option.key, source) if source == "--" + option.name else source
            raise BadValueError(f"{source}: {error}") from None
        words[option.name] = setting.word if setting else word
        sources[option.name] = "the configuration, " + ".".join(setting.path) if setting else source
    if configured or values["config"]:
        # The words include the configured values of now. A later configuration must add nothing to them.
        words["config"] = "/dev/null"
        words.pop("profile", None)
    _check_together(values, written or {}, words)
    # All variables of options are withheld, used or not: they must not set options of a supervise inside the command.
    withheld = tuple(name for option in OPTIONS for name in option.variables if name in ours) if ours else ()
    hints: tuple[str, ...] = ()
    if len(ours) > len(withheld):
        from supervise.options import misspelt_variables

        hints = misspelt_variables.misspelt(ours)
    if environ.get(CHECK) and not source_of(PING, given, ours)[0]:
        from supervise.options.values import is_secret_file, is_uuid

        if is_uuid(environ[CHECK]) or is_secret_file(environ[CHECK]):
            values["ping"] = words["ping"] = environ[CHECK]
            sources["ping"] = CHECK
            # A supervise inside the command must not tell this check of its own run, which is only a part of this one.
            withheld += (CHECK,)
        else:
            hints += (f"{CHECK}: is neither a UUID nor file:PATH, so this run pings nothing",)
    return Request(values, command, withheld, words, notice, hints, sources)


def _check_together(values: "Mapping[str, Any]", written: "Mapping[str, str]", words: "Mapping[str, str]") -> None:
    """Raise BadValueError if options contradict each other, wherever each of them is set.

    `words` has the options that are set, by their names.
    """
    if not values["lock"] and ("if-busy" in words or "slots" in words):
        option = "if-busy" if "if-busy" in words else "slots"
        raise BadValueError(f"--{option}: needs a lock (--lock NAME), which decides whether another run is in the way")
    if values["access_on"] and values["access_timeout"] is None:
        raise BadValueError(
            "--access-on: needs an access limit (--access-timeout); without one, access is at the start"
        )
    if values["access_on"] and not {*values["access_on"]} - {"attach"}:
        # If the record cannot be made, a message says so, and the access limit ends the run.
        if values["no_record"]:
            raise BadValueError("--access-on: no client can attach without a record, which --no-record switches off")
        if not values["log_max"]:
            raise BadValueError("--access-on: no client can attach without recorded output, and --log-max 0 keeps none")
    if values["streams"] == "together" and values["idle_on"] != "both":
        raise BadValueError(f"--streams: --idle-on {values['idle_on']} needs stdout and stderr apart, not together")
    if values["streams"] == "apart" and values["pty"]:
        raise BadValueError("--streams: a terminal (--pty) is one stream, stdout and stderr cannot be apart there")
    if values["detach"] and values["no_record"]:
        detach = written.get("detach", "--detach")
        raise BadValueError(f"{detach}: the output goes into the record, which --no-record switches off")
    service = values["ci"] if values["ci"] in ("github", "gitlab", "buildkite") else ""
    if values["detach"] and service:
        raise BadValueError(f"--ci: {service} reads the output of a job, and --detach leaves none")
    after = next((name for name in ("detach-after", "detach-after-idle") if values[name.replace("-", "_")]), "")
    if after and values["no_record"]:
        raise BadValueError(f"--{after}: the run goes on in its record, which --no-record switches off")
    if after and service:
        raise BadValueError(f"--ci: {service} reads the output of a job, and --{after} may end that output early")
    if values["json"] and not after:
        raise BadValueError(
            "--json: says when control is given back, which takes --detach-after or --detach-after-idle"
        )
    if values["stop_command"] and not values["kill_after"]:
        raise BadValueError("--stop-command: has the time of --kill-after, which is 0 here")
    if values["no_record"] and values["on_interrupt"] == "rerun":
        raise BadValueError("--on-interrupt: rerun needs a record, which --no-record switches off")


def source_of(option: Option, given: "Mapping[str, str]", environ: "Mapping[str, str]") -> "tuple[str, str]":
    """Return the option or variable that sets the option, and its word; two empty strings if neither sets it."""
    if option.key in given:
        return "--" + option.name, given[option.key]
    for variable in option.variables if environ else ():
        if word := environ.get(variable):
            return variable, WORD_SEPARATOR.join(filter(None, word.split("\n"))) if option.is_repeatable else word
    return "", ""


def configuration(given: "Mapping[str, str]", environ: "Mapping[str, str]") -> "tuple[Mapping[str, Setting], str]":
    """Return the settings of the configuration by the keys of their options, and why no configuration is used, or ''.

    Raises BadValueError.
    """
    profile = source_of(PROFILE, given, environ)
    if not profile[0] and not source_of(CONFIG, given, environ)[0] and _has_no_file(environ):
        return {}, ""
    from supervise.options import config_location

    path, notice = config_location.find(given, environ)
    if not path:
        if profile[0]:
            where = f" ({notice})" if notice else ""
            raise BadValueError(f"{profile[0]}: no profile {profile[1]!r}, as there is no configuration{where}")
        return {}, notice
    from supervise.options import config

    return config.load(path, is_named=bool(source_of(CONFIG, given, environ)[0])).settings(
        profile[1] if profile[0] else None
    ), notice


def _has_no_file(environ: "Mapping[str, str]") -> bool:
    """Return whether the user surely has no configuration; False if it must be looked for.

    The kernel must know the answer without a disk.
    """
    folder = paths.config(environ) if sys.platform == "linux" else None
    if not folder:
        return False
    from supervise.process import system

    path = f"{folder}/{FILE}"
    if not system.is_at_hand(path) or not paths.deepest_trusted_folder(folder):
        return False
    try:
        posix.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # The error is reported when the file is read.
        pass
    return False


def read_word(option: Option, word: str) -> object:
    """Return the value of the word for the option.

    Raises BadValueError.
    """
    if option.is_flag and word == ON:
        return True
    # A run without options does not load this module, which would be the second largest file that it loads.
    from supervise.options import values

    return values.read(option, word)
