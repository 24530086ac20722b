"""The state of a run: what the run is, its command, its terminals, its files, its signs of access and its streams.

Each attribute is assigned in the module of its class alone, by a method that says what happens; all other modules read.
The launch makes these objects before the command exists, so at its top this module loads built-in modules alone.  The
streams are in a file of their own: a run that is over at once, and silent, has none.
"""

import _signal
import posix
import select
from time import gmtime, monotonic, strftime, time

from supervise.options.table import OFF_RECORD, SECRET_FILE, WORD_SEPARATOR
from supervise.process import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal

    from supervise.access.detector import Detector
    from supervise.access.notify_socket import NotifySocket
    from supervise.launch.front import Front
    from supervise.launch.run_record import Plan
    from supervise.launch.streams import Streams
    from supervise.launch.ties import Tie
    from supervise.monitoring.courier import Courier
    from supervise.options.argv import Request
    from supervise.output.log_file import LogFile
    from supervise.output.pump import Pump
    from supervise.process.cgroup import CommandCgroup
    from supervise.process.file_worker import FileWorker
    from supervise.process.guardian import Guardian
    from supervise.process.memory_cgroup import RunCgroup
    from supervise.process.protocol import Facts, FromHolder, HolderEnd, RecordMade, SupervisorEnd, Variables
    from supervise.process.stdin import InitialStdin
    from supervise.records.flock import Lock
    from supervise.records.remote_files import RemoteOutlet, RemoteSink
    from supervise.records.store import Record
    from supervise.terminal.caller_terminal import CallerTerminal
    from supervise.terminal.pty import Pty
    from supervise.terminal.pty_input import PtyInput
    from supervise.text.redaction import Redaction

    Stdio = tuple[int, int, int]
    """The descriptors that the command gets as stdin, stdout and stderr."""

inf = float("inf")
CANCELLING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
SIGNAL_POLL_SECONDS = 0.004
"""Seconds between two looks for signals, while no thread takes them."""
SHORT_RUN_SECONDS = 0.030
"""Seconds within which a command must end for the supervisor to end without loading any library."""
START_DELAY_SECONDS = 0.1
"""Seconds between the call and the start of the run that a busy machine alone may take."""
MIN_ANSWER_SECONDS = 0.5
"""Seconds that a file system always has to answer, also where a limit of the run is shorter: on a busy machine the
process that asks may take so long to run at all."""
RESERVE_BYTES = 4 << 20
"""Bytes of address space that are kept for the end of a run which is short of memory: for the modules that write that
end into the report and the record, and for what these modules write.  The C library maps a block of this size by itself
(mallopt(3), M_MMAP_THRESHOLD), unmaps the block when it is freed, and pages that are never touched cost nothing."""
CI_VARIABLES = {"github": "GITHUB_ACTIONS", "gitlab": "GITLAB_CI", "buildkite": "BUILDKITE"}
"""The variable of each CI service, which is `true` in its jobs."""
ENGINE_VARIABLES = ("SLURM_JOB_ID", "_CONDOR_JOB_AD", "SUPERVISE_ACTIVE_DEADLINE")
"""For each engine of batch jobs the variable that leads to the end of its job (`launch/allocation.py`)."""
RESULT_FILES = ("report", "metrics", "junit")
"""The options of which each names a file that is written when the run ends."""
SUSPECT_PARTS = ("passw", "token", "secret", "key", "://")
"""Marks of secrets: where the lower-case words have none, no rule finds a secret in them (a test holds them equal to
those of the rules), so an ordinary run does not load the rules."""


