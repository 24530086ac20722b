"""The way in: the guardian, the spawn, and for a short and silent command the end.

What is imported at the top is loaded before the command is there: built-in modules and small files of ours alone.
Each thing that only some runs ask for has a file of its own, loaded by them alone.
"""

import _signal
import _thread
import os
import select
import sys
from time import gmtime, monotonic, sleep, strftime, time

from supervise import EXIT_ERROR
from supervise.options.table import BETWEEN, DEADLINE, RECOVERED_FROM, BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from supervise.access.detector import Detector
    from supervise.access.notify import NotifySocket
    from supervise.launch.lock import TurnedAway
    from supervise.launch.run_record import Plan
    from supervise.options.argv import Request
    from supervise.output.log_file import LogFile
    from supervise.output.outlet import Outlet
    from supervise.output.pump import Pump
    from supervise.output.spool import Spool
    from supervise.output.tee import Copier
    from supervise.process.cgroup import CommandCgroup
    from supervise.process.channel import Channel
    from supervise.process.file_worker import FileWorker
    from supervise.process.guardian import FoundAgain, Guardian, Message, OnLost
    from supervise.process.inbox import Inbox
    from supervise.process.stdin import InitialStdin
    from supervise.records.flock import Lock
    from supervise.records.proxies import DistantOutlet, DistantSink
    from supervise.records.store import Record
    from supervise.terminal.bridge import Relay
    from supervise.terminal.caller import Caller
    from supervise.terminal.overlay import Overlay
    from supervise.text.redaction import Redaction

inf = float("inf")
CANCELLING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
SHORT = 0.030
"""Seconds that a command may take and still be done with without any library."""
START = 10.0
"""Seconds that the guardian may take to hear what it is to start."""
LATE = 0.1
"""Seconds between the call and the start of the run that are no more than what a busy machine takes."""
OUT_OF_MEMORY = b"supervise: cannot go on: out of memory; stopping the command\n"
RESERVE = 4 << 20
"""Bytes of address space for the end of a run for want of memory: for the modules that write it into the report and the
record, and for what they write.  The C library maps so much by itself (mallopt(3), M_MMAP_THRESHOLD), unmaps it when it
is given back, and pages that are never touched cost nothing."""
RECORD = 2.0
"""Seconds that the file system of the record may take to make it, or half of the first limit where that is less; then
the run goes on without."""
GLANCE = 0.004
"""Seconds after which we look for signals, as long as no thread takes them."""


UNDETACHED = "--detach: no record can be made, so output and end of the run would be lost"
_giving_up = _thread.allocate_lock()
"""The thread that gives the run up holds this lock."""


class Refusal(Exception):  # noqa: N818 - an answer to the caller, not an error of the program
    """The call cannot be carried out; its text is the whole message."""


