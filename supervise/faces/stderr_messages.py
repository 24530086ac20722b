"""The messages of supervise to people: lines for stderr.

A verdict is announced before the clean-up. When all is over, one final message says how the run ended, with the exit
code. A failure to start is reported as a shell reports it. There is no final message for a command that ended by
itself, whatever its exit code.
"""

from math import inf
from typing import Literal

from supervise.core.events import (
    Access,
    Emptied,
    Exited,
    Extended,
    KillOrdered,
    Paused,
    ProbeFailed,
    Process,
    PutOff,
    Refused,
    Resumed,
    RetryScheduled,
    Started,
    Verdict,
    Warned,
)
from supervise.core.outcome import Cause, InputWait, Outcome
from supervise.core.policy import LIMITS_OF_RUN, Policy
from supervise.core.retry import RETRY_ON_OF_OUTCOME as RETRIED
from supervise.core.verdict import passes
from supervise.faces import phrases
from supervise.faces.report_items import (
    CommandMessage,
    Diagnosis,
    Heartbeat,
    Moment,
    NotRetried,
    ReportItem,
    Stragglers,
    Trouble,
)
from supervise.text import (
    ci_commands,  # noqa: F401 - used by `message`: no descriptor may be left by the first message
    shell_words,
)
from supervise.text.sanitizer import clean
from supervise.text.signal_names import signal_name
from supervise.text.stderr import message

Verbosity = Literal["quiet", "normal", "verbose"]

PROCESSES_NAMED = 10
"""Processes that a message names; the report names all."""
STRAGGLER_OUTPUT_TEXT = {
    "record": "the processes left running now print only into the record of this run",
    "dropped": "the processes left running go on, and their output is dropped from now on",
    "cut": "the output of the processes left running is cut: a process that prints may fail",
}
KILL = 9
REASON_ALONE = ("error", "not_executable", "not_found", "lost")
"""Outcomes whose final message is the reason alone."""


