"""The state of one attempt. A retry begins with a new Attempt; none is ever reset."""

from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

from supervise.core.activity_window import SampleHistory
from supervise.core.deadlines import Deadline, Deadlines
from supervise.core.events import Activity, Cancel, Event, Process
from supervise.core.outcome import Cause, Exit, MemoryLack, OutcomeName
from supervise.core.pause import with_moved_times
from supervise.core.policy import Policy

SAMPLES_PER_WINDOW = 5
"""Samples that are taken of the tree in each window before a check."""
SNAPSHOT_LEAD_SECONDS = 0.2
"""Seconds before a deadline at which the snapshot of the tree begins, so that the signal does not wait for it: several
times what a snapshot takes on a busy machine. A limit shorter than twice that begins it at half of the limit."""
SNAPSHOT_FRESH_SECONDS = 1.0
"""Seconds for which such a snapshot is good. So a deadline that moves often, with each byte of output, costs about one
snapshot a second."""


class Phase(Enum):
    """The phases of an attempt, in their order."""

    STARTING = auto()
    """Until the command exists."""
    RUNNING = auto()
    """While the limits are in force."""
    STOPPING = auto()
    """Until no process of the tree is alive."""
    DRAINING = auto()
    """Until the last bytes of output are delivered."""
    BACKOFF = auto()
    """Until the next attempt begins."""
    DONE = auto()
    """After the outcome is settled."""


@dataclass(slots=True)
class Question:
    """An open question to the holder of the command: has the command ended?"""

    asked_at: float
    """The answer decides the deadlines that were due at this time."""
    answer_due: float
    """Without an answer until then, the machine decides as if the command were alive."""

    def shift(self, by: float) -> None:
        """Move both times later by `by` seconds, after a pause of the supervisor."""
        self.asked_at += by
        self.answer_due += by


@dataclass(slots=True)
class Attempt:
    """The state of one attempt, which the handlers in the other files of `core` change."""

    policy: Policy
    run_deadlines: tuple[Deadline, ...] = ()
    """The deadlines of the whole run, which all attempts share."""
    number: int = 1
    previous: OutcomeName | None = None
    """The outcome of the attempt before this one."""
    phase: Phase = Phase.STARTING
    start_ordered_at: float = 0.0
    """When the machine ordered the start of the command."""
    deadlines: Deadlines = field(init=False)
    samples: SampleHistory = field(init=False)
    sampled_at: float = -inf
    """When the last sample was ordered."""
    snapshot_begun_at: float = -inf
    """When a snapshot was last begun ahead of a deadline."""
    last_byte: float = -inf
    """When the last byte came, on any stream."""
    question: Question | None = None
    postponed: list[Event] = field(default_factory=list)
    """Events from before the command existed or from while a question was open; the machine handles them afterwards."""
    failed_probes: dict[str, str] = field(default_factory=dict)
    """For each sign of access, why its latest probe did not find it."""
    has_output: bool = False
    """The command has printed at least one byte."""
    has_refused: bool = False
    """The refusal of more time was announced; later requests of the command are refused without a message."""
    has_warn_signal: bool = False
    """--warn-signal was sent, in this attempt or an earlier one."""
    cause: Cause | None = None
    exit: Exit | None = None
    memory: MemoryLack | None = None
    """The kill of the kernel's OOM killer by which the command has ended."""
    undelivered: str = ""
    """Why bytes of the output are lost; empty if none are."""
    last_cancel: Cancel | None = None
    phase_ends_at: float = inf
    """The time that bounds the current phase: a start that never comes, the dump, the grace, the kill, the drain, the
    back-off."""
    held_until: float = -inf
    """Until when hooks hold the attempt up, however short its back-off is."""
    is_dumping: bool = False
    """--dump-signal was sent, and the signal that stops the tree was not sent yet."""
    is_killing: bool = False
    is_unstarted: bool = False
    """The start of the command was given up."""
    is_empty: bool = False
    """No process of the tree is alive, except those in `survivors`."""
    survivors: tuple[Process, ...] = ()
    """The processes that could not be killed."""
    is_drained: bool = False
    is_drain_cut: bool = False

    def __post_init__(self) -> None:
        """Create the deadlines and the sample history of the policy."""
        self.deadlines = Deadlines(self.policy, self.run_deadlines)
        self.samples = SampleHistory(self.policy)

    @property
    def may_handle_postponed(self) -> bool:
        """Return whether the postponed events can be handled now."""
        return self.phase is not Phase.STARTING and self.question is None

    @property
    def wake_at(self) -> float:
        """Return the time at which the machine needs a Tick for this attempt."""
        if self.phase not in (Phase.RUNNING, Phase.BACKOFF):
            return self.phase_ends_at
        if self.question:
            return self.question.answer_due
        checks = (check for one in self.deadlines.in_force() for check in one.checks())
        if self.phase is Phase.BACKOFF:
            return min(self.sample_at, *checks, self.begins_at)
        return min(self.sample_at, self.snapshot_at, *checks)

    @property
    def begins_at(self) -> float:
        """Return when an attempt that is in its back-off begins, as far as is known."""
        return max(self.phase_ends_at, self.held_until)

    @property
    def sample_at(self) -> float:
        """Return when to take the next sample: as the window before a check begins, then after each step of the window.

        No sample is due at the check itself. A verdict takes its own sample along with its question, and a warning uses
        the samples up to the last step.
        """
        due = inf
        for one in filter(self.needs_samples, self.deadlines.in_force()):
            for check in one.checks():
                begin = check - one.window
                sample = begin if self.sampled_at < begin else self.sampled_at + one.window / SAMPLES_PER_WINDOW
                if sample < check:
                    due = min(due, sample)
        return due

    @property
    def snapshot_at(self) -> float:
        """Return when to begin a snapshot of the tree for the next deadline; infinity if the verdict shows none.

        With --dump-signal no snapshot begins ahead: the dump comes at the deadline, and the snapshot a second after it.
        """
        policy = self.policy
        if not policy.diagnose or policy.dump_signal is not None:
            return inf
        first = min(self.deadlines.in_force(), key=lambda one: one.at, default=None)
        if first is None or self.snapshot_begun_at >= first.at - SNAPSHOT_FRESH_SECONDS:
            return inf
        return first.at - min(SNAPSHOT_LEAD_SECONDS, (first.at - first.start) / 2)

    def has_snapshot(self, now: float) -> bool:
        """Return whether a snapshot that was begun ahead of the deadline is still fresh."""
        return self.snapshot_begun_at >= now - SNAPSHOT_FRESH_SECONDS

    def needs_samples(self, deadline: Deadline) -> bool:
        """Return whether samples can decide if the deadline moves."""
        return deadline.has_room and self.policy.extend_on != {"output"}

    def activity(self, deadline: Deadline, check: float) -> Activity | None:
        """Return the activity in the window before the check; None if there is none, or if the deadline cannot move."""
        if not deadline.has_room:
            return None
        # The CPU time counts all attempts together, so how much a later attempt had used at its start is not known.
        spawned = self.deadlines.started if self.number == 1 else None
        return self.samples.activity(check - deadline.window, self.last_byte, spawned)

    def shift(self, by: float) -> None:
        """Move every time later by `by` seconds, after a pause of the supervisor."""
        self.deadlines.shift(by)
        self.samples.shift(by)
        self.start_ordered_at += by
        self.sampled_at += by
        self.snapshot_begun_at += by
        self.last_byte += by
        self.phase_ends_at += by
        self.held_until += by
        self.postponed = [with_moved_times(event, lambda t: t + by) for event in self.postponed]
        if self.question:
            self.question.shift(by)
