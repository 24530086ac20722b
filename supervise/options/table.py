"""The one table of the options of `run`.

The fast reader (`argv`), the reader by click (`commands/app.py`), the environment, the man page and the completions are
all made from it. It is loaded before the command starts, so it uses plain classes and built-in types only: a dataclass
costs 17 ms.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.options.access_kinds import AccessKind

PREFIX = "SUPERVISE_"
"""The beginning of the names of environment variables that set an option."""
DEADLINE = PREFIX + "DEADLINE"
"""The variable that tells the command the latest time to which it may live, in epoch seconds."""
RECOVERED_FROM = PREFIX + "RECOVERED_FROM"
"""The variable by which `recover` tells a run which lost run it repeats, and for which time."""
RESTARTED = PREFIX + "RESTARTED"
"""The variable by which the engine of a batch tells a task how often it was started before, and how that ended."""
UNREPORTED = PREFIX + "UNREPORTED"
"""The variable by which the engine of a batch asks for another exit code where `--report` cannot be written at the end:
two numbers, the second for a full disk.  Where no report comes, the code is all that the engine hears."""
WORD_SEPARATOR = "\0"
"""Stands between the words of a repeatable option: no word of a command line can hold it."""


class BadValueError(Exception):
    """The option does not take the word. The text of the error is the whole message."""


def _access_kinds() -> "tuple[AccessKind, ...]":
    """Return the table of `--access-on`, which a run without that option does not load."""
    from supervise.options.access_kinds import KINDS

    return KINDS


class Option:
    """One row of the table.

    `kind` names the reader in `values.READERS`, and `default` is written as a user would write it. `value` is what that
    reader returns for the default, so that a run without options needs no reader. `kinds` returns the table of the
    option's values if they have one; `{forms}` in the help becomes their list. `implied` is the word of an option that
    stands without one; another word follows an equals sign then (`--option=WORD`), and is never the next word unless
    that is one of the option's choices.
    """

    __slots__ = (
        "_choices",
        "_help",
        "_kinds",
        "aliases",
        "default",
        "implied",
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
        implied: str = "",
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
        self.implied = implied
        self.value = False if kind == "flag" else default if kind == "choice" else value
        # `for` is a word of Python itself.
        self.key = "for_" if name == "for" else name.replace("-", "_")
        """The name of the option in Python."""

    @property
    def choices(self) -> "tuple[str, ...]":
        """Return the words that the value may be; one that ends with `=` takes an argument.

        Empty if they cannot be listed.
        """
        return tuple(kind.word for kind in self._kinds()) if self._kinds else self._choices

    @property
    def help(self) -> str:
        """Return what the option does, for the help page, the manual and the completions."""
        return (
            self._help.replace("{forms}", ", ".join(kind.form for kind in self._kinds())) if self._kinds else self._help
        )

    @property
    def is_flag(self) -> bool:
        """Return whether the option takes no value on the command line."""
        return self.kind == "flag"

    @property
    def takes_next_word(self) -> bool:
        """Return whether the word after the option is its value, where no equals sign gives one."""
        return self.kind != "flag" and not self.implied

    @property
    def is_repeatable(self) -> bool:
        """Return whether all values count if the option is given several times.

        The environment has one value a line then, and the configuration has a list.
        """
        return self.kind in ("evidences", "patterns", "words", "hooks", "untils")

    @property
    def variables(self) -> "tuple[str, ...]":
        """Return the environment variables that set the option; the first one that is not empty wins."""
        return tuple(PREFIX + name.replace("-", "_").upper() for name in (self.name, *self.aliases))


LIMITS, ACCESS, WARNINGS, EXTENSION, STOPPING, RETRIES, RESULT, LOCK, RECORD, OUTPUT, CONFIGURATION = (
    "Limits",
    "Access",
    "Warnings",
    "Extension",
    "Stopping",
    "Retries",
    "Result",
    "Lock",
    "Record",
    "Output",
    "Configuration",
)
EVIDENCE = ("cpu", "socket", "connection", "output", "io")
CAUSES = ("access", "idle", "completion", "failed", "signaled", "resumable", "oom", "any", "code=")
"""The causes of another attempt; one that ends with `=` takes a value."""
HOOK_EVENTS = ("started", "access", "warned", "extended", "verdict", "settled", "retrying", "lost")
"""The events that a hook can be for, in the words of the schema of events."""
OFF_RECORD = frozenset(("hook", "ping"))
"""The names of the options whose words may hold a secret that no rule finds: the record does not have them, unless they
begin with SECRET_FILE."""
SECRET_FILE = "file:"
"""Stands before the path of a file that holds a secret."""

OPTIONS = (
    Option(
        LIMITS, "access-timeout", "a", "limit", "off", "DURATION",
        "Stop (122) if the command is not up within this time: no output has come, or no sign of --access-on.",
    ),
    Option(
        LIMITS, "timeout", "t", "limit", "off", "DURATION",
        "Stop (124) if the command runs longer than this, counted from access.",
        aliases=("completion-timeout",),
    ),
    Option(
        LIMITS, "idle-timeout", "i", "limit", "off", "DURATION",
        "Stop (123) if the command prints nothing for this long, counted from access.",
    ),
    Option(
        LIMITS, "idle-on", "", "choice", "both", "STREAM",
        "The output that resets the idle clock.",
        choices=("stdout", "stderr", "both"),
    ),
    Option(
        LIMITS, "prompt-timeout", "", "limit", "off", "DURATION",
        "Stop (123) if a process has waited this long in a read of stdin or the terminal while nothing else in the "
        "process tree works.",
    ),
    Option(
        LIMITS, "idle-grace", "", "cap", "off", "DURATION",
        "Put an idle stop off while the process tree is active, by at most this much since the last byte of output.",
        value=0.0,
    ),
    Option(
        LIMITS, "runner-margin", "", "limit", "off", "DURATION",
        "Stop (75, resumable) this long before the end of the CI job where the job tells its end (GitLab, Buildkite, "
        "or SUPERVISE_DEADLINE), so that the rest of the job has time; 75 at once if no more is left.",
    ),
    Option(
        LIMITS, "no-engine", "", "flag", "", "",
        "Do not end (75, resumable) before the end of the job around this run, as Slurm, HTCondor or "
        "Kubernetes tells it.",
    ),
    Option(
        LIMITS, "memory-max", "", "memory", "off", "SIZE",
        "Kill the process tree (137, out of memory) if all of it together has more than this in memory. A cgroup holds "
        "the limit where supervise may make one, samples do elsewhere.",
    ),
    Option(
        ACCESS, "access-on", "", "evidences", "", "SIGN",
        "The sign that the command is up: {forms}. Repeat the option for several signs; the first one seen counts. "
        "Without the option, the sign is output.",
        kinds=_access_kinds,
        value=(),
    ),
    Option(
        ACCESS, "notify", "", "flag", "", "",
        "Give the command a socket for sd_notify(3), for its status and its watchdog, also without --access-on notify.",
    ),
    Option(
        WARNINGS, "warn-at", "", "marks", "60s,10s", "DURATION,...",
        "Warn when this much time is left before a deadline; off for no warnings.",
        value=(60.0, 10.0),
    ),
    Option(
        WARNINGS, "warn-signal", "", "signal", "", "SIGNAL",
        "Send SIGNAL to the command itself, once, with the first warning before the completion deadline.",
    ),
    Option(
        EXTENSION, "max-extension", "x", "cap", "off", "DURATION",
        "Extend the completion deadline while the process tree is active, by at most this much in all.",
        value=0.0,
    ),
    Option(
        EXTENSION, "extend-by", "", "step", "2m", "DURATION",
        "The time that one extension adds.",
        value=120.0,
    ),
    Option(
        EXTENSION, "extend-on", "", "set", "cpu,socket", "EVIDENCE,...",
        "What counts as activity: CPU time, bytes on TCP sockets, an established TCP connection, output, or bytes "
        "read or written.",
        choices=EVIDENCE,
        value=("cpu", "socket"),
    ),
    Option(
        EXTENSION, "activity-window", "", "step", "30s", "DURATION",
        "How far back activity counts, at most a quarter of the limit.",
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
        "Kill what is left of the process tree this long after the signal; 0 for at once.",
        value=10.0,
    ),
    Option(
        STOPPING, "with-parent", "", "flag", "", "",
        "Stop the command when the process that started supervise is gone.",
    ),
    Option(
        STOPPING, "stop-on-eof", "", "flag", "", "",
        "Stop the command when its stdin, a pipe or a socket, has ended: ssh HOST supervise --stop-on-eof -- COMMAND "
        "ends with the connection.",
    ),
    Option(
        STOPPING, "stop-command", "", "text", "", "COMMAND",
        "Run the shell command COMMAND when the process tree is stopped, to end what a daemon does on the command's "
        "behalf: docker stop NAME. It has the time of --kill-after.",
    ),
    Option(
        STOPPING, "stragglers", "", "choice", "report", "WHAT",
        "What to do with processes that are left when the command has ended by itself.",
        choices=("report", "kill", "wait"),
    ),
    Option(
        STOPPING, "drain", "", "delay", "2s", "DURATION",
        "How long to wait for the end of the output after the command has ended, while another process holds the pipe.",
        value=2.0,
    ),
    Option(
        STOPPING, "diagnose", "", "choice", "on", "on|off",
        "Show what the process tree was doing when a limit stopped it.",
        choices=("on", "off"),
    ),
    Option(
        STOPPING, "dump-signal", "", "signal", "", "SIGNAL",
        "Before a limit stops the tree, send SIGNAL to the command and give it one second to dump its state: QUIT for "
        "a JVM or Go, USR1 for Python's faulthandler.",
    ),
    Option(
        RETRIES, "retries", "", "count", "0", "N",
        "Run the command again, at most N times; --retry-on says after which outcomes.",
        value=0,
    ),
    Option(
        RETRIES, "retry-on", "", "causes", "access,idle,resumable", "CAUSE,...",
        "The outcomes after which the command is run again: a limit (access, idle, completion), failed, signaled, "
        "resumable (75), oom (out of memory), an exit code of the command (code=N), or every end that is not a success "
        "(any).",
        choices=CAUSES,
        value=("access", "idle", "resumable"),
    ),
    Option(
        RETRIES, "retry-delay", "", "delay", "1s", "DURATION",
        "The wait before the first retry. It doubles with each further retry; chance shortens it by up to a quarter.",
        value=1.0,
    ),
    Option(
        RETRIES, "retry-delay-max", "", "delay", "5m", "DURATION",
        "The longest wait before a retry.",
        value=300.0,
    ),
    Option(
        RETRIES, "retry-if-silent", "", "flag", "", "",
        "Run the command again only if it has printed nothing.",
    ),
    Option(
        RETRIES, "retry-output", "", "choice", "all", "WHICH",
        "Show the output of all attempts as it comes, or only that of the last attempt, when it has ended.",
        choices=("all", "last"),
    ),
    Option(
        RETRIES, "total-timeout", "", "limit", "off", "DURATION",
        "Stop (124) if all attempts and the waits between them together take longer than this.",
    ),
    Option(
        RESULT, "preserve-status", "p", "flag", "", "",
        "Exit with the command's own status even if it was stopped.",
    ),
    Option(
        RESULT, "on-timeout", "", "choice", "fail", "fail|pass",
        "What it means if --timeout stops the command: exit with 124 (fail), or with 0 (pass) for a soak test or a "
        "fuzzer, which has succeeded then.",
        choices=("fail", "pass"),
    ),
    Option(
        RESULT, "success-codes", "", "codes", "0", "CODE,...",
        "Exit codes of the command that mean success; for these supervise exits with 0.",
        value=(0,),
    ),
    Option(
        RESULT, "report", "", "path", "", "FILE",
        "Write a report of the run to FILE when it ends, as one JSON object.",
    ),
    Option(
        RESULT, "events", "", "path", "", "FILE",
        "Append each event of the run to FILE as it happens, one JSON object a line.",
    ),
    Option(
        RESULT, "metrics", "", "prom", "", "FILE.prom",
        "When the run ends, replace FILE.prom by metrics of the run, for node_exporter's textfile collector.",
    ),
    Option(
        RESULT, "junit", "", "path", "", "FILE",
        "Write JUnit XML to FILE when the run ends, with a test case for each attempt.",
    ),
    Option(
        RESULT, "hook", "", "hooks", "", "EVENT=COMMAND",
        "Run the shell command COMMAND beside the run when EVENT happens (started, access, warned, extended, verdict, "
        "settled, retrying or lost), with the event as JSON on its stdin. It has 10 seconds. Repeat the option for "
        "several hooks.",
        choices=tuple(f"{event}=" for event in HOOK_EVENTS),
        value=(),
    ),
    Option(
        RESULT, "ping", "", "check", "off", "URL|UUID|SLUG",
        "Tell healthchecks.io, or a server like it, of the start and the end of the run. file:PATH names a file that "
        "holds the check; a SLUG needs HC_PING_KEY. CHECK_UUID in the environment does the same.",
    ),
    Option(
        RESULT, "ping-body", "", "choice", "on", "on|off",
        "Send the last 10 kB of the output with the last ping.",
        choices=("on", "off"),
    ),
    Option(
        RESULT, "ping-wait", "", "delay", "1s", "DURATION",
        "How long the end of the run may wait for the pings; what is not sent by then is sent in the background.",
        value=1.0,
    ),
    Option(
        LOCK, "lock", "", "lock", "", "NAME|/PATH",
        "Run only one at a time: if another run of yours on this machine holds the lock NAME, name that run and exit "
        "with 75. /PATH is a lock file that several users can share.",
    ),
    Option(
        LOCK, "lock-mode", "", "mode", "", "MODE",
        "The mode of a new lock file, as for chmod (666). Without this option the umask decides.",
    ),
    Option(
        LOCK, "lock-wait", "", "delay", "0", "DURATION",
        "How long to wait for the lock; 0 for no wait.",
        value=0.0,
    ),
    Option(
        LOCK, "if-busy", "", "choice", "fail", "WHAT",
        "What to do if another run has the lock: exit with 75 (fail), exit with 0 (skip), wait for the lock without a "
        "bound (wait), or stop that run and begin (replace).",
        choices=("fail", "skip", "wait", "replace"),
    ),
    Option(
        LOCK, "slots", "", "slots", "1", "N",
        "Let up to N runs have the lock at once; with --if-busy replace, the oldest of them is stopped.",
        value=1,
    ),
    Option(
        LOCK, "start-jitter", "", "delay", "0", "DURATION",
        "Wait for a random part of this time before the run begins. The wait is not part of the run.",
        value=0.0,
    ),
    Option(
        RECORD, "name", "", "name", "", "NAME",
        "Name the run. The other commands take NAME for the last run of that name.",
    ),
    Option(
        RECORD, "log", "", "path", "", "FILE",
        "Append a plain copy of the output to FILE.",
    ),
    Option(
        RECORD, "log-max", "", "size", "64MiB", "SIZE",
        "How much output the record keeps, 64KiB or more: the beginning of the output in a quarter of SIZE, its end in "
        "the rest; 0 for none.",
        value=64 << 20,
    ),
    Option(
        RECORD, "no-record", "", "flag", "", "",
        "Leave no record of the run on disk.",
    ),
    Option(
        RECORD, "records-age", "", "limit", "30d", "DURATION",
        "How long a record is kept after the end of its run; off for no bound.",
        value=2592000.0,
    ),
    Option(
        RECORD, "records-number", "", "count", "500", "N",
        "How many records are kept. The last runs of each name and the last failures are removed after all others.",
        value=500,
    ),
    Option(
        RECORD, "records-max", "", "room", "1GiB", "SIZE",
        "How much space all records together may take; off for no bound, 0 to keep no record of an ended run.",
        value=1 << 30,
    ),
    Option(
        RECORD, "on-interrupt", "", "choice", "nothing", "WHAT",
        "What supervise recover does after supervise was killed or the machine went down: only stop what is left of "
        "the run (nothing), or also run it again (rerun).",
        choices=("nothing", "rerun"),
    ),
    Option(
        RECORD, "max-recoveries", "", "count", "1", "N",
        "How often supervise recover may run the run again.",
        value=1,
    ),
    Option(
        RECORD, "keep-env", "", "names", "", "NAME,...",
        "Keep these environment variables in the record, so that supervise recover can set them again. The record "
        "has no other variables.",
    ),
    Option(
        RECORD, "redact", "", "patterns", "", "PATTERN",
        "Show *** instead of what this regular expression matches in the words of the command. Passwords, tokens and "
        "secrets are also found without a pattern; off turns that off. Repeat the option for several patterns.",
        value=(),
    ),
    Option(
        RECORD, "keep-secrets", "", "flag", "", "",
        "Keep the words that are shown as *** in a private file of the record until the run is over, so that "
        "supervise recover can run it again.",
    ),
    Option(
        OUTPUT, "pty", "", "flag", "", "",
        "Give the command its own terminal: most programs then print without delay, and the keys go to the command. "
        "A stdin that is not a terminal is left as it is.",
    ),
    Option(
        OUTPUT, "streams", "", "choice", "auto", "HOW",
        "Give the command one pipe for stdout and stderr (together), which keeps their order, or two (apart). auto "
        "gives one if both are the same open file (a terminal, 2>&1) or the run is detached.",
        choices=("auto", "apart", "together"),
    ),
    Option(
        OUTPUT, "timestamps", "", "stamps", "off", "FORMAT",
        "Begin each line of output with the time: iso (the default), elapsed (seconds since the start), or a format of "
        "strftime(3).",
        implied="iso",
    ),
    Option(
        OUTPUT, "prefix", "", "text", "", "TEXT",
        "Begin each line of output with TEXT.",
    ),
    Option(
        OUTPUT, "dry-run", "", "flag", "", "",
        "Print what would be run, with its limits and where each comes from, and run nothing.",
    ),
    Option(
        OUTPUT, "detach", "d", "flag", "", "",
        "Print the id of the run and return as soon as the command runs. Its output goes only into the record.",
    ),
    Option(
        OUTPUT, "detach-after", "", "limit", "off", "DURATION",
        "Give control back (121) if the command still runs after this time: stdout and stderr are closed, and the run "
        "goes on as with --detach. Until then nothing differs from an ordinary run.",
    ),
    Option(
        OUTPUT, "detach-after-idle", "", "limit", "off", "DURATION",
        "Give control back in the same way if the command has printed nothing for this time.",
    ),
    Option(
        OUTPUT, "json", "", "flag", "", "",
        "When control is given back, say so as a JSON object on stdout instead of a line on stderr.",
    ),
    Option(
        OUTPUT, "live", "", "when", "auto", "WHEN",
        "While the command is silent, show on the terminal what the run is doing and how much time is left: on, off or "
        "auto. auto does so after 3 seconds (15 without a limit), if stdout and stderr are the terminal. The line "
        "disappears before the next output.",
        choices=("auto", "on", "off"),
        value="auto",
        implied="on",
    ),
    Option(
        OUTPUT, "heartbeat", "", "limit", "off", "DURATION",
        "While the command is silent and its process tree is measurably active, say so on stderr each time this long "
        "has passed, for CI services that end a silent job. A command that hangs gets no such line.",
    ),
    Option(
        OUTPUT, "quiet-unless-failed", "", "lines", "off", "LINES",
        "Print nothing if the run succeeds. If it does not: the verdict, what was run, and the output (its last "
        "LINES lines).",
        implied="whole",
    ),
    Option(
        OUTPUT, "ci", "", "choice", "auto", "SERVICE",
        "Report to a CI service: github (annotations, outputs and summary of the step), gitlab (the diagnosis in a "
        "section) or buildkite (an annotation of a failure). auto finds the service by its variables; plain and off "
        "report to none.",
        choices=("auto", "github", "gitlab", "buildkite", "plain", "off"),
    ),
    Option(
        OUTPUT, "ci-fence", "", "flag", "", "",
        "In a job of GitHub, keep the runner from obeying commands (::error:: and the like) in the command's output. "
        "This is sure only where stdout and stderr are one pipe (2>&1).",
    ),
    Option(
        OUTPUT, "quiet", "q", "flag", "", "",
        "Print only errors and the final message.",
    ),
    Option(
        OUTPUT, "verbose", "v", "flag", "", "",
        "Print more messages: the start, access, and every end.",
    ),
    Option(
        CONFIGURATION, "config", "", "path", "", "FILE",
        "Read the configuration from FILE instead of your own; /dev/null for none.",
    ),
    Option(
        CONFIGURATION, "profile", "", "profile", "", "NAME",
        "Also use the options of this profile in the configuration.",
    ),
)  # fmt: skip


def option_names(rows: "tuple[Option, ...]" = OPTIONS) -> "dict[str, Option]":
    """Return the row of each option by every way to write it: `--long` and `-s`."""
    names = {}
    for option in rows:
        if option.short:
            names["-" + option.short] = option
        for name in (option.name, *option.aliases):
            names["--" + name] = option
    return names
