"""What the parts of the loop hear from the runner: each part overrides the methods that concern it."""

from supervise.core.events import Notice


class Listener:
    """A part of the loop that reacts to what the runner does, from `Runner.listen` on."""

    def on_dispatch(self) -> None:
        """React to an event that the machine has handled: `Runner.wake_at` or the outcome may have changed."""

    def on_notice(self, notice: Notice) -> None:
        """React to a notice of the machine."""

    def on_copy(self) -> None:
        """React to more output in the record; called after a part has asked for it."""

    def on_missed_socket(self) -> None:
        """React to a client that has not found the control socket."""

    def on_suspect_guardian(self) -> None:
        """Begin to look at the guardian: it has an order, or stands still."""

    def on_leave_caller(self) -> None:
        """Let go of the caller's terminal: the caller has control again, and the run goes on."""

    def on_end(self) -> None:
        """Remove what must not outlive the run: all is said and written."""
