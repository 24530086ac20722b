"""The events of a run for programs, one JSON object a line.

`at` and `t` give the time at which an event happened, which may be a little before supervise learned of it. The lines
stand in the order in which supervise learned of the events.
"""

import json

from supervise.core.events import (
    Access,
    Emptied,
    Exited,
    Extended,
    KillOrdered,
    Paused,
    ProbeFailed,
    PutOff,
    Refused,
    Resumed,
    RetryScheduled,
    SpawnFailed,
    Started,
    Verdict,
    Warned,
)
from supervise.core.outcome import Cause, Outcome
from supervise.faces import json_fields, report_shape
from supervise.faces.json_fields import Fields
from supervise.faces.report_items import (
    CommandMessage,
    Diagnosis,
    HandedBack,
    Moment,
    NotRetried,
    ReportItem,
    Stragglers,
    Trouble,
)


def line(item: ReportItem, moment: Moment, run_id: str) -> str | None:
    """Return the line without its end, in ASCII; None for an item that is no public event (a Tick, bytes of output)."""
    event = _event(item, moment)
    if event is None:
        return None
    t = _time_of(item, moment)
    head = report_shape.head(run_id, json_fields.time(moment.wall(t)), json_fields.seconds(t))
    if moment.left_out:
        event["left_out"] = moment.left_out
    # In ASCII, no line separator or control character of any script can break a line or a terminal.
    return json.dumps({**head, **event}, allow_nan=False)


def _time_of(item: ReportItem, moment: Moment) -> float:
    """Return the second of the run at which the item happened."""
    match item:
        case Access(at=at) | Exited(at=at) | Verdict(Cause(at=at)):
            return at
    return moment.t


def _event(item: ReportItem, moment: Moment) -> Fields | None:
    match item:
        case Started(pid):
            return {"event": "started", "pid": pid}
        case SpawnFailed(kind, reason):
            return {"event": "spawn_failed", "kind": kind, "reason": json_fields.text(reason)}
        case Access(_, how):
            return {"event": "access", "how": json_fields.text(how)}
        case ProbeFailed(how, why):
            return {"event": "tried", "how": json_fields.text(how), "why": json_fields.text(why)}
        case Warned():
            return {"event": "warned", **json_fields.warning(item, moment)}
        case Extended():
            return {"event": "extended", **json_fields.extension(item, moment)}
        case PutOff():
            return {"event": "put_off", **json_fields.put_off(item, moment)}
        case Refused(what, why):
            return {"event": "refused", "what": json_fields.text(what), "why": json_fields.text(why)}
        case Verdict():
            return {"event": "verdict", **_verdict(item)}
        case KillOrdered(why):
            return {"event": "killing", "why": why}
        case RetryScheduled(number, most, delay, outcome):
            return {
                "event": "retrying",
                "attempt": number,
                "most": most,
                "delay": json_fields.seconds(delay),
                **json_fields.outcome(outcome),
            }
        case NotRetried(why, outcome):
            return {"event": "not_retried", "why": why, "outcome": outcome.name}
        case Paused():
            return {"event": "paused"}
        case Resumed():
            return {"event": "resumed"}
        case Exited(exit):
            return {"event": "exited", "command_exit": json_fields.command_exit(exit)}
        case Emptied(survivors):
            return {"event": "emptied", "survivors": [json_fields.process(one) for one in survivors]}
        case Stragglers(processes, output):
            left = [json_fields.process(one) for one in processes]
            return {"event": "stragglers", "stragglers": left, "output": output or None}
        case Diagnosis():
            return {"event": "diagnosis", **json_fields.diagnosis(item, moment)}
        case CommandMessage(what, text):
            return {"event": "said", "what": what.replace(" ", "_"), "text": json_fields.text(text)}
        case HandedBack(reason):
            return {"event": "handed_back", "reason": reason}
        case Trouble(text):
            return {"event": "trouble", "text": json_fields.text(text)}
        case Outcome():
            return {"event": "settled", **json_fields.outcome(item)}
    return None


def _verdict(item: Verdict) -> Fields:
    cause = item.cause
    return {
        "cause": cause.kind,
        "limit": cause.limit,
        "limit_seconds": json_fields.seconds(cause.limit_seconds),
        "source": json_fields.text(cause.source) or None,
        "reason": json_fields.text(cause.reason or cause.word) or None,
        "signal": json_fields.signal(item.signal),
        "kill_after": json_fields.seconds(item.kill_after),
        "dump_signal": json_fields.signal(item.dump_signal),
    }
