"""The end of a run while its upkeep puts the control socket back."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervise.control import sockets
from supervise.runner.file_upkeep import FileUpkeep


def test_an_upkeep_that_the_end_interrupts_leaves_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    control: Any = SimpleNamespace(listener=sockets.listen("run", lambda _: None))
    control.listener.remove()
    has_begun = threading.Event()

    def announce(_: str) -> None:
        # The upkeep is under way, and the run is over.
        ending.start()
        has_begun.wait()

    upkeep = FileUpkeep("run", None, control, None, announce, lambda _: None)

    def end() -> None:
        has_begun.set()
        upkeep.finish()

    ending = threading.Thread(target=end)
    upkeep.look()
    ending.join()
    assert [*(tmp_path / "supervise").iterdir()] == []
    # No later upkeep makes a socket.
    upkeep.look()
    assert [*(tmp_path / "supervise").iterdir()] == []
    assert upkeep._moved
    upkeep._moved.close()
    control.listener.close()
