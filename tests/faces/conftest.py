import time
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone to one hour east of Greenwich, whatever the zone of the machine."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "<+01>-1")
        time.tzset()
        yield
    time.tzset()
