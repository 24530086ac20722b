"""The holder of the command: it spawns the command, reaps its tree, answers for it, and stops all of it.

The guardian is the holder, and the supervisor should the guardian die, whose children and statuses it inherits.

    what it is told                     what it says
    ("orders", signal, grace, facts)    how to stop the tree, and what to know, if the supervisor dies
    ("terminal", facts) + descriptors   the caller's terminal, to be restored if the supervisor dies
    ("socket", folder, run_id)          where the control socket is, to be removed if the supervisor dies
    ("lock",) + descriptor              the file of the run's lock, made anew, to be kept open
    ("helper", pid, is_there)           a helper with its own group, to be killed if the supervisor dies
    ("unread", number)                  the pipe with that inode number has lost its reader: its copy is to be closed
    ("cgroup", folder) + descriptor     a cgroup to go into with all the tree; the descriptor is to be kept open
    ("record",)                         ("recorded", ...) + descriptors, as the maker of the record has it
    ("spawn", command, variables,       ("started", pid, at) or ("failed", kind, reason)
        terminal) + stdio
    ("ask", number)                     ("alive", number, at), after ("exited", ...) if the command has ended
    ("stop", signal, was_delivered)     -
        + descriptor                    the order is carried out if the pipe gives a byte
    ("kill",)                           ("empty", survivors) if the command has been spawned
    ("root", signal)                    -
    ("list",)                           ("listed", processes)
    ("usage",)                          ("used", cpu_seconds, max_rss_bytes)
    ("fault", reason)                   why the other end gives up, to be known when it has gone
    ("bye",)                            the end: nothing is stopped any more
                                        ("exited", status, at, others) as it happens; status as of wait(2)
                                        ("empty", survivors) when the command and all others are gone

Times are seconds of CLOCK_MONOTONIC, which all processes share.
"""

import _signal
import os
import select
from time import monotonic

from supervise.process.channel import Channel
from supervise.process.spawn import SpawnError, find, is_whole, names_of, places, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import ModuleType
    from typing import Any

    from supervise.process.raw_environment import RawEnvironment
    from supervise.process.read_ends import ReadEndCopies

    Maker = Callable[[], tuple[tuple[Any, ...], tuple[int, ...], Callable[[], None]]]
    """Makes the record: what the supervisor is told of it, with which descriptors, and what takes all of it back."""

UNKNOWN_STATUS = -1
"""Of a command whose status died with the guardian."""
WALL = 0x40000000
"""__WALL of wait(2): also children that were made by clone without SIGCHLD."""
LAST_WORDS = 1.0
"""Seconds that the other end has to make room for the last that it is told."""
LONGEST_POLL = 86400.0
"""Seconds of one wait; where more are to be waited, the caller waits again."""
SETTLED = 50
"""Milliseconds after which the modules for stopping are loaded: a short command never needs them, and a long one must
not depend on a disk that may be gone by then."""


