"""The way in: the guardian, the spawn, and for a short and silent command the end.

What is imported at the top is loaded before the command is there: built-in modules and small files of ours alone.
Each thing that only some runs ask for has a file of its own, loaded by them alone.
"""

import _signal
import _thread
import os
import sys
from time import monotonic, sleep, time

from supervise import EXIT_ERROR
from supervise.launch.state import Launched
from supervise.options.table import DEADLINE, RECOVERED_FROM, BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

    from supervise.launch.admission import TurnedAway
    from supervise.launch.state import Stdio
    from supervise.options.argv import Request
    from supervise.process.guardian import OnLost, Order, TerminalFinder
    from supervise.process.protocol import Facts, Orders, Spawn

SPAWN_SECONDS = 10.0
"""Seconds that the guardian may take to hear what it is to start."""
OUT_OF_MEMORY = b"supervise: cannot go on: out of memory; stopping the command\n"
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


def detach(request: "Request") -> int:
    """Go on in a process of our own; returns where its caller waits for the command to be there."""
    from supervise.launch import detach

    try:
        return detach.leave()
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        why = f"cannot go on in a process of its own: {reason_of(error)}{where}"
        refuse(Launched(request), why)


def run(
    request: "Request", on_lost: "OnLost", told: int = -1, began: "float | None" = None
) -> "tuple[Launched, TurnedAway | None]":
    """Start the command.  Where nothing is left to do for a short run, this process ends here as its command did.

    The guardian calls `on_lost` when the supervisor dies.  `began`: the supervisor's start, by CLOCK_MONOTONIC.
    """
    launched = Launched(request, told, began)
    try:
        if sys.platform != "linux":
            # The refusal comes before the lock, the report and the log, which rest on calls that Linux alone has.
            why = "without Linux's subreaper no end of its tree could be promised"
            raise Refusal(f"cannot run a command on {sys.platform}: {why}")
        _say_hints(request)
        values = request.values
        launched.info.hide_secrets()
        if request.notice and not values["quiet"]:
            from supervise.launch import run_record

            run_record.warn(request.notice)
        if values["report"] or values["events"] or values["lock"] or values["log"] or DEADLINE in os.environ:
            from supervise.launch import admission

            turned_away = admission.admit(launched)
            if turned_away:
                return launched, turned_away
        # Before there is a record: a run that cannot have it has nothing that would have to be ended.
        launched.files.keep_reserve()
        start = _start(launched, on_lost)
    except (OSError, ImportError, MemoryError, BadValueError, Refusal) as error:
        _refuse_start(launched, error)
    launched.child.begin_short_run()
    try:
        # Meanwhile the guardian starts the command, which need not wait for this file.
        from supervise.launch import short_run
    except (OSError, ImportError, MemoryError) as error:
        if launched.files.plan and launched.child.wait_for_channel(RECORD):
            # The record is there before the command.  It is to have the end of the run, too.
            launched.hear()
        take_back(launched, error)
    if short_run.is_done_in_silence(launched):
        short_run.end_plainly(launched)
    if launched.files.plan:
        try:
            from supervise.launch import registration

            registration.wait(launched, start.fork)
        except (OSError, ImportError, MemoryError, Refusal) as error:
            _refuse_start(launched, error)
    return launched, None


def _say_hints(request: "Request") -> None:
    if request.hints and not request.values["quiet"]:
        from supervise.launch import run_record

        for hint in request.hints:
            run_record.warn(hint)


def _refuse_start(launched: Launched, error: Exception) -> "NoReturn":
    launched.access.remove_socket()
    if launched.terminals.relay:
        launched.terminals.give_back()
    if launched.child.has_guardian:
        launched.child.guardian.dismiss()
    is_whole = isinstance(error, (BadValueError, Refusal))
    refuse(launched, str(error) if is_whole else f"cannot start: {reason_of(error)}")


def take_back(launched: Launched, error: Exception) -> "NoReturn":
    """It cannot go on: whatever has been started of the command is killed, not left alone, and that is said."""
    launched.terminals.give_back()
    launched.child.channel.send(("kill",))
    # A command that was never born is told of before anything is killed.
    if not launched.child.has_heard("failed") and not launched.child.has_heard("empty"):
        _hear_the_kill(launched)
    launched.child.guardian.dismiss()
    launched.access.remove_socket()
    refuse(launched, f"cannot start: {reason_of(error)}")


def _hear_the_kill(launched: Launched) -> None:
    # The kill is bounded.
    for message in launched.child.guardian.last_messages():
        launched.child.note_heard(message)
        if message[0] in ("empty", "failed"):
            break


