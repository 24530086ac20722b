"""The one table of run's options.

The fast reader (`argv`), the typer app (`app`), the environment, the man page and the completions are all made from
it.  Plain classes and built-in types only: this is imported before the command is born, and a dataclass costs 17 ms.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.options.access_kinds import AccessKind

PREFIX = "SUPERVISE_"
"""How the environment variables begin that set an option."""
DEADLINE = PREFIX + "DEADLINE"
"""Where a command finds the latest instant that it may live, in epoch seconds."""
RECOVERED_FROM = PREFIX + "RECOVERED_FROM"
"""The variable by which `recover` tells a run which lost one it runs again, and for which time."""
BETWEEN = "\0"
"""Stands between the words of an option that may be given several times: no word of a command line can hold it."""


class BadValueError(Exception):
    """The word is not one of those the option takes.  Its text is the whole message."""


def _access_kinds() -> "tuple[AccessKind, ...]":
    """Return the table of `--access-on`, which a run without that option does not load."""
    from supervise.options.access_kinds import KINDS

    return KINDS


class Option:
    """One row.  `kind` names the reader in `values.READERS`; `default` is written as a user would write it.

    `kinds` is where the words of the value stand in a table of their own; `{forms}` in the help becomes their list.

    `value` is what that reader makes of it, said here so that a run of which nobody says anything needs none of them.
    """

    __slots__ = (
        "_choices",
        "_help",
        "_kinds",
        "aliases",
        "default",
        "key",
        "kind",
        "metavar",
        "name",
        "panel",
        "short",
        "value",
    )

    def __init__(
        self,
        panel: str,
        name: str,
        short: str,
        kind: str,
        default: str,
        metavar: str,
        help: str,
        *,
        aliases: "tuple[str, ...]" = (),
        choices: "tuple[str, ...]" = (),
        kinds: "Callable[[], tuple[AccessKind, ...]] | None" = None,
        value: object = None,
    ) -> None:
        self.panel = panel
        self.name = name
        self.short = short
        self.kind = kind
        self.default = default
        self.metavar = metavar
        self._help = help
        self.aliases = aliases
        self._choices = choices
        self._kinds = kinds
        self.value = False if kind == "flag" else default if kind == "choice" else value
        self.key = name.replace("-", "_")
        """Its name in Python."""

    @property
    def choices(self) -> "tuple[str, ...]":
        """The words that the value may be; what ends with `=` takes an argument.  Empty where they cannot be listed."""
        return tuple(kind.word for kind in self._kinds()) if self._kinds else self._choices

    @property
    def help(self) -> str:
        """What the option does, for the help page, the manual and the completions."""
        return (
            self._help.replace("{forms}", ", ".join(kind.form for kind in self._kinds())) if self._kinds else self._help
        )

    @property
    def is_flag(self) -> bool:
        """It takes no value on the command line."""
        return self.kind == "flag"

    @property
    def is_repeatable(self) -> bool:
        """Where it stands twice, both count; in the environment one a line, in a configuration a list."""
        return self.kind in ("evidences", "patterns")

    @property
    def variables(self) -> "tuple[str, ...]":
        """The environment variables that set it, the first of them that is not empty wins."""
        return tuple(PREFIX + name.replace("-", "_").upper() for name in (self.name, *self.aliases))


LIMITS, ACCESS, WARNINGS, EXTENSION, STOPPING, AGAIN, RESULT, LOCK, RECORD, OUTPUT, CONFIGURATION = (
    "Limits",
    "Access",
    "Warnings",
    "Extension",
    "Stopping",
    "Again",
    "Result",
    "Lock",
    "Record",
    "Output",
    "Configuration",
)
EVIDENCE = ("cpu", "socket", "connection", "output", "io")
CAUSES = ("access", "idle", "completion", "failed", "signaled", "resumable", "any", "code=")
"""Of another attempt; what ends with `=` takes a value."""

OPTIONS = (
    Option(
        LIMITS, "access-timeout", "a", "limit", "off", "DURATION",
        "Stop (122) if the command has not come up this long after its start: no byte on stdout or stderr, or what "
        "--access-on says.",
    ),
    Option(
        LIMITS, "timeout", "t", "limit", "off", "DURATION",
        "Stop (124) if the command runs longer than this, counted from access.",
        aliases=("completion-timeout",),
    ),
    Option(
        LIMITS, "idle-timeout", "i", "limit", "off", "DURATION",
        "Stop (123) if no byte of output comes for this long, counted from access.",
    ),
    Option(
        LIMITS, "idle-on", "", "choice", "both", "STREAM",
        "The output that resets the idle clock.",
        choices=("stdout", "stderr", "both"),
    ),
    Option(
        LIMITS, "idle-grace", "", "cap", "off", "DURATION",
        "How far measured activity may put an idle stop off, in all, since the last byte.",
        value=0.0,
    ),
    Option(
        ACCESS, "access-on", "", "evidences", "", "SIGN",
        "What shows that the command is up; it can stand several times, and any one is enough: {forms}. Without it, "
        "output.",
        kinds=_access_kinds,
        value=(),
    ),
    Option(
        ACCESS, "notify", "", "flag", "", "",
        "Hear what the command says of itself by sd_notify(3), its status and that it is alive, also where access does "
        "not hinge on it.",
    ),
    Option(
        WARNINGS, "warn-at", "", "marks", "60s,10s", "DURATION,...",
        "Warn when this much is left before a deadline; off for never.",
        value=(60.0, 10.0),
    ),
    Option(
        WARNINGS, "warn-signal", "", "signal", "", "SIGNAL",
        "Also send SIGNAL to the command itself, once, at the first mark of the completion deadline.",
    ),
    Option(
        EXTENSION, "max-extension", "x", "cap", "off", "DURATION",
        "How much may be added to the completion deadline in all, while the process tree is active.",
        value=0.0,
    ),
    Option(
        EXTENSION, "extend-by", "", "step", "2m", "DURATION",
        "How much one extension adds.",
        value=120.0,
    ),
    Option(
        EXTENSION, "extend-on", "", "set", "cpu,socket", "EVIDENCE,...",
        "What counts as activity: CPU time, bytes on TCP sockets, an established connection, output, bytes read or "
        "written.",
        choices=EVIDENCE,
        value=("cpu", "socket"),
    ),
    Option(
        EXTENSION, "activity-window", "", "step", "30s", "DURATION",
        "How far back activity counts; at most a quarter of the limit.",
        value=30.0,
    ),
    Option(
        EXTENSION, "cpu-threshold", "", "percent", "10", "PERCENT",
        "The least CPU use over the window, in percent of one core, that counts as activity.",
        value=10.0,
    ),
    Option(
        STOPPING, "signal", "s", "signal", "TERM", "SIGNAL",
        "The signal that asks the process tree to stop.",
        value=15,
    ),
    Option(
        STOPPING, "kill-after", "k", "delay", "10s", "DURATION",
        "How long after that signal what is left is killed; 0 is at once.",
        value=10.0,
    ),
    Option(
        STOPPING, "stragglers", "", "choice", "report", "WHAT",
        "What to do with processes that outlive a command that ended by itself.",
        choices=("report", "kill", "wait"),
    ),
    Option(
        STOPPING, "drain", "", "delay", "2s", "DURATION",
        "How long to wait for more output while somebody else still holds the pipe of a command that has ended.",
        value=2.0,
    ),
    Option(
        STOPPING, "diagnose", "", "choice", "on", "on|off",
        "Show what the process tree was doing when a limit stopped it.",
        choices=("on", "off"),
    ),
    Option(
        STOPPING, "dump-signal", "", "signal", "", "SIGNAL",
        "Before a limit stops the tree, send SIGNAL to the command so that it can dump its state (QUIT for JVM and Go, "
        "USR1 for faulthandler), and give it a second to.",
    ),
    Option(
        AGAIN, "retries", "", "count", "0", "N",
        "Run the command again, up to so many times; --retry-on says after which ends.",
        value=0,
    ),
    Option(
        AGAIN, "retry-on", "", "causes", "access,idle,resumable", "CAUSE,...",
        "After which ends: the limits access, idle and completion, failed, signaled, resumable (75), code=N, the "
        "command's exit code, or any of these ends.",
        choices=CAUSES,
        value=("access", "idle", "resumable"),
    ),
    Option(
        AGAIN, "retry-delay", "", "delay", "1s", "DURATION",
        "How long to wait before the first retry, at most; it doubles with each.",
        value=1.0,
    ),
    Option(
        AGAIN, "retry-delay-max", "", "delay", "5m", "DURATION",
        "The longest that it gets.",
        value=300.0,
    ),
    Option(
        AGAIN, "retry-if-silent", "", "flag", "", "",
        "Retry only where not one byte of output was shown.",
    ),
    Option(
        AGAIN, "retry-output", "", "choice", "all", "WHICH",
        "Show the output of all attempts as it comes, or that of the last one alone, when it has ended.",
        choices=("all", "last"),
    ),
    Option(
        AGAIN, "total-timeout", "", "limit", "off", "DURATION",
        "Stop (124) if all attempts together, and the waits between them, take longer than this.",
    ),
    Option(
        RESULT, "preserve-status", "p", "flag", "", "",
        "Exit with the command's own status even if it was stopped.",
    ),
    Option(
        RESULT, "success-codes", "", "codes", "0", "CODE,...",
        "Exit codes of the command that mean success: supervise exits 0.",
        value=(0,),
    ),
    Option(
        RESULT, "report", "", "path", "", "FILE",
        "Write what happened as one JSON object, whole or not at all.",
    ),
    Option(
        RESULT, "events", "", "path", "", "FILE",
        "Append what happens as it happens, one JSON object a line.",
    ),
    Option(
        LOCK, "lock", "", "lock", "", "NAME|/PATH",
        "One at a time: while another run of yours on this machine holds the lock of that name, exit with 75 and say "
        "which. A file at an absolute path is a lock that several users can share.",
    ),
    Option(
        LOCK, "lock-mode", "", "mode", "", "MODE",
        "The mode, as for chmod, of the file at that path where one is made (666); without it the umask decides.",
    ),
    Option(
        LOCK, "lock-wait", "", "delay", "0", "DURATION",
        "How long to wait for the lock; 0 for not at all.",
        value=0.0,
    ),
    Option(
        RECORD, "name", "", "name", "", "NAME",
        "A name by which the run can be found: the last run of that name.",
    ),
    Option(
        RECORD, "log", "", "path", "", "FILE",
        "Append a plain copy of the output to FILE.",
    ),
    Option(
        RECORD, "log-max", "", "size", "64MiB", "SIZE",
        "How much of the output the record keeps, 64KiB or more: the first quarter and the last three quarters of "
        "this; 0 for none.",
        value=64 << 20,
    ),
    Option(
        RECORD, "no-record", "", "flag", "", "",
        "Leave no record of the run on disk.",
    ),
    Option(
        RECORD, "records-age", "", "limit", "30d", "DURATION",
        "How long after its end a run stays on record; off for no such bound.",
        value=2592000.0,
    ),
    Option(
        RECORD, "records-number", "", "count", "500", "N",
        "How many runs stay on record. The last runs of each name and the last failures go after all others.",
        value=500,
    ),
    Option(
        RECORD, "records-max", "", "room", "1GiB", "SIZE",
        "How much room all records take together; off for no such bound, 0 for no record of a run that has ended.",
        value=1 << 30,
    ),
    Option(
        RECORD, "on-interrupt", "", "choice", "nothing", "WHAT",
        "What supervise recover does when supervise itself was killed or the machine went down under the run: nothing "
        "but stop what is left of it, or run it again as well.",
        choices=("nothing", "rerun"),
    ),
    Option(
        RECORD, "max-recoveries", "", "count", "1", "N",
        "How often, at most, a run is run again by supervise recover.",
        value=1,
    ),
    Option(
        RECORD, "keep-env", "", "names", "", "NAME,...",
        "Variables of the environment to keep in the record, for when the run is run again; no others are.",
    ),
    Option(
        RECORD, "redact", "", "patterns", "", "PATTERN",
        "Show *** for what this regular expression finds in the words of the command, beside the passwords, tokens and "
        "secrets that are found by themselves; it can stand several times. off: find none by themselves.",
        value=(),
    ),
    Option(
        RECORD, "keep-secrets", "", "flag", "", "",
        "Keep what is shown as *** in a file of the record until the run is over, so that supervise recover can run it "
        "again.",
    ),
    Option(
        OUTPUT, "pty", "", "flag", "", "",
        "Give the command a terminal of its own: it does not buffer in blocks, and the keys are its own; a stdin that "
        "is no terminal stays its stdin.",
    ),
    Option(
        OUTPUT, "streams", "", "choice", "auto", "HOW",
        "One pipe for stdout and stderr of the command, which keeps their order, or two. auto is one where both are "
        "the same open file (a terminal, 2>&1), or the run is detached.",
        choices=("auto", "apart", "together"),
    ),
    Option(
        OUTPUT, "detach", "d", "flag", "", "",
        "Print the id of the run as soon as the command runs, and come back; its output goes into the record alone.",
    ),
    Option(
        OUTPUT, "live", "", "flag", "", "",
        "While the command is silent, show in a line on the terminal where the run is, and how long is left; the line "
        "is gone before the next byte.",
    ),
    Option(
        OUTPUT, "quiet", "q", "flag", "", "",
        "Say nothing but errors and the final message.",
    ),
    Option(
        OUTPUT, "verbose", "v", "flag", "", "",
        "Say more: start, access, every end.",
    ),
    Option(
        CONFIGURATION, "config", "", "path", "", "FILE",
        "Read the configuration from FILE instead of the user's own; /dev/null for none.",
    ),
    Option(
        CONFIGURATION, "profile", "", "profile", "", "NAME",
        "Use the options of this profile of the configuration, too.",
    ),
)  # fmt: skip


def option_names(rows: "tuple[Option, ...]" = OPTIONS) -> "dict[str, Option]":
    """Every way to write an option, `--long` and `-s`, and the row that it means."""
    names = {}
    for option in rows:
        if option.short:
            names["-" + option.short] = option
        for name in (option.name, *option.aliases):
            names["--" + name] = option
    return names
