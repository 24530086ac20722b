"""The notices of one run: messages for people on stderr, events for programs, the report, the record."""

import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic, time
from typing import TYPE_CHECKING

from supervise.core.events import Drained, Emptied, Exited, RetryScheduled, Started, Verdict
from supervise.core.outcome import Exit, Outcome
from supervise.core.policy import Policy
from supervise.faces import jsonl
from supervise.faces.full_report import FullReport
from supervise.faces.message_colours import RED, colour_of, painted
from supervise.faces.report_items import CommandMessage, HandedBack, Moment, ReportItem, Trouble, Usage
from supervise.faces.secret_mask import SecretMask
from supervise.faces.stderr_messages import StderrMessages, Verbosity
from supervise.faces.throttle import Released, Throttle
from supervise.launch import run_record
from supervise.launch.state import Launched
from supervise.output import outlet
from supervise.output.outlet import Messenger, Outlet
from supervise.runner.write_failures import WriteFailures
from supervise.text import colour
from supervise.text.redaction import Redaction
from supervise.text.stderr import reason_of

if TYPE_CHECKING:
    from supervise.faces.ci_lines import CiLines
    from supervise.faces.live_line_text import LiveText
    from supervise.records.status_file import StatusFile
    from supervise.runner.messenger_link import MessengerLink

RECORDED_EVENT_BYTES = 1 << 23
"""Bytes of the events in a record, or --log-max where that is less: half of what a reader of the record accepts."""
UNSEEN_ITEMS = 200
"""Items that are kept until the live line is drawn for the first time; the latest ones count."""
ENDS = (Verdict, Exited, RetryScheduled, Outcome)
"""Items before which all waiting items are announced."""
MIN_REPORT_SECONDS = 0.1
"""Seconds that a file system which may stop answering has for the report, however long other writes took."""
CI_SECONDS = {"github": 1.0, "gitlab": 1.0, "buildkite": 5.0}
"""Seconds that the files of a CI service, or the call of its agent, may take."""
FLUSH_SECONDS = 0.2
"""Seconds that each reader of messages and events has to take the last of them, when the run is over."""