class RunInfo:
    """What the run is: its request, its id, its times.  Nothing of this changes once the guardian is forked."""

    def __init__(self, request: "Request", began: "float | None", parent: int) -> None:
        """`began`: when the supervisor was called, by CLOCK_MONOTONIC.  `parent`: the pid of the caller."""
        self.request = request
        self.values = request.values
        """The value of each option, by the option's key."""
        self.redaction: Redaction | None = None
        """The rules that hide secrets in the words; None where the words look as if they had no secret."""
        self.command, self.given = request.command, _recorded(request.given)
        """The words of the command and of the options as they are shown and recorded: without their secrets."""
        self.parent = parent
        self.mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
        """The signals that the caller blocks; read before supervise blocks any itself."""
        self.started = monotonic()
        """When the run began, by CLOCK_MONOTONIC: the zero of the run's times."""
        self.started_at = time()
        """When the run began, in seconds since the epoch."""
        self.run_id = _id_of(self.started_at)
        is_left = request.values["detach"] or hands_back(request.values)
        self.ci = "" if is_left else _service_of(request.values["ci"])
        """The CI service to report to; '' for none, and for a run that may end after its job: one that is detached, or
        gives control back."""
        self.fence = ""
        """The token of the fence around the command's output (`--ci-fence`); '' where there is none."""
        self.check = ""
        """The URL of the check of healthchecks.io that is told of the run; '' where none is."""
        self.budgets: dict[str, float] = {}
        """The second of the run at which its part of the time around it is over, by limit: `outer` for an outer run,
        `runner` for a CI job, `allocation` for the job of an engine (infinity where its end is not known yet)."""
        self.ties: tuple[Tie, ...] = ()
        """What the run must not outlive (`--with-parent`, `--stop-on-eof`)."""
        if began is not None and self.started - began > START_DELAY_SECONDS:
            # The configuration came late, or did not come.  The limits count from the call.
            self.started_at -= self.started - began
            self.started = began

    def hide_secrets(self) -> None:
        """Take the secrets out of the words that are shown; the command itself runs with the real ones.

        Raises OSError, ImportError or MemoryError where the rules cannot be loaded, and Refusal where a pattern of the
        user cannot be searched for in time.
        """
        request = self.request
        text = WORD_SEPARATOR.join((*request.command, *request.given.values())).lower()
        is_plain = not self.values["redact"] and not self.values["keep_env"] and not self.values["ping"]
        if is_plain and not any(mark in text for mark in SUSPECT_PARTS):
            return
        from supervise.text.redaction import Redaction

        self.redaction = redaction = Redaction(self.values["redact"])

        def search() -> "tuple[list[str], dict[str, str]]":
            # The secrets of the command are hidden in the words of the options, too.
            command = redaction.words(request.command)
            return command, {
                name: WORD_SEPARATOR.join(map(redaction.word, word.split(WORD_SEPARATOR)))
                for name, word in self.given.items()
            }

        if redaction.has_patterns:
            from supervise.launch import secret_search

            if not secret_search.is_bounded(search):
                from supervise.launch.early_exit import Refusal
                from supervise.text.redaction import MASK

                # None of the words is shown then.
                self.command, self.given = [MASK] * len(request.command), {}
                raise Refusal(secret_search.TOO_LONG)
        self.command, self.given = search()

    def note_check(self, url: str, secrets: "tuple[str, ...]") -> None:
        """Note the URL of the check that is told of the run (`--ping`), and what must not be shown of it."""
        self.check = url
        if self.redaction:
            for secret in secrets:
                self.redaction.hide(secret)

    def set_budget(self, limit: str, seconds: "float | None") -> None:
        """Bound the run by its part of the time around it; None where there is nothing around it."""
        if seconds is not None:
            self.budgets[limit] = seconds

    def tie_to(self, ties: "tuple[Tie, ...]") -> None:
        """Note what the run must not outlive."""
        self.ties = ties

    def put_fence(self, token: str) -> None:
        """Note the token of the fence around the command's output; '' where there is none after all."""
        self.fence = token

    def first_budget(self) -> "float | None":
        """Return the second of the run at which the time around it is over; None where nothing bounds it."""
        return min((seconds for seconds in self.budgets.values() if seconds < inf), default=None)

    def start_clocks(self) -> None:
        """Begin the run's times now, after a wait for its lock or its start, which used up a part of each budget."""
        waited_since, self.started, self.started_at = self.started, monotonic(), time()
        waited = self.started - waited_since
        self.budgets = {limit: max(seconds - waited, 0.0) for limit, seconds in self.budgets.items()}

    @property
    def is_in_job(self) -> bool:
        """Return whether an engine of batch jobs may tell the end of a job around this run (`--no-engine`)."""
        return not self.values["no_engine"] and any(map(system.variable, ENGINE_VARIABLES))

    def drop_option(self, key: str) -> None:
        """Go on as if that option had no value: its file does not answer."""
        self.values[key] = None

    @property
    def is_detached(self) -> bool:
        """Return whether the run has neither a terminal nor a reader (`--detach`)."""
        return bool(self.values["detach"])

    @property
    def is_unreported(self) -> bool:
        """Return whether nothing is reported of a command that ends by itself, and no other attempt follows."""
        return self.is_briefly_reported and not self.result_files

    @property
    def is_briefly_reported(self) -> bool:
        """Return whether `--report` at most is written of a command that ends by itself, and no other attempt follows.

        The record does not count.
        """
        values = self.values
        is_reported = values["events"] or values["verbose"] or values["success_codes"] != (0,)
        tells = self.ci or self.is_monitored or self.result_files.keys() - {"report"}
        return not (is_reported or values["retries"] or tells)

    @property
    def is_monitored(self) -> bool:
        """Return whether others are told of the run while it goes on, by the messenger."""
        return bool(self.values["hook"] or self.check)

    @property
    def result_files(self) -> "dict[str, str]":
        """Return the files that are written when the run ends, by the keys of their options."""
        return {key: self.values[key] for key in RESULT_FILES if self.values[key]}

    @property
    def holds_output(self) -> bool:
        """Return whether output and messages wait for the end of the run (`--quiet-unless-failed`)."""
        return self.values["quiet_unless_failed"] is not None

    @property
    def is_one_stream(self) -> bool:
        """Return whether stdout and stderr of the command are one pipe, which keeps their order (`--streams`)."""
        values = self.values
        if values["streams"] != "auto":
            return bool(values["streams"] == "together")
        if values["idle_on"] != "both":
            return False
        if self.is_detached:
            # The output goes into the record and nowhere else.
            return True
        if values["timestamps"] is not None or values["prefix"]:
            # Each stream has its own beginnings of lines.
            return False
        return system.is_same_file(1, 2)

    def first_limit(self) -> float:
        """Return the first limit of the run, in seconds of the run; infinity where there is none."""
        values = self.values
        first = values["timeout"] if values["access_timeout"] is None else values["access_timeout"]
        bounds = (first, values["total_timeout"], *self.budgets.values())
        return min((limit for limit in bounds if limit is not None), default=inf)


