"""The parts of the completions that are made from the tables, in the syntax of each shell."""

import shlex
from collections.abc import Sequence

from supervise.commands import manual_pages
from supervise.commands.subcommands import FAMILIES, SUBCOMMANDS, Subcommand, first_words
from supervise.options.config import configurable
from supervise.options.table import OPTIONS, Option, option_names

SIGNALS = ("TERM", "INT", "HUP", "QUIT", "KILL", "USR1", "USR2", "ABRT", "ALRM", "CONT", "STOP", "TSTP", "WINCH")
"""The signals that are completed: the usual ones, with the same names on every system. Others can be typed."""
PATHS = ("path", "prom")
"""The kinds of option whose value is the path of a file."""
NAMES = option_names()
LISTS = {"RUN": "names,runs", "NAME": "names", "BATCH": "batches"}
"""What `supervise completions --list` prints for an operand."""
LISTS_OF_SUBCOMMANDS = {"stop": "names,batches,runs"}
"""The same for the first operand of a subcommand, where it may be more than its name says."""
LISTS_OF_OPTIONS = {
    NAMES["--name"]: "names",
    NAMES["--profile"]: "profiles",
    NAMES["--lock"]: "locks",
    **{option: "batches" for row in SUBCOMMANDS for option in row.options if option.name == "resume"},
    **{option: "profiles" for row in SUBCOMMANDS for option in row.options if option.kind == "profile"},
}
"""The same for the value of an option."""
WORDS = {"KEY": configurable(), "PAGE": [page.word for page in manual_pages.pages()]}
"""The words that an operand may be, where the row of the subcommand does not have them."""
SHORTS_WITH_VALUE = "".join(option.short for option in OPTIONS if option.takes_next_word)
SHORT_FLAGS = "".join(option.short for option in OPTIONS if option.is_flag)
WITH_VALUE = [name for name, option in NAMES.items() if option.takes_next_word]
HELP_AND_VERSION = {"--help": "Show a help page and exit", "--version": "Show the version and exit"}


def names_of(option: Option) -> list[str]:
    """Return all names of the option: `-t`, `--timeout`, `--completion-timeout`."""
    return [name for name, row in NAMES.items() if row is option]


def words_for(option: Option) -> tuple[str, ...]:
    """Return the words that the value of the option may be; none where they cannot be listed."""
    return SIGNALS if option.kind == "signal" else option.choices


def list_for(row: Subcommand) -> str:
    """Return what `--list` prints for the first operand of the row, or nothing."""
    operand = row.operands.partition(" ")[0].strip("[]")
    return LISTS_OF_SUBCOMMANDS.get(row.name, LISTS.get(operand, ""))


def words_of(row: Subcommand) -> Sequence[str]:
    """Return the words that the first operand of the row may be; none where they cannot be listed."""
    return row.words or WORDS.get(row.operands.partition(" ")[0].strip("[]"), ())


def bash_parts() -> dict[str, str]:
    """Return the parts for bash: lists of words for `compgen`, and `case` patterns with bars between the names."""

    def values(function: str, chosen: list[Option]) -> list[str]:
        return [
            f"        {'|'.join(names_of(option))}) {function} {shlex.quote(' '.join(words_for(option)))} ;;"
            for option in chosen
        ]

    listed = [option for option in OPTIONS if option.kind in ("choice", "signal")]
    several = [option for option in OPTIONS if option.kind in ("set", "evidences", "causes", "hooks")]
    paths = [name for option in OPTIONS if option.kind in PATHS for name in names_of(option)]
    arms = [
        *values("_supervise_words", listed),
        *values("_supervise_list", several),
        *(
            f"        {'|'.join(names_of(option))}) _supervise_listed {kind} ;;"
            for option, kind in LISTS_OF_OPTIONS.items()
            if option in OPTIONS
        ),
        f"        {'|'.join(paths)}) _supervise_files ;;",
    ]
    return {
        "OPTIONS": " ".join([*NAMES, *HELP_AND_VERSION]),
        "VALUES": "\n".join(arms),
        "WITH_VALUE": "|".join(WITH_VALUE),
        "SHORT_FLAGS": SHORT_FLAGS,
        "COMMANDS": " ".join(first_words()),
        "SUBCOMMAND_PATTERN": "|".join(first_words()[1:]),
        **_bash_subcommands(),
    }


