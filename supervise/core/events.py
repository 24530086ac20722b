"""What the machine is told (events), what it orders (actions), and what it has to say (notices).

All times are seconds since the run began, on the monotonic clock.
"""

from dataclasses import dataclass
from typing import Literal

from supervise.core.outcome import Cause, Exit, Outcome, OutcomeName
from supervise.core.policy import Evidence, Limit, SpawnFailure, Stream

# --- events: told to the machine ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The command exists."""

    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The command could not be started.  `error`: ours to answer for (no more processes, no memory)."""

    kind: SpawnFailure
    reason: str


@dataclass(frozen=True, slots=True)
class Output:
    """`count` bytes came on `stream`; the first of them at `first`, the last at `last`.  News in bulk, told late."""

    stream: Stream
    count: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The command showed, at `at`, that it is up; `how` is the word of the policy (`manual`, `port=8080` ...)."""

    how: str
    at: float


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """That sign of access was looked for and is not there yet; `why` is for people."""

    how: str
    why: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The command said, at `at`, that it is alive (sd_notify, WATCHDOG=1): for the idle clock that is a byte."""

    at: float


@dataclass(frozen=True, slots=True)
class Stuck:
    """The command said, at `at`, that it is not (WATCHDOG=trigger)."""

    at: float


@dataclass(frozen=True, slots=True)
class TimeRequested:
    """The command asked, at `at`, for `by` seconds from then on (EXTEND_TIMEOUT_USEC)."""

    by: float
    at: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """The answer to TakeSample, and the only way activity becomes known."""

    sample: "Sample"


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to Ask: the command is alive.

    If the command has ended, Exited is dispatched before this.
    `pending`: bytes of the command's are still unread in a pipe that counts for idle.  `at`: when it was found alive,
    and so the latest moment of which the answer speaks; None for the moment at which it is told.
    """

    pending: bool
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Extend:
    """The user adds to the deadline in force."""

    by: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """A signal to us, or `supervise stop`.  `delivered`: the tree has it already (the terminal sent it to all)."""

    signal: int
    at: float
    delivered: bool = False
    from_terminal: bool = False
    """The kernel sent the signal for a terminal (a key, or a hang-up); no process did."""
    source: str = ""
    """Who sent it, for people: `signal INT`, `signal TERM from pid 812 (make)`, `supervise stop`."""


@dataclass(frozen=True, slots=True)
class Paused:
    """We ourselves were stopped: all clocks stop."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """We go on; every deadline and mark moves by the time since Paused."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The command's own process has ended, at `at`.  Others of its tree may live."""

    exit: Exit
    at: float


@dataclass(frozen=True, slots=True)
class Emptied:
    """Nothing of the tree is alive but `survivors`, which cannot be killed.  Never told before Exited.

    May be taken back by nothing: a tree that is empty stays empty.
    """

    survivors: tuple["Process", ...] = ()


@dataclass(frozen=True, slots=True)
class Drained:
    """Every byte that was to be delivered has been; all streams are closed."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Bytes of the command's could not be written, and are lost: a full disk, say; but not a reader that left."""

    stream: Stream
    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed.  Harmless at any moment."""


Event = (
    Started | SpawnFailed | Output | Ready | ProbeFailed | Alive | Stuck | TimeRequested | Sampled | Answered | Extend
    | Cancel | Paused | Resumed | Exited | Emptied | Drained | Undelivered | Tick
)  # fmt: skip


# --- what is measured ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it is named to people.  `state` is the letter of proc(5), `waits_in` the kernel function or ''."""

    pid: int
    name: str
    uid: int = -1
    state: str = "?"
    waits_in: str = ""


@dataclass(frozen=True, slots=True)
class Socket:
    """A TCP socket; `peer` is empty for one that listens.  Addresses are `127.0.0.1:80`, `[::1]:80`."""

    local: str
    peer: str
    state: str
    """`ESTABLISHED`, as ss(8) and netstat(8) have it."""
    sent: int
    """Bytes that the other end has acknowledged."""
    received: int


@dataclass(frozen=True, slots=True)
class ProcessSnapshot:
    """What one process of the tree was doing, for a diagnosis."""

    pid: int
    parent: int
    depth: int
    """Generations below the command."""
    name: str
    state: str
    """The letter of proc(5)."""
    waits_in: str
    """The function of the kernel in which its first thread waits; empty where it does not, or that is not known."""
    cpu_percent: float
    """The CPU use of the process, in percent of one core."""
    threads: int
    sockets: tuple[Socket, ...] = ()
    stdout: str = ""
    """What its stdout is, as /proc names it (`pipe:[812]`); empty where that may not be read."""


