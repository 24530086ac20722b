"""`--if-busy replace`: the run that has the lock is stopped, and this run takes its place."""

from time import monotonic

from supervise.control import client
from supervise.launch import run_record
from supervise.launch.admission import TurnedAway
from supervise.records import reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.launch.slots import Slots
    from supervise.records.flock import Lock

inf = float("inf")
END_WAIT_SECONDS = 3600.0
"""Seconds to wait for the end of the run that is stopped, as `supervise stop` waits: longer than any sensible
--kill-after."""
UNNAMED_SECONDS = 2.0
"""Seconds to wait for a lock that no run holds by name: a new holder may not have written its name yet, or it is
another program."""
RETRY_SECONDS = 0.5
"""Seconds after which a run that has refused to be stopped, since it is over, is asked again."""
STOP_SIGNAL = 15
"""TERM: the signal that `supervise stop` has by default."""


class Replacement:
    """Stops the oldest run that has the lock, and takes the lock when no process of that run is left."""

    def __init__(self, slots: "Slots", *, is_quiet: bool) -> None:
        self._slots = slots
        self._is_quiet = is_quiet
        self._slot: Lock | None = None
        """The slot whose run was stopped last."""
        self._stopped = ""
        """The id of that run."""
        self._ask_again_at = inf
        """When to ask that run again, by CLOCK_MONOTONIC."""
        self._unnamed_since = 0.0
        """Since when no slot names a living run, by CLOCK_MONOTONIC; 0 where one does."""

    def wait(self, seconds: float, cancelling: "set[int]") -> "int | None":
        """Stop a run and wait for its slot; return 0 as soon as this process has that, or any other slot.

        Returns the number of the signal where one of `cancelling` comes first, and None after `seconds`.
        Raises TurnedAway where the run cannot be stopped, and OSError.
        """
        return self._slots.poll(min(seconds, END_WAIT_SECONDS), cancelling, self._attempt)

    def _attempt(self) -> bool:
        """Return whether this process has a slot now; stop a run where none is being stopped."""
        if self._slots.take():
            return True
        # Another run may have taken the slot of the run that was stopped; then that one is in the way.
        is_due = monotonic() > self._ask_again_at
        if self._slot is None or is_due or self._slot.living_holder()[0] not in ("", self._stopped):
            self._slot = self._slots.oldest()
            if self._slot is None:
                self._check_patience()
            else:
                self._unnamed_since = 0.0
                self._stop(self._slot)
        return False

    def _check_patience(self) -> None:
        if self._slots.are_left_by_killed_runs():
            # The guardian stops the command within the grace of that run, and then the lock is free.
            self._unnamed_since = 0.0
            return
        self._unnamed_since = self._unnamed_since or monotonic()
        if monotonic() - self._unnamed_since > UNNAMED_SECONDS:
            raise TurnedAway(f"busy: {self._slots.holding()}, which is no run that can be stopped")

    def _stop(self, slot: "Lock") -> None:
        """Ask the run that has the slot to stop, as `supervise stop` does.

        Raises TurnedAway.
        """
        run_id, pid, _ = slot.living_holder()
        is_first, self._stopped, self._ask_again_at = run_id != self._stopped, run_id, inf
        if not pid:
            return
        if is_first and not self._is_quiet:
            run_record.warn(f"stopping {slot.holder()}, which has the lock {slot.name}")
        try:
            connection = client.connect(
                run_id, lambda: slot.living_holder()[0] == run_id, noted=lambda: _folder_of_socket(run_id)
            )
            if connection:
                client.ask(connection, run_id, "stop", signal=STOP_SIGNAL)
                connection.socket.close()
        except client.ClientError as error:
            if str(error).startswith(client.REFUSED):
                # The run is over, and about to free its lock, or it serves very many clients; it is asked again.
                self._ask_again_at = monotonic() + RETRY_SECONDS
                return
            raise TurnedAway(f"busy: {self._slots.holding()}, which cannot be stopped: {error}") from None


def _folder_of_socket(run_id: str) -> str:
    """Return the folder of the control socket that the record of that run names; '' where it names none."""
    try:
        return reader.folder_of_socket(reader.find(run_id).folder)
    except (reader.NotFoundError, reader.UnreadableError, OSError):
        return ""