class StderrMessages:
    """Makes the messages of one run, as many as --quiet or --verbose ask for."""

    def __init__(self, command: list[str], policy: Policy, verbosity: Verbosity) -> None:
        self._command = command
        self._policy = policy
        self._verbosity = verbosity
        self._is_killing = False
        """KILL was ordered, and its result is not reported yet."""
        self._is_empty = False
        """No process of this attempt is left. That may be reported before the order of a KILL that was given meanwhile.
        """
        self._survivors = 0
        """Number of processes of this attempt that could not be killed."""
        self._next_attempt = 0
        """The number of the attempt that is to come; 0 while an attempt runs."""
        self._attempt = 1
        """The number of the attempt that runs, or is to come."""
        self._knows_job_end = False
        """A message has said until when the CI job lets the run go on."""

    def lines(self, item: ReportItem, moment: Moment) -> list[str]:
        """Return the messages for the item: whole lines without their ends, often none."""
        if isinstance(item, RetryScheduled | Started):
            self._next_attempt = item.number if isinstance(item, RetryScheduled) else 0
            self._attempt = self._next_attempt or self._attempt
            self._is_killing, self._is_empty, self._survivors = False, False, 0
        if isinstance(item, Emptied):
            self._is_killing, self._survivors = False, len(item.survivors)
            self._is_empty = not item.survivors
        elif isinstance(item, KillOrdered):
            self._is_killing, self._survivors = not self._is_empty, 0
        texts = self._at_any_verbosity(item, moment)
        if self._verbosity != "quiet":
            texts += self._unless_quiet(item, moment)
        if self._verbosity == "verbose":
            texts += self._if_verbose(item, moment)
        if moment.left_out and texts:
            texts[-1] += f" ({moment.left_out} more before it)"
        return [message(text) for text in texts]

    def verdict(self, outcome: Outcome, moment: Moment) -> list[str]:
        """Return how the run has ended, also where the command ended by itself, and what was run."""
        texts = self._final(outcome, moment)
        if not texts:
            texts = [f"the command {outcome.name} after {phrases.measured(moment.t)} ({_codes(outcome)})"]
        return [message(text) for text in [*texts, f"it ran: {shell_words.command_line(self._command)}"]]

    def _at_any_verbosity(self, item: ReportItem, moment: Moment) -> list[str]:
        """Return errors and the final message."""
        match item:
            case Trouble(text):
                return [text]
            case Emptied(survivors):
                return _named("could not kill", survivors)
            case Outcome():
                return self._final(item, moment)
        return []

    def _unless_quiet(self, item: ReportItem, moment: Moment) -> list[str]:
        match item:
            case Warned():
                return [self._warning(item, moment)]
            case Extended():
                return [_extension(item, moment)]
            case PutOff(first=True):
                return [_put_off(item, moment)]
            case Refused(what, why):
                return [f"{what} refused: {why}"]
            case Verdict():
                return [f"{_verdict(item.cause)}; {_stopping(item)}"]
            case KillOrdered(why):
                again = "a second request to stop: " if why == "again" else ""
                return [f"{again}killing what is left with KILL"]
            case RetryScheduled():
                delay, why = phrases.measured(item.delay), phrases.why(item.outcome)
                return [f"attempt {item.number} of {item.most} in {delay}: {why}"]
            case NotRetried():
                return [f"not tried again: {self._why_not(item)}"]
            case Heartbeat(silence, seen):
                return [f"no output for {phrases.measured(silence)}, still busy: {phrases.activity(seen)}"]
            case Diagnosis():
                return _diagnosis(item, moment)
            case Stragglers(processes, output):
                return _named("left running", processes) + ([STRAGGLER_OUTPUT_TEXT[output]] if output else [])
        return []

    def _if_verbose(self, item: ReportItem, moment: Moment) -> list[str]:
        match item:
            case Started(pid):
                return [f"started: pid {pid}: {shell_words.command_line(self._command)}", *self._job_end(moment)]
            case Access(at, how):
                return [f"access after {phrases.measured(at)}: {how}"]
            case ProbeFailed(_, why):
                return [f"not up yet: {why}"]
            case CommandMessage(what, text):
                return [f"the command says: {what}" + (f": {text}" if text else "")]
            case PutOff(first=False):
                return [_put_off(item, moment)]
            case Paused():
                return ["paused: all clocks stop"]
            case Resumed():
                return ["resumed: all clocks go on"]
            case Exited(exit, at):
                return [f"the command ended after {phrases.measured(at)}: {phrases.end(exit)}"]
            case Outcome("busy", 0):
                # Another run has the lock, and that is no failure (`--if-busy skip`).
                return [f"skipped: {(item.reason or '').removeprefix('busy: ')}"]
            case Outcome() if not self._final(item, moment):
                return [f"{item.name} ({_codes(item)})"]
        return []

    def _job_end(self, moment: Moment) -> list[str]:
        """Return until when the job around this run lets it go on, at the first start alone."""
        if self._knows_job_end:
            return []
        self._knows_job_end = True
        ends = {"CI job": self._policy.runner_deadline, "allocation": self._policy.allocation_deadline}
        return [
            f"the {name} leaves this run {phrases.measured(end - moment.t)}, until {_time(end, moment)}"
            for name, end in ends.items()
            if end is not None and end < inf
        ]

    def _warning(self, item: Warned, moment: Moment) -> str:
        """Return which limit is near, the time that is left, the time of the deadline, and what will happen then."""
        head = f"{item.limit} limit in {phrases.measured(item.left)} ({_time(item.deadline, moment)}): "
        if item.extension is not None:
            text = f"an extension is likely: {phrases.activity(item.extension)}"
        elif self._next_attempt:
            text = "no other attempt will follow then"
        else:
            text = f"{self._so_far(item)}the command will be stopped with {signal_name(self._policy.signal)}"
        return head + text + (f"; sent {signal_name(item.signal)} to the command" if item.signal else "")

    def _final(self, outcome: Outcome, moment: Moment) -> list[str]:
        if self._next_attempt and outcome.cause and outcome.cause.kind != "spawn_failed":
            return [f"{_verdict(outcome.cause)}, before attempt {self._next_attempt} (exit {outcome.exit_code})"]
        if outcome.name in REASON_ALONE or not outcome.cause or not (self._survivors or self._is_killing):
            is_intended = passes(outcome.cause, self._policy) and not outcome.exit_code
            return _final(outcome, moment, self._attempt, is_intended=is_intended)
        subject = (
            f"{self._survivors} process{'es' * (self._survivors > 1)}"
            if self._survivors
            else "the processes of the command"
        )
        failed = f"{subject} could not be stopped"
        return [f"{phrases.cause(outcome.cause)}: {failed} within {phrases.measured(moment.t)} ({_codes(outcome)})"]

    def _why_not(self, item: NotRetried) -> str:
        """Return why the remaining attempts are not used."""
        if item.why == "time":
            return "the run has no time left for another attempt"
        if item.why == "output":
            return "the command has printed, and --retry-if-silent is set"
        word = "oom" if item.outcome.memory else RETRIED.get(item.outcome.name)
        if word is None:
            return f"--retry-on has no word for {item.outcome.name}"
        end = phrases.why(item.outcome) if item.outcome.cause is None else item.outcome.name.replace("_", " ")
        asked = sorted([*self._policy.retry_on, *(f"code={code}" for code in self._policy.retry_codes)])
        return f"{end} is not in --retry-on {','.join(asked)}; --retry-on {word} or any would retry it"

    def _so_far(self, item: Warned) -> str:
        """Return what the command has not done so far, for a warning."""
        if item.limit == "access":
            return "not up yet; "
        # With --idle-grace the deadline may have moved, and then this is not the time since the last byte.
        if item.limit == "idle" and self._policy.idle_timeout and not self._policy.idle_grace:
            return f"no output for {phrases.measured(self._policy.idle_timeout - item.left)}; "
        return ""