class Notices:
    """Hands each item of a run to the faces, and their output to stderr, the events file and the record."""

    def __init__(self, launched: Launched, policy: Policy, now: Callable[[], float]) -> None:
        values = launched.info.values
        self._launched = launched
        verbosity: Verbosity = "quiet" if values["quiet"] else "verbose" if values["verbose"] else "normal"
        self._now = now
        self._run_id = launched.info.run_id
        self._mask = SecretMask(launched.info.redaction or Redaction(values["redact"]))
        self._messages = StderrMessages(launched.info.command, policy, verbosity)
        self.live: LiveText | None = None
        """Makes the text of the live line; None before it is drawn for the first time, and where it never is."""
        self._unseen: deque[ReportItem] | None = deque(maxlen=UNSEEN_ITEMS) if launched.streams.watched else None
        """The items that the text of a later live line depends on."""
        self._policy = policy
        self._ci = _ci_of(launched)
        self.messenger_link = _messenger_link_of(launched, self.announce)
        """Tells others of the run; None where nobody is told."""
        self._people = Messenger(launched.streams.messages)
        self._is_coloured = colour.is_wanted(launched.streams.messages.fd)
        self._record = launched.files.record
        self.write_failures = WriteFailures(self.announce)
        self._events = _events_of(launched)
        self._recorded = Messenger(launched.files.record.outlet()) if launched.files.record else None
        self._status = _status_file(launched)
        self._room = min(RECORDED_EVENT_BYTES, values["log_max"] or RECORDED_EVENT_BYTES)
        """Bytes that are left for events in the record."""
        self._unrecorded = 0
        """The number of events that found no room in the record."""
        self._throttle = Throttle()
        self._result_files = launched.info.result_files
        if self._result_files:
            from supervise.records import result_files  # noqa: F401 - at the end no descriptor may be left to load it
        self.report_failure = ""
        """Why the report of the end could not be written; empty where it is written, and before."""
        self._shown_verdict: Outcome | None = None
        """The outcome whose message was shown ahead of the held output."""
        self._full_report = self._new_report() if self.wants_report else None
        """None where nothing of it would be written."""
        if self.messenger_link:
            self.messenger_link.start()

    def prepare_end(self) -> None:
        """Learn the types of the items with which runs end, while the command runs: at the end its caller waits."""
        self._mask.prepare((Exited, Exit, Drained, Emptied, Outcome))

    def _new_report(self) -> FullReport:
        info = self._launched.info
        return full_report_of(
            info.run_id,
            info.command,
            os.getpid(),
            info.started_at,
            name=info.values["name"],
            has_access_limit=info.values["access_timeout"] is not None,
        )

    def announce(self, item: ReportItem, at: float | None = None) -> None:
        """Announce an item of that second of the run (now); the throttle may keep it for a moment."""
        now = self._now()
        item = self._mask(item)
        # The live line shows the latest state, and needs no throttle.
        if self.live:
            self.live.note(item)
        elif self._unseen is not None:
            self._unseen.append(item)
        match item:
            case CommandMessage("status", text) if self._status:
                self._status.show(text)
            case Started():
                self._throttle.begin_attempt()
                if self._status:
                    self._status.show("")
        released = self._throttle.note(item, now)
        if released is None:
            waiting = self._throttle.take_all if isinstance(item, ENDS) else self._throttle.take_due
            self._write_all(waiting(now), now)
            self._write(item, now if at is None else at)
        else:
            self._write_all(released, now)

    def show_verdict(self, outcome: Outcome) -> None:
        """Write the verdict and what was run to stderr, ahead of the held output (`--quiet-unless-failed`)."""
        masked = self._mask(outcome)
        assert isinstance(masked, Outcome)
        head, *lines = self._messages.verdict(masked, self._moment(self._now()))
        verdict = Messenger(outlet.of_stdio()[1])
        _say_all(verdict, [painted(head, RED if colour.is_wanted(2) else ""), *lines])
        verdict.flush(FLUSH_SECONDS)
        self._shown_verdict = masked

    def leave_fence(self) -> None:
        """Have the fence of `--ci-fence` stay when the run has ended."""
        if self._ci:
            self._ci.leave_fence()

    def epoch_of(self, t: float) -> float:
        """Return that second of the run in epoch seconds, by the clock as it is set now."""
        return time() - (self._now() - t)

    def leave_caller(self, item: HandedBack) -> None:
        """Announce that the caller gets control back, and write the messages so far; no live line follows."""
        self.announce(item)
        self.live = self._unseen = None
        self.flush_messages()

    def open_live(self) -> "LiveText":
        """Return what makes the text of the live line, with the items so far.

        Raises OSError or ImportError where no descriptor is left, or the disk is gone.
        """
        from supervise.faces.live_line_text import LiveText

        live = LiveText(self._policy)
        for item in self._unseen or ():
            live.note(item)
        self.live, self._unseen = live, None
        return live

    def flush_messages(self) -> None:
        """Wait for FLUSH_SECONDS until the messages so far are written, or held."""
        self._people.flush(FLUSH_SECONDS)

    @property
    def due(self) -> float:
        """Return when a waiting item is due, in seconds of the run; infinity where none waits."""
        return self._throttle.due

    def _write_all(self, released: list[Released], now: float) -> None:
        for item, left_out in released:
            self._write(item, now, left_out)

    def _moment(self, t: float, left_out: int = 0) -> Moment:
        # The wall clock is read for each item: clocks are set, and machines sleep.  The two clocks are read one right
        # after the other: anything in between, on a busy machine, would move the absolute time.
        return Moment(t, time() - (self._now() - t), left_out)

    def _write(self, item: ReportItem, t: float, left_out: int = 0) -> None:
        moment = self._moment(t, left_out)
        lines = self._messages.lines(item, moment)
        before, after = self._ci.around(item, lines, moment) if self._ci else ([], [])
        if item == self._shown_verdict:
            lines = []
        if self._is_coloured:
            lines = [painted(line, colour_of(item, self._policy)) for line in lines]
        _say_all(self._people, [*before, *lines, *after])
        if self._events or self._recorded or self.messenger_link:
            text = jsonl.line(item, moment, self._run_id)
            if text and self._events:
                self._events.say(text.encode() + b"\n")
            if text and self._recorded:
                self._record_event(item, moment, text)
            if text and self.messenger_link:
                self.messenger_link.tell(item, text)
        self._report_lost_events()
        if self._full_report:
            self._full_report.note(item, moment)

    def _record_event(self, item: ReportItem, moment: Moment, text: str) -> None:
        """Record an event if the record has room; the end is always recorded, with the number of events left out."""
        assert self._recorded
        if isinstance(item, Outcome) and self._unrecorded:
            text = jsonl.line(item, replace(moment, left_out=self._unrecorded), self._run_id) or text
        elif self._room < len(text):
            self._unrecorded += 1
            return
        self._room -= len(text) + 1
        self._recorded.say(text.encode() + b"\n")

    def _write_result(self, option: str, path: str, whole: "Mapping[str, object]") -> str | None:
        from supervise.records import result_files

        if option not in self._launched.files.remote:
            return result_files.write(option, path, whole)
        left = max(MIN_REPORT_SECONDS, self._launched.files.write_until - monotonic())
        return _write_apart(option, path, whole, left, self._launched.has_cancelling_signal)

    def _append_for_ci(self, whole: "Mapping[str, object]") -> None:
        """Append to the files of the CI service in a process that can be left behind; say what cannot be written."""
        from supervise.process import bounded_call
        from supervise.records import ci_files

        def append() -> "tuple[str, tuple[int, ...]]":
            return ci_files.append(self._launched.info.ci, whole, os.environ), ()

        try:
            seconds, starved = CI_SECONDS[self._launched.info.ci], bounded_call.STARVED_SECONDS
            why = bounded_call.run(append, seconds, starved=starved, is_over=lambda: False)[0]
        except bounded_call.NoAnswerError:
            why = "the service got no end of the run in time"
        except OSError as error:
            why = reason_of(error)
        if why:
            self.announce(Trouble(f"--ci: {why}"))

    @property
    def wants_report(self) -> bool:
        """Return whether the report, a file made of it, the CI service or the record gets the whole end of the run."""
        return bool(self._result_files or self._record or self._ci)

    def _report_lost_events(self) -> None:
        """Announce that the events cannot be written: their thread fails, and this shows at the next event."""
        if self._events and self._events.is_gone:
            self.write_failures.report("--events", self._events.why)

    def finish(self, usage: Usage) -> None:
        """Write the report and the end of the record, and wait for FLUSH_SECONDS for each reader; the last call."""
        whole = self._full_report.report(Moment(self._now(), time()), usage) if self._full_report else {}
        for option, path in self._result_files.items():
            failure = self._write_result(option, path, whole)
            if failure:
                self.announce(Trouble(f"--{option}: {failure}"))
                if option == "report":
                    self.report_failure = failure
        if self._ci:
            self._append_for_ci(whole)
        if self.messenger_link:
            self.messenger_link.end()
        for program in filter(None, (self._events, self._recorded)):
            program.flush(FLUSH_SECONDS)
        self._report_lost_events()
        if self._record:
            try:
                run_record.close(self._record, whole)
            except OSError as error:
                self.write_failures.report("record", reason_of(error))
        self._people.flush(FLUSH_SECONDS)

    def finish_pings(self) -> None:
        """Wait for the last ping, and say on stderr why one has failed; report and record are written already."""
        for text in self.messenger_link.await_pings() if self.messenger_link else ():
            _say_all(self._people, self._messages.lines(self._mask(Trouble(text)), self._moment(self._now())))
            self._people.flush(FLUSH_SECONDS)


