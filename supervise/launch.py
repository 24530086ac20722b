"""The way in: spawn, first bytes, and for a short command the end.

What is imported at the top is loaded before the command is there: built-in modules and small files of ours alone.
What moves the command's bytes is loaded when there are any, or when it turns out not to be done at once.
"""

import _signal
import os
import select
import sys
from time import gmtime, monotonic, strftime, time

from supervise.options import DEADLINE, RECOVERED_FROM
from supervise.values import LONGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

    from supervise.argv import Request
    from supervise.locking import TurnedAway
    from supervise.process.copying import Copier
    from supervise.process.guardian import Guardian, Message, OnLost
    from supervise.process.inbox import Inbox
    from supervise.process.line import Line
    from supervise.process.notify import Notify
    from supervise.process.outlet import Outlet
    from supervise.process.pump import Pump
    from supervise.process.signs import Signs
    from supervise.process.terminal import Own, Shared
    from supervise.runs.log import Log
    from supervise.runs.records import Record

SHORT = 0.030
"""Seconds that a command may take and still be done with without any library."""
HEADWAY = 1.0
"""Seconds, and our own grace, that we are to be done before a run around us is."""
GLANCE = 0.004
"""Seconds after which we look for signals, as long as no thread takes them."""


class Refusal(Exception):  # noqa: N818 - it is what it says
    """The call cannot be carried out; its text is the whole message."""


