"""The one table of the subcommands other than `run`.

The fast reader (`commands.invocation`), the reader by click (`commands.app`), the man page and the completions all use
it.
`main(values, operands)` in the module of its name carries a subcommand out.
"""

from supervise.commands.topics import TOPICS
from supervise.options.table import OPTIONS, Option, option_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


START, WATCH, STEER, INSIDE, RECORDS, MACHINE = GROUPS = ("Start", "Watch", "Steer", "Inside", "Records", "Machine")
"""What the subcommands are for, in the order of `supervise --help`. INSIDE: for the command of a run itself."""
FAMILIES = {"config": "Show, set, find and check the defaults of the options"}
"""What the subcommands of two words with the same first word do together, by that word."""
RUN_TEXT = "RUN is the id of a run, the beginning or end of an id, a name (--name), or - for the newest run."
"""What the help page of each subcommand that takes a RUN says of it."""


class Subcommand:
    """One row of the table. `operands` are written as in a usage line: `RUN DURATION`, `[RUN]`."""

    __slots__ = ("about", "brief", "group", "help", "name", "operands", "options", "runs_command", "words")

    def __init__(
        self,
        name: str,
        operands: str,
        help: str,
        *,
        group: str = "",
        brief: str = "",
        about: str = "",
        options: "tuple[Option, ...]" = (),
        words: "tuple[str, ...]" = (),
        runs_command: bool = False,
    ) -> None:
        self.name = name
        """One word, or two: `config show`."""
        self.operands = operands
        self.help = help
        """One sentence for the help page, the man page and the completions."""
        self.group = group or MACHINE
        """One of GROUPS, under which `supervise --help` lists the subcommand."""
        self.brief = brief or help.removesuffix(".")
        """A few words for the one line that the subcommand has there; those with the same words share a line."""
        self.about = " ".join(filter(None, (about, RUN_TEXT if "RUN" in operands else "")))
        """More sentences, for the subcommand's help page and the man page."""
        self.options = options
        self.runs_command = runs_command
        """Whether the subcommand takes the options of `run`, too, and all words from the first operand on."""
        self.words = words
        """The words that the operand may be, for the completions; empty if they cannot be listed."""

    @property
    def module(self) -> str:
        """Return the full name of the module whose `main` carries the subcommand out."""
        return "supervise.commands." + self.name.replace(" ", "_")

    @property
    def usage(self) -> str:
        """Return the usage line without the program's name: `extend RUN DURATION`."""
        return " ".join(filter(None, (self.name, "[OPTIONS]" if self.options else "", self.operands)))

    @property
    def all_options(self) -> "tuple[Option, ...]":
        """Return all options that stand before the operands: those of `run`, too, where these may be given."""
        if not self.runs_command:
            return self.options
        own = {option.key for option in self.options}
        return (*self.options, *(option for option in OPTIONS if option.key not in own))

    @property
    def min_operands(self) -> int:
        """Return the least number of operands."""
        if self.runs_command:
            return 0
        return len([word for word in self.operands.split() if not word.startswith("[")])

    @property
    def max_operands(self) -> int:
        """Return the greatest number of operands."""
        return MOST_WORDS if self.runs_command else len(self.operands.split())


NEW = Option("", "new", "", "flag", "", "", "Print only output that no --new of this run has printed before.")
CURSOR = Option(
    "", "cursor", "", "name", "", "NAME",
    "With --new: leave out only what a --new with this NAME has printed before.",
)  # fmt: skip
LISTED = ("runs", "names", "batches", "profiles", "locks")
"""What the completions ask for: words that are not in the tables."""
SHELLS = ("bash", "zsh", "fish")
SCHEMAS = ("report", "event", "config", "answer", "batch")
"""What `schema` prints the JSON Schema of; the first three are for all users, the others for callers of one option."""
MOST_WORDS = 1 << 31
"""No command line has as many words."""
CONFIG = option_names()["--config"]
JSON = Option("", "json", "", "flag", "", "", "Print JSON.")

