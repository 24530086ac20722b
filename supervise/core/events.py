"""The messages of the machine: events go in, actions come out, and notices are what the actions announce.

All times are seconds since the run began, on the monotonic clock.
"""

from typing import Literal

from supervise.core.frozen_dataclass import dataclass
from supervise.core.outcome import Cause, Exit, InputSource, InputWait, MemoryLack, Outcome, OutcomeName
from supervise.core.policy import Evidence, Limit, SpawnFailure, Stream

# --- events: what has happened --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The command exists."""

    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The command could not be started. The kind `error` is a fault of the system: no more processes, no memory."""

    kind: SpawnFailure
    reason: str


@dataclass(frozen=True, slots=True)
class Output:
    """`count` bytes came on `stream`, the first at `first` and the last at `last`. The event comes late and in bulk."""

    stream: Stream
    count: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The command has shown, at `at`, that it is up. `how` is the sign, as in `--access-on`: `manual`, `port=8080`."""

    how: str
    at: float


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """A probe has not found the sign of access `how`; `why` says so for people."""

    how: str
    why: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The command has sent WATCHDOG=1 (sd_notify(3)) at `at`, which counts as a byte for the idle limit."""

    at: float


@dataclass(frozen=True, slots=True)
class Stuck:
    """The command has sent WATCHDOG=trigger (sd_notify(3)) at `at`: it is stuck."""

    at: float


@dataclass(frozen=True, slots=True)
class InputAwaited:
    """A process of the tree waits for input, at `at` for as long as --prompt-timeout allows."""

    at: float
    input: InputWait


@dataclass(frozen=True, slots=True)
class TimeRequested:
    """The command has asked, at `at`, for `by` seconds from then on (sd_notify(3), EXTEND_TIMEOUT_USEC)."""

    by: float
    at: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """The answer to TakeSample."""

    sample: "Sample"


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to Ask: the command is alive. If the command has ended, Exited comes before this event.

    `pending` says whether unread bytes are in a pipe that counts for the idle limit. `at` is the time at which the
    holder found the command alive; None for the time at which this event arrives.
    """

    pending: bool
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Extend:
    """The user adds `by` seconds to the deadline in force."""

    by: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """A signal to supervise, `supervise stop`, or the end of what the run is tied to.

    `delivered` says that the tree has the signal already, from a terminal.
    """

    signal: int
    at: float
    delivered: bool = False
    from_terminal: bool = False
    """The kernel has sent the signal for a terminal (a key, a hang-up), and no process has."""
    source: str = ""
    """The sender, for people: `signal INT`, `signal TERM from pid 812 (make)`, `supervise stop`."""
    word: str = ""
    """The end of what the run is tied to, or why an engine of jobs ends the run, for programs: `parent_gone`,
    `preempted`; empty for any other sender."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The supervisor was stopped; all its clocks stop."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The supervisor runs again; every deadline moves later by the time since Paused."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The command's own process has ended at `at`. Other processes of the tree may live."""

    exit: Exit
    at: float
    memory: MemoryLack | None = None
    """The kill of the kernel's OOM killer by which it has ended; None where there is no evidence of one."""


@dataclass(frozen=True, slots=True)
class MemoryExceeded:
    """The tree has reached --memory-max at `at`."""

    lack: MemoryLack
    at: float


@dataclass(frozen=True, slots=True)
class Emptied:
    """No process of the tree is alive except `survivors`, which cannot be killed. It comes after Exited.

    An empty tree stays empty.
    """

    survivors: tuple["Process", ...] = ()


@dataclass(frozen=True, slots=True)
class Drained:
    """All streams are closed, and every byte that can be delivered is delivered."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Bytes of the output could not be written and are lost, to a full disk for example.

    A reader that left is no loss.
    """

    stream: Stream
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Hooks hold the next attempt up, for `seconds` at most; 0: the hooks are over."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AllocationMoved:
    """The time that the job of an engine leaves to the run is over at `at`: its end has become known, or has moved."""

    at: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. A Tick is harmless at any moment."""


Event = (
    Started | SpawnFailed | Output | Ready | ProbeFailed | Alive | Stuck | InputAwaited | TimeRequested | Sampled
    | Answered | Extend | Cancel | Paused | Resumed | Exited | MemoryExceeded | Emptied | Drained | Undelivered | Hold
    | AllocationMoved | Tick
)  # fmt: skip


# --- what is measured ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Process:
    """A process as messages name it. `state` is the letter of proc(5); `waits_in` is a kernel function, or empty."""

    pid: int
    name: str
    uid: int = -1
    state: str = "?"
    waits_in: str = ""


@dataclass(frozen=True, slots=True)
class Socket:
    """A TCP socket; `peer` is empty if it listens. Addresses have the form `127.0.0.1:80` or `[::1]:80`."""

    local: str
    peer: str
    state: str
    """The name that ss(8) and netstat(8) give the state: `ESTABLISHED`."""
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
    """The kernel function in which the first thread waits; empty if it runs, or if the function is not known."""
    cpu_percent: float
    """CPU use in percent of one core."""
    threads: int
    sockets: tuple[Socket, ...] = ()
    stdout: str = ""
    """The target of its stdout as /proc names it (`pipe:[812]`); empty if that may not be read."""
    awaits: InputSource | None = None
    """The input that the process waits for, while no process of the tree works; None if it waits for none."""


@dataclass(frozen=True, slots=True)
class ProcessCpu:
    """CPU seconds that one live process has used so far, with those of the children that it has waited for.

    `started` (clock ticks since boot) tells apart two processes that have used the same pid.
    """

    pid: int
    started: int
    name: str
    cpu: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the counters of the tree. Only the difference between two samples has a meaning."""

    at: float
    cpu: float = 0.0
    """CPU seconds that the whole tree has used, its ended processes included."""
    busy: tuple[ProcessCpu, ...] = ()
    sockets_moved: int = 0
    """TCP sockets of the tree that have moved bytes since the sample before."""
    socket_bytes: int = 0
    """Bytes that those sockets have moved since the sample before."""
    connections: int = 0
    """Established TCP connections of the tree to processes outside of it."""
    io_bytes: int = 0
    """Bytes read and written since the sample before, by the processes that are in both samples."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What the tree has done within a window, and which kinds of it count by --extend-on."""

    counts: frozenset[Evidence]
    """The kinds that --extend-on names and that have reached their threshold; never empty."""
    cpu_percent: float = 0.0
    busiest: ProcessCpu | None = None
    """The live process that has used most of the CPU time; None if short-lived processes have used it."""
    sockets: int = 0
    socket_bytes: int = 0
    connections: int = 0
    io_bytes: int = 0


