"""Fixtures of the end-to-end tests."""

import fcntl
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

CHECKOUT = str(Path(__file__).parents[1] / "supervise")
if CHECKOUT not in package.__path__:
    # The wheel that is tested leaves `supervise.pages` out, which makes the manual and the completions in a checkout.
    package.__path__.append(CHECKOUT)

# No test judges by a clock how long an example or its making takes: the machine may be busy.
settings.register_profile("supervise", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("supervise")


def pytest_configure() -> None:
    """Restore signals that the caller ignores (nohup, a background job of sh), since the tests send them.

    Forget that this is a job of a CI service.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for name in CI_VARIABLES.values():
        # The tests may run in a job of such a service, where each supervise would report to it.
        os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests marked `alone` at the end: each of them would have all workers wait for the longest test of now."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked with `needs` where a program that it names is missing."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            programs.needed(name)


@pytest.fixture(autouse=True)
def room(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let a test marked `alone` run while pytest's other workers wait: it measures how late something is.

    All workers share a lock, the room. A test that wants the room alone first locks the gate before it: with one lock
    alone, the other tests would keep following each other into the room.
    """
    if not hasattr(request.config, "workerinput"):
        yield
        return
    folder = tmp_path_factory.getbasetemp().parent
    is_alone = request.node.get_closest_marker("alone")
    how = fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH
    with (folder / "gate").open("w") as gate, (folder / "room").open("w") as room:
        fcntl.flock(gate, how)
        fcntl.flock(room, how)
        if not is_alone:
            fcntl.flock(gate, fcntl.LOCK_UN)
        yield
        # A process that the test has forked may still have both descriptors, and with them the locks.
        fcntl.flock(room, fcntl.LOCK_UN)
        fcntl.flock(gate, fcntl.LOCK_UN)


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
