"""The looks at the command's tree: samples as evidence of activity, and a snapshot where a limit stops it."""

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
    from supervise.runner.diagnosis import Diagnosing


class Observer:
    """Looks when the runner wants it, for one run."""

    def __init__(self, launched: Launched, policy: Policy, notices: Notices, now: Callable[[], float]) -> None:
        """`now`: seconds since the run began."""
        self._launched = launched
        self._policy = policy
        self._notices = notices
        self._now = now
        self._sampler: Sampler | None = None
        self._looks: deque[Sample] = deque(maxlen=SAMPLES_PER_WINDOW + 1)
        """The last of them: one window."""
        self._shot: Shot | None = None
        """The newest snapshot, as far as it is taken."""

    def forget(self) -> None:
        """The attempt is over: what was seen of it says nothing of the next one."""
        self._looks.clear()
        self._shot = None

    def sample(self) -> Sample:
        """What the tree has done since the last one; what cannot be measured is told once."""
        from supervise.activity.sampler import Sampler

        if self._sampler is None:
            kinds = frozenset(self._policy.extend_on)
            self._sampler = Sampler(self._launched.child.holder(), kinds=kinds, now=self._now)
        self._sampler.holder_pid = self._launched.child.holder()
        sample = self._sampler.sample()
        self._looks.append(sample)
        for text in self._sampler.unmeasured():
            self._notices.tell(Trouble(text))
        return sample

    def begin_snapshot(self, until: float) -> None:
        """Begin to take a snapshot of the tree, as far as that goes until then, on the monotonic clock."""
        # In a thread, the loading of it included: neither a read of /proc that blocks nor a disk that is gone may hold
        # up the signal.
        shot = Shot()
        try:
            _thread.start_new_thread(self._look, (until, shot))
        except RuntimeError:
            # No more threads: no diagnosis.
            self._shot = None
            return
        self._shot = shot

    def take_snapshot(self, is_begun: bool) -> None:
        """Take a snapshot of the tree within SNAPSHOT_SECONDS; where one `is_begun`, look at the output alone."""
        if not is_begun:
            # The thread may hold the interpreter for that much longer before the supervisor has it.
            patience = SNAPSHOT_SECONDS - getswitchinterval()
            self.begin_snapshot(monotonic() + patience)
            if self._shot:
                self._shot.wait(patience)
        elif self._shot and self._shot.diagnosing:
            # What the command has printed since the look was begun counts, and what it prints at the signal does not.
            self._shot.diagnosing.look_at_output()

    def show_snapshot(self) -> None:
        """Tell what is to be seen in the one that was taken, if there is one."""
        if not self._shot:
            return
        # Now that the signal is sent there is time for a thread that has hardly come to run on a busy machine.
        self._shot.wait(SNAPSHOT_SECONDS)
        if self._shot.diagnosing:
            self._notices.tell(self._shot.diagnosing.result())

    def _look(self, until: float, shot: "Shot") -> None:
        try:
            from supervise.runner.diagnosis import Diagnosing

            diagnosing = Diagnosing(
                self._launched, self._policy, self._launched.child.holder(), tuple(self._looks), until
            )
            shot.diagnosing = diagnosing
            diagnosing.look()
        except (OSError, ImportError):
            # No more descriptors, or the disk is gone: it is shown as far as it came.
            pass
        finally:
            shot.taken.release()


class Shot:
    """A snapshot that a thread takes.  A late thread of an attempt before this one changes no other shot."""

    def __init__(self) -> None:
        self.diagnosing: Diagnosing | None = None
        """The snapshot; None until the thread has begun, or where it could not begin."""
        self.taken = _thread.allocate_lock()
        """The thread holds this lock as long as it takes the snapshot."""
        self.taken.acquire()

    def wait(self, seconds: float) -> None:
        """Wait for the thread, but no longer than that."""
        if self.taken.acquire(timeout=seconds):
            self.taken.release()
