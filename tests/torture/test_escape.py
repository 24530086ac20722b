"""No escape artist survives: each is stopped in every way, as root and as an ordinary user, alone and in a crowd.

The kernel decides what a survivor is: see keeper.py. Where supervise ends by itself, no process may be left at that
moment; where it was killed, the guardian has the time that a stop may take.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.torture import arena
from tests.torture.arena import Artist, Result

SETTLE_SECONDS = 15.0
"""Seconds that a guardian may take to stop the tree of a killed supervisor: many times what it takes."""
STOPPING = ("-k", "0.2s", "--no-record")
FROM_READY = ("-a", "30s")
"""The artist prints `ready` when it is complete, which is access: the limit counts from there."""
REPETITIONS = 20
MOMENTS = 200
MOMENTS_SECONDS = 500.0
"""Seconds after which no more moments are tried than that."""


@dataclass(frozen=True)
class Way:
    """A way for a run to end before its command."""

    options: tuple[str, ...]
    status: int
    """Ours, as subprocess has it."""
    act: dict[str, Any] = field(default_factory=dict)


WAYS = {
    "timeout": Way((*FROM_READY, "-t", "0.1s"), 124),
    "interrupted": Way((), -signal.SIGINT, {"act": "signal", "number": signal.SIGINT}),
    "killed": Way((), -signal.SIGKILL, {"act": "signal", "number": signal.SIGKILL, "settle": SETTLE_SECONDS}),
    "guardian-killed": Way((*FROM_READY, "-t", "1.5s"), 124, {"act": "guardian", "number": signal.SIGKILL}),
}
GROUP_KILLED = Way((), -signal.SIGKILL, {"act": "group", "number": signal.SIGKILL, "settle": SETTLE_SECONDS})
NAMES = {artist.name: artist for artist in arena.ALL}

every_artist = pytest.mark.parametrize("artist", arena.ALL, ids=lambda artist: artist.name)
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(params=["own-user", "ordinary-user"])
def user_words(request: pytest.FixtureRequest, program: Path) -> tuple[str, ...]:
    """Return the words that change to the user of the test: as root both root and an ordinary user, else none."""
    if request.param == "own-user":
        return ()
    if os.getuid():
        pytest.skip("not root: the tests run as an ordinary user anyway")
    words = arena.as_ordinary_user(str(program))
    if not words:
        pytest.skip("no setpriv, or an ordinary user cannot start the program")
    return words


@pytest.fixture
def busy_loops() -> Iterator[None]:
    """Run three busy loops beside the test."""
    with arena.busy_loops():
        yield


def _command(artist: Artist, place: Path) -> list[str]:
    try:
        return arena.command_of(artist, place / "ready")
    except arena.NoCompilerError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


def perform(
    artist: Artist,
    way: Way,
    supervise: tuple[str, ...],
    options: tuple[str, ...] = (),
    **act: Any,
) -> Result:
    """Run the artist under supervise, and end it in that way."""
    with arena.turn(artist), arena.stage_folder() as place:
        words = [*supervise, "run", *way.options, *STOPPING, *options, "--", *_command(artist, place)]
        result = arena.run(words, place, **{**way.act, **act})
    if result.status == arena.NOT_ALLOWED and not result.stood:
        pytest.skip(f"the system does not allow {artist.what}")
    return result


def check_is_over(result: Result, way: Way) -> None:
    """Check that the run ended as expected, and that no process is left."""
    assert result.stood, result
    assert result.has_acted, result
    assert result.has_ended, result
    assert not result.survivors, result
    assert result.status == way.status, result


# --- each artist, in every way


@pytest.mark.parametrize("artist", arena.SIMPLE, ids=lambda artist: artist.name)
def test_no_artist_survives_a_timeout(artist: Artist, program: Path) -> None:
    check_is_over(perform(artist, WAYS["timeout"], (str(program),)), WAYS["timeout"])


@pytest.mark.slow
@every_way
@every_artist
def test_no_artist_survives_any_way(artist: Artist, way: str, user_words: tuple[str, ...], program: Path) -> None:
    check_is_over(perform(artist, WAYS[way], (*user_words, str(program))), WAYS[way])


@pytest.mark.slow
@pytest.mark.alone
@every_artist
@pytest.mark.usefixtures("busy_loops")
def test_no_artist_survives_beside_busy_loops(artist: Artist, program: Path) -> None:
    check_is_over(perform(artist, WAYS["timeout"], (str(program),)), WAYS["timeout"])


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("way", ["interrupted", "killed", "guardian-killed"])
@pytest.mark.parametrize("artist", arena.STORMS, ids=lambda artist: artist.name)
@pytest.mark.usefixtures("busy_loops")
def test_no_storm_survives_beside_busy_loops(artist: Artist, way: str, program: Path) -> None:
    check_is_over(perform(artist, WAYS[way], (str(program),)), WAYS[way])


@pytest.mark.slow
@pytest.mark.parametrize("artist", arena.CHAINS, ids=lambda artist: artist.name)
def test_no_chain_survives_many_timeouts(artist: Artist, user_words: tuple[str, ...], program: Path) -> None:
    for _ in range(REPETITIONS):
        check_is_over(perform(artist, WAYS["timeout"], (*user_words, str(program))), WAYS["timeout"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["setsid", "pipe-holder", "fork-on-term", "chain-1ms-setsid", "deep-100"])
def test_no_artist_survives_a_kill_of_the_whole_group(name: str, program: Path) -> None:
    """CI runners end a job by killpg(3) with KILL."""
    check_is_over(perform(NAMES[name], GROUP_KILLED, (str(program),)), GROUP_KILLED)


# --- processes that may not be killed


@pytest.mark.slow
@every_way
def test_a_process_that_may_not_be_killed_is_named(way: str, user_words: tuple[str, ...], program: Path) -> None:
    if why := arena.why_not_root_owned():
        pytest.skip(why)
    within = {"settle": 5.0} if user_words and way == "killed" else {}
    result = perform(arena.ROOT_OWNED, WAYS[way], (*user_words, str(program)), ("--drain", "0.2s"), **within)
    if not user_words:
        check_is_over(result, WAYS[way])
        return
    assert result.stood
    assert result.has_ended, result
    assert result.status == WAYS[way].status
    # Neither the guardian nor another process is left.
    [survivor] = result.survivors
    pid = survivor.split()[0]
    assert survivor == f"{pid} root-owned uid=0 S"
    if way != "killed":
        assert f"supervise: could not kill: pid {pid} root-owned (uid 0" in result.err


# --- systems that offer less

WITHOUT_CHILDREN = """
from supervise.process import tree
tree.has_children_file = lambda: False
tree._children_of_thread = lambda pid, thread: []
"""
WITHOUT_PIDFD = """
import os, _signal
del os.pidfd_open, _signal.pidfd_send_signal
"""
MAIN = """
from supervise.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("lack", [WITHOUT_CHILDREN, WITHOUT_PIDFD], ids=["children-files", "pidfd"])
@pytest.mark.parametrize("way", ["timeout", "guardian-killed"])
@pytest.mark.parametrize("name", ["double-fork", "stopped", "thread-forks", "pair", "chain-1ms-setsid", "wide-1000"])
def test_no_artist_survives_where_a_call_is_missing(lack: str, way: str, name: str) -> None:
    check_is_over(perform(NAMES[name], WAYS[way], (sys.executable, "-I", "-c", lack + MAIN)), WAYS[way])