class Launched:
    """A command on its way, with all that the runner needs to go on from here."""

    def __init__(self, request: "Request", told: int) -> None:
        self.request = request
        self.guardian: Guardian
        self.redaction: Redaction | None = None
        """What is to be hidden of the words; None where there is nothing by the look of them."""
        self.command, self.said = request.command, request.said
        """The words of the command and of the options as they are shown and recorded: without their secrets."""
        self.parent = os.getppid()
        self.mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
        """The signals that the caller blocks; read before supervise blocks any itself."""
        self.started = monotonic()
        """When the run began: the zero of its times."""
        self.started_at = time()
        """The same in epoch seconds."""
        self.run_id = _id_of(self.started_at)
        self.budget: float | None = None
        """When our part of the time of a run around us is over, in seconds of the run; None where there is none."""
        self.record: Record | None = None
        self.fork_again: Callable[[], None] = _nothing
        """Forks another guardian, which does what the hanging one was to do, but makes no record."""
        self.distant: set[str] = set()
        """The options whose file is on a file system that may stop answering."""
        self.write_until = 0.0
        """Until when the last writes of the run are waited for, by CLOCK_MONOTONIC."""
        self.file_workers: list[FileWorker] = []
        """The processes that write what is on such a file system."""
        self.hung: set[int] = set()
        """The guardians that were given up, and may not have gone yet."""
        self.plan: Plan | None = None
        """The record that the guardian is making, and has not told of."""
        self.log: LogFile | DistantSink | None = None
        self.copier: Copier | None = None
        """The way of the output to both."""
        self.heard: list[tuple[object, ...]] = []
        """Messages of the guardian that came before the runner."""
        self.early: set[int] = set()
        """Signals that may have come before the command was there: it did not get them from the terminal."""
        self.posted: list[tuple[object, ...]] = []
        """What the threads posted before the runner came."""
        self.short_until = 0.0
        """When the command is no short one any more, by CLOCK_MONOTONIC."""
        self.channel: Channel
        """To whoever holds the command."""
        self.silence: Channel | None = None
        """The other end of the line, where nobody is there any more."""
        self.settled: int | None = None
        """The exit code of a run whose end is written: no fault after that changes what the run has come to."""
        self.reserve = b""
        """Memory that is given back first where the run is refused or given up."""
        self.sources: tuple[int, ...] = ()
        """Our ends of the command's stdout and stderr, or of its terminal."""
        self.spoke_first = -1
        """The source in which bytes were seen before any were in another one; -1 where that is not known."""
        self.inbox: Inbox
        self.outlets: tuple[Outlet, Outlet]
        self.pumps: tuple[Pump, ...] = ()
        self.shown = {"stdout": 0, "stderr": 0, "both": 0}
        """Bytes of the attempts that are over."""
        self.spool: Spool | None = None
        """With --retry-output last: the output that is not shown yet."""
        self.stdin: InitialStdin | None = None
        """Standard input as it was before the first attempt, where there may be several attempts."""
        self.kept: list[tuple[str, int]] = []
        """The streams, and copies of the read ends of their pipes, that others held when the drain was over."""
        self.messages: Outlet
        """Where our own words go."""
        self.overlay: Overlay | None = None
        """The same with the line of --live over it, where that can be drawn."""
        self.cut = -1
        """Closed, it tells the pumps to wait for nothing more."""
        self.terminal: Caller | None = None
        """The terminal of the caller, where supervise is in its foreground."""
        self.relay: Relay | None = None
        """The relay of --pty, between the caller's terminal and the command's own."""
        self.signs: Detector | None = None
        """Of access, where any but output is asked for."""
        self.variables: dict[bytes, bytes | None] = {}
        """What the command's environment has beside ours, and, as None, has not."""
        self.notify: NotifySocket | None = None
        """What the command says of itself, where it was asked to."""
        self.events = -1
        """The descriptor of the events file; -1 also where a file worker has it."""
        self.distant_events: DistantOutlet | None = None
        """The way to the file worker that has the events file."""
        self.told = told
        """With --detach: where who called us waits for the command to be there; -1 when that has been told."""
        self.cgroup: CommandCgroup | None = None
        """What falls on the command where we and the guardian are killed both."""
        self.lock: Lock | None = None
        """The lock of --lock, held until this process and the guardian are gone."""
        self.unrecorded = ""
        """Why there is no record; empty where there is one or none is wanted."""
        self.turned_away: TurnedAway | None = None
        """Why the run does not begin at all: its lock was not to be had."""
        self._root = 0
        """The command's pid."""
        self.own_holder_trigger = -1
        """Written to, it wakes the holder that we are ourselves, should the guardian have died."""

    def take_posted(self) -> "list[tuple[object, ...]]":
        """All that the threads have to tell, from the start on."""
        posted, self.posted = self.posted, []
        return posted + self.inbox.take()

    def has_heard(self, word: str) -> bool:
        """The guardian has sent such a message."""
        return any(message[0] == word for message in self.heard)

    def hear_record(self, message: "tuple[Any, ...]", fds: "list[int]") -> None:
        """Take note that the guardian has made the record, or has said why there is none."""
        plan, self.plan = self.plan, None
        self.guardian.forget_permit()
        if message[0] == "unrecorded":
            self.unrecorded = message[1]
        if plan:
            self.record = plan.made(self.guardian.pid, message, fds)
            if self.record and self.record.file_worker:
                self.file_workers.append(self.record.file_worker)
        if self.record:
            self.record.bounds = tuple(self.request.values[f"records_{what}"] for what in ("age", "number", "max"))

    def hear_start(self, root: int) -> None:
        """The command is there: that is noted, and who called us need not wait any more, if they do."""
        if self.record and root != self._root:
            self.record.note_root(root)
        self._root = root
        if self.told >= 0:
            from supervise.launch import detach

            detach.tell(self.told, self.run_id)
            self.told = -1

    @property
    def is_detached(self) -> bool:
        """We have neither a terminal nor a reader."""
        return bool(self.request.values["detach"])

    def take_terminal(self) -> None:
        """With --pty: the keys are the command's, as long as we are in the foreground."""
        assert self.relay
        self.relay.copy_size()
        if self.guardian.has_terminal and self.terminal is None:
            # Started in the background, we have not seen the terminal yet as it is for us.
            from supervise.terminal import caller

            self.terminal = caller.share(is_commands=False)
            if self.terminal:
                self.channel.send("terminal", self.terminal.facts, fds=self.terminal.opened)
        self.relay.look(self.terminal)

    def give_terminal_back(self) -> None:
        """Give the terminal back to the caller, as it was."""
        if self.relay:
            self.relay.finish()
        if self.terminal:
            self.terminal.restore()

    def note_end(self) -> None:
        """Note that the command has ended, or never was: with --pty its terminal is kept no longer."""
        if self.relay:
            self.relay.end()

    def hide_line(self) -> None:
        """The one of --live."""
        if self.overlay:
            self.overlay.hide()

    def keep_reserve(self) -> None:
        """Keep the memory that the words take with which a run ends where there is no more."""
        # Of zeros, which calloc(3) does not write.
        self.reserve = bytes(RESERVE)

    def tell_unread(self, number: int) -> None:
        """Tell the guardian that the supervisor closes its end of the pipe with that inode number."""
        self.channel.send("unread", number)

    def own_children(self) -> "set[int]":
        """Return the children of the supervisor that have nothing to do with the command's tree."""
        return {*(one.pid for one in self.file_workers), *([self.cgroup.watcher] if self.cgroup else [])}

    def bound_writing(self, seconds: float) -> None:
        """Note that the run is over: no file system that does not answer is waited for longer than that."""
        self.write_until = monotonic() + seconds
        for file_worker in self.file_workers:
            file_worker.bound(seconds, self.is_hurried)

    def is_hurried(self) -> bool:
        """Return whether a signal has come since the run was over: then a slow file system is waited for no more."""
        if not _signal.sigpending().isdisjoint(CANCELLING):
            return True
        return bool(self.pumps) and self.inbox.has_signal(CANCELLING)

    def dismiss_deputies(self) -> None:
        """Let the file workers go: all is written that can be."""
        for file_worker in self.file_workers:
            file_worker.hang_up()
        for file_worker in self.file_workers:
            file_worker.await_end()
        if self.file_workers:
            from supervise.process.file_worker import DEATH_SECONDS

            until = monotonic() + DEATH_SECONDS
            for file_worker in self.file_workers:
                file_worker.await_death(until)

    def first_limit(self) -> float:
        """Return the first limit of the run, in seconds of it; infinity where there is none."""
        values = self.request.values
        first = values["timeout"] if values["access_timeout"] is None else values["access_timeout"]
        return min((limit for limit in (first, self.budget, values["total_timeout"]) if limit is not None), default=inf)

    def holder(self) -> int:
        """The pid of whoever holds the command."""
        return os.getpid() if self.own_holder_trigger >= 0 else self.guardian.pid

    def wait_for_channel(self, seconds: float) -> bool:
        """Wait, at most so long, for a message of whoever holds the command."""
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def _nothing() -> None:
    """Do nothing."""