class Holder:
    """One end of the line, one command at a time, and everything that descends from it."""

    def __init__(self, channel: Channel, wake: int, group: "int | None") -> None:
        self.channel = channel
        self.wake = wake
        """Readable when a child may have died."""
        self.group = group
        """The process group in which the command is started; None for a session of its own, 0 for the holder's own.

        On a terminal the command stays in the caller's group, as under `timeout --foreground`: a group of its own
        breaks pipelines and the script loops around us, and hides a second Ctrl-C from us.
        """
        self.facts: tuple[Any, ...] = ()
        self.terminal: tuple[Any, ...] = ()
        self.terminal_descriptors: tuple[int, ...] = ()
        self.sockets: list[tuple[str, str]] = []
        self.fault = ""
        """Why the supervisor gave up; empty where it has not said so."""
        self._helpers: set[int] = set()
        self._locks: list[int] = []
        """Descriptors that hold the run's lock, beside the descriptor that was open at the fork."""
        self.spared: set[int] = set()
        """The children of a supervisor that is the holder which are not of the command's tree: the watcher of
        the wall, and the file workers that write files."""
        self._gathering: Iterator[None] | None = None
        """What is left to be done to bring the tree behind the wall."""
        self._stop_signal = 15
        self._grace = 0.0
        self.leave = -1
        """A descriptor that gives one byte to its first reader: a guardian that reads it goes as soon as the command
        has ended by itself and left no process, and need not be told to."""
        self._has_leave = False
        self._is_alone = False
        """The supervisor is dead."""
        self.mask: Iterable[int] = ()
        """The signals that the caller of supervise blocks: they are blocked for the command too."""
        self.kept: tuple[int, ...] = ()
        """In a guardian: the read ends of the command's pipes for its `Copies`, should the supervisor die."""
        self._copies: ReadEndCopies | None = None
        self.permit = -1
        """The same for what comes after the record: where the supervisor was first, nothing does."""
        self.maker: Maker | None = None
        """The function that makes the record."""
        self._prepared: tuple[dict[bytes, bytes], list[str]] | None = None
        """The environment of the first command, and where its file may be."""
        self._is_mapping = True
        """A mapping can hand on the environment of the caller to the command."""
        self._names: tuple[bytes, ...] = ()
        """Variables of the caller's environment that name the supervisor, and mean the command."""
        self.root = 0
        self._leads_group = False
        """The command has a session, and so a group, of its own."""
        self.is_root_alive = False
        self.was_emptied = True
        self.stopping_since = 0.0

    def serve(self) -> bool:
        """Serve the line; True where it was ended by a word, False where the other end died."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        poll.register(self.channel, select.POLLIN)
        timeout: int | None = SETTLED
        # The end of a short command follows at once: the pages that its end takes are copied while the command runs.
        self.reap()
        if self._has_leave:
            self.channel.flush(LAST_WORDS)
            return True
        while True:
            poll.modify(self.channel, select.POLLIN | (select.POLLOUT if self.channel.has_unsent else 0))
            ready = poll.poll(timeout if self._gathering is None else 0)
            if self._gathering is not None:
                self._gather()
            elif not ready:
                timeout = None
                self._load()
            if any(fd == self.wake for fd, _ in ready):
                self._clear_wake()
                self.reap()
                if self._has_leave:
                    self.channel.flush(LAST_WORDS)
                    return True
            if self.channel.has_unsent:
                self.channel.flush()
            if any(fd == self.channel.fileno() and events != select.POLLOUT for fd, events in ready):
                try:
                    got = self.channel.receive()
                except BlockingIOError:
                    continue
                if got is None:
                    return False
                message, fds = got
                if message[0] == "bye":
                    return True
                self.obey(message, fds)

    def _gather(self) -> None:
        """Bring more of the tree behind the wall, for a moment."""
        if self._gathering is not None and next(self._gathering, self) is self:
            self._gathering = None

    def stop_alone(self) -> None:
        """Do what is left to do when the other end has died: ask, wait out the grace, kill.

        What the command prints meanwhile is read and dropped, so that it can finish a clean-up that prints.
        """
        if self.kept:
            self._load_copies().unblock()
        self._is_alone = True
        for pid in self._helpers:
            _kill_group(pid)
        if self.reap():
            return
        stop = self._load()
        if not self.stopping_since:
            stop.ask_all(os.getpid(), self._stop_signal)
            self._signal_unseen(self._stop_signal)
            self.stopping_since = monotonic()
        until = self.stopping_since + self._grace
        while not self.reap() and monotonic() < until:
            self._wait(until - monotonic())
        self._signal_unseen(_signal.SIGKILL)
        stop.kill_all(os.getpid(), self._own_group(), self.reap, self._wait)

    def reap(self) -> bool:
        """Take the statuses of all who have died, and tell of the command's; True where nobody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | WALL)
            except ChildProcessError:
                break
            if pid == 0:
                if self.spared and not self._has_others():
                    break
                return False
            if pid == self.root and self.is_root_alive:
                self.is_root_alive = False
                # Whoever is left now may be let out a moment later.
                self._gathering = None
                at = monotonic()
                has_others = self._has_others()
                if self.leave >= 0 and os.WIFEXITED(status) and not has_others:
                    self._has_leave = bool(os.read(self.leave, 1))
                self.channel.send("exited", status, at, has_others)
        if self.root and not self.is_root_alive and not self.was_emptied:
            self.was_emptied = True
            self.channel.send("empty", [])
        return True

    def _has_others(self) -> bool:
        if self.spared:
            from supervise.process import tree

            return any(pid not in self.spared for pid in tree.children(os.getpid()))
        try:
            # WNOWAIT: only look.  CLONE children count as well.
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
        except ChildProcessError:
            return False
        return True

    def obey(self, message: "tuple[object, ...]", fds: "Sequence[int]") -> None:
        """Do what the other end says."""
        match message:
            case ("orders", int(number), float(grace), tuple(facts)):
                self._stop_signal, self._grace, self.facts = number, grace, facts
            case ("terminal", tuple(facts)):
                self.terminal, self.terminal_descriptors = facts, tuple(fds)
            case ("socket", str(folder), str(run_id)):
                self.sockets.append((folder, run_id))
            case ("fault", str(reason)):
                self.fault = reason
            case ("lock",):
                for fd in self._locks:
                    os.close(fd)
                self._locks = [*fds]
            case ("helper", int(pid), bool(is_there)):
                (self._helpers.add if is_there else self._helpers.discard)(pid)
            case ("cgroup", str(folder)):
                from supervise.process import cgroup

                self._gathering = cgroup.move_in(folder, self.spared, self.reap)
                self._gather()
            case ("spawn", list(command), dict(variables), str(terminal)):
                if fds[3:]:
                    self._take_copies(fds[3:])
                self._spawn(command, variables, (fds[0], fds[1], fds[2]), terminal)
            case ("record",):
                self._make_record()
            case ("unread", int(number)):
                if self.kept:
                    self._load_copies().close(number)
            case ("ask", int(number)):
                self.reap()
                self.channel.send("alive", number, monotonic())
            case ("stop", int(number), bool(was_delivered)):
                if not _is_first(fds):
                    return
                self.stopping_since = monotonic()
                spared = self.group if was_delivered else None
                self._load().ask_all(os.getpid(), number, spared_group=spared)
                self._signal_unseen(_signal.SIGCONT if was_delivered else number)
                self.reap()
            case ("kill",):
                self.stopping_since = self.stopping_since or monotonic()
                stop = self._load()
                self._signal_unseen(_signal.SIGKILL)
                survivors = stop.kill_all(os.getpid(), self._own_group(), self.reap, self._wait)
                if not self.was_emptied:
                    # Also where nobody is alive, and only a debugger of somebody else's keeps one from being reaped.
                    self.channel.send("empty", survivors)
            case ("root", int(number)):
                self._signal_root(number)
            case ("list",):
                self.channel.send("listed", self._list())
            case ("usage",):
                self.channel.send("used", *_usage())

    def look_at_environment(self) -> None:
        """Look at the environment in the supervisor, whose environment it is and whose number may stand in it."""
        self._names = names_of(os.getpid())
        self._is_mapping = is_whole() and not self._names
        if not self._is_mapping:
            # This is loaded before the fork: the guardian may have no descriptor for it, or find a disk that is gone.
            from supervise.process import raw_environment  # noqa: F401 - used after the fork

    def prepare(self, command: "list[str]", variables: "dict[bytes, bytes | None]") -> None:
        """Do the part of a spawn that can be done before the fork: after it, each page that is touched is copied.

        The PATH is not looked into: a folder there may be on a file system that does not answer.
        """
        kept = _environment(variables)
        self._prepared = kept, places(command[0], kept)

    def _make_record(self) -> None:
        """Make the record in this process: the supervisor has to go on where the file system does not answer."""
        assert self.maker
        message, fds, undo = self.maker()
        if not os.read(self.permit, 1):
            # The supervisor has waited long enough: another guardian runs the command, without a record.
            undo()
            os._exit(0)
        self.channel.send(*message, fds=fds)
        for fd in fds:
            os.close(fd)

    def _spawn(
        self,
        command: "list[str]",
        variables: "dict[bytes, bytes | None]",
        stdio: "tuple[int, int, int]",
        terminal: str,
    ) -> None:
        self.stopping_since = 0.0
        prepared, self._prepared = self._prepared, None
        try:
            if prepared is None:
                kept = _environment(variables)
                paths = places(command[0], kept)
            else:
                kept, paths = prepared
            group = None if terminal else self.group
            self._leads_group = group is None
            file = find(command[0], paths)
            environ = kept if self._is_mapping else self._exact(variables)
            self.root = spawn(file, command, environ, stdio, group=group, terminal=terminal, mask=self.mask)
        except SpawnError as error:
            self.channel.send("failed", error.kind, error.reason)
        else:
            self.is_root_alive, self.was_emptied = True, False
            self.channel.send("started", self.root, monotonic())
        finally:
            # With the first command these are our own, all the same with a terminal, and the lowest stay.
            for fd in {*stdio} - {0, 1, 2}:
                os.close(fd)

    def _exact(self, variables: "dict[bytes, bytes | None]") -> "RawEnvironment":
        from supervise.process.raw_environment import RawEnvironment

        return RawEnvironment(variables, self._names)

    def _signal_root(self, number: int) -> None:
        # Until we reap it, its pid is nobody else's.
        self.reap()
        if self.is_root_alive:
            try:
                os.kill(self.root, number)
            except OSError:
                pass

    def _signal_unseen(self, number: int) -> None:
        """Where nothing is seen of the tree (no /proc of ours): to the command and its group, as timeout(1) does.

        A group keeps its number as long as one of it is there, and somebody is: else nobody would have to be stopped.
        """
        from supervise.process import tree

        if tree.HAS_OWN_PROC or not self.root or self.reap():
            return
        for signal in (number, _signal.SIGCONT):
            try:
                if self._leads_group:
                    os.killpg(self.root, signal)
                elif self.is_root_alive:
                    os.kill(self.root, signal)
            except OSError:
                pass

    def _list(self) -> "list[tuple[int, str, int, str, str]]":
        from supervise.process import tree

        self.reap()
        alive = [one.pid for one in tree.look(os.getpid()) if one.pid != os.getpid() and tree.is_alive(one)]
        return [seen for pid in alive if pid not in self.spared and (seen := tree.describe(pid))]

    def _own_group(self) -> int:
        return self.group or os.getpgrp()

    def _wait(self, seconds: float) -> None:
        """Wait at most so long for a child to die, or for output to drop where nothing else reads it."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        for source in self._copies.sources if self._copies and self._is_alone else ():
            poll.register(source, select.POLLIN)
        # poll(2) takes milliseconds in an int, which a grace of months does not go into.
        for fd, _ in poll.poll(max(0, int(min(seconds, LONGEST_POLL) * 1000) + 1)):
            if fd == self.wake:
                self._clear_wake()
            elif self._copies:
                self._copies.drop(fd)

    def _clear_wake(self) -> None:
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            pass

    def take_over(self, root: int) -> None:
        """Hold a command that another has started, and whose tree has fallen to us."""
        from supervise.process import tree

        self._load()
        self.was_emptied = False
        ours = os.getpid()
        children = (pid for pid in tree.children(ours) if pid not in self.spared)
        found = {pid: tree.stat(pid) or tree.unreadable(pid, ours) for pid in children}
        started = {pid: now.starttime for pid, now in found.items() if now is not None}
        if root:
            self.root = root
        elif started:
            # It was never told which of them the command is: whoever is the oldest.
            self.root = min(started, key=started.__getitem__)
        self.is_root_alive = self.root in started
        if not self.root:
            self.channel.send("failed", "error", "the guardian died before it could start the command")
        elif not root:
            self.channel.send("started", self.root, monotonic())
        if self.root and not self.is_root_alive:
            # Its status died with who had taken it.
            self.channel.send("exited", UNKNOWN_STATUS, monotonic(), bool(started))
        self.reap()

    def _take_copies(self, fds: "Sequence[int]") -> None:
        """Keep the read ends of the next attempt's pipes, in a guardian; in the supervisor its own ends are enough."""
        if self.kept:
            self._load_copies().replace([*fds])
        else:
            for fd in fds:
                os.close(fd)

    def _load_copies(self) -> "ReadEndCopies":
        if self._copies is None:
            # This is loaded after the command's start: a file of its own costs a hundredth of a bare start of Python.
            from supervise.process.read_ends import ReadEndCopies

            self._copies = ReadEndCopies(self.kept)
        return self._copies

    def _load(self) -> "ModuleType":
        from supervise.process import kill

        if self.kept:
            self._load_copies()
        return kill


def _is_first(fds: "Sequence[int]") -> bool:
    """Return whether this process is the first to read the byte of the pipe that came with the order."""
    is_first = True
    for fd in fds:
        try:
            is_first = bool(os.read(fd, 1))
        except OSError:
            is_first = False
        os.close(fd)
    return is_first


def _kill_group(pid: int) -> None:
    """Of a process that leads a session, if it still does: else the number may be somebody else's by now."""
    try:
        if os.getsid(pid) == pid:
            os.killpg(pid, _signal.SIGKILL)
    except OSError:
        pass


def _environment(variables: "dict[bytes, bytes | None]") -> "dict[bytes, bytes]":
    """Ours, with these instead; without those that are None."""
    environ = {**os.environb, **variables}
    return {name: value for name, value in environ.items() if value is not None}


def _usage() -> "tuple[float, int]":
    """Seconds of CPU of all that was reaped, and the resident memory in bytes of the largest of them (getrusage(2))."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
