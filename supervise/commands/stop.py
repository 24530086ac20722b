"""`supervise stop`: cancel a run, or a batch, and wait for its end."""

from time import sleep
from typing import Any

from supervise.commands import lookup
from supervise.options.table import BadValueError

END_WAIT_SECONDS = 3600.0
"""How long to wait for the end of the run: longer than any sensible --kill-after."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Cancel the run as the signal to its supervise would, and return 0 once no process of it is left."""
    word = operands[0]
    try:
        target = lookup.find(word)
    except BadValueError:
        if not _stop_batch(word, values["signal"]):
            raise
        return 0
    name = target.record.facts.get("name") if target.record else None
    # The id of a run may end with the name of a batch.
    if word not in ("-", target.run_id, name) and _stop_batch(word, values["signal"]):
        return 0
    connection, _ = target.ask("stop", signal=values["signal"])
    connection.socket.settimeout(END_WAIT_SECONDS)
    while connection.receive() is not None:
        pass
    # The end of the connection is not yet the end of the run.
    target.wait_for_end()
    return 0


def _stop_batch(name: str, number: int) -> bool:
    """Cancel the batch of that name and wait for its end; return False where there is no such batch."""
    from supervise.batch import batch_record, engines

    state = lookup.own_state()
    if name not in batch_record.names(state):
        return False
    batch = batch_record.find(state, name)
    engine = engines.load(batch.engine)
    engine.cancel(batch, number)
    while engine.states(batch).is_active:
        sleep(engine.POLL_SECONDS)
    return True