def detach(request: "Request") -> int:
    """Go on in a process of our own; returns where its caller waits for the command to be there."""
    from supervise.launch import detach

    try:
        return detach.leave()
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        why = f"cannot go on in a process of its own: {reason_of(error)}{where}"
        refuse(Launched(request, -1), why)


def run(request: "Request", on_lost: "OnLost", told: int = -1, began: "float | None" = None) -> Launched:
    """Start the command.  Where nothing is left to do for a short run, this process ends here as its command did.

    The guardian calls `on_lost` when the supervisor dies.  `began`: the supervisor's start, by CLOCK_MONOTONIC.
    """
    launched = Launched(request, told)
    if began is not None and launched.started - began > LATE:
        # A configuration did not come in time.  The limits count from the call.
        launched.started_at -= launched.started - began
        launched.started = began
    try:
        if sys.platform != "linux":
            # The refusal comes before the lock, the report and the log, which rest on calls that Linux alone has.
            why = "without Linux's subreaper no end of its tree could be promised"
            raise Refusal(f"cannot run a command on {sys.platform}: {why}")
        _say_hints(request)
        values = request.values
        _redact(launched)
        if request.notice and not values["quiet"]:
            from supervise.launch import run_record

            run_record.warn(request.notice)
        if values["report"] or values["events"] or values["lock"] or values["log"] or DEADLINE in os.environ:
            from supervise.launch import admission

            admission.admit(launched)
            if launched.turned_away:
                return launched
        # Before there is a record: a run that cannot have it has nothing that would have to be ended.
        launched.keep_reserve()
        _start(launched, on_lost)
    except (OSError, ImportError, MemoryError, BadValueError, Refusal) as error:
        _refuse_start(launched, error)
    launched.short_until = monotonic() + SHORT
    try:
        # Meanwhile the guardian starts the command, which need not wait for this file.
        from supervise.launch import short_run
    except (OSError, ImportError, MemoryError) as error:
        if launched.plan and launched.wait_for_channel(RECORD):
            # The record is there before the command.  It is to have the end of the run, too.
            hear(launched)
        take_back(launched, error)
    if short_run.is_done_in_silence(launched):
        short_run.end_plainly(launched)
    if launched.plan:
        try:
            from supervise.launch import registration

            registration.wait(launched)
        except (OSError, ImportError, MemoryError, Refusal) as error:
            _refuse_start(launched, error)
    return launched


