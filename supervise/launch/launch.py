"""The way from the call to the command: what the run needs, the guardian, and the end of a short and silent command.

What is imported at the top is loaded before the command exists: built-in modules and small files of supervise alone.
Each thing that only some runs ask for has a file of its own, which only those runs load.
"""

import posix
import sys

from supervise.launch import environment
from supervise.launch.early_exit import Refusal, reason_of, refuse, refuse_start, take_back
from supervise.launch.state import Launched, hands_back
from supervise.options.table import DEADLINE, RECOVERED_FROM, BadValueError
from supervise.process import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.launch.admission import TurnedAway
    from supervise.launch.state import Stdio
    from supervise.options.argv import Request
    from supervise.process.guardian import OnLost, Order, TerminalFinder
    from supervise.process.protocol import Orders, Spawn

SPAWN_SECONDS = 10.0
"""Seconds that the guardian may take to read the words of the command."""
RECORD_SECONDS = 2.0
"""Seconds that the file system of the record may take to make it, or half of the first limit where that is less; then
the run goes on without a record."""
UNDETACHED = "--detach: no record can be made, so output and end of the run would be lost"


def new_run(request: "Request", began: float) -> Launched:
    """Return the state of the run, in a new process where the options ask for one; for `began` see Launched.

    Raises EarlyExit: in the process that was called, with the answer of the new one, where there can be none, and
    after --dry-run.
    """
    values = request.values
    if values["dry_run"]:
        from supervise.launch import dry_run

        dry_run.show(Launched(request))
    try:
        if values["detach"]:
            from supervise.launch import detach

            return Launched(request, detach.leave(), began)
        if hands_back(values):
            from supervise.launch import front

            return Launched(request, began=began, front=front.leave())
    except (OSError, ImportError) as error:
        where = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
        refuse(Launched(request), f"cannot go on in a process of its own: {reason_of(error)}{where}")
    return Launched(request, began=began)


def run(launched: Launched, on_lost: "OnLost", load_short_run: "Callable[[], None]") -> "TurnedAway | None":
    """Start the command; return None, or why the run does not begin at all.

    The guardian calls `on_lost` when the supervisor dies. `load_short_run` loads the module of that name, faster than
    the import statement does where it can.
    Raises EarlyExit where the run was refused, or where a short run is over and there is nothing to report.
    """
    try:
        turned_away = _admit(launched)
        if turned_away:
            return turned_away
        # Before there is a record: a run without this memory is refused, and must leave no record without an end.
        launched.files.keep_reserve()
        start = _start(launched, on_lost)
    except (OSError, ImportError, MemoryError, BadValueError, Refusal) as error:
        refuse_start(launched, error)
    launched.child.begin_short_run()
    try:
        # Meanwhile the guardian starts the command, which need not wait for this file.
        load_short_run()
        from supervise.launch import short_run
    except (OSError, ImportError, MemoryError) as error:
        if launched.files.plan and launched.child.wait_for_channel(RECORD_SECONDS):
            # The record exists before the command, and must get the end of the run.
            launched.hear()
        take_back(launched, error)
    if short_run.is_done_in_silence(launched):
        short_run.end_plainly(launched)
    if launched.monitoring.courier:
        # Its Python starts while the runner is loaded.
        launched.monitoring.courier.start()
    if launched.files.plan:
        try:
            from supervise.launch import registration

            registration.wait(launched, start.fork)
        except (OSError, ImportError, MemoryError, Refusal) as error:
            refuse_start(launched, error)
    return None


def _admit(launched: Launched) -> "TurnedAway | None":
    """Say what the caller should know, and get what the run's options need; return why the run is turned away.

    Raises OSError, ImportError, MemoryError, BadValueError, Refusal.
    """
    if sys.platform != "linux":
        # The refusal comes before the lock, the report and the log, which rest on calls that Linux alone has.
        why = "without Linux's subreaper no end of its tree could be promised"
        raise Refusal(f"cannot run a command on {sys.platform}: {why}")
    request, values = launched.info.request, launched.info.values
    if launched.info.holds_output:
        from supervise.text import stderr

        stderr.hold()
    if (request.hints or request.notice) and not values["quiet"]:
        from supervise.launch import run_record

        for text in filter(None, (*request.hints, request.notice)):
            run_record.warn(text)
    launched.info.hide_secrets()
    has_files = launched.info.result_files or values["events"] or values["log"]
    waits = values["lock"] or values["start_jitter"]
    is_tied = values["with_parent"] or values["stop_on_eof"]
    is_limited = values["runner_margin"] or system.variable(DEADLINE) is not None
    if has_files or waits or is_tied or is_limited or launched.info.is_in_job or values["ping"]:
        from supervise.launch import admission

        return admission.admit(launched)
    return None