class Child:
    """The command with its pipes, and its holder: the guardian, or the supervisor where the guardian has died."""

    guardian: "Guardian"
    channel: "SupervisorEnd"
    """The channel to the holder of the command."""

    def __init__(self, caller: int, front: "Front | None") -> None:
        """`caller`: with --detach, the descriptor on which the caller waits for the command; otherwise -1."""
        self.front = front
        """The process that the caller started and waits for; None where that is the supervisor itself, and once the
        caller has control again."""
        self.caller = caller
        """The descriptor on which the caller of --detach waits for the command; -1 once the caller has its answer."""
        self.has_guardian = False
        """Whether a guardian was forked: from then on there is a channel, too."""
        self.variables: Variables = {}
        """The changes to the environment that the command gets: name and value, or None for a name to remove."""
        self.sources: tuple[int, ...] = ()
        """The supervisor's ends of the command's stdout and stderr, or of the command's terminal."""
        self.spoke_first = -1
        """The source in which bytes were seen before any were in another one; -1 where that is not known."""
        self.stdin: InitialStdin | None = None
        """Standard input as it was before the first attempt; None where there is one attempt at most."""
        self.heard: list[FromHolder] = []
        """The messages of the guardian that came before the runner was there."""
        self.hung: set[int] = set()
        """The pids of processes that hang in a file system and were given up; they may still exist."""
        self.short_until = 0.0
        """When the command stops being a short one, by CLOCK_MONOTONIC."""
        self.cgroup: CommandCgroup | None = None
        """The cgroup of the command, which kills the command where supervisor and guardian are killed both."""
        self.memory: RunCgroup | None = None
        """The memory cgroup of the command with the limit of --memory-max; None where it has none."""
        self.stop_process = 0
        """The pid of the process of `--stop-command` while it runs; 0 otherwise."""
        self.own_holder_trigger = -1
        """A pipe that wakes the holder in the supervisor's own thread; -1 while the guardian holds the command."""
        self._early: set[int] = set()
        self._root = 0
        self._silence: HolderEnd | None = None

    def change_environment(self, variables: "Variables") -> None:
        """Add these changes to the environment that the command gets."""
        self.variables |= variables

    def open_pipes(self, *, is_one: bool) -> "Stdio":
        """Open the pipes of the command, one for stdout and stderr where `is_one`; return the command's ends.

        Raises OSError.
        """
        self.spoke_first = -1
        out, out_sink = posix.pipe()
        if is_one:
            self.sources = (out,)
            return 0, out_sink, out_sink
        err, err_sink = posix.pipe()
        self.sources = out, err
        return 0, out_sink, err_sink

    def open_master(self, pty: "Pty") -> None:
        """Take the bytes from the master of the command's own terminal (`--pty`)."""
        self.sources = (pty.master,)

    def close_ends(self, stdio: "Stdio") -> None:
        """Close the command's ends, of which the guardian has copies."""
        for fd in {*stdio} - {0}:
            posix.close(fd)

    def close_sources(self) -> None:
        """Close the supervisor's ends, which no pump has."""
        for source in self.sources:
            posix.close(source)

    def note_first(self, sources: "list[int]") -> None:
        """Note in which sources the first bytes were seen."""
        self.spoke_first = sources[0] if len(sources) == 1 else -1

    def keep_stdin(self) -> None:
        """Keep standard input as it is now, for the attempts after the first."""
        from supervise.process.stdin import InitialStdin

        self.stdin = InitialStdin()

    def be_held_by(self, guardian: "Guardian") -> None:
        """Note the guardian that has just been forked, with its channel and the signals that are pending now."""
        self.guardian, self.channel = guardian, guardian.channel
        self.has_guardian = True
        self._early = {*_signal.sigpending()}

    def begin_short_run(self) -> None:
        """Count the time from now within which the command may end as a short one."""
        self.short_until = monotonic() + SHORT_RUN_SECONDS

    def give_up(self, pid: int) -> None:
        """Note that this process hangs in a file system and is waited for no more."""
        self.hung.add(pid)

    def note_heard(self, *messages: "FromHolder") -> None:
        """Keep messages of the guardian for the runner."""
        self.heard.extend(messages)

    def has_heard(self, name: "Literal['exited', 'failed', 'empty', 'unknown']") -> bool:
        """Return whether the guardian has sent a message of that name."""
        return any(message[0] == name for message in self.heard)

    @property
    def has_ended(self) -> bool:
        """Return whether the command has ended, or has never come into being, as far as the guardian has told."""
        return self.has_heard("exited") or self.has_heard("failed")

    def note_start(self, root: int) -> bool:
        """Note the pid of the command's own process; return whether it is another one than before."""
        is_new, self._root = root != self._root, root
        return is_new

    def answer_caller(self, run_id: str) -> None:
        """With --detach, tell the caller that the command runs, unless the caller has its answer."""
        if self.caller < 0:
            return
        from supervise.launch import detach

        detach.report_start(self.caller, run_id)
        self.caller = -1

    def let_front_go(self) -> None:
        """Note that the caller has control again."""
        self.front = None

    def drop_early_signals(self) -> None:
        """Of the signals from before the command's start, keep those that cancel a run."""
        self._early &= {*CANCELLING}

    def take_early_signal(self, number: int) -> bool:
        """Return whether this signal may have come before the command: then the terminal did not send it there."""
        is_early = number in self._early
        self._early.discard(number)
        return is_early

    def silence_channel(self) -> None:
        """Replace the channel to a guardian that has gone, as ordered, by a channel on which nothing comes."""
        from supervise.process import channel

        self.channel, self._silence = channel.pair()

    def become_holder(self) -> "tuple[HolderEnd, int]":
        """Make the supervisor the holder of the command; return the holder's channel and the pipe that wakes it."""
        from supervise.process import channel

        self.channel, theirs = channel.pair()
        wake, self.own_holder_trigger = posix.pipe()
        posix.set_blocking(wake, False)
        posix.set_blocking(self.own_holder_trigger, False)
        return theirs, wake

    def enter(self, cgroup: "CommandCgroup") -> None:
        """Note the cgroup that was made for the command."""
        self.cgroup = cgroup

    def limit_memory(self, memory: "RunCgroup | None") -> None:
        """Note the memory cgroup that was made for the command."""
        self.memory = memory

    def lift_memory_limit(self) -> None:
        """Remove the memory cgroup of the command, and move out of it what outlives the run."""
        if self.memory:
            self.memory.clear()

    def note_stop_process(self, pid: int) -> None:
        """Note the process of `--stop-command`, and tell the holder; 0 is its end."""
        self.stop_process = pid
        self.channel.send(("stop_command", pid))

    def holder(self) -> int:
        """Return the pid of the process that holds the command."""
        return posix.getpid() if self.own_holder_trigger >= 0 else self.guardian.pid

    def wait_for_channel(self, seconds: float) -> bool:
        """Return whether the holder of the command sends a message, or its end, within that time."""
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def report_unread(self, number: int) -> None:
        """Tell the guardian that the supervisor closes its end of the pipe with that inode number."""
        self.channel.send(("unread", number))


