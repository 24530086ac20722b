"""The end of a run that never began: it is told as any other end, and nothing was started."""

import os
from time import monotonic
from typing import NoReturn

from supervise.core.outcome import TRY_AGAIN, Cause, Outcome, settle
from supervise.faces.items import Usage
from supervise.launch import Launched
from supervise.locking import TurnedAway
from supervise.process import outlet, signals
from supervise.runner import policy_of
from supervise.teller import Teller
from supervise.values import signal_name


def end(launched: Launched, why: TurnedAway) -> NoReturn:
    """Say and write it, and end this process with its code."""

    def now() -> float:
        return monotonic() - launched.started

    policy = policy_of(launched.request.values)
    launched.messages = outlet.of_stdio()[1]
    if why.signal:
        source = f"signal {signal_name(why.signal)}"
        outcome = settle(Cause("cancelled", now(), signal=why.signal, source=source, reason=why.why), None, policy)
    else:
        outcome = Outcome("busy", TRY_AGAIN, reason=why.why)
    teller = Teller(launched, policy, now)
    teller.tell(outcome)
    teller.finish(Usage())
    if outcome.die_of:
        signals.die_of(outcome.die_of)
    os._exit(outcome.exit_code)
