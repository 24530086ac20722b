"""The controlling terminal of the caller, as it was before the command came: it is left as it was found.

A command that is stopped can leave it raw, non-blocking, or in the hands of a process group that is dead.  In all of
this SIGTTOU must be blocked: the kernel would stop a process in the background that changes a terminal.
"""

import errno
import os

from supervise.terminal import terminal_modes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervise.terminal.terminal_modes import Modes

    Facts = tuple[int, Modes, bool, tuple[bool, ...]]
    """What the guardian needs to restore it: our group, the modes, whether it shows our stdout, and `are_blocking`."""


class CallerTerminal:
    """The terminal of the caller."""

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
        """A descriptor of a new open of the terminal: what is set of its description does not reach the caller's."""
        self.group = group
        """The process group of supervise, which had the foreground."""
        self.saved = saved
        self._is_shown = is_shown
        self.descriptors = tuple(descriptors)
        """Copies of those of our stdin, stdout and stderr that are this terminal, and that the command has too.

        They share one description with the caller's, and with it O_NONBLOCK (open(2), fcntl(2)).
        """
        self._are_blocking = are_blocking

    @property
    def facts(self) -> "Facts":
        """Return what the guardian needs for `found_again`, beside `opened`."""
        return self.group, self.saved, self._is_shown, self._are_blocking

    @property
    def opened(self) -> "tuple[int, ...]":
        """Return all descriptors of the terminal: /dev/tty cannot be opened when the leader of its session has died."""
        return self.fd, *self.descriptors

    def restore(self) -> None:
        """Give the terminal back to the supervisor's group as it was, unless another group has it now."""
        self.give_back()
        for fd, is_blocking in zip(self.descriptors, self._are_blocking, strict=True):
            try:
                os.set_blocking(fd, is_blocking)
            except OSError:
                pass
        try:
            if not self._is_others():
                terminal_modes.set_modes(self.fd, self.saved)
        except OSError:
            # The terminal is gone.
            pass

    def give_back(self) -> None:
        """Take the terminal from a group that is dead: what comes after supervise could not read from it."""
        try:
            if not _is_alive(os.tcgetpgrp(self.fd)):
                os.tcsetpgrp(self.fd, self.group)
                terminal_modes.set_modes(self.fd, self.saved)
        except OSError:
            pass

    def make_raw(self) -> None:
        """Have the terminal hand on every key, and show every byte, as it is.

        Raises OSError.
        """
        terminal_modes.set_modes(self.fd, terminal_modes.raw(self.saved))

    def show_only(self) -> None:
        """Have the terminal show every byte as it is, and take the keys as before; where supervise has made it raw.

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

    def _is_others(self) -> bool:
        now = terminal_modes.get_modes(self.fd)
        if now in (terminal_modes.raw(self.saved), terminal_modes.showing(self.saved)):
            # The modes are those that the supervisor has set.
            return False
        try:
            foreground = os.tcgetpgrp(self.fd)
        except OSError as error:
            # The session has lost the terminal, with its leader, and no other process of the session can have it.
            if error.errno != errno.ENOTTY:
                raise
            return False
        if foreground != self.group and _is_alive(foreground):
            return True
        # A pager that reads supervise's stdout (`supervise make | less`) is in the same group, and sets its own modes.
        return not self._is_shown and not terminal_modes.is_by_line(now)


def open_shared(*, is_commands: bool) -> CallerTerminal | None:
    """Return the controlling terminal; None where there is none, or where supervise is not in its foreground.

    `is_commands`: the command has the stdin, stdout and stderr of supervise where these are that terminal.
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


def found_again(facts: "Facts", opened: "Sequence[int]") -> CallerTerminal:
    """Return the same in another process, from its facts and `opened`."""
    group, saved, is_shown, are_blocking = facts
    return CallerTerminal(opened[0], group, saved, is_shown=is_shown, descriptors=opened[1:], are_blocking=are_blocking)


def open_controlling(flags: int = 0) -> int:
    """Open the controlling terminal once more; -1 where there is none."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | flags)
    except OSError:
        return -1


def _is_alive(group: int) -> bool:
    if not group:
        # The group is of another pid namespace, and has no number here.
        return True
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