class Terminals:
    """The terminal of the caller, and with --pty what passes its keys on to the terminal of the command."""

    def __init__(self) -> None:
        self.caller: CallerTerminal | None = None
        """The caller's terminal, where supervise is in its foreground."""
        self.pty_input: PtyInput | None = None

    def share(self, *, is_commands: bool) -> "CallerTerminal | None":
        """Note the state of the caller's terminal before the command has it; return None in its background."""
        from supervise.terminal import caller_terminal

        self.caller = caller_terminal.open_shared(is_commands=is_commands)
        return self.caller

    def set_pty_input(self, pty_input: "PtyInput") -> None:
        """Note the keys and window sizes on their way into the terminal of --pty."""
        self.pty_input = pty_input

    def give_back(self) -> None:
        """Give the terminal back to the caller, as it was."""
        if self.pty_input:
            self.pty_input.finish()
        if self.caller:
            self.caller.restore()

    def leave(self) -> None:
        """Give the terminal back for good: the run goes on without it."""
        self.give_back()
        if self.pty_input:
            self.pty_input.leave_caller()
        if self.caller:
            self.caller.close()
            self.caller = None

    def end_command(self) -> None:
        """Note that the command has ended, or never was: with --pty its terminal is kept no longer."""
        if self.pty_input:
            self.pty_input.end()