# --- actions: what the dispatcher performs ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the holder of the command whether the command has ended. The answer is Exited if it has, then Answered."""


@dataclass(frozen=True, slots=True)
class TakeSample:
    """Take a sample of the tree. The answer is Sampled, before any other event."""


@dataclass(frozen=True, slots=True)
class SignalRoot:
    """Send the signal to the command's own process alone."""

    signal: int


@dataclass(frozen=True, slots=True)
class BeginSnapshot:
    """Begin a snapshot of the tree for a deadline that comes at `at`. Nothing waits for the snapshot."""

    at: float


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Take a snapshot of the tree within 50 ms, for which the signal that stops the tree waits.

    `is_begun` says that the snapshot was begun ahead of the deadline, so the signal does not wait.
    """

    is_begun: bool = False


@dataclass(frozen=True, slots=True)
class ShowSnapshot:
    """Show the snapshot."""


@dataclass(frozen=True, slots=True)
class StopTree:
    """Send the signal and then CONT to every process of the tree.

    With `skip_signal` send only CONT, because the tree has the signal already.
    """

    signal: int
    skip_signal: bool = False


@dataclass(frozen=True, slots=True)
class KillTree:
    """Send KILL until no process of the tree is alive. The answer is Emptied."""


@dataclass(frozen=True, slots=True)
class CutOutput:
    """Deliver the bytes that are in the pipes now, and wait for no more of them. The answer is Drained."""


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Run the command once more. The answer is Started or SpawnFailed. No process of the last attempt is alive."""

    number: int
    previous: OutcomeName
    """The outcome of the last attempt."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Report the notice to the user."""

    notice: "Notice"


@dataclass(frozen=True, slots=True)
class Settle:
    """End the run with the outcome. This is the last action of the machine, and it comes exactly once."""

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


# --- notices: what the machine announces ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Access:
    """The command is up. The completion and idle limits count from `at`."""

    at: float
    how: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A mark of --warn-at is reached: `left` seconds remain to `deadline`. `mark` is the mark as given.

    `extension` is the activity that makes an extension likely; None if the command will be stopped.
    """

    limit: Limit
    mark: float
    left: float
    deadline: float
    extension: Activity | None = None
    signal: int | None = None
    """The --warn-signal that was sent with the warning."""


@dataclass(frozen=True, slots=True)
class Extended:
    """The deadline has moved by `by` seconds to `deadline`. `used` of the `cap` seconds are used (0 of 0 if by hand).

    `evidence` is the activity that has moved it; None if the user or the command has.
    """

    limit: Limit
    by: float
    deadline: float
    used: float
    cap: float
    evidence: Activity | None

    @property
    def source(self) -> Literal["activity", "user", "command"]:
        """Return what has moved the deadline."""
        if self.evidence:
            return "activity"
        return "command" if self.cap else "user"


@dataclass(frozen=True, slots=True)
class PutOff:
    """--idle-grace has put an idle stop off to `deadline`.

    `first` marks the first time since the last byte of output.
    """

    by: float
    deadline: float
    evidence: Activity
    first: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A request (extend, ready, retry) was refused, because it came too late or has nothing to act on."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The cause is set: the command is stopped with `signal`, and killed `kill_after` seconds later."""

    cause: Cause
    signal: int
    kill_after: float
    dump_signal: int | None = None
    """The --dump-signal that was sent; the signal that stops the command waits for the dump."""


@dataclass(frozen=True, slots=True)
class KillOrdered:
    """KILL was ordered, because the grace is over (`grace`) or a second signal came (`again`)."""

    why: Literal["grace", "again"]


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """An attempt has ended with `outcome`. Attempt `number` of at most `most` begins in `delay` seconds."""

    number: int
    most: int
    delay: float
    outcome: Outcome


Notice = Access | Warned | Extended | PutOff | Refused | Verdict | KillOrdered | RetryScheduled
