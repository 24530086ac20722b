"""The overview of supervise that `supervise --help` prints: it fits a screen, and is made from the tables."""

from supervise.commands import help_layout
from supervise.commands.subcommands import FAMILIES, GROUPS, START, SUBCOMMANDS
from supervise.commands.topics import TOPICS
from supervise.options.table import option_names

ABOUT = "supervise runs a command, stops it if it does not come up, goes silent or runs too long, and says why."
USAGE = "supervise [OPTIONS] -- COMMAND [ARG]..."
ESSENTIALS = {
    "--timeout": "Stop the command if it runs longer (exit 124)",
    "--idle-timeout": "Stop it if it prints nothing for so long (123)",
    "--access-timeout": "Stop it if it is not up by then (122)",
    "--max-extension": "Give it up to so much more time while it works",
    "--retries": "Run it again, up to N times, if it hung",
    "--report": "Write what happened to FILE, as JSON",
}
"""The options that everyone needs, with a few words for one line each."""
RUN = "Run COMMAND; the word run may be left out before --"
EXAMPLES = (
    "supervise -t 30m -i 5m -- make",
    "supervise -a 20s --access-on port=8080 -- ./server",
    "supervise -t 1h --retries 2 --report run.json -- ./job",
)
READ_ON = "More: supervise run --help, supervise man, supervise help SUBCOMMAND or TOPIC:"
GROUP_COLUMNS = max(map(len, GROUPS)) + 2


def lines(columns: int) -> list[str]:
    """Return the lines of the overview for a terminal of so many columns."""
    names = option_names()
    options = [
        (f"-{row.short}, --{row.name}" if row.short else f"    --{row.name}", row.metavar, text)
        for row, text in ((names[name], text) for name, text in ESSENTIALS.items())
    ]
    heads = [f"  {shown} {metavar}" for shown, metavar, _ in options]
    width = max(map(len, heads)) + 2
    found = [*help_layout.filled(ABOUT, columns), "", help_layout.title(f"Usage: {USAGE}")]
    for head, (_, _, text) in zip(heads, options, strict=True):
        found += help_layout.entry(head, text, width, columns)
    found.append("")
    groups = {group: _words(group) for group in GROUPS}
    at = GROUP_COLUMNS + max(len(word) for words in groups.values() for word, _ in words) + 2
    for group, words in groups.items():
        for number, (word, text) in enumerate(words):
            head = (group if number == 0 else "").ljust(GROUP_COLUMNS) + word
            found += help_layout.entry(head, text, at, columns)
    found += ["", *(f"  {example}" for example in EXAMPLES), ""]
    return [*found, *help_layout.filled(READ_ON, columns), *help_layout.filled(", ".join(TOPICS), columns)]


def _words(group: str) -> list[tuple[str, str]]:
    """Return the first words of the group's subcommands, each with what it does; those with the same text in one."""
    found = {RUN: ["run"]} if group == START else {}
    for row in SUBCOMMANDS:
        first, *second = row.name.split()
        text = FAMILIES.get(first, row.help.removesuffix(".")) if second else row.brief
        if row.group == group and first not in found.setdefault(text, []):
            found[text].append(first)
    return [(", ".join(words), text) for text, words in found.items() if words]
