"""`--lock NAME`: one run at a time for a user on a machine, by a lock of the kernel (flock(2)).

The lock's file is in the first of the folders of `runtime_folders.for_locks`, wherever XDG_RUNTIME_DIR and HOME point:
a job of cron and a job of a login must find the same file.  `--lock /PATH` is a file that several users may share.  All
processes that have the file open share the lock: the supervisor, and the guardian, which the supervisor forks with the
file open.  The lock is therefore free when both have ended, by KILL too, and not before the command's tree is stopped.
The command does not get the file.

A process can remove the file while a run holds the lock.  Three measures keep the lock exclusive then: the lock is also
an abstract socket (`lock_socket`), which no process can remove; a run that has locked a file checks that the name still
leads to that file; and the holder puts the file back (`renew`).

The file stays when the lock is free; it then names the last run that had the lock.
"""

import _signal
import _thread
import errno
import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from stat import S_ISREG
from time import gmtime, monotonic, sleep, strftime, time

from supervise.control import runtime_folders
from supervise.files import ownership, user_files
from supervise.files.ownership import UntrustedError
from supervise.process import signals
from supervise.records import reader, store
from supervise.records.lock_socket import LockSocket

LOCK_SUFFIX = ".lock"
SLOT_MARK = "#"
"""Stands between the name of a lock and the number of a slot after the first; no name of a lock has this character."""
WAKE_SIGNAL = _signal.SIGURG
"""The signal by which the locking thread wakes the waiting thread; supervise uses it for nothing else."""
HOLDER_NAME_SECONDS = 0.1
"""Seconds that the new holder of a lock may take to write its name into the file."""
HOLDER_POLL_SECONDS = 0.002
"""Seconds between two reads of that name."""
HOLDER_READ_BYTES = 200
"""Bytes that are read of a lock's file to learn its holder."""
OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Lock:
    """The open file of a lock; several processes may have the file open, and one process at a time has the lock.

    Raises OSError where the file cannot be opened; UntrustedError where it would be another user's.
    """

    def __init__(self, name: str, mode: "int | None" = None, slot: int = 1) -> None:
        """Open the file; `mode` is the mode of a new file at a path, for which else the umask decides.

        `slot` is the number, from 1 on, of one of the runs that may have the lock at once (`--slots`); each number has
        its own file.
        """
        self.name = name
        file = name if slot == 1 else f"{name}{SLOT_MARK}{slot}"
        self._mode = mode
        self._text = b""
        """The line by which this process, as the holder, names itself in the file."""
        self._is_path = name.startswith("/")
        owners = {os.geteuid()}
        if self._is_path:
            entry = user_files.locate(file)
            self._folder, self._file = entry.folder, entry.name
            key = b"lock/%d:%d/" % (entry.of_folder.st_dev, entry.of_folder.st_ino) + os.fsencode(entry.name)
            owners.add(0)
            if entry.found is not None:
                owners.add(entry.found.st_uid)
        else:
            self._own_folder = _folder()
            self._folder, self._file = self._own_folder.fd, file + LOCK_SUFFIX
            key = b"lock/%d/" % os.geteuid() + os.fsencode(file)
        self._socket = LockSocket(key, owners)
        self.fd = self._open()

    def take(self) -> bool:
        """Take the lock if it is free; return whether this process has it now.

        Raises OSError where the file system has no locks.
        """
        while True:
            try:
                flock(self.fd, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                return False
            if not self.is_in_place():
                self._open_again()
            elif self._socket.take():
                return True
            else:
                # Another run has the abstract socket: it holds the lock, its file was removed, and it will put the
                # file back.
                flock(self.fd, LOCK_UN)
                return False

    def wait(self, seconds: float, cancelling: "set[int]") -> "int | None":
        """Wait for the lock without polling, and return 0 as soon as this process has it.

        Returns the number of the signal where one of `cancelling` comes first, and None after `seconds`; the time for
        which Ctrl-Z stops this process does not count.  The signals of `cancelling` and SIGTSTP are blocked by this
        call and stay blocked.
        """
        until = monotonic() + seconds
        pausing = signals.pausing()
        awaited = {*cancelling, *pausing, WAKE_SIGNAL}
        _signal.pthread_sigmask(_signal.SIG_BLOCK, awaited)
        while True:
            _thread.start_new_thread(self._lock_in_thread, (_thread.get_ident(),))
            while True:
                left = until - monotonic()
                info = _signal.sigtimedwait(awaited, left) if left > 0 else None
                if info is not None and info.si_signo in pausing:
                    until += signals.pause()
                    continue
                if info is None or info.si_signo != WAKE_SIGNAL:
                    return info.si_signo if info else None
                if info.si_pid == os.getpid():
                    break
            _await_single_thread()
            if self.take():
                return 0

    def _lock_in_thread(self, waiting: int) -> None:
        """Wait in flock(2) until the lock is free, then wake the thread `waiting`."""
        try:
            flock(self.fd, LOCK_EX)
            if self.is_in_place() and not self._socket.take():
                # The file was removed while the holder had the lock, and the holder puts it back.  Only the abstract
                # socket shows the end of that holder.
                flock(self.fd, LOCK_UN)
                self._socket.wait()
        except OSError:
            # The main thread calls flock(2) again, and reports the error.
            pass
        _signal.pthread_kill(waiting, WAKE_SIGNAL)

    def write_holder(self, run_id: str) -> None:
        """Write into the file that the run of this process has the lock; without effect on a full disk."""
        self._text = f"{run_id} {os.getpid()} {int(time())}\n".encode()
        self._write_holder()

    def _write_holder(self) -> None:
        """Write the holder's line into the file, over the line of the last holder; an error is ignored."""
        try:
            if self._is_path and os.fstat(self.fd).st_size and not self._read_holder()[1]:
                # The file has other content: it is a file of the user that serves as a lock, as under flock(1).
                return
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, self._text, 0)
        except OSError:
            # This user may have the right to lock the file and none to write it, or the disk is full.
            pass

    def holder(self) -> str:
        """Return the holder of the lock as text for a message: `run ID (pid N) since 2026-11-24T20:01:39Z`."""
        until = monotonic() + HOLDER_NAME_SECONDS
        while True:
            run_id, pid, since = self._read_holder()
            is_alive = _is_alive(pid)
            if is_alive or monotonic() > until:
                break
            # The run that has the lock has not written its name yet, and the file still names its predecessor.
            sleep(HOLDER_POLL_SECONDS)
            if not self.is_in_place():
                try:
                    self._open_again()
                except OSError:
                    break
        owner = 0 if is_alive else self._locking_pid() or self._socket.owner()
        if owner and owner != pid and _is_alive(owner):
            # The holder has no right to write the file, or another user has written something else into it.
            return f"pid {owner}{self._user_of(owner)}"
        if not pid:
            return "another run"
        gone = "" if is_alive else ", killed, and its command is still being stopped"
        whose = self._user_of(pid) if is_alive else ""
        return f"run {run_id} (pid {pid}{whose}{gone}) since {strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(since))}"

    def living_holder(self) -> "tuple[str, int, int]":
        """Return run id, pid and start (epoch seconds) of the run that names itself as the holder.

        The pid is 0 where the file names no run that lives, as in the moment before a new holder has written its name.
        """
        run_id, pid, since = self._read_holder()
        return (run_id, pid, since) if pid and _is_alive(pid) else ("", 0, 0)

    def is_left_by_killed_run(self) -> bool:
        """Return whether the run that has the lock was killed, and its guardian still stops its command."""
        _, pid, _ = self._read_holder()
        if not pid or _is_alive(pid):
            return False
        # The file may name the last run, and another program may have locked the file since.
        owner = self._locking_pid() or self._socket.owner()
        return not (owner and owner != pid and _is_alive(owner))

    def close(self) -> None:
        """Close the file of a lock that this process does not have."""
        os.close(self.fd)
        os.close(self._folder)

    def _locking_pid(self) -> int:
        """Return the pid of the process that has locked the file (/proc/locks, proc(5)); 0 where it is not listed."""
        number = b":%d " % os.fstat(self.fd).st_ino
        for line in reader.read("/proc/locks").splitlines():
            # A line is `1: FLOCK  ADVISORY  WRITE 4711 00:1d:42 0 EOF`; the line of a waiting process has `->` before
            # the kind.
            words = line.split()
            if b" FLOCK " in line and b"->" not in line and number in line and len(words) > 4 and words[4].isdigit():
                return int(words[4])
        return 0

    def _user_of(self, pid: int) -> str:
        """Return ` of bob` for a process of the user bob, and '' for a process of the effective user."""
        try:
            uid = os.stat(f"/proc/{pid}").st_uid
        except OSError:
            # The process has ended, or /proc hides it (hidepid, proc(5)) since it is another user's.  The abstract
            # socket of the lock gives its uid.
            taker, uid = self._socket.taker()
            if taker != pid:
                return " of another user" if _is_anothers(pid) else ""
        return "" if uid == os.geteuid() else f" of {ownership.name(uid)}"

    def is_held_by_ancestor(self) -> bool:
        """Return whether the holder is an ancestor of this process.

        Such a holder waits for this process, so the lock would never become free.  A holder that has not written its
        pid into the file is not recognized.
        """
        from supervise.process import tree

        _, pid, _ = self._read_holder()
        return any(one.pid == pid for one in tree.ancestry(os.getpid()))

    def _read_holder(self) -> "tuple[str, int, int]":
        """Return run id, pid and start (epoch seconds) that the last holder wrote; pid 0 where the line is broken."""
        text = os.pread(self.fd, HOLDER_READ_BYTES, 0).decode("ascii", "replace")
        run_id, _, rest = text.rstrip("\n").partition(" ")
        pid, _, since = rest.partition(" ")
        # With `--lock /PATH` other users may be able to write the file, so its content is checked.
        is_whole = text.endswith("\n") and all(one.isdecimal() and len(one) < 12 for one in (pid, since))
        return (run_id, int(pid), int(since)) if is_whole and reader.is_id(run_id) else ("", 0, 0)

    def _open(self) -> int:
        """Return a descriptor of the lock's file, made where it is missing.

        Raises OSError, UntrustedError.
        """
        if not self._is_path:
            return self._checked(store.open_own(self._file, os.O_RDWR | os.O_CREAT | OPEN_FLAGS, dir_fd=self._folder))
        while True:
            try:
                return self._checked(self._open_there())
            except FileNotFoundError:
                try:
                    return self._make()
                except FileExistsError:
                    # Another run has made the file since the first open.
                    continue

    def _open_there(self) -> int:
        try:
            return os.open(self._file, os.O_RDWR | OPEN_FLAGS, dir_fd=self._folder)
        except PermissionError:
            # A process may lock a file that it can only read (flock(2)).
            return os.open(self._file, os.O_RDONLY | OPEN_FLAGS, dir_fd=self._folder)

    def _make(self) -> int:
        mode = 0o666 if self._mode is None else self._mode
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, mode, dir_fd=self._folder)
        if self._mode is not None:
            # The mode is exact, whatever the umask.
            os.fchmod(fd, self._mode)
        return fd

    def _checked(self, fd: int) -> int:
        """Return that descriptor where its file may be locked and written; else close it.

        Raises UntrustedError, OSError.
        """
        found = os.fstat(fd)
        why = ""
        if not S_ISREG(found.st_mode):
            why = "Is no regular file"
        elif found.st_nlink > 1:
            # The file may be any file of the caller, to which another user has given this name by a hard link.
            why = "The file has another name as well (a hard link)"
        elif not self._is_path and not ownership.is_us(found.st_uid):
            why = f"It belongs to another user ({ownership.name(found.st_uid)})"
        if why:
            os.close(fd)
            raise UntrustedError(why, self._file)
        return fd

    def is_in_place(self) -> bool:
        """Return whether the name still leads to the open file, so that the next run opens the same file."""
        try:
            there = os.stat(self._file, dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self.fd)) and (self._is_path or self._own_folder.is_in_place())

    def _open_again(self) -> None:
        if not self._is_path and not self._own_folder.is_in_place():
            self._own_folder.close()
            self._own_folder = _folder()
            self._folder = self._own_folder.fd
        fd = self._open()
        os.close(self.fd)
        self.fd = fd

    def renew(self) -> "int | None":
        """Put the file back after another process has removed or replaced it while this process holds the lock.

        Returns a locked descriptor of the new file, which the guardian must get too.  Returns None where another
        process has locked the file that stands there now: that process will find the abstract socket taken and let go.
        """
        kept = self.fd
        self.fd = os.dup(kept)
        try:
            self._open_again()
            flock(self.fd, LOCK_EX | LOCK_NB)
            is_ours = self.is_in_place()
        except OSError:
            is_ours = False
        if not is_ours:
            os.close(self.fd)
            self.fd = kept
            return None
        self._write_holder()
        # A run that waits on the old file gets its lock now, finds that the name leads elsewhere, and waits there.
        os.close(kept)
        return self.fd

    def touch(self) -> None:
        """Set the file's times to now, so that programs that remove old files leave it alone."""
        try:
            os.utime(self.fd)
        except OSError:
            pass


def _folder() -> runtime_folders.Folder:
    """Open the folder of the locks, and keep systemd-tmpfiles(8) off it.

    Raises OSError for the last of the possible folders where none can be opened.
    """
    *others, last = runtime_folders.for_locks()
    for place in others:
        try:
            folder = place.open()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
                # The lack may be over for the next run, which would then lock a file in this folder: two runs would
                # hold the same lock in two folders.
                raise
            continue
        folder.protect()
        return folder
    folder = last.open()
    folder.protect()
    return folder


def _is_alive(pid: int) -> bool:
    """Return whether a process with this pid exists and is no zombie (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] not in (b"Z", b"X", b"")
    except OSError:
        pass
    # /proc may hide a process of another user (hidepid), but kill(2) finds it.
    return _is_anothers(pid)


def _is_anothers(pid: int) -> bool:
    """Return whether a process with this pid exists that the effective user may not signal (kill(2))."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def _await_single_thread() -> None:
    """Wait until the locking thread has ended: a fork copies the calling thread alone, so no other may be running."""
    until = monotonic() + HOLDER_NAME_SECONDS
    while len(os.listdir("/proc/self/task")) > 1 and monotonic() < until:
        sleep(HOLDER_POLL_SECONDS / 10)
