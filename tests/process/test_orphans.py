"""Who is taken for an orphan of a run and who is not, among real processes; and how they end."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from supervise.process import kill, orphans, tree
from supervise.process.orphans import Orphans, RunIds
from tests.support.harness import child, is_alive, wait_until

RUN_ID = f"20261124-200139-{os.getpid() % 10**6:06}abcd"
"""Tests beside this one are not to be hit."""
Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process, of the run or not, in a process group of its own or in that of another."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, run_id: str = "", group: int = 0, other: Mapping[str, str] | None = None) -> int:
        environ = {"PATH": os.environ["PATH"], **(other or {})} | ({"SUPERVISE_RUN_ID": run_id} if run_id else {})
        words = words or ("sleep", "100")
        started.append(subprocess.Popen(words, env=environ, process_group=group, stdout=subprocess.PIPE))
        # Popen is back a moment before the kernel shows the environment of the new program.
        wait_until(Path(f"/proc/{started[-1].pid}/environ").read_bytes)
        return started[-1].pid

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def key(pid: int) -> tuple[int, int]:
    now = tree.stat(pid)
    assert now is not None
    return pid, now.starttime


def quarry(*known: tuple[int, int], guardian: tuple[int, int] = (0, 0), grace: float = 0.2) -> Orphans:
    return Orphans(RUN_ID, known, guardian, signal.SIGTERM, grace)


def found(run: Orphans, spared: set[int] | None = None) -> list[int]:
    return sorted(one.pid for one in run.find(tree.scan(), RunIds(), spared or set()))


def test_by_the_runs_id(start: Start) -> None:
    ours = start(run_id=RUN_ID)
    start(run_id=RUN_ID + "0")
    start(run_id=RUN_ID[:-1])
    start()
    assert found(quarry()) == [ours]


def test_the_variable_and_not_a_part_of_another(start: Start) -> None:
    start(other={"OTHER_SUPERVISE_RUN_ID": RUN_ID, "A": f"SUPERVISE_RUN_ID={RUN_ID}"})
    assert found(quarry()) == []


def test_by_pid_and_start_time_together(start: Start) -> None:
    pid, started = key(start())
    assert found(quarry((pid, started))) == [pid]
    assert found(quarry((pid, started + 1))) == []


def test_a_group_that_one_of_its_own_has_made(start: Start) -> None:
    leader = start(run_id=RUN_ID)
    member = start(group=leader)
    assert found(quarry()) == sorted([leader, member])


def test_a_group_in_which_one_of_its_own_only_is(start: Start) -> None:
    """On a terminal the command is in the group of whoever called: the rest of a pipeline is not the run's."""
    leader = start()
    member = start(run_id=RUN_ID, group=leader)
    assert found(quarry()) == [member]


def test_a_group_whose_leader_the_command_was(start: Start) -> None:
    """It is dead, and its number stays with those who are in the group."""
    root = start("sh", "-c", "sleep 0.3")
    known = key(root)
    ours, other = start(run_id=RUN_ID, group=root), start(group=root)
    assert found(quarry(known)) == sorted([root, ours, other, *tree.walk(root)])
    os.kill(root, signal.SIGKILL)
    wait_until(lambda: not is_alive(root))
    assert {ours, other} <= set(found(quarry(known)))


def test_sessions_from_outside_of_a_container(start: Start) -> None:
    """/proc shows the number 0 for all of them (docker exec, nsenter), and so does a record that knows no pid."""
    ours, other = start(run_id=RUN_ID), start()
    everyone = tree.scan()
    for one in everyone.values():
        one.session = one.pgrp = 0
    run = quarry((0, 0))
    assert [one.pid for one in run.find(everyone, RunIds(), set())] == [ours]
    assert is_alive(other)


def test_whoever_is_spared_shows_nobody_the_way(start: Start) -> None:
    leader = start(run_id=RUN_ID)
    member = start(group=leader)
    tagged = start(run_id=RUN_ID)
    assert found(quarry(), {leader}) == [tagged]
    assert is_alive(member)


def test_they_are_stopped(start: Start) -> None:
    leader, other = start(*child("ignore=TERM", "stay"), run_id=RUN_ID), start()
    member = start(group=leader)
    run = quarry()
    orphans.stop_all([run])
    assert not is_alive(leader)
    assert not is_alive(member)
    assert is_alive(other)
    assert run.survivors == []
    assert {pid for pid, _ in run.seen_names} == {leader, member}


def test_a_chain_of_forks(start: Start) -> None:
    """Each of them is gone before a look is over; their group is not."""
    script = "import os\nos.write(1, b'!')\nwhile True:\n    if os.fork():\n        os._exit(0)\n"
    leader = start(sys.executable, "-I", "-S", "-c", script, run_id=RUN_ID)
    run = quarry(key(leader))
    try:
        orphans.stop_all([run])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
    assert run.survivors == []
    assert found(quarry()) == []


def test_who_cannot_be_killed_is_named(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = start(run_id=RUN_ID)
    monkeypatch.setattr(kill, "send", lambda *_: errno.EPERM)
    monkeypatch.setattr(kill, "KILL_LIMIT_SECONDS", 0.1)
    monkeypatch.setattr(orphans.os, "killpg", lambda *_: None)
    run = quarry(grace=0)
    orphans.stop_all([run])
    assert [one[:2] for one in run.survivors] == [(pid, "sleep")]


def test_a_guardian_that_does_not_do_its_work(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time its tree is stopped, and it as well."""
    monkeypatch.setattr(kill, "KILL_LIMIT_SECONDS", 0.2)
    monkeypatch.setattr(orphans, "GUARDIAN_MARGIN_SECONDS", 0.1)
    guardian = start("sh", "-c", "sleep 100 & wait")
    wait_until(lambda: tree.walk(guardian))
    [below] = tree.walk(guardian)
    run = quarry(guardian=key(guardian), grace=0)
    orphans.stop_all([run])
    assert not is_alive(guardian)
    assert not is_alive(below)
    assert [pid for pid, _ in run.seen_names] == [below]


def test_nobody() -> None:
    run = quarry()
    orphans.stop_all([run])
    assert run.is_done
    assert not run.seen_names


def test_we_and_who_waits_for_us_are_spared() -> None:
    assert {os.getpid(), os.getppid()} <= orphans.own_ancestry()