def _time(t: float, moment: Moment) -> str:
    return phrases.local_time(moment.wall(t), moment.epoch)


def _extension(item: Extended, moment: Moment) -> str:
    by, until = phrases.duration(item.by), _time(item.deadline, moment)
    if item.source == "user":
        return f"{item.limit} limit extended by {by} to {until}, by hand"
    used, cap = phrases.duration(item.used), phrases.duration(item.cap)
    if item.evidence is None:
        by, used, cap = (phrases.measured(one) for one in (item.by, item.used, item.cap))
        return f"{item.limit} limit extended by {by} to {until} ({used} of {cap} used), as the command asks"
    return f"extended by {by} to {until} ({used} of {cap} used): {phrases.activity(item.evidence)}"


def _put_off(item: PutOff, moment: Moment) -> str:
    by, until = phrases.measured(item.by), _time(item.deadline, moment)
    return f"idle stop put off by {by} to {until}: {phrases.activity(item.evidence)}"


def _verdict(cause: Cause) -> str:
    """Return the cause and what has happened, for the announcement of a verdict."""
    limit = phrases.duration(cause.limit_seconds or 0)
    match cause:
        case Cause(is_unstarted=True) if cause.limit and cause.limit not in LIMITS_OF_RUN:
            return f"{phrases.cause(cause)}: not started after {limit}"
        case Cause("completion_timeout", limit="total"):
            return f"{phrases.cause(cause)}: the total of {limit} is used up"
        case Cause("outer_deadline"):
            return f"{phrases.cause(cause)}: the run around this one leaves no more time"
        case Cause("runner_deadline"):
            return f"{phrases.cause(cause)}: the rest of the CI job's time is its margin"
        case Cause("allocation_end"):
            return f"{phrases.cause(cause)}: the job around this run ends soon"
        case Cause("completion_timeout"):
            return f"{phrases.cause(cause)}: ran longer than {limit}"
        case Cause("idle_timeout", awaited=InputWait() as wait):
            where = phrases.INPUTS[wait.source]
            process = f"pid {wait.pid} {clean(wait.name)}"
            return (
                f"{phrases.cause(cause)}: {process} has waited {phrases.measured(wait.seconds)} for input from {where}"
            )
        case Cause("idle_timeout"):
            return f"{phrases.cause(cause)}: {cause.reason or f'no output for {limit}'}"
        case Cause("access_timeout"):
            return f"{phrases.cause(cause)}: not up after {limit}" + (f"; {cause.reason}" if cause.reason else "")
    if cause.memory:
        return f"{phrases.cause(cause)}: {phrases.memory_lack(cause.memory)}"
    return phrases.cause(cause)


