"""Fixtures of the end-to-end tests."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import supervise as package
from supervise.launch.state import CI_VARIABLES
from tests.support import harness, programs
from tests.support import users as users_module
from tests.support.room import Room

CHECKOUT = str(Path(__file__).parents[1] / "supervise")
if CHECKOUT not in package.__path__:
    # The wheel that is tested leaves `supervise.pages` out, which makes the manual and the completions in a checkout.
    package.__path__.append(CHECKOUT)

# No test judges by a clock how long an example or its making takes: the machine may be busy.
settings.register_profile("supervise", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("supervise")


ROOM = pytest.StashKey[Room]()


def pytest_configure(config: pytest.Config) -> None:
    """Restore signals that the caller ignores (nohup, a background job of sh), since the tests send them.

    Forget that this is a job of a CI service. Open the room where pytest has other workers.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for name in CI_VARIABLES.values():
        # The tests may run in a job of such a service, where each supervise would report to it.
        os.environ.pop(name, None)
    if hasattr(config, "workerinput"):
        config.stash[ROOM] = Room(Path(config.option.basetemp).parent)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests marked `alone` at the end, one after the other: all workers wait before the first of them."""
    items.sort(key=is_alone)


def is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[object]:
    """Let tests marked `alone` run while pytest's other workers wait: they measure how late something is."""
    room = item.config.stash.get(ROOM, None)
    if not room:
        # pytest has no other workers.
        return (yield)
    room.enter(alone=is_alone(item))
    try:
        return (yield)
    finally:
        # Between two such tests the others stay outside: the next one would wait for the longest test that they begin.
        if not (is_alone(item) and nextitem and is_alone(nextitem)):
            room.leave()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked with `needs` where a program that it names is missing."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            programs.needed(name)


@pytest.fixture(scope="session")
def program() -> Path:
    """Return the installed `supervise` of the environment that runs the tests."""
    path = Path(sys.executable).with_name("supervise")
    if not path.exists():
        pytest.fail(f"{path} is missing: install the package into the environment that runs the tests")
    return path


@pytest.fixture
def supervise(tmp_path: Path, program: Path) -> Iterator[harness.Place]:
    """Yield a place that runs the installed program in an empty folder; no trace may be left when the test is over."""
    with harness.place(tmp_path, program) as place:
        yield place


@pytest.fixture
def users(program: Path) -> Iterator[users_module.Users]:
    """Yield two ordinary users beside root, and a supervise that they can execute."""
    if why := users_module.why_not():
        pytest.skip(why)
    with users_module.users(program) as found:
        yield found


@pytest.fixture
def roots_records() -> Iterator[None]:
    """Remove the records of root at the end of a test in which root has the home of another user."""
    with users_module.roots_records():
        yield
