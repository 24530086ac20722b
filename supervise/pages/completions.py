"""What the completions say of the options, in the words of each shell."""

import shlex

from supervise.commands.table import first_words
from supervise.options import OPTIONS, Option, option_names

SIGNALS = ("TERM", "INT", "HUP", "QUIT", "KILL", "USR1", "USR2", "ABRT", "ALRM", "CONT", "STOP", "TSTP", "WINCH")
"""Those that one would send to stop or to tell something; any other can be typed.  The same on every system."""
NAMES = option_names()
SHORTS_WITH_VALUE = "".join(option.short for option in OPTIONS if not option.is_flag)
SHORT_FLAGS = "".join(option.short for option in OPTIONS if option.is_flag)
WITH_VALUE = [name for name, option in NAMES.items() if not option.is_flag]
ALONE = {"--help": "Show a help page and exit", "--version": "Show the version and exit"}


def names_of(option: Option) -> list[str]:
    """`-t`, `--timeout`, `--completion-timeout`."""
    return [name for name, row in NAMES.items() if row is option]


def words_for(option: Option) -> tuple[str, ...]:
    """The words that its value may be; none where they cannot be listed."""
    return SIGNALS if option.kind == "signal" else option.choices


def bash_parts() -> dict[str, str]:
    """`compgen` needs plain lists of words, and `case` patterns with bars between."""

    def values(function: str, chosen: list[Option]) -> list[str]:
        return [
            f"        {'|'.join(names_of(option))}) {function} {shlex.quote(' '.join(words_for(option)))} ;;"
            for option in chosen
        ]

    listed = [option for option in OPTIONS if option.kind in ("choice", "signal")]
    several = [option for option in OPTIONS if option.kind == "set"]
    paths = [name for option in OPTIONS if option.kind == "path" for name in names_of(option)]
    arms = [
        *values("_supervise_words", listed),
        *values("_supervise_list", several),
        f"        {'|'.join(paths)}) _supervise_files ;;",
    ]
    return {
        "OPTIONS": " ".join([*NAMES, *ALONE]),
        "VALUES": "\n".join(arms),
        "WITH_VALUE": "|".join(WITH_VALUE),
        "SHORT_FLAGS": SHORT_FLAGS,
        "COMMANDS": " ".join(first_words()),
        "COMMAND_PATTERN": "|".join(first_words()),
    }


def zsh_parts() -> dict[str, str]:
    """Specs of `_arguments` (zshcompsys(1)): excluded names, names, description, what the value is."""
    specs = []
    for option in OPTIONS:
        names = names_of(option)
        described = "[" + _zsh_text(option.help) + "]"
        value = "" if option.is_flag else f":{option.metavar}:{_zsh_action(option)}"
        excluded = f"({' '.join(names)})"
        specs += [shlex.quote(excluded + _zsh_name(name, option) + described + value) for name in names]
    specs += [shlex.quote(f"(- *){name}[{text}]") for name, text in ALONE.items()]
    return {
        "OPTIONS": "\n".join("    " + spec for spec in specs),
        "COMMANDS": " ".join(first_words()),
        "COMMAND_PATTERN": "|".join(first_words()),
    }


def _zsh_name(name: str, option: Option) -> str:
    if option.is_flag:
        return name
    return name + ("=" if name.startswith("--") else "+")


def _zsh_action(option: Option) -> str:
    words = " ".join(words_for(option))
    if option.kind == "set":
        return f"_sequence compadd - {words}"
    if option.kind == "path":
        return "_files"
    # A space: nothing can be completed, but zsh says what is expected.
    return f"({words})" if words else " "


def _zsh_text(text: str) -> str:
    for letter in "\\[]:":
        text = text.replace(letter, "\\" + letter)
    return text.removesuffix(".")


def fish_parts() -> dict[str, str]:
    """`complete` lines, one for each option."""
    lines = [_fish_line(_fish_names(names_of(option)), _fish_value(option), option.help) for option in OPTIONS]
    lines += [_fish_line(_fish_names([name]), [], text) for name, text in ALONE.items()]
    return {
        "OPTIONS": "\n".join(lines),
        "WITH_VALUE": " ".join(WITH_VALUE),
        "SHORT_FLAGS": SHORT_FLAGS,
        "SHORTS_WITH_VALUE": SHORTS_WITH_VALUE,
        "COMMANDS": " ".join(first_words()),
    }


def _fish_line(names: list[str], value: list[str], text: str) -> str:
    words = ["complete", "-c", "supervise", "-n", "not __supervise_rest >/dev/null"]
    return " ".join(_fish_quoted(word) for word in [*words, *names, *value, "-d", text.removesuffix(".")])


def _fish_names(names: list[str]) -> list[str]:
    return [word for name in names for word in (("-l", name[2:]) if name.startswith("--") else ("-s", name[1:]))]


def _fish_value(option: Option) -> list[str]:
    words = " ".join(words_for(option))
    if option.is_flag:
        return []
    if option.kind == "path":
        return ["-r", "-F"]
    if option.kind == "set":
        return ["-x", "-a", f"(__fish_append , {words})"]
    return ["-x", "-a", words] if words else ["-x"]


def _fish_quoted(word: str) -> str:
    if word.replace("-", "").isalnum():
        return word
    # Within single quotes fish knows two escapes, \\ and \'; what a POSIX shell needs is not what fish takes.
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"
