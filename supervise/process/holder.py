"""The holder of the command: it starts the command, reaps its tree, answers for it, and stops all of it.

The guardian is the holder.  Should the guardian die, a thread of the supervisor is the holder: the supervisor inherits
the guardian's children with their statuses.  `process/protocol.py` lists what the supervisor sends, and what the holder
does and answers.
"""

import _signal
import posix
import select
from time import monotonic

from supervise.process import system
from supervise.process.spawn import SpawnError, find, is_whole, names_of, places, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import ModuleType

    from supervise.process.protocol import (
        Facts,
        HolderEnd,
        ProcessFacts,
        RecordMade,
        TerminalFacts,
        ToHolder,
        Variables,
    )
    from supervise.process.raw_environment import RawEnvironment
    from supervise.process.read_ends import ReadEndCopies

    RecordMaker = Callable[[], tuple[RecordMade, tuple[int, ...], Callable[[], None]]]
    """Makes the record; returns the message to the supervisor with its descriptors, and a function that removes it."""

UNKNOWN_STATUS = -1
"""The status of a command whose status was lost with the guardian."""
WAIT_ALL = 0x40000000
"""__WALL of wait(2): also wait for children that were made by clone(2) without SIGCHLD."""
FLUSH_SECONDS = 1.0
"""Seconds that the supervisor has to make room for the holder's last messages."""
POLL_SECONDS = 86400.0
"""Seconds of one poll(2) at most; a caller that has to wait longer waits again."""
LOAD_AFTER_MILLISECONDS = 50
"""Milliseconds after which the modules that stop a tree are loaded: a short command does not need them, and a long
one must not depend on a disk that may be gone by then."""


STOP_COMMAND_LOOK_SECONDS = 0.05
"""Seconds between two looks at a process of `--stop-command` that is no child of the holder."""
LAST_LINE_SECONDS = 0.5
"""Seconds that the reader of a line which the supervisor has left for its death has to make room for it."""


class SupersededError(Exception):
    """The supervisor has given this guardian up: another guardian runs the command."""


