"""A page of the manual as plain text, where man(1) is not there to show it.

The source is man(7) as `pages/` writes it: the macros of MACROS and the escapes of ESCAPES, and no others.
"""

import re
import textwrap
from collections.abc import Iterator

SECTION_INDENT = 7
"""Columns before the text of a section, as man(1) has it."""
SUBSECTION_INDENT = 3
SPECIAL = {"bu": "*", "aq": "'", "dq": '"', "ti": "~"}
"""The characters that have names, by these."""
COMMENT = '\\"'
"""Begins a comment, after a dot, or after an apostrophe where the comment names a preprocessor."""
HARD_SPACE = "\0"
"""Stands for a space at which no line may end."""
ESCAPES = re.compile(r"\\(?:f[BIRP]|\((?P<special>..)|(?P<one>[-e&~ ]))")
ONE = {"-": "-", "e": "\\", "&": "", "~": HARD_SPACE, " ": HARD_SPACE}
FONTS = ("B", "I")
"""The macros that set all their words in one font, with spaces between these."""
PAIRS = ("BR", "RB", "BI", "IB", "RI", "IR")
"""The macros that set their words in two fonts in turn, with nothing between these."""
MACROS = (*FONTS, *PAIRS, "TH", "SH", "SS", "PP", "TP", "IP", "RS", "RE", "EX", "EE", "nf", "fi", "br", "TS", "TE")
WORDS = re.compile(r'"((?:[^"]|"")*)"?|(\S+)')


class Renderer:
    """The text so far, and where the next line goes."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[str] = []
        self.outer = [SECTION_INDENT]
        """The indents of the levels of .RS, the innermost last."""
        self.indent = SECTION_INDENT
        self.words: list[str] = []
        """The paragraph that is not written yet."""
        self.tag: str | None = None
        """What stands before its first line, in the columns of the indent; None where nothing does."""
        self.is_filled = True
        self.heading = 0
        """The number of lines up to the last heading, after which no line is left empty."""

    def end_paragraph(self) -> None:
        """Write the paragraph, its tag before its first line if that has room."""
        text = textwrap.wrap(
            " ".join(self.words), max(20, self.width - self.indent), break_long_words=False, break_on_hyphens=False
        )
        margin = " " * self.indent
        if self.tag is not None:
            head = " " * self.outer[-1] + self.tag
            if text and len(head) < self.indent:
                self.lines.append(head.ljust(self.indent) + text.pop(0))
            else:
                self.lines.append(head)
        self.lines += [margin + line for line in text]
        self.words, self.tag = [], None

    def skip_line(self) -> None:
        """End the paragraph, and leave an empty line."""
        self.end_paragraph()
        if len(self.lines) > self.heading:
            self.lines += [""] * (self.lines[-1] != "")

    def add(self, text: str) -> None:
        """Add a line of the source to the paragraph, or write it as it is."""
        if self.is_filled:
            self.words.append(text)
        else:
            self.lines.append((" " * self.indent + text).rstrip())

    def begin_entry(self, tag: str | None, columns: int) -> None:
        """Begin an entry of a list, whose text is indented by so many columns."""
        self.skip_line()
        self.indent = self.outer[-1] + columns
        self.tag = tag


def rendered(source: str, width: int) -> str:
    """Return the page as text of that width."""
    page = Renderer(width)
    lines = iter(source.splitlines())
    for line in lines:
        if line[1:3] == COMMENT:
            continue
        macro, _, rest = line[1:].partition(" ") if line[:1] == "." else ("", "", line)
        match macro:
            case "" if line[:1] != ".":
                page.add(_text(rest))
            case "TH":
                name, section, date, version, title = map(_text, _words(rest))
                head = f"{name}({section})"
                page.lines.append(head + title.center(max(0, width - 2 * len(head))) + head)
                foot = version + date.center(max(0, width - len(version) - len(head))) + head
            case "SH" | "SS":
                page.skip_line()
                page.outer, page.indent, page.is_filled = [SECTION_INDENT], SECTION_INDENT, True
                page.lines.append(" " * (SUBSECTION_INDENT if macro == "SS" else 0) + _text(rest.strip('"')))
                page.heading = len(page.lines)
            case "PP":
                page.skip_line()
                page.indent = page.outer[-1]
            case "TP":
                page.begin_entry(_set(next(lines)), SECTION_INDENT)
            case "IP":
                tag, *columns = map(_text, _words(rest)) if rest else ("",)
                page.begin_entry(tag, int(columns[0]) if columns else 2 if tag == SPECIAL["bu"] else SECTION_INDENT)
            case "RS":
                page.end_paragraph()
                page.outer.append(page.indent + int(rest or 0))
                page.indent = page.outer[-1]
            case "RE":
                page.end_paragraph()
                if len(page.outer) > 1:
                    page.outer.pop()
                page.indent = page.outer[-1]
            case "EX" | "nf" | "EE" | "fi" | "br":
                page.end_paragraph()
                page.is_filled = macro not in ("EX", "nf")
            case "TS":
                page.end_paragraph()
                _add_table(page, lines)
            case _ if macro in (*FONTS, *PAIRS):
                page.add(_set(line))
    page.skip_line()
    return "\n".join(page.lines).replace(HARD_SPACE, " ") + "\n" + foot.rstrip() + "\n"


def _add_table(page: Renderer, lines: Iterator[str]) -> None:
    """Write the rows up to .TE with aligned columns; the first line, their format, says nothing more."""
    from supervise.commands.formats import table

    rows = []
    for line in lines:
        if line == ".TE":
            break
        rows.append(list(map(_text, line.split("\t"))))
    columns = max(map(len, rows[1:]))
    page.lines += [
        " " * page.indent + line for line in table([row + [""] * (columns - len(row)) for row in rows[1:]], None)
    ]


def _set(line: str) -> str:
    """Return the text of a line, which may be a macro for fonts."""
    macro, _, rest = line[1:].partition(" ")
    if line[:1] != "." or macro not in (*FONTS, *PAIRS):
        return _text(line)
    return _text((" " if macro in FONTS else "").join(_words(rest)))


def _words(rest: str) -> list[str]:
    """Return the arguments of a macro; quotes hold spaces together, and so does an escaped space."""
    rest = rest.replace("\\ ", "\\~")
    return [found[1].replace('""', '"') if found[2] is None else found[2] for found in WORDS.finditer(rest)]


def _text(text: str) -> str:
    """Return the text without its escapes."""
    return ESCAPES.sub(lambda found: SPECIAL[found["special"]] if found["special"] else ONE.get(found["one"], ""), text)