def _start(launched: Launched, on_lost: "OnLost") -> "Start":
    """Prepare what the command starts with, and fork the guardian; return the start, which can be repeated.

    Raises OSError, ImportError, Refusal.
    """
    from supervise.process import guardian

    values = launched.info.values
    first: list[Order] = []
    has_terminal = guardian.has_terminal()
    find_terminal = None
    if has_terminal:
        from supervise.terminal import caller_terminal

        find_terminal = caller_terminal.from_facts
        shared = launched.terminals.share(is_commands=not values["pty"])
        if shared:
            first.append((("terminal", shared.facts), shared.opened))
    launched.child.change_environment(environment.of_run(launched.info))
    if values["retries"]:
        launched.child.keep_stdin()
    if values["name"] or system.variable(RECOVERED_FROM) is not None:
        from supervise.launch import run_record

        if run_record.was_predecessor_lost(values):
            launched.child.change_environment({b"SUPERVISE_PREVIOUS_OUTCOME": b"lost"})
    if values["notify"] or "notify" in values["access_on"]:
        from supervise.launch import notify_setup

        # Should the supervisor be killed, the guardian removes the socket.
        first.append((("socket", notify_setup.open_in(launched), launched.info.run_id), ()))
    if values["memory_max"]:
        from supervise.process import memory_cgroup

        launched.child.limit_memory(memory_cgroup.create(launched.info.run_id, values["memory_max"]))
        if launched.child.memory:
            first.append((("memory", launched.child.memory.folder), ()))
    if not values["no_record"]:
        from supervise.launch import run_record

        launched.files.plan_record(run_record.plan(launched.info))
    if values["ci_fence"] and launched.info.ci == "github":
        from supervise.launch import ci_fence

        launched.info.put_fence(ci_fence.new_token())
        if not launched.info.holds_output:
            # The guardian has no stderr of its own any more when it obeys its first messages.
            first.append((ci_fence.last_line(launched.info.fence), (posix.dup(2),)))
    if launched.info.is_monitored:
        from supervise.launch import monitors

        # The guardian inherits the channel, to tell of the end of the run should the supervisor be killed.
        monitors.courier_of(launched)
    start = Start(launched, first, has_terminal, on_lost, find_terminal)
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
        self._needs_fence = bool(launched.info.fence) and not launched.info.holds_output
        """The first line of `--ci-fence` is to be written before the command is started."""

    def fork(self) -> None:
        """Fork the guardian, which makes the record, where one is planned, and starts the command.

        Raises OSError, Refusal.
        """
        launched = self._launched
        stdio, tty = open_stdio(launched)
        spawn: Spawn = ("spawn", launched.info.request.command, launched.child.variables, tty)
        # A detached run has to be found again: without a record its command does not begin.
        needs_record = launched.files.plan is not None and (
            launched.terminals.pty_input is not None or launched.info.is_detached
        )
        is_spawn_later = needs_record or self._needs_fence
        self._fork(stdio, None if is_spawn_later else spawn)
        if needs_record:
            from supervise.launch import registration

            if registration.wait(launched, self.fork):
                # Another guardian has the command now.
                launched.child.close_ends(stdio)
                return
        if launched.info.is_detached and not launched.files.record:
            launched.child.guardian.dismiss()
            raise Refusal(f"{UNDETACHED}: {launched.files.unrecorded or 'its guardian died'}")
        if launched.terminals.pty_input:
            # The terminal is taken as early as the guardian can restore it and all is said of the record: what is typed
            # from now on is the command's, key by key.
            from supervise.launch import command_terminal

            command_terminal.take_keys(launched)
        if self._needs_fence:
            # The guardian is there, which ends the fence if the supervisor is killed.
            from supervise.launch import ci_fence

            ci_fence.begin(launched)
            self._needs_fence = False
        if is_spawn_later:
            launched.child.channel.send(spawn, stdio)
            # The words of a command can be longer than what the socket takes at once.
            launched.child.channel.flush(SPAWN_SECONDS)
        launched.child.close_ends(stdio)

    def _fork(self, stdio: "Stdio", spawn: "Spawn | None") -> None:
        """Fork the guardian with its first messages, `spawn` among them unless that is None: then it is sent later."""
        from supervise.process import guardian

        launched = self._launched
        info, files, sources = launched.info, launched.files, launched.child.sources
        notify, pty_input = launched.access.notify, launched.terminals.pty_input
        unneeded = {files.events, launched.child.caller, getattr(files.log, "fd", -1)}
        unneeded |= {notify.fileno() if notify else -1}
        unneeded |= {tie.fd for tie in info.ties}
        if launched.child.front:
            unneeded |= {launched.child.front.fileno()}
        if pty_input:
            unneeded |= {*sources, *pty_input.descriptors}
        if launched.monitoring.courier:
            unneeded |= {launched.monitoring.courier.messengers_end}
        orders: Orders = ("orders", info.values["signal"], info.values["kill_after"], launched.facts())
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
                copies=() if pty_input else sources,
            )
        except OSError as error:
            raise Refusal(f"cannot start a guardian: {reason_of(error)}") from None
        launched.child.be_held_by(child)


def open_stdio(launched: Launched) -> "tuple[Stdio, str]":
    """Open the command's streams for an attempt; return its stdin, stdout and stderr, and the name of its terminal.

    The supervisor's ends are in `sources` of the streams.
    Raises OSError.
    """
    if not launched.info.values["pty"]:
        return launched.child.open_pipes(is_one=launched.info.is_one_stream), ""
    from supervise.launch import command_terminal

    return command_terminal.open_stdio(launched)