def _say_hints(request: "Request") -> None:
    if request.hints and not request.values["quiet"]:
        from supervise.launch import run_record

        for hint in request.hints:
            run_record.warn(hint)


def _refuse_start(launched: Launched, error: Exception) -> "NoReturn":
    if launched.notify:
        launched.notify.remove()
    if launched.relay:
        launched.give_terminal_back()
    if hasattr(launched, "guardian"):
        launched.guardian.dismiss()
    is_whole = isinstance(error, (BadValueError, Refusal))
    refuse(launched, str(error) if is_whole else f"cannot start: {reason_of(error)}")


MARKS = ("passw", "token", "secret", "key", "://")
"""Marks of secrets: where the lower-case words have none, no rule finds a secret in them (a test holds them equal to
those of the rules), so an ordinary run does not load the rules."""


def _redact(launched: Launched) -> None:
    """Take the secrets out of the words that are shown; the command itself runs with the real ones."""
    request = launched.request
    text = BETWEEN.join((*request.command, *request.said.values())).lower()
    if not (request.values["redact"] or request.values["keep_env"] or any(mark in text for mark in MARKS)):
        return
    from supervise.text.redaction import Redaction

    launched.redaction = redaction = Redaction(request.values["redact"])
    launched.command = redaction.words(request.command)
    launched.said = {
        name: BETWEEN.join(map(redaction.word, word.split(BETWEEN))) for name, word in request.said.items()
    }


def take_back(launched: Launched, error: Exception) -> "NoReturn":
    """It cannot go on: whatever has been started of the command is killed, not left alone, and that is said."""
    launched.give_terminal_back()
    launched.channel.send("kill")
    # A command that was never born is told of before anything is killed.
    if not launched.has_heard("failed") and not launched.has_heard("empty"):
        _hear_the_kill(launched)
    launched.guardian.dismiss()
    if launched.notify:
        launched.notify.remove()
    refuse(launched, f"cannot start: {reason_of(error)}")


def _hear_the_kill(launched: Launched) -> None:
    # The kill is bounded.
    for message in launched.guardian.hear_last():
        launched.heard.append(message)
        if message[0] in ("empty", "failed"):
            break