def refuse(launched: Launched, why: str) -> "NoReturn":
    """Say the refusal on stderr, end the run with the outcome `error` wherever that is told, and exit with 125."""
    launched.files.free_reserve()
    _say(why)
    try:
        # Where descriptors are short, what is loaded and written now needs those of the line.
        if launched.child.has_guardian:
            launched.child.channel.close()
        if not launched.streams.pumps:
            launched.streams.close_sources()
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
    code = EXIT_ERROR if launched.files.settled is None else launched.files.settled
    is_said = launched.files.settled is not None
    launched.files.free_reserve()
    try:
        launched.streams.hide_line()
        if not is_said:
            _say(why)
            is_said = True
        launched.child.channel.send(("fault", why))
        launched.child.channel.end()
        try:
            launched.child.guardian.wait()
            if launched.child.cgroup:
                # The watcher of the cgroup hears the same, and removes the cgroup.
                launched.child.cgroup.let_watcher_kill()
        except OSError:
            # The guardian has died before the supervisor: the command is the supervisor's now, and falls to init.
            pass
        except MemoryError:
            _wait_plainly(launched.child.guardian.pid)
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


def _start(launched: Launched, on_lost: "OnLost") -> "Start":
    from supervise.process import guardian

    values = launched.info.values
    first: list[Order] = []
    has_terminal = guardian.has_terminal()
    found_again = None
    if has_terminal:
        from supervise.terminal import caller_terminal

        found_again = caller_terminal.found_again
        # As it is before the command has it.
        shared = launched.terminals.share(is_commands=not values["pty"])
        if shared:
            first.append((("terminal", shared.facts), shared.opened))
    launched.child.change_environment(_variables(launched))
    if values["retries"]:
        launched.streams.keep_stdin()
    if values["name"] or RECOVERED_FROM in os.environ:
        from supervise.launch import run_record

        if run_record.was_predecessor_lost(values):
            launched.child.change_environment({b"SUPERVISE_PREVIOUS_OUTCOME": b"lost"})
    if values["notify"] or "notify" in values["access_on"]:
        # Should the supervisor be killed, the guardian removes the socket.
        first.append((("socket", _listen_for_notify(launched), launched.info.run_id), ()))
    if not values["no_record"]:
        from supervise.launch import run_record

        launched.files.plan_record(run_record.plan(launched.info))
    start = Start(launched, first, has_terminal, on_lost, found_again)
    start.fork()
    return start


class Start:
    """The start of the command by a guardian, done again by another guardian where the first one hangs."""

    def __init__(
        self,
        launched: Launched,
        first: "list[Order]",
        has_terminal: bool,
        on_lost: "OnLost",
        find_terminal: "TerminalFinder | None",
    ) -> None:
        """`first`: the messages that the guardian gets before any other; for the rest see `guardian.fork`."""
        self._launched = launched
        self._first = first
        self._has_terminal = has_terminal
        self._on_lost = on_lost
        self._find_terminal = find_terminal

    def fork(self) -> None:
        """Fork the guardian, which makes the record, where one is planned, and starts the command.

        Raises OSError, Refusal.
        """
        launched = self._launched
        stdio, tty = open_stdio(launched)
        spawn: Spawn = ("spawn", launched.info.request.command, launched.child.variables, tty)
        # A detached run has to be found again: without a record its command does not begin.
        is_spawn_later = launched.files.plan is not None and (
            launched.terminals.relay is not None or launched.info.is_detached
        )
        self._fork(stdio, None if is_spawn_later else spawn)
        if is_spawn_later:
            from supervise.launch import registration

            if registration.wait(launched, self.fork):
                # Another guardian has the command now.
                _close(stdio)
                return
        if launched.info.is_detached and not launched.files.record:
            launched.child.guardian.dismiss()
            raise Refusal(f"{UNDETACHED}: {launched.files.unrecorded or 'its guardian died'}")
        if launched.terminals.relay:
            # The terminal is taken as early as the guardian can restore it and all is said of the record: what is typed
            # from now on is the command's, key by key.
            launched.take_terminal()
        if is_spawn_later:
            launched.child.channel.send(spawn, stdio)
            # The words of a command can be longer than what the socket takes at once.
            launched.child.channel.flush(SPAWN_SECONDS)
        _close(stdio)

    def _fork(self, stdio: "Stdio", spawn: "Spawn | None") -> None:
        """Fork the guardian with its first messages, `spawn` among them unless that is None: then it is sent later."""
        from supervise.process import guardian

        launched = self._launched
        info, files, sources = launched.info, launched.files, launched.streams.sources
        notify, relay = launched.access.notify, launched.terminals.relay
        unneeded = {files.events, launched.child.caller, getattr(files.log, "fd", -1)}
        unneeded |= {notify.fileno() if notify else -1}
        if relay:
            unneeded |= {*sources, *relay.descriptors}
        orders: Orders = ("orders", info.values["signal"], info.values["kill_after"], _facts(launched))
        words: list[Order] = [(orders, ()), *self._first]
        if files.plan:
            # Before the command there is a record, and before that the guardian, which it names.
            words.append((("record",), ()))
        if spawn:
            words.append((spawn, stdio))
        else:
            unneeded |= {*stdio} - {0}
        try:
            child = guardian.fork(
                words,
                unneeded=unneeded - {-1},
                has_terminal=self._has_terminal,
                may_leave=not files.plan and info.is_unreported,
                mask=info.mask,
                on_lost=self._on_lost,
                find_terminal=self._find_terminal,
                maker=files.plan.make if files.plan else None,
                copies=() if relay else sources,
            )
        except OSError as error:
            raise Refusal(f"cannot start a guardian: {reason_of(error)}") from None
        launched.child.be_held_by(child)


