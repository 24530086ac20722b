"""The follower of a run's output, with each sequence of lines that the run may send."""

import json
import socket
from pathlib import Path

import pytest

from supervise.control.client import Connection
from supervise.control.sockets import OVER
from supervise.records.output_follower import Follower

ENDED = {"ok": True, "event": "ended", "outcome": "failed", "exit_code": 3}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([ENDED], 3),
        ([{"ok": True}, ENDED], 3),
        # The request `more` comes at the moment of the run's end: the run refuses it, then sends `ended`.
        ([{"ok": False, "why": OVER}, ENDED], 3),
        ([{"ok": False, "why": OVER}], None),
        ([{"ok": False, "why": "too many clients"}, ENDED], None),
        ([], None),
    ],
)
def test_a_follower_takes_the_event_ended_for_the_end(
    tmp_path: Path, said: list[dict[str, object]], code: int | None
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for one in said:
            theirs.sendall(json.dumps(one).encode() + b"\n")
        theirs.shutdown(socket.SHUT_WR)
        follower = Follower(str(tmp_path), Connection(ours))
        assert list(follower.chunks(lambda: None)) == []
        assert (follower.end or {}).get("exit_code") == code