def refuse(launched: Launched, why: str) -> "NoReturn":
    """Say the refusal on stderr, end the run with the outcome `error` wherever that is told, and exit with 125."""
    launched.reserve = b""
    _say(why)
    try:
        # Where descriptors are short, what is loaded and written now needs those of the line.
        if hasattr(launched, "line"):
            launched.channel.close()
        if not launched.pumps:
            for fd in launched.sources:
                os.close(fd)
        from supervise.launch import refusal

        refusal.settle(launched, why)
    except (OSError, ImportError, MemoryError, RuntimeError) as error:
        _say(f"that is not told in the report or on record: {reason_of(error) or 'out of memory'}")
    os._exit(EXIT_ERROR)


def give_up(launched: Launched, why: str) -> "NoReturn":
    """End the run after a fault of supervise: say so and exit with 125.

    The guardian takes this for the supervisor's death: it stops the command and writes the end of the run.  The
    supervisor waits for that.  Where the end is written already, the code is what that says, and nothing more is said.
    """
    if not _giving_up.acquire(blocking=False):
        # Another thread gives the run up already, and ends this process.
        _giving_up.acquire()
    code = EXIT_ERROR if launched.settled is None else launched.settled
    is_said = launched.settled is not None
    launched.reserve = b""
    try:
        launched.hide_line()
        if not is_said:
            _say(why)
            is_said = True
        launched.channel.send("fault", why)
        launched.channel.end()
        try:
            launched.guardian.wait()
            if launched.cgroup:
                # The watcher of the cgroup hears the same, and removes the cgroup.
                launched.cgroup.let_watcher_kill()
        except OSError:
            # The guardian has died before the supervisor: the command is the supervisor's now, and falls to init.
            pass
        except MemoryError:
            _wait_plainly(launched.guardian.pid)
    finally:
        # The line is written also where memory is short for all that.
        if not is_said:
            os.write(2, OUT_OF_MEMORY)
        os._exit(code)


def _wait_plainly(pid: int) -> None:
    """Reap the guardian with what takes no memory: it is continued, but not let out of a frozen cgroup.

    Raises ChildProcessError.
    """
    while not os.waitpid(pid, os.WNOHANG)[0]:
        os.kill(pid, _signal.SIGCONT)
        sleep(GLANCE)


def _say(text: str) -> None:
    try:
        from supervise.text import stderr

        stderr.say(text)
    except (OSError, ImportError):
        # No descriptor is left to load the library with.
        try:
            os.write(2, "".join(one if one.isprintable() else "?" for one in f"supervise: {text}").encode() + b"\n")
        except OSError:
            pass


def _id_of(epoch: float) -> str:
    """The id of a run that began then: ids sort by time."""
    return f"{strftime('%Y%m%d-%H%M%S', gmtime(int(epoch)))}-{int(epoch % 1 * 1e6):06}{os.urandom(2).hex()}"


def reason_of(error: Exception) -> str:
    """Return what is the matter, without where, as `text.stderr.reason_of` does.

    This one is for when no library can be loaded any more: it is here before memory or descriptors run out.
    """
    if isinstance(error, MemoryError) or "failed to map segment" in str(error):
        # The second text is what the dynamic loader says of a library for which there is no memory (dlopen(3)).
        return "out of memory"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, RuntimeError) and "thread" in text:
        return "no more threads can be had"
    # A module that cannot be loaded: what is the matter stands at the end.
    return text.rpartition(": ")[2].lower()


def _start(launched: Launched, on_lost: "OnLost") -> None:
    from supervise.process import guardian

    values = launched.request.values
    first: list[Message] = []
    has_terminal = guardian.has_terminal()
    found_again = None
    if has_terminal:
        from supervise.terminal import caller

        found_again = caller.found_again
        # As it is before the command has it.
        launched.terminal = caller.share(is_commands=not values["pty"])
        if launched.terminal:
            first.append((("terminal", launched.terminal.facts), launched.terminal.opened))
    launched.variables = _variables(launched)
    if values["retries"]:
        from supervise.process.stdin import InitialStdin

        launched.stdin = InitialStdin()
    if values["name"] or RECOVERED_FROM in os.environ:
        from supervise.launch import run_record

        if run_record.was_predecessor_lost(values):
            launched.variables[b"SUPERVISE_PREVIOUS_OUTCOME"] = b"lost"
    if values["notify"] or "notify" in values["access_on"]:
        launched.notify = _hear_notify(launched)
        # Whoever is left of us when we are killed removes it.
        first.append((("socket", launched.notify.folder, launched.run_id), ()))
    if not values["no_record"]:
        from supervise.launch import run_record

        launched.plan = run_record.plan(
            launched.run_id,
            launched.started_at,
            launched.request,
            command=launched.command,
            said=launched.said,
            redaction=launched.redaction,
        )
    _fork_guardian(launched, first, has_terminal, on_lost, found_again)


