"""The end of a run whose command was never started (`--lock` was held): it is reported as any other end."""

from dataclasses import replace
from time import monotonic

from supervise.core.events import Emptied, Settle, Tick
from supervise.core.exit_codes import ExitCode
from supervise.core.machine import Machine
from supervise.core.outcome import Cause, Outcome
from supervise.core.policy import Policy
from supervise.core.verdict import settle
from supervise.faces.report_items import Usage
from supervise.launch.admission import TurnedAway
from supervise.launch.state import Launched
from supervise.output import outlet
from supervise.runner.notices import Notices
from supervise.runner.settings import policy_of
from supervise.text import stderr
from supervise.text.signal_names import signal_name


def end(launched: Launched, why: TurnedAway) -> Outcome:
    """Report and write the end of the run; return its outcome."""

    def now() -> float:
        return monotonic() - launched.info.started

    policy = policy_of(launched.info.values, launched.info.budgets)
    messages = outlet.of_stdio()[1]
    launched.open_streams().open_messages(messages)
    outcome = outcome_of(why, now(), policy)
    for line in stderr.take_held() if outcome.exit_code else ():
        messages.write_line(line)
    notices = Notices(launched, policy, now)
    notices.announce(outcome)
    notices.finish(Usage())
    notices.finish_pings()
    return outcome


def _with_reason(outcome: Outcome, why: str) -> Outcome:
    """Return the outcome with that reason; the deadline of a job keeps its word, by which programs know it."""
    if outcome.cause and outcome.cause.kind in ("runner_deadline", "allocation_end"):
        return replace(outcome, cause=replace(outcome.cause, reason=why))
    return replace(outcome, reason=why)


def outcome_of(why: TurnedAway, at: float, policy: Policy) -> Outcome:
    """Return the outcome of a run that was turned away at that second: busy, or cancelled where a signal came."""
    if why.is_limit:
        # A limit of the run came before its lock: the outcome is that of a run whose start hangs.
        machine = Machine(policy)
        machine.handle(Tick(), max(at, machine.wake_at))
        for action in machine.handle(Emptied(), max(at, machine.wake_at)):
            if isinstance(action, Settle):
                return _with_reason(action.outcome, why.why)
    if not why.signal:
        return Outcome("busy", 0 if why.is_skip else ExitCode.TRY_AGAIN, reason=why.why)
    source, word = (why.tie.end, why.tie.reason) if why.tie else (f"signal {signal_name(why.signal)}", "")
    return settle(Cause("cancelled", at, signal=why.signal, source=source, reason=why.why, word=word), None, policy)
