"""Runs with an access limit."""

import socket

from tests.support.harness import Ended, Place


def free_port() -> int:
    """Return a TCP port of this machine on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_access(ended: Ended, how: str, after: float = 0.0) -> None:
    """Check that the command was up by that sign, not before second `after`, and that events and report agree."""
    [access] = ended.events_named("access")
    assert access["how"] == how
    assert access["t"] >= after
    assert ended.report["access"] == {"at": access["at"], "how": how}
    assert not ended.left


def run(supervise: Place, *words: str, **manner: object) -> Ended:
    """Run `supervise` with a report and an events file, to its end."""
    return supervise.start(*words, events=True, **manner).wait()