# --- kills at any moment


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["signal", "group", "guardian"])
def test_no_artist_survives_a_kill_at_any_moment(whom: str, program: Path) -> None:
    """The kill comes before, while and after the command runs, in the grace and in the stop. The report is whole."""
    dice = random.Random(f"torture {whom}")
    way = Way(("-t", "0.15s", "--report", "report.json"), 0)
    has_acted = number = 0
    # Where the start is slow, more of the moments come before there is a guardian to kill.
    until = time.monotonic() + MOMENTS_SECONDS
    while number < MOMENTS or (has_acted <= MOMENTS / 2 and time.monotonic() < until):
        number += 1
        # A third of the moments are where guardian and command start.
        moment = dice.uniform(0, 0.05 if number % 3 == 0 else 0.6)
        name = dice.choice(["fork-on-term", "double-fork", "chain-1ms-setsid", "deep-100", "nested-subreaper"])
        with arena.turn(NAMES[name]), arena.stage_folder() as place:
            report = place / "report.json"
            words = [str(program), "run", *way.options, *STOPPING, "--", *_command(NAMES[name], place)]
            result = arena.run(words, place, act=whom, number=signal.SIGKILL, after=moment, settle=SETTLE_SECONDS)
            assert not result.survivors, (moment, name, result)
            assert result.has_ended, (moment, name, result)
            if report.exists():
                assert json.loads(report.read_bytes())["schema"] == 1
            elif whom == "guardian" and result.stood:
                pytest.fail(f"no report, though we were alive: {moment} {name} {result}")
            if whom == "guardian":
                assert result.status in (124, 125), (moment, name, result)
            has_acted += result.has_acted
    assert has_acted > MOMENTS / 2
