"""Fixtures of several modules in this folder."""

import os
from collections.abc import Iterator

import pytest

from tests.support.lock_paths import lock_file


@pytest.fixture
def lock_name() -> Iterator[str]:
    """Yield the name of a lock that no other run uses; its file is removed at the end."""
    name = f"test-{os.getpid()}-{os.urandom(4).hex()}"
    yield name
    lock_file(name).unlink(missing_ok=True)
