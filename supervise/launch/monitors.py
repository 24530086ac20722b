"""Makes the courier that tells others of a run (`--hook`, `--ping`); for a refused run, has it tell of the end."""

import os
from time import monotonic

from supervise.launch import environment
from supervise.launch.state import Launched
from supervise.monitoring.courier import Courier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.launch.state import RunInfo


def courier_of(launched: Launched) -> Courier:
    """Return the courier of the run; the first call makes it, before the guardian is forked.

    Raises OSError.
    """
    if launched.monitoring.courier is None:
        info = launched.info
        plan = {
            "run_id": info.run_id,
            "started": info.started,
            "hooks": [(event, command) for event, _, command in (hook.partition("=") for hook in info.values["hook"])],
            "ping": _ping_of(info),
        }
        launched.monitoring.open_courier(Courier(plan, environment.of_hooks(info)))
    courier = launched.monitoring.courier
    assert courier
    return courier


def tell_all(launched: Launched, lines: "list[str]") -> None:
    """Tell of the events of a run that is refused, and wait a little for the hooks.

    Raises OSError.
    """
    courier = courier_of(launched)
    courier.start()
    for line in lines:
        courier.tell(line.rstrip())
    until = monotonic() + launched.info.values["ping_wait"]
    for text in (*courier.await_last(), *courier.await_pings(until, launched.has_cancelling_signal)):
        from supervise.launch import run_record

        run_record.warn(text)


def _ping_of(info: "RunInfo") -> "dict[str, object] | None":
    """Return the plan for the pings; None where no check is told."""
    if not info.check:
        return None
    values = info.values
    has_body = values["ping_body"] == "on"
    run = {"run_id": info.run_id, "host": os.uname().nodename}
    return {**run, "url": info.check, "has_body": has_body, "seconds": values["ping_wait"]}
