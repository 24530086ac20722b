"""Who is told of a run while it goes on (`--hook`), before and without a runner."""

from supervise.launch import environment
from supervise.launch.state import Launched
from supervise.monitoring.courier import Courier


def courier_of(launched: Launched) -> Courier:
    """Return the courier of the run, which is made at the first call, before the guardian where there is one.

    Raises OSError.
    """
    if launched.monitoring.courier is None:
        info = launched.info
        plan = {
            "run_id": info.run_id,
            "started": info.started,
            "hooks": [(event, command) for event, _, command in (hook.partition("=") for hook in info.values["hook"])],
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
    for message in courier.await_last():
        if message[0] == "trouble":
            from supervise.launch import run_record

            run_record.warn(message[1])