def _fork_guardian(
    launched: Launched,
    first: "list[Message]",
    has_terminal: bool,
    on_lost: "OnLost",
    found_again: "FoundAgain | None",
) -> None:
    """Fork the guardian, which makes the record and starts the command; `first` is what the guardian is told before."""
    from supervise.process import guardian

    stdio, tty = open_stdio(launched)
    spawn = ("spawn", launched.request.command, launched.variables, tty)
    is_recorded = launched.plan is not None
    log = getattr(launched.log, "fd", -1)
    said = launched.notify.fileno() if launched.notify else -1
    unneeded = {launched.events, launched.told, log, said} - {-1}
    copies: tuple[int, ...] = ()
    if launched.relay:
        unneeded |= {*launched.sources, *launched.relay.descriptors}
    else:
        copies = launched.sources
    values = launched.request.values
    orders = ("orders", values["signal"], values["kill_after"], _facts(launched))
    words: list[Message] = [(orders, ()), *first]
    if is_recorded:
        # Before the command there is a record, and before that the guardian, which it names.
        words.append((("record",), ()))
    # A detached run has to be found again: without a record its command does not begin.
    is_awaited = launched.relay is not None or launched.is_detached
    if is_recorded and is_awaited:
        unneeded |= {*stdio} - {0}
    else:
        words.append((spawn, stdio))
    launched.fork_again = lambda: _fork_guardian(launched, first, has_terminal, on_lost, found_again)
    try:
        launched.guardian = guardian.fork(
            words,
            unneeded=unneeded,
            has_terminal=has_terminal,
            may_leave=not is_recorded and is_nothing_to_be_told(launched),
            mask=launched.mask,
            on_lost=on_lost,
            found_again=found_again,
            maker=launched.plan.make if launched.plan else None,
            copies=copies,
        )
    except OSError as error:
        raise Refusal(f"cannot start a guardian: {reason_of(error)}") from None
    launched.early = {*_signal.sigpending()}
    launched.channel = launched.guardian.channel
    if is_recorded and is_awaited:
        from supervise.launch import registration

        registration.wait(launched)
        if launched.hung:
            # Another guardian has the command now.
            for fd in {*stdio} - {0}:
                os.close(fd)
            return
    if launched.is_detached and not launched.record:
        launched.guardian.dismiss()
        raise Refusal(f"{UNDETACHED}: {launched.unrecorded or 'its guardian died'}")
    if launched.relay:
        # The terminal is taken as early as the guardian can restore it and all is said of the record: what is typed
        # from now on is the command's, key by key.
        launched.take_terminal()
    if is_recorded and is_awaited:
        launched.channel.send(*spawn, fds=stdio)
        # The words of a command can be longer than what the socket takes at once.
        launched.channel.flush(START)
    for fd in {*stdio} - {0}:
        os.close(fd)


def _facts(launched: Launched) -> "tuple[object, ...]":
    """What the guardian has to know should we die."""
    values = launched.request.values
    start = {
        "run_id": launched.run_id,
        "name": values["name"],
        "command": launched.command,
        "access_limit": values["access_timeout"] is not None,
        "rerun": values["on_interrupt"] == "rerun",
        "events": values["events"],
    }
    times = launched.started_at, launched.started
    return (*times, os.getpid(), start, values["report"], launched.plan is not None)


def open_stdio(launched: Launched) -> "tuple[tuple[int, int, int], str]":
    """What the command's stdin, stdout and stderr are to be, and the name of its terminal; ours are in `sources`.

    Raises OSError.
    """
    if not launched.request.values["pty"]:
        return _pipes(launched)
    from supervise.launch import own_terminal

    return own_terminal.open_stdio(launched)


