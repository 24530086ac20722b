"""The engine `local`: N tasks at a time on this machine, in the order of their numbers, by the process of `submit`.

Each task is a process with a session of its own. A key at the terminal so reaches this process alone, and this process
cancels the tasks. The kernel cancels a task when this process ends, also by KILL (PR_SET_PDEATHSIG). `--with-parent`
would do that too late: a task that is not a supervise yet would stay. This process waits for SIGCHLD, and never polls.
"""

import _signal
import os
import select
import sys
from time import monotonic

from supervise import EXIT_ERROR
from supervise.batch import collection
from supervise.batch.batch_record import Batch
from supervise.batch.engines import State, States
from supervise.batch.journal import Journal, Past, is_held, read
from supervise.files import user_files
from supervise.options.table import BadValueError
from supervise.process import kill, signals, system
from supervise.records.rerun import program
from supervise.text import shell_words, stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

POLL_SECONDS = 0.2
OLD_TASK_SECONDS = 60.0
"""Seconds that the tasks of a killed `submit` may take to end, before a new one gives up."""


def render(batch: Batch) -> "Iterator[bytes]":
    """Yield the command line of each task, as one would type it."""
    for number in batch.numbers:
        yield os.fsencode(shell_words.command_line([*_program(), *batch.words_of(number)])) + b"\n"


def hand_over(batch: Batch, *, is_quiet: bool, is_resumed: bool) -> int:
    """Run the tasks that have not ended, and return 0 where all tasks have succeeded, 1 where one has not.

    A signal ends the batch with 128+N. Raises BadValueError where another process runs the batch.
    """
    if batch.engine_options:
        raise BadValueError("--engine-option: the engine local takes none")
    batch.jobs = batch.jobs or len(os.sched_getaffinity(0))
    try:
        journal = Journal(batch.folder)
        results = user_files.open_folder(batch.results)
    except OSError as error:
        raise BadValueError(f"cannot run the batch {batch.name}: {stderr.reason_of(error, with_path=True)}") from None
    left = [*batch.numbers]
    if is_resumed:
        _await_old_tasks(batch, journal.past)
        left = collection.unfinished(batch, _states(batch, is_held=False))
        _note_ends(batch, journal, {*journal.past.started} - {*left})
        journal.note_resumption()
    if not is_quiet:
        what = (
            f"{len(left)} of {collection.number_of_tasks(len(batch.items))} left"
            if is_resumed
            else collection.number_of_tasks(len(left))
        )
        stderr.say(f"batch {batch.name}: {what}, {batch.jobs} at a time; results in {batch.results}")
    number = _Runner(batch, journal, results, left).run()
    found = _states(batch, is_held=False)
    ended = collection.rows(batch, found)
    if not is_quiet:
        stderr.say(f"batch {batch.name}: {collection.summary(ended)}; see supervise collect {batch.name}")
    if number == _signal.SIGINT:
        raise KeyboardInterrupt
    return 128 + number if number else collection.exit_code(ended, found)


def states(batch: Batch) -> States:
    """Return the states by the journal, and by what is alive."""
    # The lock is looked at first: the last task may end meanwhile, and its end is in the journal then.
    return _states(batch, is_held=is_held(batch.folder))


def cancel(batch: Batch, number: int) -> None:
    """Send that signal to the process that runs the batch.

    Raises BadValueError where none does.
    """
    if not is_held(batch.folder):
        raise BadValueError(f"the batch {batch.name} has ended")
    pid, began = read(batch.folder).runner
    if pid:
        kill.send(pid, began, (number,))


def _states(batch: Batch, *, is_held: bool) -> States:
    """Return the states by the journal; `is_held`: a process runs the batch."""
    past = read(batch.folder)
    found = {}
    for number in batch.numbers:
        if number in past.ended:
            found[number] = State("ended", past.ended[number])
        elif number in past.started:
            found[number] = State("running" if is_held or past.is_alive(number) else "lost")
        else:
            found[number] = State("pending")
    return States(found, is_active=is_held)


def _await_old_tasks(batch: Batch, past: Past) -> None:
    """Wait until the tasks of a `submit` that was killed have ended.

    Raises BadValueError where they do not.
    """
    until = monotonic() + OLD_TASK_SECONDS
    for number, (pid, _) in past.started.items():
        if not past.is_alive(number):
            continue
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        has_ended = not past.is_alive(number) or poll.poll(max(0.0, until - monotonic()) * 1000)
        os.close(fd)
        if not has_ended:
            raise BadValueError(f"task {number} of the batch {batch.name} still runs (pid {pid}); stop it first")


