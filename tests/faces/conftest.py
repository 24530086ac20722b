import time
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One hour east of Greenwich, whatever the machine's own zone and its tables."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "<+01>-1")
        time.tzset()
        yield
    time.tzset()