class Launched:
    """A command on its way, with all that the runner needs to go on from here."""

    def __init__(self, request: "Request", told: int) -> None:
        self.request = request
        self.guardian: Guardian
        self.parent = os.getppid()
        self.started = monotonic()
        """When the run began: the zero of its times."""
        self.started_at = time()
        """The same in epoch seconds."""
        self.run_id = _id_of(self.started_at)
        self.outer: float | None = None
        """When our part of the time of a run around us is over, in seconds of the run; None where there is none."""
        self.record: Record | None = None
        self.log: Log | None = None
        self.copier: Copier | None = None
        """The way of the output to both."""
        self.heard: list[tuple[object, ...]] = []
        """Messages of the guardian that came before the runner."""
        self.early: set[int] = set()
        """Signals that may have come before the command was there: it did not get them from the terminal."""
        self.posted: list[tuple[object, ...]] = []
        """What the threads posted before the runner came."""
        self.line: Line
        """To whoever holds the command."""
        self.silence: Line | None = None
        """The other end of the line, where nobody is there any more."""
        self.sources: tuple[int, ...] = ()
        """Our ends of the command's stdout and stderr, or of its terminal."""
        self.inbox: "Inbox"
        self.outlets: "tuple[Outlet, Outlet]"
        self.pumps: "tuple[Pump, ...]" = ()
        self.shown = {"stdout": 0, "stderr": 0}
        """Bytes of the attempts that are over."""
        self.messages: "Outlet"
        """Where our own words go."""
        self.cut = -1
        """Closed, it tells the pumps to wait for nothing more."""
        self.cut_heard = -1
        """Its other end, at which they hear that."""
        self.terminal: Shared | None = None
        self.own_terminal: Own | None = None
        """With --pty."""
        self.signs: Signs | None = None
        """Of access, where any but output is asked for."""
        self.variables: dict[bytes, bytes | None] = {}
        """What the command's environment has beside ours, and, as None, has not."""
        self.notify: Notify | None = None
        """What the command says of itself, where it was asked to."""
        self.events = -1
        """The descriptor of the events file."""
        self.told = told
        """With --detach: where who called us waits for the command to be there; -1 when that has been told."""
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

    def hear_start(self, root: int) -> None:
        """The command is there: that is noted, and who called us need not wait any more, if they do."""
        if self.record and root != self._root:
            self.record.note_root(root)
        self._root = root
        if self.told >= 0:
            from supervise import detaching

            detaching.tell(self.told, self.run_id)
            self.told = -1

    @property
    def is_detached(self) -> bool:
        """We have neither a terminal nor a reader."""
        return bool(self.request.values["detach"])

    def take_terminal(self) -> None:
        """With --pty: the keys are the command's, as long as we are in the foreground."""
        from supervise.process import terminal

        assert self.own_terminal
        self.own_terminal.copy_size()
        if self.guardian.has_terminal and self.terminal is None:
            # Started in the background, we have not seen the terminal yet as it is for us.
            self.terminal = terminal.share()
            if self.terminal:
                self.line.send("terminal", self.terminal.facts)
        if self.terminal:
            terminal.make_raw()

    def give_terminal_back(self) -> None:
        """To whoever has started us, as it was."""
        if self.terminal:
            self.terminal.restore()

    def child_died(self) -> None:
        """SIGCHLD came: for whoever holds the command, if that is us now; else for the orphans that PID 1 must reap."""
        if self.own_holder_trigger >= 0:
            os.write(self.own_holder_trigger, b"!")
        elif os.getpid() == 1:
            self._reap_orphans()

    def _reap_orphans(self) -> None:
        try:
            while (pid := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if pid.si_pid == self.guardian.pid or self._is_waited_for(pid.si_pid):
                    # Its end shows on the line, or to whoever waits for it.
                    return
                os.waitpid(pid.si_pid, 0)
        except ChildProcessError:
            pass

    def _is_waited_for(self, pid: int) -> bool:
        if self.signs is None:
            return False
        from supervise.process import helpers

        return helpers.is_one(pid)

    def holder(self) -> int:
        """The pid of whoever holds the command."""
        return os.getpid() if self.own_holder_trigger >= 0 else self.guardian.pid

    def wait_for_line(self, seconds: float) -> bool:
        """Wait, at most so long, for a message of whoever holds the command."""
        poll = select.poll()
        poll.register(self.line, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def detach() -> int:
    """Go on in a process of our own; returns where its caller waits for the command to be there."""
    from supervise import detaching

    try:
        return detaching.leave()
    except OSError as error:
        refuse(f"cannot go on in a process of its own: {(error.strerror or '').lower()}")


def run(request: "Request", on_lost: "OnLost", told: int = -1) -> Launched:
    """Start the command.  Where nothing is left to be done for a short one, this process ends here as it did.

    `on_lost` is for the guardian, should we die.
    """
    launched = Launched(request, told)
    try:
        _check_report(request)
        _check_signs(request)
        launched.events = _open_events(request)
        # The wait for a lock is within it, too.
        launched.outer = _outer_deadline(request.values["kill_after"], launched.started_at)
        if request.values["lock"]:
            _take_lock(launched)
            if launched.turned_away:
                return launched
        launched.log = _open_log(request)
        _start(launched, on_lost)
    except (OSError, ImportError, Refusal) as error:
        if launched.notify:
            launched.notify.remove()
        refuse(str(error) if isinstance(error, Refusal) else f"cannot start: {_why(error)}")
    until = monotonic() + SHORT
    if _is_done_in_silence(launched, until):
        _end_plainly(launched)
    if not launched.guardian.keep():
        _hear_last_words(launched)
    try:
        _start_threads(launched)
    except (OSError, RuntimeError, ImportError) as error:
        launched.give_terminal_back()
        _take_back(launched)
        if launched.notify:
            launched.notify.remove()
        refuse(f"cannot start: {_why(error)}")
    _watch(launched, until)
    _end_plainly(launched)
    return launched


def refuse(why: str) -> "NoReturn":
    """Say it on stderr and exit with 125."""
    try:
        os.write(2, f"supervise: {why}\n".encode(errors="surrogateescape"))
    except OSError:
        pass
    os._exit(125)


def _id_of(epoch: float) -> str:
    """The id of a run that began then: ids sort by time."""
    return f"{strftime('%Y%m%d-%H%M%S', gmtime(int(epoch)))}-{int(epoch % 1 * 1e6):06}{os.urandom(2).hex()}"


def _why(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    # A module that cannot be loaded: what is the matter stands at the end.
    return text.rpartition(": ")[2].lower()


def _take_back(launched: Launched) -> None:
    """Whatever has been started of the command is killed: it is not left alone."""
    launched.line.send("kill")
    # The kill is bounded.
    while not launched.has_heard("empty") and not launched.has_heard("failed"):
        got = launched.line.receive(wait=True)
        if got is None:
            break
        launched.heard.append(got[0])
    launched.guardian.dismiss()


def _start(launched: Launched, on_lost: "OnLost") -> None:
    if sys.platform != "linux":
        raise Refusal(
            f"cannot run a command on {sys.platform}: without Linux's subreaper no end of its tree could be promised"
        )
    from supervise.process import guardian

    values, command = launched.request.values, launched.request.command
    first: list[Message] = [(("orders", values["signal"], values["kill_after"], _facts(launched)), ())]
    has_terminal = guardian.has_terminal()
    if has_terminal:
        from supervise.process import terminal

        # As it is before the command has it.
        launched.terminal = terminal.share()
        if launched.terminal:
            first.append((("terminal", launched.terminal.facts), ()))
    stdio, tty = open_stdio(launched)
    launched.variables = _variables(launched)
    if values["name"] or RECOVERED_FROM in os.environ:
        _hear_of_predecessor(launched)
    if values["notify"] or "notify" in values["access_on"]:
        launched.notify = _hear_notify(launched)
        # Whoever is left of us when we are killed removes it.
        first.append((("socket", launched.notify.folder, launched.run_id), ()))
    spawn = ("spawn", command, launched.variables, tty)
    log = launched.log.fd if launched.log else -1
    said = launched.notify.fileno() if launched.notify else -1
    unneeded = {*launched.sources, launched.events, launched.told, log, said} - {-1}
    if values["no_record"]:
        first.append((spawn, stdio))
    else:
        # Before the command there is a record, and before that the guardian, which it names.
        unneeded |= {*stdio} - {0}
    try:
        launched.guardian = guardian.fork(
            first,
            unneeded=unneeded,
            has_terminal=has_terminal,
            may_leave=values["no_record"] and _is_nothing_to_be_told(launched),
            on_lost=on_lost,
        )
    except OSError as error:
        raise Refusal(f"cannot start a guardian: {(error.strerror or '').lower()}") from None
    launched.early = {*_signal.sigpending()}
    launched.line = launched.guardian.line
    if not values["no_record"]:
        try:
            launched.record = _begin_record(launched)
        except ImportError:
            launched.guardian.dismiss()
            raise
        launched.line.send(*spawn, fds=stdio)
    for fd in {*stdio} - {0}:
        os.close(fd)


def _take_lock(launched: Launched) -> None:
    """Until we end, and the guardian: the descriptor is left open."""
    from supervise import locking

    try:
        locking.take(launched.request.values, launched.run_id, locking.cancelling(), launched.outer, launched.events)
    except locking.TurnedAway as why:
        launched.turned_away = why
    except locking.UnlockableError as error:
        raise Refusal(str(error)) from None
    else:
        # The wait is no part of the run, but of what the run around us has left.
        began, launched.started, launched.started_at = launched.started, monotonic(), time()
        if launched.outer is not None:
            launched.outer -= launched.started - began


def _facts(launched: Launched) -> "tuple[object, ...]":
    """What the guardian has to know should we die."""
    values = launched.request.values
    start = {
        "run_id": launched.run_id,
        "name": values["name"],
        "command": launched.request.command,
        "access_limit": values["access_timeout"] is not None,
        "rerun": values["on_interrupt"] == "rerun",
        "events": values["events"],
    }
    times = launched.started_at, launched.started
    return (*times, os.getpid(), start, values["report"], not values["no_record"])


def _hear_of_predecessor(launched: Launched) -> None:
    """The last run of that name, or the one that this runs again, was lost: that is said, and the command knows it."""
    from supervise import recording

    said = recording.predecessor(launched.request.values["name"])
    if said and not launched.request.values["quiet"]:
        recording.warn(said)
    if said or recording.recovered_from():
        launched.variables[b"SUPERVISE_PREVIOUS_OUTCOME"] = b"lost"


def open_stdio(launched: Launched) -> "tuple[tuple[int, int, int], str]":
    """What the command's stdin, stdout and stderr are to be, and the name of its terminal; ours are in `sources`.

    Raises OSError.
    """
    return _terminal_of_its_own(launched) if launched.request.values["pty"] else _pipes(launched)


def _pipes(launched: Launched) -> "tuple[tuple[int, int, int], str]":
    out, out_sink = os.pipe()
    err, err_sink = os.pipe()
    launched.sources = out, err
    return (0, out_sink, err_sink), ""


def _terminal_of_its_own(launched: Launched) -> "tuple[tuple[int, int, int], str]":
    from supervise.process import terminal

    if launched.own_terminal:
        launched.own_terminal.open()
    else:
        launched.own_terminal = terminal.Own()
    own = launched.own_terminal
    launched.sources = (own.ours,)
    return (own.theirs,) * 3, own.name


def _is_done_in_silence(launched: Launched, until: float) -> bool:
    """Wait as long as the command is silent and nobody sends us a signal; True where it has ended, and that is all."""
    if launched.own_terminal or launched.is_detached:
        return False
    poll = select.poll()
    for source in launched.sources:
        poll.register(source, select.POLLIN)
    silent = {*launched.sources}
    while silent:
        left = until - monotonic()
        if left <= 0 or _signal.sigpending():
            return False
        ready = poll.poll(min(left, GLANCE) * 1000)
        if any(events & select.POLLIN for _, events in ready):
            return False
        for source, _ in ready:
            poll.unregister(source)
            silent.remove(source)
    # Nobody holds its pipes any more.
    while not _has_ended(launched):
        left = until - monotonic()
        if left <= 0 or not launched.wait_for_line(min(left, GLANCE)) or not _hear(launched):
            return False
    return True


def _start_threads(launched: Launched) -> None:
    """Take signals and bytes from now on.

    Raises RuntimeError where there can be no more threads.
    """
    from supervise.process import outlet, signals
    from supervise.process.inbox import Inbox

    launched.inbox = Inbox()
    launched.early &= {*signals.CANCELLING}
    # First, since whoever sends one may be gone a moment later.
    signals.take(signals.choose(), launched.inbox)
    launched.outlets = outlet.of_stdio()
    launched.messages = launched.outlets[1]
    if launched.is_detached:
        launched.outlets = (launched.outlets[0],) * 2
    launched.copier = _copier_of(launched)
    start_pumps(launched)


def start_pumps(launched: Launched) -> None:
    """Take the bytes of the command that is being started, and hand it the keys.

    Raises OSError, and RuntimeError where there can be no more threads.
    """
    from supervise.process.pump import Pump

    launched.cut_heard, launched.cut = os.pipe()
    before = launched.pumps
    launched.pumps = tuple(
        Pump(stream, source, sink, launched.cut_heard, launched.inbox, launched.copier, before)
        for stream, source, sink in zip(("stdout", "stderr"), launched.sources, launched.outlets, strict=False)
    )
    if launched.notify:
        launched.notify.start(launched.inbox, launched.holder)
    if wanted := launched.request.values["access_on"]:
        _look_for_signs(launched, wanted)
    if launched.own_terminal:
        # Before the command's first word is seen: whoever waits for it types from then on.
        launched.take_terminal()
    for pump in launched.pumps:
        pump.start()
    if launched.own_terminal and not launched.is_detached:
        launched.own_terminal.start(launched.inbox)


def _hear_notify(launched: Launched) -> "Notify":
    from supervise.process.notify import Notify
    from supervise.runs import sockets

    try:
        found = sockets.bind_notify(launched.run_id)
    except (OSError, sockets.UnsafeError) as error:
        raise Refusal(f"cannot have a socket for sd_notify: {_why(error)}") from None
    notify = Notify(*found)
    launched.variables |= notify.variables(launched.request.values["idle_timeout"])
    return notify


def _look_for_signs(launched: Launched, wanted: "tuple[str, ...]") -> None:
    from supervise.process.signs import Signs

    launched.signs = Signs(wanted, launched.inbox)
    for pump, copy in zip(launched.pumps, launched.signs.copy_lines(), strict=False):
        pump.copy = copy


def _watch(launched: Launched, until: float) -> None:
    """Hear what comes until the command has ended and its bytes are through, or time is up."""
    poll = select.poll()
    poll.register(launched.line, select.POLLIN)
    poll.register(launched.inbox, select.POLLIN)
    while not (_has_ended(launched) and all(pump.has_ended for pump in launched.pumps)):
        left = until - monotonic()
        if left <= 0 or not poll.poll(left * 1000) or not _hear(launched):
            return
        launched.posted += launched.inbox.take()


def _hear(launched: Launched) -> bool:
    """Take one message, if there is one; False where the guardian is gone."""
    try:
        got = launched.line.receive()
    except BlockingIOError:
        return True
    if got is not None:
        launched.heard.append(got[0])
        if got[0][0] == "started":
            launched.hear_start(got[0][1])
    return got is not None


def _has_ended(launched: Launched) -> bool:
    return launched.has_heard("exited") or launched.has_heard("failed")


def _end_plainly(launched: Launched) -> None:
    """End as the command did, if it has ended by itself, with nobody left and nothing to be said or written."""
    status = None if _is_cancelled(launched) else _plain_end(launched)
    if status is None:
        return
    if launched.own_terminal:
        launched.give_terminal_back()
    launched.guardian.dismiss()
    os._exit(status)


def _is_cancelled(launched: Launched) -> bool:
    if _signal.sigpending() - {_signal.SIGCHLD}:
        return True
    if not launched.pumps:
        return False
    from supervise.process import signals

    launched.posted += launched.inbox.take()
    taken = {item[1] for item in launched.posted if item[0] == "signal"}
    return not taken.isdisjoint(signals.CANCELLING)


def _plain_end(launched: Launched) -> "int | None":
    """The exit code of a command of which there is nothing to be said."""
    if launched.signs or launched.notify or not _is_nothing_to_be_told(launched):
        return None
    if not all(pump.has_ended and not pump.failure for pump in launched.pumps):
        return None
    if launched.copier and (not launched.copier.flush() or launched.copier.has_failed):
        return None
    for message in launched.heard:
        match message:
            case ("exited", int(status), float(at), False) if os.WIFEXITED(status):
                code = os.WEXITSTATUS(status)
                return code if launched.record is None or _end_record(launched, launched.record, code, at) else None
    return None


def _is_nothing_to_be_told(launched: Launched) -> bool:
    """Where the command ends by itself, nobody wants to hear of it, and it is not run again."""
    values = launched.request.values
    is_told = values["report"] or values["events"] or values["verbose"] or values["success_codes"] != (0,)
    return not is_told and not values["retries"]


def _hear_last_words(launched: Launched) -> None:
    """The guardian has gone of a command that has ended: from here on its line is silent."""
    while (got := launched.line.receive(wait=True)) is not None:
        launched.heard.append(got[0])
    from supervise.process import line

    launched.line, launched.silence = line.pair()


def _begin_record(launched: Launched) -> "Record | None":
    """Before the command: whatever of it is found later is found with its record."""
    from supervise import recording

    request, pid = launched.request, launched.guardian.pid
    return recording.begin(launched.run_id, launched.started_at, request.command, request.values, request.said, pid)


def _copier_of(launched: Launched) -> "Copier | None":
    most = launched.request.values["log_max"]
    record = launched.record if most else None
    if not record and not launched.log:
        return None
    from supervise import recording

    return recording.copier(record, most, launched.log, lambda name, why: launched.inbox.post("uncopied", name, why))


def _end_record(launched: Launched, record: "Record", code: int, ended: float) -> bool:
    """Write the end of a short run; False where that could not be done."""
    from supervise import recording
    from supervise.runs.brief import Brief

    started = launched.started
    pid, spawned = next((message[1:3] for message in launched.heard if message[0] == "started"), (None, 0.0))
    first = min((pump.first for pump in launched.pumps if pump.count), default=None)
    brief = Brief(
        record.facts,
        launched.started_at,
        pid=pid,  # type: ignore[arg-type]
        spawned=spawned - started,  # type: ignore[operator]
        limit=launched.request.values["access_timeout"],
        first=None if first is None else first - started,
        code=code,
        ended=ended - started,
    )
    used = _ask_usage(launched)
    counts = {"stdout": 0, **{pump.stream: pump.count for pump in launched.pumps}}
    return recording.end(record, brief, monotonic() - started, used, counts)


def _ask_usage(launched: Launched) -> "dict[str, object]":
    """What the command has used, where the guardian says so at once."""
    launched.line.send("usage")
    while launched.wait_for_line(0.1) and (got := launched.line.receive()):
        if got[0][0] == "used":
            return {"cpu_seconds": round(got[0][1], 3), "max_rss_bytes": got[0][2]}
    return {}


def _check_report(request: "Request") -> None:
    """Say at once, before the command starts, that the report cannot be written."""
    path = request.values["report"]
    if path:
        from supervise.faces import report

        why = report.check(path)
        if why:
            raise Refusal(f"--report: {why}")


def _check_signs(request: "Request") -> None:
    """Say at once, before the command starts, that an expression is none."""
    expressions = tuple(sign for sign in request.values["access_on"] if sign.startswith("match="))
    if expressions:
        from supervise.process import lines

        why = lines.check(expressions)
        if why:
            raise Refusal(f"--access-on: {why}")


def _open_log(request: "Request") -> "Log | None":
    path = request.values["log"]
    if not path:
        return None
    from supervise.runs.log import Log

    try:
        return Log(path)
    except OSError as error:
        raise Refusal(f"--log: cannot write {path!r}: {(error.strerror or '').lower()}") from None


def _open_events(request: "Request") -> int:
    """Open the events file for appending; -1 where none was asked for."""
    path = request.values["events"]
    if not path:
        return -1
    try:
        is_fifo = os.path.exists(path) and os.stat(path).st_mode & 0o170000 == 0o010000
        # A FIFO is opened for reading too: without a reader the open would wait for one, for ever.
        return os.open(path, (os.O_RDWR if is_fifo else os.O_WRONLY) | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise Refusal(f"--events: cannot write {path!r}: {(error.strerror or '').lower()}") from None


def _variables(launched: Launched) -> "dict[bytes, bytes | None]":
    """What the command's environment has beside ours, and, as None, has not."""
    variables: dict[bytes, bytes | None] = {os.fsencode(name): None for name in launched.request.taken}
    # Python sets LC_CTYPE for itself in the C locale (PEP 538); the command shall not see that.
    if os.environb.get(b"LC_CTYPE") in (b"C.UTF-8", b"C.utf8", b"UTF-8") and not _had_lc_ctype():
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
    latest = _latest(launched.request.values, monotonic() - launched.started, launched.outer)
    # In a call of `date` or a script's sum whole seconds are enough, but not for a limit of two.
    deadline = None if latest is None else f"{time() + latest - (monotonic() - launched.started):.3f}".encode()
    return {b"SUPERVISE_ATTEMPT": b"%d" % number, DEADLINE.encode(): deadline}


def _latest(values: "Mapping[str, Any]", begin: float, outer: "float | None") -> "float | None":
    """The latest instant that an attempt may live, in seconds of the run; None where there is none."""
    bounds = [values["total_timeout"], outer]
    if values["timeout"] is not None:
        bounds.append(begin + (values["access_timeout"] or 0.0) + values["timeout"] + values["max_extension"])
    return min((bound for bound in bounds if bound is not None), default=None)


def _outer_deadline(kill_after: float, now: float) -> "float | None":
    """Our part of what a run around us has left, in seconds from now: there has to be time for our own end in it.

    The wall clock is asked this once.  A time that has passed says nothing: that run is over and has left us, or was
    given more by hand, or we are its clean-up.
    """
    try:
        left = float(os.environ[DEADLINE]) - now
    except (LookupError, ValueError):
        return None
    if not 0 < left < LONGEST:
        return None
    return left - min(kill_after + HEADWAY, left / 2)


def _had_lc_ctype() -> bool:
    """As the kernel has our first environment (proc(5), /proc/PID/environ)."""
    try:
        fd = os.open("/proc/self/environ", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        first = b"\0"
        while more := os.read(fd, 1 << 16):
            first += more
    finally:
        os.close(fd)
    return b"\0LC_CTYPE=" in first
