"""Fixtures of the end-to-end tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import harness, programs
from tests import users as users_module


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked with `needs` names the programs that a bare machine lacks."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            programs.needed(name)


@pytest.fixture(scope="session")
def program() -> Path:
    """The installed `supervise` of the environment that runs the tests."""
    path = Path(sys.executable).with_name("supervise")
    if not path.exists():
        pytest.fail(f"{path} is not there: install the package into the environment that runs the tests")
    return path


@pytest.fixture
def supervise(tmp_path: Path, program: Path) -> Iterator[harness.Place]:
    """Runs the installed program in an empty folder; nothing may be left of it when the test is over."""
    with harness.place(tmp_path, program) as place:
        yield place


@pytest.fixture
def users(program: Path) -> Iterator[users_module.Users]:
    """Two ordinary users beside root, and a supervise that they can execute."""
    if why := users_module.why_not():
        pytest.skip(why)
    with users_module.users(program) as found:
        yield found


@pytest.fixture
def roots_records() -> Iterator[None]:
    """For a test in which root has the home of another user, and so uses that of its account."""
    with users_module.roots_records():
        yield
