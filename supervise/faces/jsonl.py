"""Events for programs: one JSON object a line.

`at` and `t` say when it happened, which may be a little before it became known; lines stand in the order in which
things became known.
"""

import json

from supervise.core.events import (
    Access,
    Emptied,
    Exited,
    Extended,
    Killing,
    Paused,
    PutOff,
    Refused,
    Resumed,
    Retrying,
    SpawnFailed,
    Started,
    Tried,
    Verdict,
    Warned,
)
from supervise.core.outcome import Cause, Outcome
from supervise.faces import fields, report_shape
from supervise.faces.fields import Fields
from supervise.faces.items import Diagnosis, Item, Moment, NotRetried, Said, Stragglers, Trouble


def line(item: Item, moment: Moment, run_id: str) -> str | None:
    """The line without its end, ASCII alone; None for what is no event to others (a tick, bytes of output)."""
    event = _event(item, moment)
    if event is None:
        return None
    t = _happened(item, moment)
    head = report_shape.head(run_id, fields.time(moment.wall(t)), fields.seconds(t))
    if moment.left_out:
        event["left_out"] = moment.left_out
    # ASCII alone: no line separator and no control character of any alphabet can break a line or a terminal.
    return json.dumps({**head, **event}, allow_nan=False)


def _happened(item: Item, moment: Moment) -> float:
    match item:
        case Access(at=at) | Exited(at=at) | Verdict(Cause(at=at)):
            return at
    return moment.t


def _event(item: Item, moment: Moment) -> Fields | None:
    match item:
        case Started(pid):
            return {"event": "started", "pid": pid}
        case SpawnFailed(kind, reason):
            return {"event": "spawn_failed", "kind": kind, "reason": fields.text(reason)}
        case Access(_, how):
            return {"event": "access", "how": fields.text(how)}
        case Tried(how, why):
            return {"event": "tried", "how": fields.text(how), "why": fields.text(why)}
        case Warned():
            return {"event": "warned", **fields.warning(item, moment)}
        case Extended():
            return {"event": "extended", **fields.extension(item, moment)}
        case PutOff():
            return {"event": "put_off", **fields.put_off(item, moment)}
        case Refused(what, why):
            return {"event": "refused", "what": fields.text(what), "why": fields.text(why)}
        case Verdict():
            return {"event": "verdict", **_verdict(item)}
        case Killing(why):
            return {"event": "killing", "why": why}
        case Retrying(number, most, delay, outcome):
            return {
                "event": "retrying",
                "attempt": number,
                "most": most,
                "delay": fields.seconds(delay),
                **fields.outcome(outcome),
            }
        case NotRetried(why, outcome):
            return {"event": "not_retried", "why": why, "outcome": outcome.name}
        case Paused():
            return {"event": "paused"}
        case Resumed():
            return {"event": "resumed"}
        case Exited(exit):
            return {"event": "exited", "command_exit": fields.command_exit(exit)}
        case Emptied(survivors):
            return {"event": "emptied", "survivors": [fields.process(one) for one in survivors]}
        case Stragglers(processes, output):
            left = [fields.process(one) for one in processes]
            return {"event": "stragglers", "stragglers": left, "output": output or None}
        case Diagnosis():
            return {"event": "diagnosis", **fields.diagnosis(item, moment)}
        case Said(what, text):
            return {"event": "said", "what": what.replace(" ", "_"), "text": fields.text(text)}
        case Trouble(text):
            return {"event": "trouble", "text": fields.text(text)}
        case Outcome():
            return {"event": "settled", **fields.outcome(item)}
    return None


def _verdict(item: Verdict) -> Fields:
    cause = item.cause
    return {
        "cause": cause.kind,
        "limit": cause.limit,
        "limit_seconds": fields.seconds(cause.limit_seconds),
        "source": fields.text(cause.source) or None,
        "reason": fields.text(cause.reason) or None,
        "signal": fields.signal(item.signal),
        "kill_after": fields.seconds(item.kill_after),
        "dump_signal": fields.signal(item.dump_signal),
    }
