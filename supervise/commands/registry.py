"""The one table of the commands beside `run`.

The fast reader (`commands.invocation`), the typer app (`app`), the man page and the completions are all made from it.
What a command does is `main(values, operands)` in the module of its name.
"""

from supervise.options.table import Option, option_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Subcommand:
    """One row.  `operands` are written as in a usage line: `RUN DURATION`, `[RUN]`."""

    __slots__ = ("about", "help", "name", "operands", "options")

    def __init__(
        self, name: str, operands: str, help: str, *, about: str = "", options: "tuple[Option, ...]" = ()
    ) -> None:
        self.name = name
        """One word, or two: `config show`."""
        self.operands = operands
        self.help = help
        """One sentence."""
        self.about = about
        """More sentences, for the man page."""
        self.options = options

    @property
    def module(self) -> str:
        """Where its `main` is."""
        return "supervise.commands." + self.name.replace(" ", "_")

    @property
    def usage(self) -> str:
        """`extend RUN DURATION`."""
        return " ".join(filter(None, (self.name, "[OPTIONS]" if self.options else "", self.operands)))

    @property
    def least(self) -> int:
        """How many operands there must be."""
        return len([word for word in self.operands.split() if not word.startswith("[")])

    @property
    def most(self) -> int:
        """How many there may be."""
        return len(self.operands.split())


CONFIG = option_names()["--config"]
JSON = Option("", "json", "", "flag", "", "", "Print JSON.")

