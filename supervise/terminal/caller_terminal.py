"""The controlling terminal of the caller: saves its state before the command starts, and restores it at the end.

A command that is killed can leave the terminal raw, non-blocking, or with a dead process group in its foreground.  The
functions here need SIGTTOU blocked: the kernel would stop a background process that changes a terminal.
"""

import errno
import os
import select

from supervise.terminal import terminal_modes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervise.terminal.terminal_modes import Modes

    Facts = tuple[int, Modes, bool, tuple[bool, ...]]
    """What the guardian needs to restore the terminal: `group`, `saved`, `is_shown` and `are_blocking`."""

CLEAR_LINE = b"\x1b[0K"
"""ECMA-48, EL: erase from the cursor to the end of the line."""


class CallerTerminal:
    """The caller's terminal and its saved state.

    `is_shown`: the terminal is the stdout of supervise.  `are_blocking`: for each of `descriptors`, whether it blocked.
    """

    def __init__(
        self,
        fd: int,
        group: int,
        saved: "Modes",
        *,
        is_shown: bool,
        descriptors: "Sequence[int]" = (),
        are_blocking: "tuple[bool, ...]" = (),
    ) -> None:
        self.fd = fd
        """The terminal, opened again: flags of this open file description do not reach that of the caller."""
        self.group = group
        """The process group of supervise, which was in the foreground."""
        self.saved = saved
        self._is_shown = is_shown
        self.descriptors = tuple(descriptors)
        """Copies of the stdin, stdout and stderr of supervise that are this terminal and are the command's as well.

        They share the caller's open file description, and so its O_NONBLOCK (open(2), fcntl(2)).
        """
        self._are_blocking = are_blocking

    @property
    def facts(self) -> "Facts":
        """Return what the guardian needs for `from_facts`, beside `opened`."""
        return self.group, self.saved, self._is_shown, self._are_blocking

    @property
    def opened(self) -> "tuple[int, ...]":
        """Return all descriptors of the terminal.

        The guardian gets these, since /dev/tty cannot be opened any more once the session leader has died.
        """
        return self.fd, *self.descriptors

    def restore(self) -> None:
        """Restore the foreground group and the modes, unless a live process group other than supervise's has them."""
        self.give_back()
        for fd, is_blocking in zip(self.descriptors, self._are_blocking, strict=True):
            try:
                os.set_blocking(fd, is_blocking)
            except OSError:
                pass
        try:
            if not self._has_foreign_modes():
                terminal_modes.set_modes(self.fd, self.saved)
        except OSError:
            # The terminal has hung up.
            pass

    def erase_line(self) -> None:
        """Erase what stands behind the cursor, if the terminal takes bytes at once.

        A shell that has the foreground back has printed over the live line, or will: nothing is erased any more.
        """
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        try:
            if os.tcgetpgrp(self.fd) == self.group and poll.poll(0):
                os.write(self.fd, CLEAR_LINE)
        except OSError:
            # The terminal has hung up.
            pass

    def give_back(self) -> None:
        """Take the foreground from a dead process group: the next command of the caller could not read from there."""
        try:
            if not _is_alive(os.tcgetpgrp(self.fd)):
                os.tcsetpgrp(self.fd, self.group)
                terminal_modes.set_modes(self.fd, self.saved)
        except OSError:
            pass

    def close(self) -> None:
        """Close all descriptors of the terminal."""
        for fd in self.opened:
            os.close(fd)

    def make_raw(self) -> None:
        """Make the terminal raw: it passes on each key, and shows each byte, unchanged.

        Raises OSError.
        """
        terminal_modes.set_modes(self.fd, terminal_modes.raw(self.saved))

    def show_only(self) -> None:
        """Give a terminal that supervise has made raw its own key modes back; its output stays raw.

        Raises OSError.
        """
        if terminal_modes.get_modes(self.fd) == terminal_modes.raw(self.saved):
            terminal_modes.set_modes(self.fd, terminal_modes.showing(self.saved))

    @property
    def is_ours(self) -> bool:
        """Return whether the supervisor is in the foreground of the terminal."""
        try:
            return os.tcgetpgrp(self.fd) == self.group
        except OSError:
            return False

    def _has_foreign_modes(self) -> bool:
        """Return whether the modes of the terminal are those of another program, and so must not be restored.

        Raises OSError.
        """
        now = terminal_modes.get_modes(self.fd)
        if now in (terminal_modes.raw(self.saved), terminal_modes.showing(self.saved)):
            # The supervisor has set these modes.
            return False
        try:
            foreground = os.tcgetpgrp(self.fd)
        except OSError as error:
            # ENOTTY: the session leader has died, the session has lost the terminal, and no process of it can have it.
            if error.errno != errno.ENOTTY:
                raise
            return False
        if foreground != self.group and _is_alive(foreground):
            return True
        # A pager on the stdout of supervise (`supervise make | less`) is in the same group, and has set these modes.
        return not self._is_shown and not terminal_modes.is_by_line(now)


def open_shared(*, is_commands: bool) -> CallerTerminal | None:
    """Return the controlling terminal with its state; None where there is none, or supervise is in its background.

    `is_commands`: the command gets the stdin, stdout and stderr of supervise that are this terminal.
    """
    fd = open_controlling()
    if fd < 0:
        return None
    group = os.getpgrp()
    try:
        if os.tcgetpgrp(fd) == group:
            copies = [os.dup(number) for number in range(3) if is_commands and os.isatty(number)]
            return CallerTerminal(
                fd,
                group,
                terminal_modes.get_modes(fd),
                is_shown=os.isatty(1),
                descriptors=copies,
                are_blocking=tuple(map(os.get_blocking, copies)),
            )
    except OSError:
        pass
    os.close(fd)
    return None


def from_facts(facts: "Facts", opened: "Sequence[int]") -> CallerTerminal:
    """Return the caller's terminal in another process, the guardian, from its `facts` and `opened`."""
    group, saved, is_shown, are_blocking = facts
    return CallerTerminal(opened[0], group, saved, is_shown=is_shown, descriptors=opened[1:], are_blocking=are_blocking)


def open_controlling(flags: int = 0) -> int:
    """Open the controlling terminal again; return -1 where there is none."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | flags)
    except OSError:
        return -1


def _is_alive(group: int) -> bool:
    """Return whether a process of that group exists."""
    if not group:
        # The group belongs to another pid namespace, and has no number in this one.
        return True
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