def _bash_subcommands() -> dict[str, str]:
    groups = [
        f"        {group})\n"
        f"            (( COMP_CWORD == 2 )) && {{ _supervise_words '{' '.join(words)}'; return; }}\n"
        f'            name+=" ${{COMP_WORDS[2]}}" ;;'
        for group, words in _groups().items()
    ]
    rows = [
        f"        {shlex.quote(row.name)}) options='{' '.join([*option_names(row.options), '--help'])}'"
        f"{' listed=' + list_for(row) if list_for(row) else ''}"
        f"{' operands=' + shlex.quote(' '.join(words_of(row))) if words_of(row) else ''} ;;"
        for row in SUBCOMMANDS
    ]
    values = []
    for row in SUBCOMMANDS:
        for name, option in option_names(row.options).items():
            if option.takes_next_word:
                words = " ".join(words_for(option))
                # After a word that ends with `=` no space follows.
                several = "_supervise_list" if option.is_repeatable or option.kind == "set" else "_supervise_words"
                then = "_supervise_files" if option.kind in PATHS else f"{several} {shlex.quote(words)}"
                if option in LISTS_OF_OPTIONS:
                    then = f"_supervise_listed {LISTS_OF_OPTIONS[option]}"
                values.append(f"        '{row.name} {name}') {then}; return ;;")
    return {
        "GROUPS": "\n".join(groups) or "        *) ;;",
        "SUBCOMMANDS": "\n".join(rows),
        "SUBCOMMAND_VALUES": "\n".join(values) or "        *) ;;",
    }


def _groups() -> dict[str, list[str]]:
    """Return the first words of the subcommands of two words, each with its second words."""
    groups: dict[str, list[str]] = {}
    for row in SUBCOMMANDS:
        first, *second = row.name.split()
        if second:
            groups.setdefault(first, []).extend(second)
    return groups


def zsh_parts() -> dict[str, str]:
    """Return the parts for zsh: specs of `_arguments` (zshcompsys(1)).

    A spec has the names that it excludes, its own name, the description and the completion of the value.
    """
    specs = [spec for option in OPTIONS for spec in _zsh_specs(option, names_of(option))]
    specs += [shlex.quote(f"(- *){name}[{text}]") for name, text in HELP_AND_VERSION.items()]
    return {
        "OPTIONS": "\n".join("    " + spec for spec in specs),
        "COMMANDS": " ".join(first_words()),
        "SUBCOMMAND_PATTERN": "|".join(first_words()[1:]),
        "GROUPS": "\n".join(map(_zsh_group, _groups().items())) or "    *) ;;",
        "SUBCOMMANDS": "\n".join(map(_zsh_subcommand, SUBCOMMANDS)),
    }


def _zsh_specs(option: Option, names: list[str]) -> list[str]:
    described = "[" + _zsh_text(option.help) + "]"
    value = "" if not option.takes_next_word else f":{option.metavar}:{_zsh_action(option)}"
    excluded = "*" if option.is_repeatable else f"({' '.join(names)})"
    return [shlex.quote(excluded + _zsh_name(name, option) + described + value) for name in names]


def _zsh_group(group: "tuple[str, list[str]]") -> str:
    first, words = group
    return (
        f"    {first})\n"
        f"      if (( CURRENT == 2 )); then\n        compadd {' '.join(words)}\n        return\n      fi\n"
        f'      name+=" $words[2]"\n      shift words\n      (( CURRENT-- )) ;;'
    )


def _zsh_subcommand(row: Subcommand) -> str:
    names = option_names(row.options)
    specs = [
        spec
        for option in row.options
        for spec in _zsh_specs(option, [name for name, one in names.items() if one is option])
    ]
    specs.append("'(- *)--help[Show a help page and exit]'")
    if row.runs_command:
        specs.append("'*::argument:_normal'")
    for number, word in enumerate([] if row.runs_command else row.operands.split(), 1):
        action = " "
        if number == 1 and list_for(row):
            # The space keeps zsh from adding arguments to the call.
            action = f" _supervise_listed {list_for(row)}"
        elif number == 1 and words_of(row):
            action = f"({' '.join(words_of(row))})"
        specs.append(f"'{number}:{word.strip('[]')}:{action}'")
    return f"    {shlex.quote(row.name)})\n      _arguments -s -S {' '.join(specs)} ;;"


