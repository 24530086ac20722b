"""The pump that reads the command's own terminal (--pty)."""

from supervise.output.pump import Pump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.output.outlet import Outlet
    from supervise.output.pump import Cutoff
    from supervise.output.tee import Copier
    from supervise.process.inbox import Inbox
    from supervise.terminal.pty import Pty


class PtyPump(Pump):
    """A pump whose source is the master of the terminal, which decides whether EIO is the end, and closes it."""

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
        return self._pty.check_end()

    def _close_source(self) -> None:
        self._pty.hang_up()

    def keep_source(self) -> int:
        """Return -1: a terminal hangs up when the supervisor ends, so stragglers cannot keep it."""
        return -1

    def source_name(self) -> str:
        """Return '': a program that buffers its output in blocks for a pipe does not do so for a terminal."""
        return ""
