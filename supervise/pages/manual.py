"""Makes the pages of the manual, in man(7), of the templates and of the tables of options, subcommands and the like."""

import re
from collections.abc import Callable, Iterator

from supervise import __version__
from supervise.commands import manual_pages
from supervise.commands.manual_pages import PROGRAM, Page
from supervise.commands.subcommands import GROUPS, START, SUBCOMMANDS, Subcommand
from supervise.options.access_kinds import KINDS, AccessKind
from supervise.options.table import OPTIONS, Option, option_names
from supervise.pages import topic_page
from supervise.pages.code_list import EXIT_CODES
from supervise.pages.see_also import SEE_ALSO
from supervise.pages.source import escaped, linked, wrapped

HEADERS = {1: "User Commands", 5: "File Formats Manual", 7: "Miscellaneous Information Manual"}
"""The title of each section of the manual."""
DATE = "2026-11-29"
OF_PROGRAM = (PROGRAM, "run")
"""The pages of section 1 whose templates have all sections. Those of the other subcommands begin with the rows."""


def pages(template: Callable[[str], str]) -> dict[str, str]:
    """Return the text of each page of the manual, by its path in the folder of the manual.

    `template` returns the text of the template at a path, or nothing where there is none.
    """
    return {page.path: _page(page, template(f"man/{page.file}")) for page in manual_pages.pages()}


def _page(page: Page, template: str) -> str:
    """Return the page: its head, its template filled, or what the tables have for it, and what to see also."""
    text = [
        '.\\" Made by `python -m supervise.pages` from the tables and templates of supervise;',
        '.\\" change it there.',
        f'.TH {page.name.upper()} {page.section} {DATE} "supervise {__version__}" "{HEADERS[page.section]}"',
        ".SH NAME",
        wrapped(f"{escaped(page.name)} \\- {escaped(page.about)}"),
    ]
    if page.section == 1 and page.word not in OF_PROGRAM:
        text += _of_subcommand([row for row in SUBCOMMANDS if row.name.split()[0] == page.word])
    elif not template:
        text.append("@TOPIC@")
    text += [template.rstrip("\n")] if template else []
    filled = "\n".join(text)
    for name, part in _parts(page).items():
        if f"@{name}@" in filled:
            filled = filled.replace(f"@{name}@", part())
    # The first line tells man(1) which preprocessor a page needs: that for tables.
    mark = "'\\\" t\n" if "\n.TS" in filled else ""
    return mark + filled + "\n" + _see_also(page)


def _parts(page: Page) -> dict[str, Callable[[], str]]:
    """Return what makes each part of a template, by its name."""
    return {
        "OPTIONS": lambda: "\n".join(_run_options()),
        "SUBCOMMANDS": lambda: "\n".join(_subcommands()),
        "GUIDES": lambda: "\n".join(line for page in manual_pages.pages() if page.section != 1 for line in _item(page)),
        "ACCESS_KINDS": lambda: "\n".join(map(_access_kind, KINDS)),
        "EXIT_CODES": lambda: "\n".join(map(_exit_code, EXIT_CODES)),
        "KEYS": lambda: "\n".join(map(_key, OPTIONS)),
        "TOPIC": lambda: "\n".join(topic_page.body(page.word)),
    }


def _run_options() -> Iterator[str]:
    names = option_names()
    for panel in dict.fromkeys(option.panel for option in OPTIONS):
        yield f".SS {panel}"
        yield from (_option(option, names) for option in OPTIONS if option.panel == panel)


def _subcommands() -> Iterator[str]:
    """Yield the pages of the subcommands in the groups of `supervise --help`."""
    of_word = {row.name.split()[0]: row.group for row in reversed(SUBCOMMANDS)} | {"run": START}
    for group in GROUPS:
        yield f".SS {group}"
        for page in manual_pages.pages():
            if of_word.get(page.word) == group:
                yield from _item(page)


def _item(page: Page) -> tuple[str, ...]:
    text = page.about[0].upper() + page.about[1:] + "."
    return ".TP", reference(page), wrapped(escaped(text))


def reference(page: Page, after: str = "") -> str:
    """Return the line that names the page: its name in bold, and its section."""
    return f".BR {escaped(page.name)} ({page.section}){after}"


def _see_also(page: Page) -> str:
    """Return the section SEE ALSO of the page; a word of the table that is not that of a page has a section itself."""
    by_word = {one.word: one for one in manual_pages.pages()}
    words = [word for word in dict.fromkeys((PROGRAM, *SEE_ALSO.get(page.word, ()))) if word != page.word]
    names = [reference(by_word[word]) if word in by_word else ".BR " + word.replace("(", " (") for word in words]
    return ".SH SEE ALSO\n" + ",\n".join(names) + "\n"


def _of_subcommand(rows: list[Subcommand]) -> Iterator[str]:
    """Yield the first sections of the page of a subcommand, or of all subcommands of two words with the same first."""
    yield ".SH SYNOPSIS"
    for number, row in enumerate(rows):
        yield from [".br"] * (number > 0)
        options = " [\\fIOPTIONS\\fR]" if row.options else ""
        yield f"\\fBsupervise {row.name}\\fR{options}" + (f" \\fI{row.operands}\\fR" if row.operands else "")
    yield ".SH DESCRIPTION"
    for row in rows:
        yield from [f".SS supervise {row.name}"] * (len(rows) > 1)
        yield wrapped(linked(escaped(" ".join(filter(None, (row.help, row.about))))))
        if len(rows) > 1:
            yield from (_option(option, option_names(row.options)) for option in row.options)
    yield ".SH OPTIONS"
    if len(rows) == 1:
        yield from (_option(option, option_names(rows[0].options)) for option in rows[0].options)
    yield ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nShow a help page and exit."
    if any(row.runs_command for row in rows):
        yield ".PP\nThe options of\n.BR supervise\\-run (1)\nstand here, too."


def _exit_code(row: tuple[str, str, str]) -> str:
    code, name, text = row
    head = f".TP\n.BR {code.replace(' ', chr(92) + ' ')}" + (f' " ({escaped(name)})"' if name else "")
    return f"{head}\n{wrapped(text)}"


def _key(option: Option) -> str:
    """Return the line of a table for the option as a key of the configuration."""
    value = "true or false" if option.is_flag else option.metavar
    value += ", or a list" if option.is_repeatable else ""
    return f"{escaped(option.name)}\t{escaped(value)}\t{escaped(option.default or '')}".rstrip("\t")


def _access_kind(kind: AccessKind) -> str:
    argument = re.sub("[A-Z]+( [A-Z]+)*", r"\\fI\g<0>\\fR", kind.metavar)
    text = re.sub(r"\*(.+?)\*", r"\\fB\1\\fR", wrapped(escaped(kind.text)), flags=re.DOTALL)
    return f".TP\n\\fB{kind.word}\\fR{argument}\n{text}"


def _option(option: Option, names: dict[str, Option]) -> str:
    return f".TP\n{_names(option, names)}\n{_text(option)}"


def _names(option: Option, known: dict[str, Option]) -> str:
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
