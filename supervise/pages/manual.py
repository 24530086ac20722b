"""The parts of the man page that are made from the tables: options, subcommands, signs and exit codes, in man(7)."""

import re
import textwrap

from supervise.commands.subcommands import SUBCOMMANDS, Subcommand
from supervise.core.exit_codes import ExitCode
from supervise.options.access_kinds import KINDS, AccessKind
from supervise.options.table import OPTIONS, Option, option_names

WIDTH = 72
"""Characters of a source line without its escapes: mandoc's lint allows 80 with them."""
SHARED_CODES = (ExitCode.TRY_AGAIN, ExitCode.SIGNALED)
"""The codes that more than one outcome has; each of these outcomes has its own row."""
EXIT_CODES = (
    ("0", "completed", "The command ended by itself with a code of \\-\\-success\\-codes."),
    ("its own", "failed", "The command ended by itself with another code."),
    (
        ExitCode.TRY_AGAIN.shown,
        "resumable",
        "The command ended by itself with 75 (EX_TEMPFAIL: try again later), or the time around it was over.",
    ),
    (
        ExitCode.TRY_AGAIN.shown,
        "busy",
        "Another run holds the lock of \\-\\-lock; nothing was started. With \\-\\-if\\-busy skip the code is 0.",
    ),
    *(
        # A run that goes on has no outcome yet.
        (code.shown, "" if code is ExitCode.GOES_ON else code.name.lower(), code.sentence)
        for code in ExitCode
        if code not in SHARED_CODES
    ),
    (ExitCode.SIGNALED.shown, "signaled", "Signal N, which supervise had not sent, ended the command."),
    (
        ExitCode.SIGNALED.shown,
        "cancelled",
        "Signal N to supervise cancelled the run; after INT supervise dies of INT itself.",
    ),
)


def parts() -> dict[str, str]:
    """Return the parts of the template by name."""
    panels = list(dict.fromkeys(option.panel for option in OPTIONS))
    return {
        "OPTIONS": "\n".join(f".SS {panel}\n" + "\n".join(_options(panel)) for panel in panels),
        "COMMANDS": "\n".join(_command(row) for row in SUBCOMMANDS),
        "ACCESS_KINDS": "\n".join(map(_access_kind, KINDS)),
        "EXIT_CODES": "\n".join(
            f".TP\n.BR {code.replace(' ', chr(92) + ' ')}"
            + (f' " ({escaped(name)})"' if name else "")
            + f"\n{wrapped(text)}"
            for code, name, text in EXIT_CODES
        ),
    }


def _access_kind(kind: AccessKind) -> str:
    argument = re.sub("[A-Z]+( [A-Z]+)*", r"\\fI\g<0>\\fR", kind.metavar)
    text = re.sub(r"\*(.+?)\*", r"\\fB\1\\fR", wrapped(escaped(kind.text)), flags=re.DOTALL)
    return f".TP\n\\fB{kind.word}\\fR{argument}\n{text}"


def _options(panel: str) -> list[str]:
    return [_option(option, option_names()) for option in OPTIONS if option.panel == panel]


def _command(row: Subcommand) -> str:
    text = [f".TP\n\\fBsupervise {row.name}\\fR" + (f" \\fI{row.operands}\\fR" if row.operands else "")]
    text.append(wrapped(escaped(" ".join(filter(None, (row.help, row.about))))))
    if row.options:
        names = option_names(row.options)
        text += [".RS", *(_option(option, names) for option in row.options), ".RE"]
    return "\n".join(text)


def _option(option: Option, names: "dict[str, Option]") -> str:
    return f".TP\n{_names(option, names)}\n{_text(option)}"


def _names(option: Option, known: "dict[str, Option]") -> str:
    names = [name for name, row in known.items() if row is option]
    value = f" \\fI{option.metavar}\\fR" if option.metavar else ""
    if option.implied:
        value = f"[=\\fI{option.metavar}\\fR]"
    return ", ".join(f"\\fB{escaped(name)}\\fR" for name in names) + value


def _text(option: Option) -> str:
    text = option.help
    if option.kind == "choice":
        text += f" One of {', '.join(option.choices)}."
    if option.kind == "set":
        text += f" Any of {', '.join(option.choices)}."
    if option.default:
        text += f" The default is {option.default}."
    return wrapped(escaped(text))


def wrapped(text: str) -> str:
    """Return the text with each sentence on lines of its own.

    man(7) sets the wider space after a sentence only where the sentence ends a line of the source.
    """
    return "\n".join(
        textwrap.fill(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
        for sentence in re.split(r"(?<=\.) ", text)
    )


def escaped(text: str) -> str:
    """Return the text with what man(7) would take for an escape or a hyphen escaped."""
    return text.replace("\\", "\\e").replace("-", "\\-")