class Files:
    """The files that the run writes or locks, and the means to write its end."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        """The record that the guardian is making, and has not reported yet."""
        self.record: Record | None = None
        self.unrecorded = ""
        """Why there is no record; empty where there is one, or where none is wanted."""
        self.log: LogFile | RemoteSink | None = None
        """The file of --log."""
        self.events = -1
        """The descriptor of the events file; -1 also where a file worker has the file."""
        self.remote_events: RemoteOutlet | None = None
        """The way to the file worker that has the events file."""
        self.lock: Lock | None = None
        """The lock of --lock, held until the supervisor and the guardian are gone."""
        self.remote: set[str] = set()
        """The options whose file is on a file system that may stop answering."""
        self.file_workers: list[FileWorker] = []
        """The processes that write to such file systems."""
        self.write_until = 0.0
        """Until when the last writes of the run are waited for, by CLOCK_MONOTONIC."""
        self.settled: int | None = None
        """The exit code of a run whose end is written: no later fault changes what the run has come to."""
        self._reserve = b""

    def keep_reserve(self) -> None:
        """Keep memory for the words with which a run ends that is short of memory."""
        # Of zeros, which calloc(3) does not write.
        self._reserve = bytes(RESERVE_BYTES)

    def free_reserve(self) -> None:
        """Free that memory, since the end of the run is written now."""
        self._reserve = b""

    def plan_record(self, plan: "Plan") -> None:
        """Note the record that the guardian is to make."""
        self.plan = plan

    def drop_plan(self) -> None:
        """Wait for the record no more: the guardian that was to make it has died, or hangs."""
        self.plan = None

    def note_record(self, guardian: int, message: "RecordMade", fds: "list[int]") -> None:
        """Note that this guardian has made the record, or why there is none."""
        plan, self.plan = self.plan, None
        if message[0] == "unrecorded":
            self.unrecorded = message[1]
        if plan:
            self.record = plan.made(guardian, message, fds)
            if self.record and self.record.file_worker:
                self.file_workers.append(self.record.file_worker)

    def note_remote(self, key: str) -> None:
        """Note that the file of that option is on a file system that may stop answering."""
        self.remote.add(key)

    def open_events(self, fd: int) -> None:
        """Write the events to that descriptor, or through a file worker where the file system may stop answering.

        Raises OSError where no process can be had.
        """
        if "events" not in self.remote:
            self.events = fd
            return
        from supervise.records import remote_files

        self.remote_events = remote_files.events_of(fd)
        self.file_workers.append(self.remote_events.file_worker)

    def open_log(self, log: "LogFile") -> None:
        """Write the copy of the output to that log, or through a file worker where the file system may stop answering.

        Raises OSError where no process can be had.
        """
        self.log = log
        if "log" in self.remote:
            from supervise.records import remote_files

            self.log = remote_files.log_of(log)
            self.file_workers.append(self.log.file_worker)

    def hold_lock(self, lock: "Lock") -> None:
        """Keep the lock until the process ends: its descriptor is left open."""
        self.lock = lock

    def bound_writing(self, seconds: float, is_hurried: "Callable[[], bool]") -> None:
        """Wait for file systems that do not answer no longer than that, nor once `is_hurried` returns True."""
        self.write_until = monotonic() + seconds
        for file_worker in self.file_workers:
            file_worker.bound(seconds, is_hurried)

    def settle(self, code: int) -> None:
        """Note that the end of the run is written, with that exit code."""
        self.settled = code

    def dismiss_file_workers(self) -> None:
        """Let the file_workers go: all is written that can be."""
        for file_worker in self.file_workers:
            file_worker.hang_up()
        for file_worker in self.file_workers:
            file_worker.await_end()
        if self.file_workers:
            from supervise.process.file_worker import DEATH_SECONDS

            until = monotonic() + DEATH_SECONDS
            for file_worker in self.file_workers:
                file_worker.await_death(until)


class Access:
    """The ways in which the command shows that it is up, where any but its output is asked for."""

    def __init__(self) -> None:
        self.detector: Detector | None = None
        """Looks for signs of access; None where no option names one."""
        self.notify: NotifySocket | None = None
        """The socket on which the command reports its state (sd_notify(3)); None where no option asks for it."""

    def look_for(self, detector: "Detector") -> None:
        """Keep the detector of an attempt."""
        self.detector = detector

    def end_attempt(self) -> None:
        """End the search for signs: the attempt is over."""
        if self.detector:
            self.detector.stop()
            self.detector = None

    def listen(self, notify: "NotifySocket") -> None:
        """Note the socket on which the command reports its state."""
        self.notify = notify

    def remove_socket(self) -> None:
        """Remove the socket on which the command reports its state."""
        if self.notify:
            self.notify.remove()


class Monitoring:
    """What tells others of the run while it goes on (`--hook`, `--ping`)."""

    def __init__(self) -> None:
        self.courier: Courier | None = None
        """Sends the events of the run to the messenger; None where nobody is told."""

    def open_courier(self, courier: "Courier") -> None:
        """Note the courier, whose messenger is not started yet."""
        self.courier = courier


class Launched:
    """A run on its way.  It holds the parts of the run's state, and does what takes more than one of them."""

    __slots__ = ("access", "child", "files", "info", "monitoring", "streams", "terminals")

    streams: "Streams"
    """There from the moment on at which the bytes flow."""

    def __init__(
        self, request: "Request", caller: int = -1, began: "float | None" = None, front: "Front | None" = None
    ) -> None:
        """`caller`, `front`: see Child.  `began`: when the supervisor was called, by CLOCK_MONOTONIC."""
        self.info = RunInfo(request, began, front.parent if front else posix.getppid())
        self.child = Child(caller, front)
        self.terminals = Terminals()
        self.files = Files()
        self.access = Access()
        self.monitoring = Monitoring()

    def facts(self) -> "Facts":
        """Return what the guardian needs to write the end of the run, should the supervisor die."""
        info, values = self.info, self.info.values
        start = {
            "run_id": info.run_id,
            "name": values["name"],
            "command": info.command,
            "access_limit": values["access_timeout"] is not None,
            "rerun": values["on_interrupt"] == "rerun",
            "events": values["events"],
            "ci": info.ci,
            "stop_command": values["stop_command"],
            "courier": self.monitoring.courier.fileno() if self.monitoring.courier else -1,
            "results": {key: path for key, path in info.result_files.items() if key != "report"},
        }
        return info.started_at, info.started, posix.getpid(), start, values["report"], self.files.plan is not None

    def hear(self) -> bool:
        """Take one message of the guardian, if there is one; return False where the guardian has gone."""
        try:
            got = self.child.channel.receive()
        except BlockingIOError:
            return True
        if got is None:
            return False
        message, fds = got
        if message[0] == "recorded" or message[0] == "unrecorded":
            self.hear_record(message, fds)
            return True
        # The runner handles these messages, and refuses one that it does not know.
        self.child.note_heard(message)
        if message[0] == "started":
            self.hear_start(message[1])
        elif message[0] == "exited" or message[0] == "failed":
            self.terminals.end_command()
        return True

    def hear_record(self, message: "RecordMade", fds: "list[int]") -> None:
        """Note that the guardian has made the record, or why there is none."""
        self.child.guardian.forget_permit()
        self.files.note_record(self.child.guardian.pid, message, fds)

    def hear_start(self, root: int) -> None:
        """Note the pid of the command, in the record too; with --detach, let the caller go."""
        if self.child.note_start(root) and self.files.record:
            self.files.record.note_root(root)
        self.child.answer_caller(self.info.run_id)

    def open_streams(self) -> "Streams":
        """Return the streams of the run, new."""
        from supervise.launch.streams import Streams

        self.streams = Streams()
        return self.streams

    @property
    def pumps(self) -> "tuple[Pump, ...]":
        """Return the pumps of the attempt; none while no bytes flow."""
        return self.streams.pumps if hasattr(self, "streams") else ()

    @property
    def is_output_over(self) -> bool:
        """Return whether no pump, also of an earlier attempt, has bytes left to pass on."""
        return not any(pump.unfinished() for pump in self.pumps)

    def has_cancelling_signal(self) -> bool:
        """Return whether a signal that cancels a run has come, and is not handled yet."""
        if not _signal.sigpending().isdisjoint(CANCELLING):
            return True
        return bool(self.pumps) and self.streams.inbox.has_signal(CANCELLING)


def _recorded(given: "dict[str, str]") -> "dict[str, str]":
    """Return the words of the options that are recorded."""
    return {name: word for name, word in given.items() if name not in OFF_RECORD or word.startswith(SECRET_FILE)}


def hands_back(values: "Mapping[str, object]") -> bool:
    """Return whether the run may give control back while it goes on (`--detach-after`, `--detach-after-idle`)."""
    return not values["detach"] and (values["detach_after"] or values["detach_after_idle"]) is not None


def _service_of(word: str) -> str:
    """Return the CI service that `--ci` names, or that `auto` finds; '' for none."""
    if word != "auto":
        return word if word in CI_VARIABLES else ""
    for service, variable in CI_VARIABLES.items():
        if system.variable(variable) == "true":
            return service
    return ""


def _id_of(epoch: float) -> str:
    """Return the id of a run that began then, in seconds since the epoch: ids sort by time."""
    return f"{strftime('%Y%m%d-%H%M%S', gmtime(int(epoch)))}-{int(epoch % 1 * 1e6):06}{posix.urandom(2).hex()}"
