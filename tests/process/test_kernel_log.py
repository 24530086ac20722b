"""The kernel's log: what it says of the OOM killer is read from its own lines alone, whatever a process is called."""

import os
from collections.abc import Callable
from time import CLOCK_MONOTONIC_RAW, clock_gettime, monotonic

import pytest

from supervise.process import kernel_log

Read = Callable[..., list[kernel_log.Kill]]
SIZES = "total-vm:323756kB, anon-rss:100kB, file-rss:20kB, shmem-rss:3kB, UID:0 pgtables:252kB oom_score_adj:0"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return a function that reads a log with these lines, each written now by the kernel unless it has a head."""

    def kills(*lines: str, age: float = 0.0) -> list[kernel_log.Kill]:
        at = int((clock_gettime(CLOCK_MONOTONIC_RAW) - age) * 1e6)
        texts = [line if ";" in line else f"3,7,{at},-;{line}" for line in lines]
        records = iter([text.replace("AT", str(at)).encode("utf-8", "surrogateescape") + b"\n" for text in texts])

        def next_record(fd: int, size: int) -> bytes:
            try:
                return next(records)
            except StopIteration:
                raise BlockingIOError from None

        monkeypatch.setattr(os, "read", next_record)
        return kernel_log._kills(-1, monotonic() - 10)

    return kills


def test_a_kill_in_a_cgroup(read: Read) -> None:
    [kill] = read(
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,"
        "task=python3,pid=812,uid=0",
        f"Memory cgroup out of memory: Killed process 812 (python3) {SIZES}",
    )
    assert (kill.pid, kill.name, kill.size) == (812, "python3", 123 * 1024)
    assert (kill.is_of_cgroup, kill.limiting, kill.cgroup) == (True, "/a", "/a/b")
    assert abs(kill.at - monotonic()) < 5


def test_a_kill_for_the_whole_machine(read: Read) -> None:
    [kill] = read(
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/x,"
        "task=a,pid=9,uid=0",
        f"Out of memory: Killed process 9 (a) {SIZES}",
    )
    assert (kill.is_of_cgroup, kill.limiting, kill.cgroup) == (False, "", "/x")


@pytest.mark.parametrize("name", ["a) total-vm:1kB", ") anon-rss:9kB", "x (812)", "", ",pid=1,uid=0"])
def test_a_name_that_looks_like_the_rest_of_the_line(read: Read, name: str) -> None:
    [kill] = read(
        f"oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/a,task_memcg=/a/b,task={name},pid=812,uid=0",
        f"Memory cgroup out of memory: Killed process 812 ({name}) {SIZES}",
    )
    assert (kill.pid, kill.name, kill.size) == (812, name, 123 * 1024)
    assert kill.limiting == "/a"


@pytest.mark.parametrize(
    "line",
    [
        f"12,7,AT,-;Out of memory: Killed process 812 (a) {SIZES}",
        "3,7,AT,-;Out of memory: Killed process many (a)",
        f"3,7,AT,-;a: Out of memory: Killed process 812 (a) {SIZES}",
        "3,7,AT,-;Killed process 812",
        "3,7,AT,-;oom-kill:constraint=",
    ],
    ids=["of a process", "no pid", "another beginning", "no sizes", "no fields"],
)
def test_a_line_that_is_none_of_the_killer(read: Read, line: str) -> None:
    assert read(line) == []


def test_an_old_kill_is_none_of_this_run(read: Read) -> None:
    assert read(f"Out of memory: Killed process 812 (a) {SIZES}", age=60.0) == []
