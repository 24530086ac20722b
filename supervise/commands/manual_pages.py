"""The table of the manual: the pages of the program, of each subcommand, of each topic of `supervise help`, and GUIDES.

`pages/` makes the pages of it; `commands/man.py` finds them, and the completions name them.
"""

from supervise.commands.subcommands import FAMILIES, SUBCOMMANDS, first_words
from supervise.commands.topics import TOPICS

PROGRAM = "supervise"
CONFIGURATION = "configuration"
"""The topic whose page has the name of a file: supervise.toml(5)."""
GUIDES = {
    "retries": (7, "run a command again that hung or failed"),
    "stopping": (7, "how a command and its descendants are stopped, and what limits their memory"),
    "output": (7, "what becomes of the output of the command"),
    "terminal": (7, "the terminals of the caller and of the command, and waits for input"),
    "locks": (7, "one run at a time, or N"),
    "runs": (7, "runs in the background, how they are steered, and their records"),
    "monitoring": (7, "commands and web services that are told of a run"),
    "security": (7, "secrets, and what is not trusted of other users"),
    "report": (5, "the report, the events, the metrics and the JUnit file of a run"),
}
"""The section and the subject of each page that is neither a subcommand nor a topic."""
ABOUT = {
    "run": "Run a command under limits",
    "help": "Explain a topic or a subcommand",
    "man": "Show a page of the manual",
    "schema": "Print the JSON Schema of the report, the events or the configuration",
    "left": "Print the time that is left to the surrounding run",
    "sleep": "Sleep, unless the surrounding run ends before that",
}
"""What the page of a subcommand is about, where the one line of `supervise --help` says less, or there is no row."""


class Page:
    """One page: its name, its section, and what it is about in a few words."""

    __slots__ = ("about", "name", "section", "word")

    def __init__(self, word: str, section: int, about: str) -> None:
        self.word = word
        """What `supervise man` takes for the page, beside its name: `ps`, `cron`, `supervise`."""
        self.name = {PROGRAM: PROGRAM, CONFIGURATION: PROGRAM + ".toml"}.get(word, f"{PROGRAM}-{word}")
        self.section = section
        self.about = about

    @property
    def file(self) -> str:
        """Return the name of the page's file: `supervise-ps.1`."""
        return f"{self.name}.{self.section}"

    @property
    def path(self) -> str:
        """Return the path of the file in a folder such as `share/man`: `man1/supervise-ps.1`."""
        return f"man{self.section}/{self.file}"


def pages() -> "list[Page]":
    """Return all pages: that of the program, the subcommands, then the topics and the guides."""
    guides = {topic: (5 if topic == CONFIGURATION else 7, about) for topic, about in TOPICS.items()} | GUIDES
    return [
        Page(PROGRAM, 1, "run a command under limits, and say why it ended"),
        *(Page(word, 1, _about(word)) for word in first_words()),
        *(Page(word, *row) for word, row in guides.items()),
    ]


def _about(word: str) -> str:
    """Return what the subcommand does, in a few words."""
    text = ABOUT.get(word) or FAMILIES.get(word)
    text = text or next(row.brief for row in SUBCOMMANDS if row.name == word)
    return text[0].lower() + text[1:]
