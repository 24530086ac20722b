"""All that is known of one child's life.  Whole for each child: on a retry it is replaced, never reset."""

from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

from supervise.core.activity_window import SampleHistory
from supervise.core.deadlines import Deadline, Deadlines
from supervise.core.events import Activity, Cancel, Event, Process
from supervise.core.outcome import Cause, Exit, OutcomeName
from supervise.core.pause import with_times
from supervise.core.policy import Policy

SAMPLES_PER_WINDOW = 5
"""Steps of a window at whose ends the tree is looked at."""
SNAPSHOT_LEAD_SECONDS = 0.2
"""Seconds before a deadline at which the snapshot of the tree is begun, so that the signal does not wait for it.  That
is several times what the snapshot takes on a busy machine.  Half of a limit that is shorter than twice that."""
SNAPSHOT_FRESH_SECONDS = 1.0
"""Seconds for which such a snapshot is good.  A deadline that moves again and again, by output say, has no more than
about one snapshot a second."""


class Phase(Enum):
    """Where a run is."""

    STARTING = auto()
    """Until the command exists."""
    RUNNING = auto()
    """The limits are in force."""
    STOPPING = auto()
    """Until nothing of the tree is alive."""
    DRAINING = auto()
    """Until its last bytes are delivered."""
    BACKOFF = auto()
    """Until the next attempt begins."""
    DONE = auto()


@dataclass(slots=True)
class Question:
    """Whoever holds the command has been asked whether it has ended."""

    asked_at: float
    """When: the answer is good for what was due then."""
    answer_due: float
    """When no answer is an answer."""

    def shift(self, by: float) -> None:
        """The clocks stood still for so long."""
        self.asked_at += by
        self.answer_due += by


@dataclass(slots=True)
class Attempt:
    """The state of one child, which the functions of `limits` and `shutdown` change."""

    policy: Policy
    run_deadlines: tuple[Deadline, ...] = ()
    """The deadlines of the whole run."""
    number: int = 1
    previous: OutcomeName | None = None
    """How the attempt before it ended."""
    phase: Phase = Phase.STARTING
    start_ordered_at: float = 0.0
    """When the start of the command was ordered."""
    deadlines: Deadlines = field(init=False)
    samples: SampleHistory = field(init=False)
    sampled_at: float = -inf
    """When the tree was last looked at."""
    snapshot_begun_at: float = -inf
    """When a snapshot of the tree was last begun ahead of a deadline."""
    last_byte: float = -inf
    """When a byte last came, on whichever stream."""
    question: Question | None = None
    postponed: list[Event] = field(default_factory=list)
    """Told before the command existed, or while a question was open: handled right after."""
    failed_probes: dict[str, str] = field(default_factory=dict)
    """Why each sign of access that was looked for was not there, the last time."""
    has_output: bool = False
    """A byte was shown, whenever that was."""
    has_refused: bool = False
    """It was said once that the command gets no more time, however often it asks."""
    has_warn_signal: bool = False
    """--warn-signal has been sent, in this attempt or before."""
    cause: Cause | None = None
    exit: Exit | None = None
    undelivered: str = ""
    """Why bytes of the command's are lost."""
    last_cancel: Cancel | None = None
    phase_ends_at: float = inf
    """When the waiting of this phase is over: a start that never comes, the dump, the grace, the kill, the drain, the
    back-off."""
    is_dumping: bool = False
    """--dump-signal has been sent, and the signal that stops has not."""
    is_killing: bool = False
    is_unstarted: bool = False
    """The command never came into being, and its start was given up."""
    is_empty: bool = False
    """No process of the tree is alive that can be killed."""
    survivors: tuple[Process, ...] = ()
    """The processes that could not be killed."""
    is_drained: bool = False
    is_drain_cut: bool = False

    def __post_init__(self) -> None:
        """What the policy makes of it."""
        self.deadlines = Deadlines(self.policy, self.run_deadlines)
        self.samples = SampleHistory(self.policy)

    @property
    def may_handle_postponed(self) -> bool:
        """What waits can be handled now."""
        return self.phase is not Phase.STARTING and self.question is None

    @property
    def wake_at(self) -> float:
        """When time alone will change something."""
        if self.phase not in (Phase.RUNNING, Phase.BACKOFF):
            return self.phase_ends_at
        if self.question:
            return self.question.answer_due
        checks = (check for one in self.deadlines.in_force() for check in one.checks())
        if self.phase is Phase.BACKOFF:
            return min(self.sample_at, *checks, self.phase_ends_at)
        return min(self.sample_at, self.snapshot_at, *checks)

    @property
    def sample_at(self) -> float:
        """When to look at the tree next: at the beginning of the window before a check, then each step of it.

        Not at the check itself: before a verdict it is looked at with the question, and a warning is content with what
        was seen up to the step before it.
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
        """When to begin a snapshot of the tree for the next deadline; infinity where a verdict shows none.

        --dump-signal comes at the deadline, and the snapshot a second later: none is begun before it.
        """
        policy = self.policy
        if not policy.diagnose or policy.dump_signal is not None:
            return inf
        first = min(self.deadlines.in_force(), key=lambda one: one.at, default=None)
        if first is None or self.snapshot_begun_at >= first.at - SNAPSHOT_FRESH_SECONDS:
            return inf
        return first.at - min(SNAPSHOT_LEAD_SECONDS, (first.at - first.start) / 2)

    def has_snapshot(self, now: float) -> bool:
        """A snapshot that was begun ahead of the deadline still counts now."""
        return self.snapshot_begun_at >= now - SNAPSHOT_FRESH_SECONDS

    def needs_samples(self, deadline: Deadline) -> bool:
        """Whether it may move hinges on what is measured."""
        return deadline.has_room and self.policy.extend_on != {"output"}

    def activity(self, deadline: Deadline, check: float) -> Activity | None:
        """What counts as activity in the window before that check; None also where it could not move the deadline."""
        if not deadline.has_room:
            return None
        # The CPU is that of all attempts together, so of a later attempt's command alone nothing is known.
        spawned = self.deadlines.started if self.number == 1 else None
        return self.samples.activity(check - deadline.window, self.last_byte, spawned)

    def shift(self, by: float) -> None:
        """Move every time by so much: the clocks stood still meanwhile."""
        self.deadlines.shift(by)
        self.samples.shift(by)
        self.start_ordered_at += by
        self.sampled_at += by
        self.snapshot_begun_at += by
        self.last_byte += by
        self.phase_ends_at += by
        self.postponed = [with_times(event, lambda t: t + by) for event in self.postponed]
        if self.question:
            self.question.shift(by)