SUBCOMMANDS: "tuple[Subcommand, ...]" = (
    Subcommand(
        "ps", "",
        "List running runs, and lost runs that are not recovered yet, newest first.",
        group=WATCH,
        brief="List the runs that go on; with -a all",
        about="ETA is the time that is probably left to a run, by the earlier runs of its name.",
        options=(
            Option("", "all", "a", "flag", "", "", "Also list runs that have ended."),
            Option(
                "", "number", "n", "count", "", "N",
                "List only the newest N runs; without this option --all lists 20, and --all --json lists all.",
            ),
            Option("", "quiet", "q", "flag", "", "", "Print only the ids."),
            Option("", "batches", "", "flag", "", "", "List the batches instead, those that have ended, too."),
            JSON,
        ),
    ),
    Subcommand(
        "top", "",
        "Show the runs that go on, live, with keys to show, stop, extend and attach to them.",
        group=WATCH,
        brief="Show the runs live; stop, extend, attach by key",
        about="Each run has a line: the time that is left until its next deadline, its CPU use, its command. Arrow "
        "keys choose a run; s shows it, x stops it after a question, e extends it, a attaches to it, l prints its "
        "output, o changes the order, q quits. A run that has ended stays for 5 seconds.",
        options=(
            Option(
                "", "order", "", "choice", "left", "ORDER",
                "Sort by the time that is left (left), the newest first (start), or by the CPU use (cpu).",
                choices=("left", "start", "cpu"),
            ),
            Option("", "once", "", "flag", "", "", "Print one frame and exit; this needs no terminal."),
        ),
    ),
    Subcommand(
        "show", "RUN",
        "Show how a run went: its verdict, its time line with the deadlines, its CPU, memory and output, what its "
        "processes were doing when a limit stopped them, its last lines, and how to run it again.",
        group=WATCH,
        brief="Show how a run went, and why it was stopped",
        options=(
            Option(
                "", "html", "", "path", "", "FILE",
                "Write the run as one page of HTML to FILE, with nothing to load from elsewhere; - is stdout.",
            ),
            JSON,
        ),
    ),
    Subcommand(
        "logs", "RUN",
        "Print the recorded output of a run.",
        group=WATCH,
        brief="Print the output of a run; -f follows it",
        about="The record keeps the beginning and the end of a long output; see --log-max.",
        options=(
            Option("", "follow", "f", "flag", "", "", "Also print new output as it comes, until the run is over."),
            Option("", "timestamps", "", "flag", "", "", "Begin each line with its time and its stream."),
            Option("", "stdout", "", "flag", "", "", "Print only stdout."),
            Option("", "stderr", "", "flag", "", "", "Print only stderr."),
            Option("", "lines", "n", "count", "", "LINES", "Print only the last LINES lines."),
            NEW,
            CURSOR,
            Option(
                "", "raw", "", "flag", "", "",
                "On a terminal too, print the bytes as they were. Without this option control characters are shown "
                "there as escapes.",
            ),
        ),
    ),
    Subcommand(
        "prune", "",
        "Remove old records, and the oldest ones if there are too many or they take too much space.",
        group=RECORDS,
        brief="Remove old records",
        about="Runs also do this by themselves, now and then. The record of a running run is never removed. The last "
        "5 runs of each name and the last 100 runs that did not succeed are removed after all others, and of these "
        "the failures last. A bound that no option sets is taken from the configuration or the environment: "
        "records-age, records-number and records-max.",
        options=(
            Option("", "older-than", "", "delay", "30d", "DURATION", "Remove records of runs that ended longer ago."),
            Option("", "keep", "", "count", "500", "N", "Keep at most N records."),
            Option(
                "", "max-size", "", "room", "1GiB", "SIZE",
                "Keep at most SIZE of all records together; off for no bound, 0 to remove all.",
            ),
        ),
    ),
    Subcommand(
        "ready", "RUN",
        "Report that the command of a run is up.",
        group=STEER,
        brief="Report that the command is up (--access-on manual)",
        about="This is a sign of access for a run with --access-on manual. It is refused once the access limit has "
        "fired.",
    ),
    Subcommand(
        "extend", "RUN DURATION",
        "Give a run more time: add DURATION to its completion limit (-t).",
        group=STEER,
        brief="Give a run more time",
        about="While the command is not up yet, its access limit (-a) gets the time instead. The idle limit (-i) stays "
        "as it is. --max-extension does not bound this; --total-timeout does. A run in which neither -t nor -a is in "
        "force refuses (125).",
    ),
    Subcommand(
        "stop", "RUN",
        "Cancel a run, and wait for its end.",
        group=STEER,
        brief="Cancel a run or a batch, and wait for its end",
        about="The run ends as if its supervise had got the signal, with 128+N: 143 for TERM. If no run is called RUN, "
        "but a batch is, the batch is cancelled.",
        options=(
            Option(
                "", "signal", "s", "signal", "TERM", "SIGNAL", "The signal that asks the process tree to stop.",
                value=15,
            ),
        ),
    ),
    Subcommand(
        "attach", "RUN",
        "Show the output of a run from its beginning to its end, and exit with the code of the run.",
        group=WATCH,
        brief="Show a run from its beginning on; type, with --pty",
        about="If the run has --pty, keys and the size of the window go to the command, and Ctrl-\\ pressed twice "
        "detaches. Otherwise Ctrl-C detaches. The run goes on after either. Attaching is a sign of access for a run "
        "with --access-on attach; it is refused once the access limit has fired. A long output is shown without its "
        "middle, as far as the record has dropped it.",
        options=(
            Option("", "read-only", "r", "flag", "", "", "Only watch: send neither keys nor the size of the window."),
        ),
    ),
    Subcommand(
        "wait", "RUN",
        "Wait for the end of a run, or for what comes first, and exit with the code of the run, or with 121 if it "
        "goes on.",
        group=WATCH,
        brief="Wait for the end of a run, or for what comes first",
        about="Nothing is printed without --new or --json. If the run has already ended, the wait is over at once. "
        "For a lost run the code is 125. 121 stands for --for and for --until alike: without --for, it says that what "
        "--until names has come; --json says what came first.",
        options=(
            Option("", "for", "", "limit", "off", "DURATION", "Wait so long at most: 121 if the run then goes on."),
            Option(
                "", "until", "", "untils", "", "WHAT",
                "Also end the wait when the command is up (access), when the run has printed nothing for so long "
                "(idle=DURATION), or when a line of its output matches (match=REGEX). The end of the run always ends "
                "the wait. May be given several times.",
                choices=("end", "access", "idle=", "match="),
                value=(),
            ),
            NEW,
            CURSOR,
            Option(
                "", "json", "", "flag", "", "",
                "Print the state, the exit code, what came first, and with --new the output, as a JSON object.",
            ),
        ),
    ),
    Subcommand(
        "suggest", "[NAME]",
        "Suggest limits for the runs of a name (--name) from those on record.",
        group=RECORDS,
        brief="Suggest limits from earlier runs of a name",
        about="It prints how long the good runs took and were silent, the limits for the next ones, and how many of "
        "the runs on record these limits would have stopped. Three good runs are needed.",
        options=(Option("", "list", "", "flag", "", "", "Print only the names on record."), JSON),
    ),
    Subcommand(
        "recover", "",
        "Find lost runs, stop the processes that are left of them, and run again those with --on-interrupt rerun.",
        group=RECORDS,
        brief="Clean up after runs whose supervise was killed",
        about="A run is lost if its supervise was killed or the machine went down. The exit code is 0 if nothing was "
        "lost, 1 if something was lost, 125 if something could not be done.",
        options=(
            Option("", "dry-run", "", "flag", "", "", "Print what would be done, and do nothing."),
            Option(
                "", "host", "", "host", "", "NAME",
                "Also recover runs of the host NAME: an earlier name of this machine, or this machine with an earlier "
                "machine id.",
            ),
            JSON,
        ),
    ),
    Subcommand(
        "left", "",
        "Print the seconds that are left to the surrounding run: until its current deadline, and until the last "
        "instant to which that deadline can move.",
        group=INSIDE,
        brief="Print the time that is left to this run; sleep within it",
        about="Both are whole seconds, or infinity for no limit. The idle limit does not count.",
        options=(JSON,),
    ),
    Subcommand(
        "sleep", "DURATION",
        "Sleep for DURATION, or exit with 75 at once if the surrounding run ends before that.",
        group=INSIDE,
        brief="Print the time that is left to this run; sleep within it",
        about="With this, a command that would be stopped in its sleep ends in time instead, and can be tried again "
        "later.",
    ),
    Subcommand(
        "config show", "",
        "Show the value that each option of run has now, and its source: a variable, a line of the configuration, or "
        "the default.",
        group=MACHINE,
        options=(CONFIG, option_names()["--profile"], JSON),
    ),
    Subcommand(
        "config set", "KEY VALUE",
        "Write the value of an option into the configuration.",
        group=MACHINE,
        about="The file is written whole or not at all. Comments in it are lost; a message says so.",
        options=(CONFIG, Option("", "profile", "", "profile", "", "NAME", "Set the option in this profile.")),
    ),
    Subcommand(
        "config path", "",
        "Print the path of the configuration file, also if the file does not exist.",
        group=MACHINE,
        options=(CONFIG,),
    ),
    Subcommand(
        "config check", "",
        "Print each error in the configuration with its line; exit with 125 if there is one.",
        group=MACHINE,
        options=(CONFIG,),
    ),
    Subcommand(
        "submit", "COMMAND [ARG]... [::: ITEM...]",
        "Run COMMAND once for each ITEM, or each line of --tasks FILE, each time as a supervised run.",
        group=START,
        brief="Run COMMAND once for each of many items",
        about="{} in the words of COMMAND is the item, {#} its number from 1 on; without {} the item is the last "
        "argument. The options of run stand here, too, and hold for each task. The name of the batch is printed "
        "first. The exit code is 0 if all tasks have succeeded, and 1 otherwise. See supervise-batch(7).",
        options=(
            Option(
                "", "on", "", "choice", "local", "ENGINE", "What runs the tasks.",
                choices=("local", "slurm", "htcondor", "kubernetes"),
            ),
            Option(
                "", "jobs", "j", "count", "", "N",
                "Run N tasks at once; without this option, one for each CPU (local), or as many as the engine can.",
            ),
            Option(
                "", "bundle", "", "bundle", "", "N",
                "Slurm: run N tasks, one after the other, in each task of the array; without this option 1. This is "
                "faster for many short tasks.",
            ),
            Option("", "name", "", "name", "", "BATCH", "Name the batch; its runs are called BATCH.1, BATCH.2, ..."),
            Option("", "tasks", "", "path", "", "FILE", "Take each line of FILE for an item; - is stdin."),
            Option(
                "", "results", "", "path", "", "DIR",
                "Write the report of each task to DIR/NUMBER.json, and its output to DIR/NUMBER.out. Without this "
                "option DIR is BATCH.results.",
            ),
            Option(
                "", "halt", "", "choice", "never", "WHEN",
                "What to do after a task that has not succeeded: go on (never), start no more tasks (soon), or also "
                "cancel those that run (now).",
                choices=("never", "soon", "now"),
            ),
            Option(
                "", "engine-option", "", "words", "", "OPTION",
                "Give OPTION to the program of the engine: --engine-option=-pgpu for sbatch. Repeat the "
                "option for several. For kubernetes, --image=IMAGE is needed.",
                value=(),
            ),
            Option("", "dry-run", "", "flag", "", "", "Print what would be run, and run nothing."),
            Option(
                "", "resume", "", "name", "", "BATCH",
                "Run the tasks of BATCH that are left, with no COMMAND: what was not started, was lost or cancelled, "
                "or can be tried again (75).",
            ),
        ),
        runs_command=True,
    ),
    Subcommand(
        "collect", "BATCH",
        "Say what has become of each task of a batch.",
        group=WATCH,
        brief="Say what has become of a batch",
        about="BATCH is the name that submit has printed; supervise ps --batches lists the names. Tasks that have "
        "succeeded are only counted. The exit code is 0 if all tasks have succeeded, 121 if some go on, and 1 "
        "otherwise.",
        options=(
            Option("", "wait", "", "flag", "", "", "Wait for the end of the batch first."),
            Option(
                "", "from", "", "path", "", "FILE",
                "Ask no cluster, but read its answer from FILE (- is stdin): that of kubectl get pods -o json, or of "
                "podman inspect.",
            ),
            Option("", "json", "", "flag", "", "", "Print a JSON object with all tasks."),
        ),
    ),
    Subcommand(
        "help", "[TOPIC] [WORD]",
        "Print the overview of supervise, the text of a topic, or the help page of a subcommand.",
        group=MACHINE,
        brief="Explain a topic; show the manual",
        about=f"The topics are {', '.join(TOPICS)}. agents can be pasted into the instructions of an agent.",
        words=tuple(TOPICS),
    ),
    Subcommand(
        "man", "[PAGE]",
        "Show a page of the manual.",
        group=MACHINE,
        brief="Explain a topic; show the manual",
        about="PAGE is the name of a page or of what it is about: supervise-ps or ps, limits, cron. Without it, the "
        "page is supervise(1), which lists all others. On a terminal the page comes through man(1) if that is there, "
        "or through the pager of MANPAGER or PAGER; otherwise it is printed as text. This works wherever supervise was "
        "installed, also where man(1) does not look.",
    ),
    Subcommand(
        "doctor", "",
        "Say what this system gives to a run, and what supervise uses instead of what is missing.",
        group=MACHINE,
        brief="Say what this system gives a run",
        about="Each line is ok, missing or broken. A run does without what is missing. The exit code is 1 if something "
        "is broken that each run needs, and 0 otherwise.",
        options=(JSON,),
    ),
    Subcommand(
        "completions", "[SHELL]",
        "Print the completions for bash, zsh or fish.",
        about="To install them for yourself, make the folder and redirect them: for bash into the file "
        "~/.local/share/bash-completion/completions/supervise, for fish into "
        "~/.config/fish/completions/supervise.fish, for zsh into the file _supervise in a folder of $fpath. If there "
        "is none of your own, this line in ~/.zshrc makes ~/.zfunc one: fpath=(~/.zfunc $fpath); autoload -Uz compinit "
        "&& compinit. bash reads its file only if the package bash-completion is installed. Without the package, put "
        "this line into ~/.bashrc: "
        'eval "$(supervise completions bash)".',
        group=MACHINE,
        brief="Print the completions of a shell",
        options=(
            Option(
                "", "list", "", "set", "", "WHAT",
                "Print the words of these kinds instead, one a line, as the completions do: the ids of the newest "
                "runs, the names of runs, the batches, the profiles of the configuration, the locks.",
                choices=LISTED,
            ),
        ),
        words=SHELLS,
    ),
    Subcommand(
        "schema", "WHAT",
        "Print the JSON Schema of the report, the events or the configuration.",
        group=MACHINE,
        brief="Print the JSON Schema of a report",
        about="WHAT is report (--report), event (one line of --events), config (the configuration), answer (wait "
        "--json and --detach-after --json) or batch (collect --json).",
        words=SCHEMAS,
    ),
)  # fmt: skip


def find(words: "list[str]") -> "Subcommand | None":
    """Return the row whose name the words begin with; None where there is none."""
    return next((row for row in SUBCOMMANDS if words[: len(row.name.split())] == row.name.split()), None)


def second_words(first: str) -> "tuple[str, ...]":
    """Return the second words of the subcommands of two words that begin with this one."""
    names = [row.name.split() for row in SUBCOMMANDS]
    return tuple(name[1] for name in names if len(name) == 2 and name[0] == first)


def first_words(rows: "Iterable[Subcommand]" = SUBCOMMANDS) -> "tuple[str, ...]":
    """Return the first words of all subcommands, `run` included, in the order of the table."""
    return tuple(dict.fromkeys(("run", *(row.name.split()[0] for row in rows))))
