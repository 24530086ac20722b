"""Fixtures of several modules here."""

import os
from collections.abc import Iterator

import pytest

from tests.support.places import lock_file


@pytest.fixture
def lock_name() -> Iterator[str]:
    """Nobody else's."""
    name = f"test-{os.getpid()}-{os.urandom(4).hex()}"
    yield name
    lock_file(name).unlink(missing_ok=True)