def _note_ends(batch: Batch, journal: Journal, numbers: "set[int]") -> None:
    """Note the ends of tasks that have written their reports after their `submit` was killed."""
    for number in sorted(numbers):
        code = (batch.report_of(number) or {}).get("exit_code")
        journal.note_end(number, code if isinstance(code, int) else EXIT_ERROR)


def _program() -> "list[str]":
    """Return the words that start `supervise run` as this process was started."""
    return [*program(), "run"]


class _Runner:
    """Runs the tasks."""

    def __init__(self, batch: Batch, journal: Journal, results: int, left: "list[int]") -> None:
        self._batch = batch
        self._journal = journal
        self._results = results
        """A descriptor of the folder of the results."""
        self._waiting = left[::-1]
        self._running: dict[int, int] = {}
        """The number of each running task, by its pid."""
        self._signal = 0
        """The signal that has cancelled the batch."""
        self._has_failed = False
        self._program = _program()
        self._pid = os.getpid()
        self._is_warned = False
        self._mask: set[int] = set()

    def run(self) -> int:
        """Run the tasks to the last one, or until the batch is cancelled or halted and no task runs any more.

        Return the signal that has cancelled the batch, or 0.
        """
        # A caller may ignore SIGCHLD, and the kernel would reap the tasks.
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        awaited = {one for one in signals.CANCELLING if _signal.getsignal(one) != _signal.SIG_IGN} | {_signal.SIGCHLD}
        self._mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, awaited)
        try:
            while self._start_more() or self._running:
                number = _signal.sigwaitinfo(awaited).si_signo
                if number == _signal.SIGCHLD:
                    self._reap()
                else:
                    self._cancel(number)
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)
        return self._signal

    def _start_more(self) -> bool:
        """Start tasks while there is room; return whether one is left to be started."""
        while self._waiting and len(self._running) < self._batch.jobs and not self._is_halted():
            self._start(self._waiting.pop())
        return bool(self._waiting) and not self._is_halted()

    def _is_halted(self) -> bool:
        return bool(self._signal or (self._has_failed and self._batch.halt != "never"))

    def _start(self, number: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._warn(f"task {number} cannot be started: {stderr.reason_of(error)}")
            self._note_end(number, EXIT_ERROR)
            return
        if pid:
            self._running[pid] = number
        else:
            _become_or_exit(self._batch, self._journal, self._results, number, self._program, self._mask, self._pid)

    def _reap(self) -> None:
        """Take the ends of tasks; one signal may stand for several."""
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            if number := self._running.pop(pid, 0):
                self._note_end(number, os.waitstatus_to_exitcode(status))

    def _note_end(self, number: int, code: int) -> None:
        try:
            self._journal.note_end(number, code)
        except OSError as error:
            self._warn(f"the end of task {number} cannot be recorded: {stderr.reason_of(error)}")
        if code and not self._has_failed:
            self._has_failed = True
            if self._batch.halt == "now":
                self._send(_signal.SIGTERM)

    def _cancel(self, number: int) -> None:
        """Start no more tasks, and cancel those that run; a second signal kills them."""
        self._signal = self._signal or number
        self._send(number)

    def _send(self, number: int) -> None:
        for pid in self._running:
            # The task is not reaped, so the pid is its own.
            os.kill(pid, number)

    def _warn(self, text: str) -> None:
        """Write the first of such messages: on a full disk there may be many."""
        if not self._is_warned:
            self._is_warned = True
            stderr.say(text)


def _become_or_exit(
    batch: Batch, journal: Journal, results: int, number: int, program: "list[str]", mask: "set[int]", parent: int
) -> "NoReturn":
    """Become the supervise of that task, in a process that was forked for it by `parent`."""
    try:
        if not system.end_with(parent, _signal.SIGTERM):
            os._exit(EXIT_ERROR)
        os.setsid()
        for one in (f"{number}.json", f"{number}.out"):
            # The batch may be resumed, and the results are those of the run before.
            try:
                os.unlink(one, dir_fd=results)
            except FileNotFoundError:
                pass
        journal.note_start(number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        output = os.open(f"{number}.out", flags, 0o666, dir_fd=results)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        words = [*program, *batch.words_of(number)]
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.execv(sys.executable, words)
    except BaseException as error:
        why = stderr.reason_of(error, with_path=True) if isinstance(error, Exception) else repr(error)
        stderr.say(f"task {number} of the batch {batch.name} cannot be started: {why}")
    os._exit(EXIT_ERROR)
