"""How commands find a run and ask it for something."""

import os
from typing import Any

from supervise.runs import client, sockets
from supervise.values import BadValueError


def find(word: str) -> str:
    """The id of the run that is meant.

    Raises BadValueError.
    """
    found = sockets.ids()
    if word == "-" and found:
        return found[-1]
    found = [run_id for run_id in found if run_id.startswith(word)]
    if len(found) == 1:
        return found[0]
    raise BadValueError(f"{word!r} is the beginning of {len(found)} runs" if found else f"there is no run {word!r}")


def ask(word: str, do: str, **fields: str | float | bool | None) -> tuple[client.Connection, dict[str, Any]]:
    """What that run answers, and the connection, for more.

    Raises BadValueError where it refuses, has ended or does not answer.
    """
    run_id = find(word)
    try:
        connection = client.connect(run_id, lambda: False)
        answer = connection and client.ask(connection, run_id, do, **fields)
    except client.ClientError as error:
        raise BadValueError(str(error)) from None
    if not connection or not answer:
        raise BadValueError(f"run {run_id} has ended")
    return connection, answer


def say(text: str) -> None:
    """A line for people, on stderr."""
    os.write(2, f"supervise: {text}\n".encode(errors="backslashreplace"))