class Holder:
    """The holder's end of the channel, one command at a time, and all that descends from the command."""

    def __init__(self, channel: "HolderEnd", wake: int, group: "int | None") -> None:
        self.channel = channel
        self.wake = wake
        """A descriptor that is readable when a child may have died."""
        self.group = group
        """The process group in which the command is started; None for a session of its own, 0 for the holder's own.

        On a terminal the command stays in the caller's group, as under `timeout --foreground`: a group of its own
        would break pipelines and the loops of scripts around supervise, and would hide a second Ctrl-C from supervise.
        """
        self.facts: Facts | None = None
        self.terminal: TerminalFacts = ()
        self.terminal_descriptors: tuple[int, ...] = ()
        self.has_live_line = False
        """The live line is on that terminal."""
        self.sockets: list[tuple[str, str]] = []
        self.fault = ""
        """Why the supervisor has given up; empty where it has not."""
        self._is_released = False
        """The caller has control again: the next command gets a session of its own."""
        self._last_line = b"", -1
        """A line, and the descriptor to which it is written if the supervisor dies."""
        self._helpers: set[int] = set()
        self._locks: list[int] = []
        """Descriptors that hold the run's lock, beside the descriptor that was open at the fork."""
        self.spared: set[int] = set()
        """In a supervisor that is the holder: its children outside of the command's tree, which are the watcher of the
        cgroup, the file workers, the messenger and the process of `--stop-command`."""
        self._memory_folder = ""
        """The memory cgroup in which the command is started (--memory-max); empty where it has none of its own."""
        self._cgroup_moves: Iterator[None] | None = None
        """Moves the rest of the tree into the run's cgroup, some processes at each step."""
        self._stop_process: tuple[int, int] | None = None
        """The pid and the start time of the process of `--stop-command` that the supervisor has started in this
        attempt, (0, 0) once it is over; None where none was started."""
        self._variables: Variables = {}
        """The changes to the environment that the command has."""
        self._is_supervisor = False
        """The supervisor itself holds the command."""
        self._stop_signal = 15
        self._grace = 0.0
        self.leave = -1
        """A pipe that gives one byte to its first reader: a guardian that gets the byte exits as soon as the command
        has ended by itself and has left no process, without a `bye`."""
        self._has_leave = False
        self._is_alone = False
        """The supervisor is dead."""
        self.mask: Iterable[int] = ()
        """The signals that the caller of supervise blocks; they are blocked for the command too."""
        self.kept: tuple[int, ...] = ()
        """In a guardian: the read ends of the command's pipes for `ReadEndCopies`, should the supervisor die."""
        self._copies: ReadEndCopies | None = None
        self.permit = -1
        """A pipe that gives one byte to its first reader: a guardian that has made the record and gets no byte exits,
        since the supervisor has started another guardian meanwhile."""
        self.maker: RecordMaker | None = None
        self._prepared: tuple[dict[bytes, bytes], list[str]] | None = None
        """The environment of the first command, and the paths at which its file may be."""
        self._is_mapping = True
        """A mapping can hold the whole environment of the caller."""
        self._names: tuple[bytes, ...] = ()
        """Variables of the caller's environment that hold the supervisor's pid and are to hold the command's."""
        self.root = 0
        """The command's pid; 0 before the first command."""
        self._leads_group = False
        """The command has a session, and so a process group, of its own."""
        self.is_root_alive = False
        self.was_emptied = True
        """The supervisor has the message that the tree is gone, or no command was spawned."""
        self.stopping_since = 0.0
        """When the holder began to stop the tree, by CLOCK_MONOTONIC; 0 where it has not."""

    def serve(self) -> bool:
        """Serve the supervisor; return True after its `bye`, False where the supervisor is dead."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        poll.register(self.channel, select.POLLIN)
        timeout: int | None = LOAD_AFTER_MILLISECONDS
        # The end of a short command follows at once: the pages that its end takes are copied while the command runs.
        self.reap()
        if self._has_leave:
            self.channel.flush(FLUSH_SECONDS)
            return True
        while True:
            poll.modify(self.channel, select.POLLIN | (select.POLLOUT if self.channel.has_unsent else 0))
            ready = poll.poll(timeout if self._cgroup_moves is None else 0)
            if self._cgroup_moves is not None:
                self._move_into_cgroup()
            elif not ready:
                timeout = None
                self._load()
            if any(fd == self.wake for fd, _ in ready):
                self._clear_wake()
                self.reap()
                if self._has_leave:
                    self.channel.flush(FLUSH_SECONDS)
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

    def _move_into_cgroup(self) -> None:
        """Take one step of the moves into the run's cgroup."""
        if self._cgroup_moves is not None and next(self._cgroup_moves, self) is self:
            self._cgroup_moves = None

    def write_last_line(self) -> None:
        """Write the line that the supervisor has left for its death, if the descriptor takes it at once or soon.

        A supervisor that has given up still passes on bytes of the command, and writes the line itself.
        """
        line, fd = self._last_line
        if fd < 0 or self.fault:
            return
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        try:
            if poll.poll(LAST_LINE_SECONDS * 1000):
                # The supervisor may have died in the middle of a line.
                posix.write(fd, b"\n" + line)
        except OSError:
            # The reader has left.
            pass

    def stop_alone(self) -> None:
        """Stop the tree after the supervisor's death: send the signal of `--signal`, wait for the grace, kill.

        The guardian reads and drops what the command prints meanwhile, so that a clean-up that prints can finish.
        """
        if self.kept:
            self._load_copies().unblock()
        self._is_alone = True
        for pid in self._helpers:
            _kill_group(pid)
        if self._stop_process is None:
            self._find_stop_command()
        if self.reap() and not self._is_stop_command_running():
            self._end_stop_command()
            self._remove_memory_cgroup()
            return
        kill = self._load()
        needs_stop_command = self.is_root_alive and self._stop_process is None
        if not self.stopping_since:
            kill.ask_all(posix.getpid(), self._stop_signal, spared=self.spared)
            self._signal_unseen(self._stop_signal)
            self.stopping_since = monotonic()
        until = self.stopping_since + self._grace
        if needs_stop_command:
            self._begin_stop_command(until - monotonic())
        while monotonic() < until:
            is_empty = self.reap()
            if is_empty and not self._is_stop_command_running():
                break
            left = until - monotonic()
            self._wait(min(left, STOP_COMMAND_LOOK_SECONDS) if is_empty else left)
        self._signal_unseen(_signal.SIGKILL)
        kill.kill_all(posix.getpid(), self._own_group(), self.reap, self._wait, self.spared)
        self._end_stop_command()
        self._remove_memory_cgroup()

    @property
    def _stop_command(self) -> str:
        """Return the command of `--stop-command`; '' where there is none."""
        return self.facts[3]["stop_command"] or "" if self.facts else ""

    def _find_stop_command(self) -> None:
        """Find the process of `--stop-command` of which the supervisor, which is dead, had no time to tell."""
        if self.facts and self._stop_command:
            from supervise.process import stop_process

            for one in stop_process.find(self.facts[3]["run_id"])[:1]:
                self._stop_process = one.pid, one.starttime

    def _begin_stop_command(self, seconds: float) -> None:
        """Run the command of `--stop-command`, for that many seconds at most: as a child it is killed with the tree."""
        command = self._stop_command
        if not command:
            return
        from supervise.process import stop_process

        try:
            stop_process.start(command, self._variables, "error" if self.fault else "lost", self.root, seconds)
        except (OSError, ValueError):
            # Nobody is left who could be told.
            pass

    def _note_stop_process(self, pid: int) -> None:
        """Note the process of `--stop-command` that the supervisor has started; 0: it is over."""
        from supervise.process import tree

        now = tree.stat(pid) if pid else None
        self._stop_process = pid, now.starttime if now else 0
        if self._is_supervisor and pid:
            self.spared.add(pid)

    def _is_stop_command_running(self) -> bool:
        """Return whether the process of `--stop-command` lives that the supervisor, which is dead, has started."""
        if not self._stop_process:
            return False
        from supervise.process import tree

        pid, started = self._stop_process
        if pid and not started:
            # /proc does not show it.
            return _leads_session(pid)
        now = tree.stat(pid) if pid else None
        return now is not None and now.starttime == started and tree.is_alive(now)

    def _end_stop_command(self) -> None:
        """Kill that process with all that descends from it, and what those of earlier attempts have left running.

        None of these processes is a child of the guardian.
        """
        if not self.facts or not self._stop_command:
            return
        from supervise.process import helper_process, stop_process

        if self._stop_process and self._is_stop_command_running():
            pid = self._stop_process[0]
            helper_process.kill_tree(pid)
            _kill_group(pid)
        stop_process.kill_left(self.facts[3]["run_id"])

    def _remove_memory_cgroup(self) -> None:
        """Remove the memory cgroup of the command: the supervisor is dead, and no process is left in it."""
        if self._memory_folder:
            from supervise.process import memory_cgroup

            memory_cgroup.remove(self._memory_folder)

    def reap(self) -> bool:
        """Reap all children that have died, and report the command's end; return whether no child is left."""
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG | WAIT_ALL)
            except ChildProcessError:
                break
            if pid == 0:
                if self.spared and not self._has_others():
                    break
                return False
            if pid == self.root and self.is_root_alive:
                self.is_root_alive = False
                # The supervisor may let the processes that are left out of the cgroup a moment later.
                self._cgroup_moves = None
                at = monotonic()
                has_others = self._has_others()
                if self.leave >= 0 and posix.WIFEXITED(status) and not has_others:
                    self._has_leave = bool(posix.read(self.leave, 1))
                self.channel.send(("exited", status, at, has_others))
        if self.root and not self.is_root_alive and not self.was_emptied:
            self.was_emptied = True
            self.channel.send(("empty", []))
        return True

    def _has_others(self) -> bool:
        if self.spared:
            from supervise.process import tree

            return any(pid not in self.spared for pid in tree.children(posix.getpid()))
        try:
            # With WNOWAIT waitid(2) reaps no child.
            posix.waitid(posix.P_ALL, 0, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT | WAIT_ALL)
        except ChildProcessError:
            return False
        return True

    def obey(self, message: "ToHolder", fds: "Sequence[int]") -> None:
        """Do what the supervisor orders; report a message that this holder does not know."""
        match message:
            case ("orders", signal, grace, facts):
                self._stop_signal, self._grace, self.facts = signal, grace, facts
            case ("terminal", facts):
                self.terminal, self.terminal_descriptors = facts, tuple(fds)
            case ("socket", folder, run_id):
                self.sockets.append((folder, run_id))
            case ("fault", reason):
                self.fault = reason
            case ("lock",):
                for fd in self._locks:
                    posix.close(fd)
                self._locks = [*fds]
            case ("last_line", line):
                self._last_line = line, fds[0]
            case ("live_line", is_drawn):
                self.has_live_line = is_drawn
            case ("released",):
                self._leave_caller()
            case ("helper", pid, is_running):
                (self._helpers.add if is_running else self._helpers.discard)(pid)
            case ("stop_command", pid):
                self._note_stop_process(pid)
            case ("cgroup", ""):
                # The command is in its cgroup already, and the message has brought the watcher's pipe.
                pass
            case ("cgroup", folder):
                from supervise.process import cgroup

                self._cgroup_moves = cgroup.move_in(folder, self.spared, self.reap)
                self._move_into_cgroup()
            case ("memory", folder):
                self._memory_folder = folder
            case ("spawn", command, variables, terminal):
                if fds[3:]:
                    self._take_copies(fds[3:])
                self._spawn(command, variables, (fds[0], fds[1], fds[2]), terminal)
            case ("record",):
                self._make_record()
            case ("unread", inode):
                if self.kept:
                    self._load_copies().close(inode)
            case ("ask", number):
                self.reap()
                self.channel.send(("alive", number, monotonic()))
            case ("stop", signal, is_delivered):
                if _is_first(fds):
                    self._stop(signal, is_delivered)
            case ("rehearse",):
                if _is_first(fds):
                    self._load().rehearse(posix.getpid(), self.spared)
                    self.reap()
            case ("kill",):
                self._kill()
            case ("root", signal):
                self._signal_root(signal)
            case ("list",):
                self.channel.send(("listed", self._list()))
            case ("usage",):
                self.channel.send(("used", *_usage()))
            case ("bye",):
                # `serve` returns at this message; before the channel is served the supervisor does not send it.
                pass
            case _:
                from supervise.process.protocol import name_of

                # An exception here would end the guardian, and look like a death from outside.
                self.channel.send(("unknown", name_of(message)))

    def _leave_caller(self) -> None:
        """Leave the caller's terminal and session; the command stays in a group that no shell waits for any more.

        Without a parent in its session that group is orphaned: a read of the terminal fails there, and does not stop
        the reader (setpgid(2), tty_ioctl(4)).
        """
        self._is_released = True
        for fd in {*self.terminal_descriptors, self._last_line[1]} - {-1}:
            posix.close(fd)
        self.terminal, self.terminal_descriptors, self._last_line = (), (), (b"", -1)
        if self.group is None:
            return
        try:
            if self.group:
                # The leader of a group can make no session.
                posix.setpgid(0, self.group)
            posix.setsid()
        except OSError:
            # The group is gone, with the command, and the guardian stays in its own.
            pass

    def _stop(self, signal: int, is_delivered: bool) -> None:
        self.stopping_since = monotonic()
        spared = self.group if is_delivered else None
        self._load().ask_all(posix.getpid(), signal, spared_group=spared, spared=self.spared)
        self._signal_unseen(_signal.SIGCONT if is_delivered else signal)
        self.reap()

    def _kill(self) -> None:
        self.stopping_since = self.stopping_since or monotonic()
        kill = self._load()
        self._signal_unseen(_signal.SIGKILL)
        survivors = kill.kill_all(posix.getpid(), self._own_group(), self.reap, self._wait, self.spared)
        if not self.was_emptied:
            # This is also sent where no process lives, but a debugger outside of the tree keeps one from being reaped.
            self.channel.send(("empty", survivors))

    def look_at_environment(self) -> None:
        """Read the caller's environment; to be called before the fork, since the supervisor's pid may stand in it."""
        self._names = names_of(posix.getpid())
        self._is_mapping = is_whole() and not self._names
        if not self._is_mapping:
            # After the fork the guardian may have no descriptor to load it with, or find a disk that is gone.
            from supervise.process import raw_environment  # noqa: F401 - used after the fork

    def prepare(self, command: "list[str]", variables: "Variables") -> None:
        """Do the part of the first spawn that can be done before the fork: after it, each page written is copied.

        The folders of PATH are not read here: a folder may be on a file system that does not answer.
        """
        kept = environment(variables)
        self._prepared = kept, places(command[0], kept)

    def _make_record(self) -> None:
        """Make the record in the guardian: where its file system does not answer, the supervisor must go on.

        Raises SupersededError.
        """
        assert self.maker
        message, fds, undo = self.maker()
        if not posix.read(self.permit, 1):
            # The supervisor waits no longer: another guardian runs the command, without a record.
            undo()
            raise SupersededError
        self.channel.send(message, fds)
        for fd in fds:
            posix.close(fd)

    def _spawn(
        self,
        command: "list[str]",
        variables: "Variables",
        stdio: "tuple[int, int, int]",
        terminal: str,
    ) -> None:
        self.stopping_since = 0.0
        self._stop_process, self._variables = None, variables
        prepared, self._prepared = self._prepared, None
        try:
            if prepared is None:
                kept = environment(variables)
                paths = places(command[0], kept)
            else:
                kept, paths = prepared
            group = None if terminal or self._is_released else self.group
            self._leads_group = group is None
            file = find(command[0], paths)
            environ = kept if self._is_mapping else self._exact(variables)
            home = self._enter_memory_cgroup()
            try:
                self.root = spawn(file, command, environ, stdio, group=group, terminal=terminal, mask=self.mask)
            finally:
                self._leave_memory_cgroup(home)
        except SpawnError as error:
            self.channel.send(("failed", error.kind, error.reason))
        else:
            self.is_root_alive, self.was_emptied = True, False
            self.channel.send(("started", self.root, monotonic()))
        finally:
            # The descriptors of the first command are the guardian's own, of which 0, 1 and 2 stay open.  With --pty
            # all three are one descriptor.
            for fd in {*stdio} - {0, 1, 2}:
                posix.close(fd)

    def _enter_memory_cgroup(self) -> str:
        """Enter the memory cgroup of the command, if it has one; return the folder to go back to."""
        if not self._memory_folder:
            return ""
        from supervise.process import memory_cgroup

        return memory_cgroup.visit(self._memory_folder)

    def _leave_memory_cgroup(self, home: str) -> None:
        if home:
            from supervise.process.cgroup_files import enter

            enter(home, posix.getpid())

    def _exact(self, variables: "Variables") -> "RawEnvironment":
        from supervise.process.raw_environment import RawEnvironment

        return RawEnvironment(variables, self._names)

    def _signal_root(self, number: int) -> None:
        # The pid belongs to no other process until the holder reaps it.
        self.reap()
        if self.is_root_alive:
            try:
                posix.kill(self.root, number)
            except OSError:
                pass

    def _signal_unseen(self, number: int) -> None:
        """Signal the command and its process group, as timeout(1) does, where /proc does not show the tree.

        The number of the group is not reused: a process of the group is alive, or `reap` would have returned True.
        """
        from supervise.process import tree

        if tree.HAS_OWN_PROC or not self.root or self.reap():
            return
        for signal in (number, _signal.SIGCONT):
            try:
                if self._leads_group:
                    posix.killpg(self.root, signal)
                elif self.is_root_alive:
                    posix.kill(self.root, signal)
            except OSError:
                pass

    def _list(self) -> "list[ProcessFacts]":
        from supervise.process import tree

        self.reap()
        alive = [
            one.pid
            for one in tree.look(posix.getpid(), self.spared)
            if one.pid != posix.getpid() and tree.is_alive(one)
        ]
        return [seen for pid in alive if (seen := tree.describe(pid))]

    def _own_group(self) -> int:
        return self.group or posix.getpgrp()

    def _wait(self, seconds: float) -> None:
        """Wait for that many seconds at most for a child to die; drop output where no supervisor reads it any more."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        for source in self._copies.sources if self._copies and self._is_alone else ():
            poll.register(source, select.POLLIN)
        # poll(2) takes milliseconds in an int, which cannot hold a grace of months.
        for fd, _ in poll.poll(max(0, int(min(seconds, POLL_SECONDS) * 1000) + 1)):
            if fd == self.wake:
                self._clear_wake()
            elif self._copies:
                self._copies.drop(fd)

    def _clear_wake(self) -> None:
        try:
            posix.read(self.wake, 4096)
        except BlockingIOError:
            pass

    def take_over(self, root: int) -> None:
        """Hold, in the supervisor, the command of a guardian that has died; `root` is 0 where its pid is not known."""
        from supervise.process import tree

        self._load()
        self._is_supervisor = True
        self.was_emptied = False
        supervisor = posix.getpid()
        children = (pid for pid in tree.children(supervisor) if pid not in self.spared)
        found = {pid: tree.stat(pid) or tree.unreadable(pid, supervisor) for pid in children}
        started = {pid: now.starttime for pid, now in found.items() if now is not None}
        if root:
            self.root = root
        elif started:
            # The guardian died before it reported the command's pid: the command is the oldest of the children.
            self.root = min(started, key=started.__getitem__)
        self.is_root_alive = self.root in started
        if not self.root:
            self.channel.send(("failed", "error", "the guardian died before it could start the command"))
        elif not root:
            self.channel.send(("started", self.root, monotonic()))
        if self.root and not self.is_root_alive:
            # The guardian had reaped the command, and the status was lost with the guardian.
            self.channel.send(("exited", UNKNOWN_STATUS, monotonic(), bool(started)))
        self.reap()

    def _take_copies(self, fds: "Sequence[int]") -> None:
        """Keep the read ends of the next attempt's pipes, in a guardian; a supervisor has its own, and closes these."""
        if self.kept:
            self._load_copies().replace([*fds])
        else:
            for fd in fds:
                posix.close(fd)

    def _load_copies(self) -> "ReadEndCopies":
        if self._copies is None:
            # This is loaded after the command's start: one more file costs a hundredth of a bare start of Python.
            from supervise.process.read_ends import ReadEndCopies

            self._copies = ReadEndCopies(self.kept)
        return self._copies

    def _load(self) -> "ModuleType":
        """Return the module `kill`; load with it all that the guardian may need when the disk is gone."""
        from supervise.process import kill, protocol  # noqa: F401 - the channel uses `protocol` where it is full

        if self.kept:
            self._load_copies()
        if self._stop_command:
            from supervise.process import stop_process  # noqa: F401 - used after the supervisor's death
        return kill


def _is_first(fds: "Sequence[int]") -> bool:
    """Return whether this process is the first to read the byte of the pipe that came with the order, if one came."""
    is_first = True
    for fd in fds:
        try:
            is_first = bool(posix.read(fd, 1))
        except OSError:
            is_first = False
        posix.close(fd)
    return is_first


def _kill_group(pid: int) -> None:
    """Kill the process group of that process if it leads a session; else the pid may be another process by now."""
    try:
        if _leads_session(pid):
            posix.killpg(pid, _signal.SIGKILL)
    except OSError:
        pass


def _leads_session(pid: int) -> bool:
    """Return whether a process has that pid, and leads a session."""
    try:
        return posix.getsid(pid) == pid
    except OSError:
        return False


def environment(variables: "Variables") -> "dict[bytes, bytes]":
    """Return the environment of this process with the variables replaced, and without those that are None."""
    environ = {**system.environ(), **variables}
    return {name: value for name, value in environ.items() if value is not None}


def _usage() -> "tuple[float, int]":
    """Return the CPU seconds of all reaped processes, and the resident bytes of the largest of them (getrusage(2))."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
