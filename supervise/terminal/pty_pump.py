"""The pump that takes the bytes out of the command's own terminal."""

from supervise.output.pump import Pump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.output.outlet import Outlet
    from supervise.output.pump import Cutoff
    from supervise.output.tee import Copier
    from supervise.process.inbox import Inbox
    from supervise.terminal.pty import Pty


class PtyPump(Pump):
    """A pump whose source belongs to the terminal, which knows what an EIO means and closes it."""

    def __init__(
        self,
        pty: "Pty",
        outlet: "Outlet",
        cut: "Cutoff",
        inbox: "Inbox",
        copier: "Copier | None",
        after: "tuple[Pump, ...]",
    ) -> None:
        self._pty = pty
        super().__init__("stdout", pty.master, outlet, cut, inbox, copier, after)

    def _is_at_end(self) -> bool:
        return self._pty.vacate()

    def _close_source(self) -> None:
        self._pty.abandon()

    def keep_source(self) -> int:
        """Return -1: a terminal hangs up with the supervisor, and none of it can be kept."""
        return -1

    def source_name(self) -> str:
        """Return '': what buffers its output in blocks for a pipe does not do so for a terminal."""
        return ""