def _close(stdio: "Stdio") -> None:
    """Close the command's ends, of which the guardian has copies."""
    for fd in {*stdio} - {0}:
        os.close(fd)


def _facts(launched: Launched) -> "Facts":
    """Return what the guardian writes should the supervisor die."""
    values = launched.info.values
    start = {
        "run_id": launched.info.run_id,
        "name": values["name"],
        "command": launched.info.command,
        "access_limit": values["access_timeout"] is not None,
        "rerun": values["on_interrupt"] == "rerun",
        "events": values["events"],
    }
    times = launched.info.started_at, launched.info.started
    return (*times, os.getpid(), start, values["report"], launched.files.plan is not None)


def open_stdio(launched: Launched) -> "tuple[tuple[int, int, int], str]":
    """What the command's stdin, stdout and stderr are to be, and the name of its terminal; ours are in `sources`.

    Raises OSError.
    """
    if not launched.info.values["pty"]:
        return launched.streams.open_pipes(is_one=_is_one_stream(launched)), ""
    from supervise.launch import own_terminal

    return own_terminal.open_stdio(launched)


def _is_one_stream(launched: Launched) -> bool:
    """The command gets one pipe for stdout and stderr, which keeps what it writes in its own order (--streams)."""
    values = launched.info.values
    if values["streams"] != "auto":
        return bool(values["streams"] == "together")
    if values["idle_on"] != "both":
        return False
    if launched.info.is_detached:
        # The output goes into the record and nowhere else.
        return True
    from supervise.process import system

    return system.is_same_file(1, 2)


def _listen_for_notify(launched: Launched) -> str:
    """Open the socket on which the command reports its state; return the socket's folder.

    Raises Refusal.
    """
    from supervise.access.notify import NotifySocket
    from supervise.control import sockets

    try:
        found = sockets.bind_notify(launched.info.run_id)
    except OSError as error:
        raise Refusal(f"cannot have a socket for sd_notify: {reason_of(error)}") from None
    notify = NotifySocket(*found)
    launched.access.listen(notify)
    launched.child.change_environment(notify.variables(launched.info.values["idle_timeout"]))
    return notify.folder


def _variables(launched: Launched) -> "dict[bytes, bytes | None]":
    """What the command's environment has beside ours, and, as None, has not."""
    variables: dict[bytes, bytes | None] = {os.fsencode(name): None for name in launched.info.request.taken}
    if is_lc_ctype_ours():
        variables[b"LC_CTYPE"] = None
    if RECOVERED_FROM in os.environ:
        variables[RECOVERED_FROM.encode()] = None
    variables[b"SUPERVISE_RUN_ID"] = launched.info.run_id.encode()
    # What an outer run has said of itself is not true of this one.
    variables[b"SUPERVISE_PREVIOUS_OUTCOME"] = None
    variables.update(of_attempt(launched, 1))
    return variables


def of_attempt(launched: Launched, number: int) -> "dict[bytes, bytes | None]":
    """The variables of an attempt that begins now."""
    latest = _latest(launched.info.values, monotonic() - launched.info.started, launched.info.budget)
    # In a call of `date` or a script's sum whole seconds are enough, but not for a limit of two.
    deadline = None if latest is None else f"{time() + latest - (monotonic() - launched.info.started):.3f}".encode()
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