def _zsh_name(name: str, option: Option) -> str:
    if not option.takes_next_word:
        return name
    return name + ("=" if name.startswith("--") else "+")


def _zsh_action(option: Option) -> str:
    words = " ".join(words_for(option))
    if option in LISTS_OF_OPTIONS:
        return f" _supervise_listed {LISTS_OF_OPTIONS[option]}"
    if option.kind in ("set", "causes"):
        return f"_sequence compadd - {words}"
    if option.kind in PATHS:
        return "_files"
    if option.is_repeatable:
        # Some of the words end with = and need an argument right behind them.
        return f"compadd -S '' - {words}"
    # The action is a space: zsh completes nothing, but shows the metavar.
    return f"({words})" if words else " "


def _zsh_text(text: str) -> str:
    for letter in "\\[]:":
        text = text.replace(letter, "\\" + letter)
    return text.removesuffix(".")


def fish_parts() -> dict[str, str]:
    """Return the parts for fish: `complete` lines, one for each option and subcommand."""
    lines = [_fish_line(_fish_names(names_of(option)), _fish_value(option), option.help) for option in OPTIONS]
    lines += [_fish_line(_fish_names([name]), [], text) for name, text in HELP_AND_VERSION.items()]
    return {
        "OPTIONS": "\n".join(lines),
        "WITH_VALUE": " ".join(WITH_VALUE),
        "SHORT_FLAGS": SHORT_FLAGS,
        "SHORTS_WITH_VALUE": SHORTS_WITH_VALUE,
        "SUBCOMMANDS": " ".join(first_words()[1:]),
        "SUBCOMMAND_LINES": "\n".join(_fish_subcommands()),
    }


def _fish_subcommands() -> list[str]:
    is_first = "test (count (commandline -opc)) = 1"
    lines = [_fish_call(is_first, ["-a", group, "-d", FAMILIES[group]]) for group in _groups()]
    for row in SUBCOMMANDS:
        first, *second = row.name.split()
        text = row.help.removesuffix(".")
        condition = f"__supervise_group {first}" if second else is_first
        lines.append(_fish_call(condition, ["-a", second[0] if second else first, "-d", text]))
        asks = f"__supervise_asks {row.name}"
        names = option_names(row.options)
        for option in row.options:
            words = _fish_names([name for name, one in names.items() if one is option])
            lines.append(_fish_call(asks, [*words, *_fish_value(option), "-d", option.help.removesuffix(".")]))
        lines.append(_fish_call(asks, ["-l", "help", "-d", HELP_AND_VERSION["--help"]]))
        if list_for(row):
            lines.append(_fish_call(asks, ["-k", "-a", f"(__supervise_listed {list_for(row)})"]))
        elif words_of(row):
            lines.append(_fish_call(asks, ["-a", " ".join(words_of(row))]))
    return lines


def _fish_call(condition: str, words: list[str]) -> str:
    return " ".join(_fish_quoted(word) for word in ["complete", "-c", "supervise", "-n", condition, *words])


def _fish_line(names: list[str], value: list[str], text: str) -> str:
    condition = "not __supervise_rest >/dev/null; and not __supervise_asks"
    return _fish_call(condition, [*names, *value, "-d", text.removesuffix(".")])


def _fish_names(names: list[str]) -> list[str]:
    return [word for name in names for word in (("-l", name[2:]) if name.startswith("--") else ("-s", name[1:]))]


def _fish_value(option: Option) -> list[str]:
    words = " ".join(words_for(option))
    if not option.takes_next_word:
        return []
    if option in LISTS_OF_OPTIONS:
        return ["-x", "-k", "-a", f"(__supervise_listed {LISTS_OF_OPTIONS[option]})"]
    if option.kind in PATHS:
        return ["-r", "-F"]
    if option.kind in ("set", "causes"):
        return ["-x", "-a", f"(__fish_append , {words})"]
    return ["-x", "-a", words] if words else ["-x"]


def _fish_quoted(word: str) -> str:
    if word.replace("-", "").isalnum():
        return word
    # Within single quotes fish knows the escapes \\ and \', which a POSIX shell does not; so shlex.quote is no help.
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"