SUBCOMMANDS: "tuple[Subcommand, ...]" = (
    Subcommand(
        "ps", "",
        "List the runs that go on, the newest first, and those that are lost and not recovered yet.",
        options=(
            Option("", "all", "a", "flag", "", "", "Those that have ended, too."),
            Option("", "number", "n", "count", "", "N", "No more than the newest N; 20 of --all without --json."),
            Option("", "quiet", "q", "flag", "", "", "Their ids alone."),
            JSON,
        ),
    ),
    Subcommand(
        "show", "RUN",
        "Show how a run went: its verdict, its time line with the deadlines, what it used, its last lines, and how to "
        "run it again.",
        options=(JSON,),
    ),
    Subcommand(
        "logs", "RUN",
        "Print what a run has printed, as far as it is kept.",
        about="With --follow also what it prints from then on, until it ends.",
        options=(
            Option("", "follow", "f", "flag", "", "", "Go on with what comes, until the run is over."),
            Option("", "timestamps", "", "flag", "", "", "Begin each line with its time and its stream."),
            Option("", "stdout", "", "flag", "", "", "What came on stdout alone."),
            Option("", "stderr", "", "flag", "", "", "What came on stderr alone."),
            Option("", "lines", "n", "count", "", "LINES", "The last LINES alone."),
            Option(
                "", "raw", "", "flag", "", "",
                "On a terminal too, the bytes as they were; without it, control characters are shown there as escapes.",
            ),
        ),
    ),
    Subcommand(
        "prune", "",
        "Remove the records of runs that ended long ago, and the oldest where all are too many or too large.",
        about="Every run does so by itself, now and then. One that goes on is never removed. The last 5 runs of each "
        "name and the last 100 that were no success go after all others, and of these a failure goes last. What no "
        "option of this command says is as records-age, records-number and records-max in the configuration or the "
        "environment have it.",
        options=(
            Option("", "older-than", "", "delay", "30d", "DURATION", "What ended longer ago than this."),
            Option("", "keep", "", "count", "500", "N", "How many there may be."),
            Option("", "max-size", "", "room", "1GiB", "SIZE",
                   "How much room all may take together; off for no such bound, 0 to remove all."),
        ),
    ),
    Subcommand(
        "ready", "RUN",
        "Say that the command of a run is up.",
        about="That is access where manual is among --access-on; too late, it is refused.",
    ),
    Subcommand(
        "extend", "RUN DURATION",
        "Add to the deadline of a run that is in force, the access limit's before access, else the completion limit's.",
        about="By hand it is not bound by --max-extension.",
    ),
    Subcommand(
        "stop", "RUN",
        "Cancel a run, and wait for its end.",
        about="It ends as if its supervise had got the signal: with 128+N, which is 143 without --signal.",
        options=(
            Option(
                "", "signal", "s", "signal", "TERM", "SIGNAL", "The signal that asks the process tree to stop.",
                value=15,
            ),
        ),
    ),
    Subcommand(
        "attach", "RUN",
        "Show what a run has printed and what it prints, to its end, and exit with its code.",
        about="With --pty keys and the size of the window are passed on to the command. Ctrl-\\ pressed twice "
        "detaches, which leaves the run as it is; without --pty Ctrl-C does that. To attach is access where attach is "
        "among --access-on; after the access limit has fired it is refused. Of very much output the middle is left "
        "out.",
        options=(Option("", "read-only", "r", "flag", "", "", "Only watch: neither keys nor the size are passed on."),),
    ),
    Subcommand(
        "wait", "RUN",
        "Wait for the end of a run, and exit with its code.",
        about="Nothing is printed. Of a run that is lost the code is 125; of one that has ended already, its own.",
    ),
    Subcommand(
        "recover", "",
        "Find the runs that were lost, stop what is left of them, and run again those that are to be.",
        about="A run is lost where supervise was killed under it or the machine went down; see RECOVERY. The exit code "
        "is 0 where nothing was lost, 1 where something was, 125 where not all could be done.",
        options=(
            Option("", "dry-run", "", "flag", "", "", "Only say what would be done."),
            Option(
                "", "host", "", "host", "", "NAME",
                "Recover the runs of the host NAME as well: this machine had that name, or another machine id, before.",
            ),
            JSON,
        ),
    ),
    Subcommand(
        "left", "",
        "Print the seconds that are left to the run that this is part of: to the deadline in force, and to the latest "
        "instant that it may live.",
        about="Whole seconds, and infinity where there is no such limit. An idle limit is not among them.",
        options=(JSON,),
    ),
    Subcommand(
        "sleep", "DURATION",
        "Sleep, or exit with 75 at once where that would outlast the run that this is part of.",
        about="For the command of a run: what would be stopped in its sleep can end in time, and be tried again later.",
    ),
    Subcommand(
        "config show", "",
        "Show every option of run as it would be now, and who says so: a variable, a line of the configuration, or the "
        "default.",
        options=(CONFIG, option_names()["--profile"], JSON),
    ),
    Subcommand(
        "config set", "KEY VALUE",
        "Write the value of an option into the configuration.",
        about="The file is written whole or not at all; comments in it are lost, and that is said.",
        options=(CONFIG, Option("", "profile", "", "profile", "", "NAME", "Set it in this profile.")),
    ),
    Subcommand(
        "config path", "",
        "Print the path of the configuration, there or not.",
        options=(CONFIG,),
    ),
    Subcommand(
        "config check", "",
        "Say all that is wrong in the configuration, each with its line; exit with 125 where something is.",
        options=(CONFIG,),
    ),
)  # fmt: skip


def find(words: "list[str]") -> "Subcommand | None":
    """The row that the words begin with."""
    return next((row for row in SUBCOMMANDS if words[: len(row.name.split())] == row.name.split()), None)


def second_words(first: str) -> "tuple[str, ...]":
    """The second words of the commands of two that begin with it."""
    names = [row.name.split() for row in SUBCOMMANDS]
    return tuple(name[1] for name in names if len(name) == 2 and name[0] == first)


def first_words(rows: "Iterable[Subcommand]" = SUBCOMMANDS) -> "tuple[str, ...]":
    """The first words that are commands of ours."""
    return tuple(dict.fromkeys(("run", *(row.name.split()[0] for row in rows))))
