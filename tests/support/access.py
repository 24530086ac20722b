"""Runs with an access limit."""

import socket

from tests.support.harness import Ended, Place


def free_port() -> int:
    """One of this machine's on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_access(ended: Ended, how: str, after: float = 0.0) -> None:
    """It came up by that sign, not before, and everybody says the same."""
    [access] = ended.events_named("access")
    assert access["how"] == how
    assert access["t"] >= after
    assert ended.report["access"] == {"at": access["at"], "how": how}
    assert not ended.left


def run(supervise: Place, *words: str, **manner: object) -> Ended:
    return supervise.start(*words, events=True, **manner).wait()