def _pipes(launched: Launched) -> "tuple[tuple[int, int, int], str]":
    launched.spoke_first = -1
    out, out_sink = os.pipe()
    if _is_one_stream(launched):
        launched.sources = (out,)
        return (0, out_sink, out_sink), ""
    err, err_sink = os.pipe()
    launched.sources = out, err
    return (0, out_sink, err_sink), ""


def _is_one_stream(launched: Launched) -> bool:
    """The command gets one pipe for stdout and stderr, which keeps what it writes in its own order (--streams)."""
    values = launched.request.values
    if values["streams"] != "auto":
        return bool(values["streams"] == "together")
    if values["idle_on"] != "both":
        return False
    if launched.is_detached:
        # The output goes into the record and nowhere else.
        return True
    from supervise.process import system

    return system.is_same_file(1, 2)


def _hear_notify(launched: Launched) -> "NotifySocket":
    from supervise.access.notify import NotifySocket
    from supervise.control import sockets

    try:
        found = sockets.bind_notify(launched.run_id)
    except OSError as error:
        raise Refusal(f"cannot have a socket for sd_notify: {reason_of(error)}") from None
    notify = NotifySocket(*found)
    launched.variables |= notify.variables(launched.request.values["idle_timeout"])
    return notify


def hear(launched: Launched) -> bool:
    """Take one message, if there is one; False where the guardian is gone."""
    try:
        got = launched.channel.receive()
    except BlockingIOError:
        return True
    if got is not None:
        word = got[0][0]
        if word in ("recorded", "unrecorded"):
            launched.hear_record(*got)
            return True
        launched.heard.append(got[0])
        if word == "started":
            launched.hear_start(got[0][1])
        elif word in ("exited", "failed"):
            launched.note_end()
    return got is not None


def is_nothing_to_be_told(launched: Launched) -> bool:
    """Where the command ends by itself, nobody wants to hear of it, and it is not run again."""
    values = launched.request.values
    is_told = values["report"] or values["events"] or values["verbose"] or values["success_codes"] != (0,)
    return not is_told and not values["retries"]


def _variables(launched: Launched) -> "dict[bytes, bytes | None]":
    """What the command's environment has beside ours, and, as None, has not."""
    variables: dict[bytes, bytes | None] = {os.fsencode(name): None for name in launched.request.taken}
    if is_lc_ctype_ours():
        variables[b"LC_CTYPE"] = None
    if RECOVERED_FROM in os.environ:
        variables[RECOVERED_FROM.encode()] = None
    variables[b"SUPERVISE_RUN_ID"] = launched.run_id.encode()
    # What an outer run has said of itself is not true of this one.
    variables[b"SUPERVISE_PREVIOUS_OUTCOME"] = None
    variables.update(of_attempt(launched, 1))
    return variables


def of_attempt(launched: Launched, number: int) -> "dict[bytes, bytes | None]":
    """The variables of an attempt that begins now."""
    latest = _latest(launched.request.values, monotonic() - launched.started, launched.budget)
    # In a call of `date` or a script's sum whole seconds are enough, but not for a limit of two.
    deadline = None if latest is None else f"{time() + latest - (monotonic() - launched.started):.3f}".encode()
    return {b"SUPERVISE_ATTEMPT": b"%d" % number, DEADLINE.encode(): deadline}


def _latest(values: "Mapping[str, Any]", begin: float, outer: "float | None") -> "float | None":
    """The latest instant that an attempt may live, in seconds of the run; None where there is none."""
    bounds = [values["total_timeout"], outer]
    if values["timeout"] is not None:
        bounds.append(begin + (values["access_timeout"] or 0.0) + values["timeout"] + values["max_extension"])
    return min((bound for bound in bounds if bound is not None), default=None)


def is_lc_ctype_ours() -> bool:
    """Return whether Python has set LC_CTYPE, in the C locale (PEP 538); the command shall not see that."""
    from supervise.process import spawn

    return b"LC_CTYPE" in os.environb and not spawn.had_lc_ctype()