@dataclass(frozen=True, slots=True)
class ProcessCpu:
    """CPU time of one live process so far (its own and that of children it has waited for), in seconds.

    `started` (clock ticks since boot) makes a reused pid another process.
    """

    pid: int
    started: int
    name: str
    cpu: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the tree.  Counters only ever mean something as the difference of two samples."""

    at: float
    cpu: float = 0.0
    """Seconds of CPU that the whole tree has used, the dead included."""
    busy: tuple[ProcessCpu, ...] = ()
    sockets_moved: int = 0
    """TCP sockets of the tree that moved bytes since the sample before."""
    socket_bytes: int = 0
    """Bytes they moved since the sample before."""
    connections: int = 0
    """Established TCP connections of the tree whose other end is not in it."""
    io_bytes: int = 0
    """Bytes read and written since the sample before, by processes that were in it too."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What the tree was seen to do within the window, and what of it counts (by --extend-on) as evidence."""

    counts: frozenset[Evidence]
    """The kinds that reached their threshold and were asked for: never empty, or there is no Activity."""
    cpu_percent: float = 0.0
    busiest: ProcessCpu | None = None
    """The live process that used most of it; None where processes that came and went did."""
    sockets: int = 0
    socket_bytes: int = 0
    connections: int = 0
    io_bytes: int = 0


# --- actions: the machine's orders ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask whoever holds the command whether it has ended: Exited if so, then Answered, within 50 ms or never."""


@dataclass(frozen=True, slots=True)
class TakeSample:
    """Look at the tree; answered by Sampled before the next event."""


@dataclass(frozen=True, slots=True)
class SignalRoot:
    """Send to the command's own process alone."""

    signal: int


@dataclass(frozen=True, slots=True)
class BeginSnapshot:
    """Begin to look at what each process of the tree is doing, for a deadline that comes `at`; nothing waits for it."""

    at: float


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Look at what each process of the tree is doing, within 50 ms: the signal waits for it.

    `is_begun`: the look was begun ahead of the deadline, and the signal does not wait.
    """

    is_begun: bool = False


@dataclass(frozen=True, slots=True)
class ShowSnapshot:
    """Tell what was seen."""


@dataclass(frozen=True, slots=True)
class StopTree:
    """Send the signal, then CONT, to every process of the tree.  `skip_signal`: they have it already; only CONT."""

    signal: int
    skip_signal: bool = False


@dataclass(frozen=True, slots=True)
class KillTree:
    """KILL until nothing is left; answered by Emptied."""


@dataclass(frozen=True, slots=True)
class CutOutput:
    """Deliver what is in the pipes now and wait for no more; answered by Drained."""


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Run the command once more; answered by Started or SpawnFailed.  What was left of the last one is dead."""

    number: int
    previous: OutcomeName
    """How the attempt before it ended."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Say it."""

    notice: "Notice"


@dataclass(frozen=True, slots=True)
class Settle:
    """The run is over: the last action there is, ordered exactly once."""

    outcome: Outcome


Action = (
    Ask
    | TakeSample
    | SignalRoot
    | BeginSnapshot
    | TakeSnapshot
    | ShowSnapshot
    | StopTree
    | KillTree
    | CutOutput
    | StartAttempt
    | Announce
    | Settle
)


# --- notices: what the machine has to say ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Access:
    """The command is up; completion and idle count from `at`."""

    at: float
    how: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A mark was reached.  `left` seconds remain to `deadline`; `mark` is the mark itself.

    `extension`: the evidence for which an extension is likely; None where the command will be stopped.
    """

    limit: Limit
    mark: float
    left: float
    deadline: float
    extension: Activity | None = None
    signal: int | None = None
    """The --warn-signal that was sent with it."""


@dataclass(frozen=True, slots=True)
class Extended:
    """The deadline moved by `by` to `deadline`; `used` of `cap` seconds are gone (0 of 0 where the user moved it).

    `evidence`: that of activity; None where the user moved it by hand, or the command asked for it.
    """

    limit: Limit
    by: float
    deadline: float
    used: float
    cap: float
    evidence: Activity | None

    @property
    def source(self) -> Literal["activity", "user", "command"]:
        """Who moved it."""
        if self.evidence:
            return "activity"
        return "command" if self.cap else "user"


@dataclass(frozen=True, slots=True)
class PutOff:
    """An idle stop was put off to `deadline` by --idle-grace; `first` since the last byte of output."""

    by: float
    deadline: float
    evidence: Activity
    first: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A request (extend, ready) that came too late or has nothing to act on."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The cause is fixed: the command will be stopped with `signal`, and killed `kill_after` seconds later."""

    cause: Cause
    signal: int
    kill_after: float
    dump_signal: int | None = None
    """The --dump-signal that was sent, for whose dump the signal that stops waits."""


@dataclass(frozen=True, slots=True)
class KillOrdered:
    """The grace is over (or a second signal came): KILL."""

    why: Literal["grace", "again"]


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """An attempt is over, with `outcome`, and in `delay` seconds the next one begins: `number` of at most `most`."""

    number: int
    most: int
    delay: float
    outcome: Outcome


Notice = Access | Warned | Extended | PutOff | Refused | Verdict | KillOrdered | RetryScheduled
