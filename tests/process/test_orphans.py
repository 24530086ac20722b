"""Which real processes count as orphans of a run, and how they are stopped."""

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
"""Different in each worker, so that parallel tests do not stop each other's processes."""
Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process, of the run or not, in a process group of its own or in that of another process."""
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


def orphans_of_run(*known: tuple[int, int], guardian: tuple[int, int] = (0, 0), grace: float = 0.2) -> Orphans:
    return Orphans(RUN_ID, known, guardian, signal.SIGTERM, grace)


def found(run: Orphans, spared: set[int] | None = None) -> list[int]:
    return sorted(one.pid for one in run.find(tree.scan(), RunIds(), spared or set()))


def test_a_process_with_the_run_id_is_an_orphan(start: Start) -> None:
    ours = start(run_id=RUN_ID)
    start(run_id=RUN_ID + "0")
    start(run_id=RUN_ID[:-1])
    start()
    assert found(orphans_of_run()) == [ours]


def test_the_run_id_in_another_variable_is_no_evidence(start: Start) -> None:
    start(other={"OTHER_SUPERVISE_RUN_ID": RUN_ID, "A": f"SUPERVISE_RUN_ID={RUN_ID}"})
    assert found(orphans_of_run()) == []


def test_a_pid_counts_only_with_its_start_time(start: Start) -> None:
    pid, started = key(start())
    assert found(orphans_of_run((pid, started))) == [pid]
    assert found(orphans_of_run((pid, started + 1))) == []


def test_members_of_a_group_that_an_orphan_leads_are_orphans(start: Start) -> None:
    leader = start(run_id=RUN_ID)
    member = start(group=leader)
    assert found(orphans_of_run()) == sorted([leader, member])


def test_members_of_a_group_that_an_orphan_only_joined_are_not(start: Start) -> None:
    """On a terminal the command is in the caller's group: the rest of a pipeline does not belong to the run."""
    leader = start()
    member = start(run_id=RUN_ID, group=leader)
    assert found(orphans_of_run()) == [member]


def test_members_of_the_dead_command_s_group_are_orphans(start: Start) -> None:
    """The dead command's pid remains the number of the group while the group has members."""
    root = start()
    known = key(root)
    ours, other = start(run_id=RUN_ID, group=root), start(group=root)
    assert found(orphans_of_run(known)) == sorted([root, ours, other, *tree.walk(root)])
    os.kill(root, signal.SIGKILL)
    wait_until(lambda: not is_alive(root))
    assert {ours, other} <= set(found(orphans_of_run(known)))


def test_a_session_number_of_zero_is_no_evidence(start: Start) -> None:
    """/proc shows the number 0 for all of them (docker exec, nsenter), and a record without a pid has a 0 as well."""
    ours, other = start(run_id=RUN_ID), start()
    everyone = tree.scan()
    for one in everyone.values():
        one.session = one.pgrp = 0
    run = orphans_of_run((0, 0))
    assert [one.pid for one in run.find(everyone, RunIds(), set())] == [ours]
    assert is_alive(other)


def test_a_spared_process_is_no_evidence_for_its_group(start: Start) -> None:
    leader = start(run_id=RUN_ID)
    member = start(group=leader)
    tagged = start(run_id=RUN_ID)
    assert found(orphans_of_run(), {leader}) == [tagged]
    assert is_alive(member)


def test_orphans_are_stopped_and_other_processes_live_on(start: Start) -> None:
    leader, other = start(*child("ignore=TERM", "stay"), run_id=RUN_ID), start()
    member = start(group=leader)
    run = orphans_of_run()
    orphans.stop_all([run])
    assert not is_alive(leader)
    assert not is_alive(member)
    assert is_alive(other)
    assert run.survivors == []
    assert {pid for pid, _ in run.seen_names} == {leader, member}


def test_a_chain_of_forks_is_stopped(start: Start) -> None:
    """Each process of the chain is gone before a look is over; their process group is not."""
    script = "import os\nos.write(1, b'!')\nwhile True:\n    if os.fork():\n        os._exit(0)\n"
    leader = start(sys.executable, "-I", "-S", "-c", script, run_id=RUN_ID)
    run = orphans_of_run(key(leader))
    try:
        orphans.stop_all([run])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
    assert run.survivors == []
    assert found(orphans_of_run()) == []


def test_a_process_that_cannot_be_killed_is_a_survivor(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = start(run_id=RUN_ID)
    monkeypatch.setattr(kill, "send", lambda *_: errno.EPERM)
    monkeypatch.setattr(kill, "KILL_LIMIT_SECONDS", 0.1)
    monkeypatch.setattr(orphans.os, "killpg", lambda *_: None)
    run = orphans_of_run(grace=0)
    orphans.stop_all([run])
    assert [one[:2] for one in run.survivors] == [(pid, "sleep")]


def test_a_guardian_that_does_not_stop_its_tree_is_stopped(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over, its tree is stopped, and the guardian as well."""
    monkeypatch.setattr(kill, "KILL_LIMIT_SECONDS", 2.0)
    monkeypatch.setattr(orphans, "GUARDIAN_MARGIN_SECONDS", 0.1)
    guardian = start("sh", "-c", "sleep 100 & wait")
    wait_until(lambda: tree.walk(guardian))
    [below] = tree.walk(guardian)
    run = orphans_of_run(guardian=key(guardian), grace=0)
    orphans.stop_all([run])
    assert not is_alive(guardian)
    assert not is_alive(below)
    assert [pid for pid, _ in run.seen_names] == [below]


def test_a_run_without_processes_is_done() -> None:
    run = orphans_of_run()
    orphans.stop_all([run])
    assert run.is_done
    assert not run.seen_names


def test_this_process_and_its_ancestors_are_spared() -> None:
    assert {os.getpid(), os.getppid()} <= orphans.own_ancestry()
