"""The supervisor's side of the messenger: what is sent, what is left out, and a messenger that cannot be had."""

import json
from collections.abc import Iterator

import pytest

from supervise.monitoring import courier as module
from supervise.monitoring.courier import MOST_WAITING, Courier
from supervise.monitoring.messenger import REASON
from supervise.records import liveness

PLAN = {"run_id": "x", "started": 0.0, "hooks": [("warned", "true")], "ping": None}


def line(name: str) -> str:
    return json.dumps({"event": name})


@pytest.fixture
def courier() -> Iterator[Courier]:
    """Yield a courier whose messenger is never started: nobody reads what it sends."""
    made = Courier(PLAN, {})
    yield made
    made._end.close()
    made._theirs.close()


def test_an_event_without_a_hook_is_not_sent_unless_it_is_the_last(courier: Courier) -> None:
    assert courier.tell(line("warned")) == 1
    assert courier.tell(line("started")) == 0
    assert courier.tell(line("exited")) == 0
    assert courier.tell(line("settled")) == 0
    got = [courier._theirs.receive()[0] for _ in range(2)]
    assert got == [("event", 1, line("warned")), ("event", 2, line("settled"))]


def test_events_without_room_are_counted_and_the_last_one_is_sent(courier: Courier) -> None:
    numbers = [courier.tell(line("warned")) for _ in range(MOST_WAITING + 7)]
    assert numbers[-8:] == [MOST_WAITING, 0, 0, 0, 0, 0, 0, 0]
    assert courier.left_out == 7
    courier.tell(line("settled"))
    sent = [courier._theirs.receive()[0] for _ in range(MOST_WAITING + 1)]
    assert sent[-1] == ("event", MOST_WAITING + 1, line("settled"))


def test_a_messenger_that_cannot_be_started(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "executable", "/none/python3")
    courier.start()
    assert courier.failure == "no such file or directory"
    assert courier.tell(line("warned")) == 0
    assert courier.hear() == courier.await_last() == []


def test_the_messenger_has_the_words_of_the_record_for_a_lost_run() -> None:
    assert REASON == liveness.CRASH