def _stopping(item: Verdict) -> str:
    """Return how the command is being stopped."""
    dump = f"asking for a dump with {signal_name(item.dump_signal)}, then " if item.dump_signal else ""
    if item.signal == KILL:
        return f"{dump}stopping with KILL"
    grace = f"in {phrases.duration(item.kill_after)}" if item.kill_after else "at once"
    return f"{dump}stopping with {signal_name(item.signal)}, KILL {grace}"


def _diagnosis(item: Diagnosis, moment: Moment) -> list[str]:
    lines = phrases.diagnosis(item.processes, item.more, item.cpu_span, is_whole=item.is_whole)
    if item.last_line:
        is_question = any(one.awaits for one in item.processes)
        lines.append(phrases.last_line(item.last_line, moment.t, is_question))
    return lines + ([phrases.BUFFERING_HINT] if item.is_held_back else [])


def _final(outcome: Outcome, moment: Moment, attempts: int, *, is_intended: bool) -> list[str]:
    """Return the final message of a run in whose end supervise had a part; none for a command that ended by itself."""
    cause = outcome.cause
    if outcome.memory and cause is None:
        return [f"out of memory: {phrases.memory_lack(outcome.memory)} (exit {outcome.exit_code})"]
    if outcome.name == "signaled" and cause is None:
        return [f"the command was {phrases.end(outcome.exit)} (exit {outcome.exit_code})"]
    if outcome.name == "busy" and not outcome.exit_code:
        return []
    if outcome.name == "busy":
        return [f"{outcome.reason} ({_codes(outcome)})"]
    if cause is not None and cause.kind == "cancelled" and cause.reason and not cause.is_unstarted:
        return [f"{phrases.cause(cause)} {cause.reason} ({_codes(outcome)})"]
    if outcome.name in REASON_ALONE:
        return [outcome.reason or (cause.reason if cause else "") or outcome.name.replace("_", " ")]
    if cause is None:
        return []
    if cause.kind in ("runner_deadline", "allocation_end") and cause.is_unstarted:
        return [f"{phrases.cause(cause)}: {cause.reason} ({_codes(outcome)})"]
    what = cause.reason if cause.is_unstarted else "the command was stopped"
    if is_intended:
        what = "as intended, the command was stopped"
    elif outcome.name == "completion_timeout" and outcome.reason:
        what = f"{outcome.reason}; {what}"
    # The time is that of the whole run, which is longer than the limit of its last attempt.
    after = phrases.measured(moment.t) + (f" and {attempts} attempts" if attempts > 1 else "")
    return [f"{phrases.cause(cause)}: {what} after {after} ({_codes(outcome)})"]


def _codes(outcome: Outcome) -> str:
    """Return the exit code of supervise, and the command's own status if that differs."""
    own, code = outcome.exit, outcome.exit_code
    if own is None or (own.signal is None and own.code == code):
        return f"exit {code}"
    return f"exit {code}; its own status: {phrases.end(own)}"


def _named(what: str, processes: tuple[Process, ...]) -> list[str]:
    """Return a message for each of the processes, up to PROCESSES_NAMED."""
    lines = [f"{what}: {phrases.process(one)}" for one in processes[:PROCESSES_NAMED]]
    more = len(processes) - len(lines)
    return lines + ([f"{what}: and {more} more"] if more else [])
