"""The end of a run while its keeper puts the control socket back."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervise.control import sockets
from supervise.runner.keeper import Keeper


def test_a_look_that_the_end_interrupts_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    control: Any = SimpleNamespace(listener=sockets.listen("run", lambda _: None))
    control.listener.remove()
    has_begun = threading.Event()

    def announce(_: str) -> None:
        # The look is under way, and the run is over.
        ending.start()
        has_begun.wait()

    keeper = Keeper("run", None, control, None, announce, lambda _: None)

    def end() -> None:
        has_begun.set()
        keeper.finish()

    ending = threading.Thread(target=end)
    keeper.look()
    ending.join()
    assert [*(tmp_path / "supervise").iterdir()] == []
    # No look after that makes one.
    keeper.look()
    assert [*(tmp_path / "supervise").iterdir()] == []
    assert keeper._moved
    keeper._moved.close()
    control.listener.close()