def _say_all(messenger: Messenger, lines: list[str]) -> None:
    for line in lines:
        messenger.say(os.fsencode(line) + b"\n")


def _events_of(launched: Launched) -> Messenger | None:
    if launched.files.remote_events:
        return Messenger(launched.files.remote_events)
    return Messenger(_outlet_of_events(launched)) if launched.files.events >= 0 else None


def _outlet_of_events(launched: Launched) -> Outlet:
    """Return the outlet of stdout or stderr where the events go there too, so that each begins on a line of its own."""
    own = os.fstat(launched.files.events)
    standard = [launched.streams.messages, *launched.streams.outlets]
    same = (one for one in standard if os.path.samestat(os.fstat(one.fd), own))
    return next(same, None) or Outlet(launched.files.events)


def _write_apart(
    option: str, path: str, whole: "Mapping[str, object]", seconds: float, is_over: Callable[[], bool]
) -> str | None:
    """Write the file in a process that can be left behind; return why it could not be written, or None."""
    from supervise.process import bounded_call
    from supervise.records import result_files

    def write() -> "tuple[str | None, tuple[int, ...]]":
        return result_files.write(option, path, whole), ()

    try:
        why: str | None = bounded_call.run(write, seconds, is_over=is_over)[0]
        return why
    except bounded_call.NoAnswerError:
        return f"cannot write {path!r}: its file system does not answer"
    except OSError as error:
        return f"cannot write {path!r}: {reason_of(error)}"


def full_report_of(
    run_id: str,
    command: list[str],
    pid: int,
    started_at: float,
    *,
    name: str | None = None,
    has_access_limit: bool = False,
) -> FullReport:
    """Return the full report of a run that has just begun."""
    return FullReport(
        run_id=run_id,
        command=command,
        cwd=_cwd(),
        host=os.uname().nodename,
        pid=pid,
        started_at=started_at,
        name=name,
        has_access_limit=has_access_limit,
    )


def _status_file(launched: Launched) -> "StatusFile | None":
    if not launched.files.record or not launched.access.notify:
        return None
    try:
        from supervise.records.status_file import StatusFile
    except (OSError, ImportError):
        # No descriptor is left, or the disk is gone: the run goes on without the file.
        return None
    return StatusFile(launched.files.record)


def _ci_of(launched: Launched) -> "CiLines | None":
    if not launched.info.ci:
        return None
    try:
        from supervise.faces.ci_lines import CiLines
    except (OSError, ImportError):
        # No descriptor is left, or the disk is gone: the run goes on without the lines.
        return None
    info = launched.info
    return CiLines(info.ci, info.run_id, info.fence, is_held=info.holds_output)


def _messenger_link_of(launched: Launched, announce: "Callable[[ReportItem], None]") -> "MessengerLink | None":
    if not launched.info.is_monitored:
        return None
    try:
        from supervise.runner.messenger_link import MessengerLink
    except (OSError, ImportError):
        # No descriptor is left, or the disk is gone: the run goes on, and nobody is told.
        return None
    return MessengerLink(launched, announce)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        # The folder was removed.
        return ""
