"""The help pages of `run`, of a subcommand, and of subcommands with the same first word, made from the tables."""

from supervise.commands import help_layout, overview, subcommands
from supervise.commands.subcommands import FAMILIES, SUBCOMMANDS, Subcommand
from supervise.core.exit_codes import ExitCode
from supervise.options.table import OPTIONS, Option, option_names

USAGE_OF_RUN = "supervise run [OPTIONS] [--] COMMAND [ARG]..."
ABOUT_RUN = (
    "Run COMMAND under limits: stop it if it does not come up, goes silent or runs too long, and say why.",
    (
        "Options stand before the command; everything from its first word on belongs to it. The short form "
        "supervise [OPTIONS] -- COMMAND does the same."
    ),
)
EPILOG = (
    "Durations: 90, 90s, 1.5m, 1h30m, 2d, 500ms, PT1H30M; 0, off or infinity switch a limit off.",
    (
        "Each option can also come from the environment (SUPERVISE_IDLE_TIMEOUT=15m) and from the configuration: see "
        "supervise help environment, supervise help configuration."
    ),
    f"Exit codes: the command's own; {', '.join(f'{code.shown} {code.words}' for code in ExitCode)}.",
)
OTHERS = {"-h, --help": "Show this help page and exit.", "    --version": "Show the version and exit."}
READ_ON = {"config": "configuration", "submit": "batch", "collect": "batch"}
"""The topic that says more of a subcommand, by its first word."""
TEXT_COLUMN = 30


def of(name: str) -> list[str]:
    """Return the lines of the help page of `run`, of a subcommand, or of all with that first word: `config`."""
    if name == "run":
        return _of_run()
    row = subcommands.find(name.split())
    return _of_family(name) if row is None else _of_row(row)


def panels() -> dict[str, list[Option]]:
    """Return the options of `run` by their panels: first the panels and the options that everyone needs."""
    names = option_names()
    essentials = [names[name] for name in overview.ESSENTIALS]
    found: dict[str, list[Option]] = {option.panel: [] for option in (*essentials, *OPTIONS)}
    for option in dict.fromkeys((*essentials, *OPTIONS)):
        found[option.panel].append(option)
    return found


def _of_run() -> list[str]:
    width = help_layout.columns()
    found = _head(USAGE_OF_RUN, ABOUT_RUN, width)
    names = option_names()
    for panel, options in panels().items():
        found += ["", help_layout.title(panel)]
        for option in options:
            found += _option(option, names, width)
    found += ["", help_layout.title("Other"), *_others(width)]
    for text in EPILOG:
        found += ["", *help_layout.filled(text, width)]
    return found


def _of_row(row: Subcommand) -> list[str]:
    width = help_layout.columns()
    found = _head(f"supervise {row.usage}", tuple(filter(None, (row.help, row.about))), width)
    found += ["", help_layout.title("Options")]
    names = option_names(row.options)
    for option in row.options:
        found += _option(option, names, width)
    found += _others(width, has_version=False)
    if row.runs_command:
        found += ["", *help_layout.filled("The options of supervise run stand here, too: supervise run --help.", width)]
    return found + _read_on(row.name.split()[0], width)


def _of_family(first: str) -> list[str]:
    width = help_layout.columns()
    found = _head(f"supervise {first} SUBCOMMAND", (FAMILIES[first] + ".",), width)
    found += ["", help_layout.title("Subcommands")]
    for row in SUBCOMMANDS:
        if row.name.split()[0] == first:
            found += help_layout.entry(f"  {row.usage}", row.help, TEXT_COLUMN, width)
    return found + _read_on(first, width)


def _head(usage: str, about: tuple[str, ...], width: int) -> list[str]:
    found = [help_layout.title(f"Usage: {usage}")]
    for text in about:
        found += ["", *help_layout.filled(text, width)]
    return found


def _read_on(first: str, width: int) -> list[str]:
    return ["", *help_layout.filled(f"See supervise help {READ_ON[first]}.", width)] if first in READ_ON else []


def _others(width: int, *, has_version: bool = True) -> list[str]:
    return [
        line
        for name, text in OTHERS.items()
        if has_version or "version" not in name
        for line in help_layout.entry(f"  {name}", text, TEXT_COLUMN, width)
    ]


def _option(option: Option, known: dict[str, Option], width: int) -> list[str]:
    names = [name for name, row in known.items() if row is option]
    shown = ("" if option.short else "    ") + ", ".join(names)
    if option.implied:
        shown += f"[={option.metavar}]"
    elif option.metavar:
        shown += f" {option.metavar}"
    return help_layout.entry(f"  {shown}", _text(option), TEXT_COLUMN, width)


def _text(option: Option) -> str:
    """Return the help of the option with its choices and its default."""
    words = {"choice": "One", "set": "Any"}.get(option.kind)
    choices = f" {words} of {', '.join(option.choices)}." if words else ""
    default = f" [default: {option.default}]" if option.default else ""
    return option.help + choices + default
