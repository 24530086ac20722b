"""Evidence of what the command's tree does: samples of its activity, and a snapshot where a limit stops the tree."""

import _thread
from collections import deque
from collections.abc import Callable
from sys import getswitchinterval
from time import monotonic
from typing import TYPE_CHECKING

from supervise.core.attempt import SAMPLES_PER_WINDOW
from supervise.core.events import Sample
from supervise.core.policy import Policy
from supervise.core.shutdown import SNAPSHOT_SECONDS
from supervise.faces.report_items import Trouble
from supervise.launch.state import Launched
from supervise.runner.notices import Notices

if TYPE_CHECKING:
    from supervise.activity.sampler import Sampler
    from supervise.runner.diagnosis import DiagnosisBuilder


class Observer:
    """Takes the samples and the snapshots of one run, at the runner's request."""

    def __init__(self, launched: Launched, policy: Policy, notices: Notices, now: Callable[[], float]) -> None:
        """`now` returns the seconds since the run began."""
        self._launched = launched
        self._policy = policy
        self._notices = notices
        self._now = now
        self._sampler: Sampler | None = None
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_PER_WINDOW + 1)
        """The samples of the last window."""
        self._snapshot: PendingSnapshot | None = None
        """The newest snapshot, which a thread may still be taking; None where there is none."""

    def forget(self) -> None:
        """Forget the attempt that is over: its samples say nothing of the next one."""
        self._samples.clear()
        self._snapshot = None

    def sample(self) -> Sample:
        """Return what the tree has done since the last sample; announce once what cannot be measured."""
        from supervise.activity.sampler import Sampler

        if self._sampler is None:
            kinds = frozenset(self._policy.extend_on)
            self._sampler = Sampler(self._launched.child.holder(), kinds=kinds, now=self._now)
        self._sampler.holder_pid = self._launched.child.holder()
        sample = self._sampler.sample()
        self._samples.append(sample)
        for text in self._sampler.unmeasured():
            self._notices.announce(Trouble(text))
        return sample

    def begin_snapshot(self, until: float) -> None:
        """Begin to take a snapshot of the tree, which has to be taken by that moment of CLOCK_MONOTONIC."""
        # A thread does this, the import included: a read of /proc that blocks, or a disk that is gone, must not delay
        # the signal.
        snapshot = PendingSnapshot()
        try:
            _thread.start_new_thread(self._take, (until, snapshot))
        except RuntimeError:
            # The system gives no more threads: there is no diagnosis.
            self._snapshot = None
            return
        self._snapshot = snapshot

    def take_snapshot(self, is_begun: bool) -> None:
        """Take a snapshot of the tree within SNAPSHOT_SECONDS; where one `is_begun`, note the output alone."""
        if not is_begun:
            # The thread can keep the interpreter from the supervisor for one switch interval beyond its time.
            seconds = SNAPSHOT_SECONDS - getswitchinterval()
            self.begin_snapshot(monotonic() + seconds)
            if self._snapshot:
                self._snapshot.wait(seconds)
        elif self._snapshot and self._snapshot.builder:
            # Output since the begin of the snapshot counts, and output after the signal does not.
            self._snapshot.builder.note_output()

    def show_snapshot(self) -> None:
        """Announce the diagnosis of the snapshot that was taken, if there is one."""
        if not self._snapshot:
            return
        # The signal is sent: now there is time for a thread that has hardly run yet on a busy machine.
        self._snapshot.wait(SNAPSHOT_SECONDS)
        if self._snapshot.builder:
            self._notices.announce(self._snapshot.builder.result())

    def _take(self, until: float, snapshot: "PendingSnapshot") -> None:
        try:
            from supervise.runner.diagnosis import DiagnosisBuilder

            builder = DiagnosisBuilder(
                self._launched, self._policy, self._launched.child.holder(), tuple(self._samples), until
            )
            snapshot.builder = builder
            builder.take()
        except (OSError, ImportError):
            # No descriptor is left, or the disk is gone: the diagnosis shows what was seen before that.
            pass
        finally:
            snapshot.taken.release()


class PendingSnapshot:
    """A snapshot that one thread takes; a late thread of an earlier attempt has an object of its own."""

    def __init__(self) -> None:
        self.builder: DiagnosisBuilder | None = None
        """None until the thread has begun, and where it could not begin."""
        self.taken = _thread.allocate_lock()
        """A lock that is held until the thread has taken the snapshot."""
        self.taken.acquire()

    def wait(self, seconds: float) -> None:
        """Wait until the snapshot is taken, for that many seconds at most."""
        if self.taken.acquire(timeout=seconds):
            self.taken.release()
