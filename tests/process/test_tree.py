"""The tree of processes as /proc shows it, compared with what psutil and the test itself know."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from supervise.process import tree
from tests.support.living import python, running, until

ROOT = Path(__file__).parents[2]

NAMED = """
import sys
with open("/proc/self/comm", "wb") as comm: comm.write(bytes.fromhex(sys.argv[1]))
print("ready"); input()
"""

CHAIN = """
import os, sys
depth = int(sys.argv[1])
while depth and not os.fork(): depth -= 1
if not depth: print("ready")
os.read(0, 1)
"""

WIDE = """
import os, sys
for _ in range(int(sys.argv[1])):
    if not os.fork(): os.read(0, 1)
print("ready"); os.read(0, 1)
"""

LEADER_GONE = """
import ctypes, os, sys, threading
def stay():
    print("ready"); input()
threading.Thread(target=stay).start()
ctypes.CDLL(None).syscall(int(sys.argv[1]), 0)  # exit(2): of this thread alone
"""
EXIT = {"x86_64": "60", "aarch64": "93"}.get(platform.machine())


def test_stat_agrees_with_the_system() -> None:
    with python("print('ready'); input()") as program:
        seen = tree.stat(program.pid)
        other = psutil.Process(program.pid)
        assert seen is not None
        assert (seen.pid, seen.ppid) == (program.pid, os.getpid())
        assert (seen.pgrp, seen.session) == (os.getpgid(program.pid), os.getsid(program.pid))
        assert seen.name == other.name()
        assert seen.num_threads == other.num_threads() == 1
        boot = psutil.boot_time()
        assert seen.starttime / os.sysconf("SC_CLK_TCK") + boot == pytest.approx(other.create_time(), abs=1)
        assert until(lambda: (now := tree.stat(program.pid)) and now.state == "S")


def test_stat_returns_times_in_ticks() -> None:
    subprocess.run(["sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"], check=True)
    before = os.times()
    seen = tree.stat(os.getpid())
    after = os.times()
    ticks = os.sysconf("SC_CLK_TCK")
    assert seen is not None
    assert int(before.user * ticks) - 1 <= seen.utime <= after.user * ticks + 1
    assert int(before.system * ticks) - 1 <= seen.stime <= after.system * ticks + 1
    assert int(before.children_user * ticks) - 1 <= seen.cutime <= after.children_user * ticks + 1
    assert int(before.children_system * ticks) - 1 <= seen.cstime <= after.children_system * ticks + 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a) R 1 (b", "a) R 1 (b"),
        (b") Z 1 1 1", ") Z 1 1 1"),
        (b"two words", "two words"),
        (b"((((", "(((("),
        (b"))))", "))))"),
        (b"line\nbreak", "line\\nbreak"),
        (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("käse".encode(), "käse"),
    ],
)
def test_a_name_may_be_anything(name: bytes, shown: str) -> None:
    with python(NAMED, name.hex()) as program:
        seen = tree.stat(program.pid)
        assert seen is not None
        assert seen.name == shown
        assert (seen.ppid, seen.pgrp, seen.num_threads) == (os.getpid(), program.pid, 1)
        assert tree.is_alive(seen)
        described = tree.describe(program.pid)
        assert described is not None
        assert described[1] == shown


def test_a_process_that_is_gone_is_none_and_no_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert tree.stat(process.pid) is None
    assert tree.describe(process.pid) is None
    assert tree.children(process.pid) == []
    assert tree.walk(process.pid) == []
    assert tree.collect(process.pid) == {}
    assert tree.read(f"/proc/{process.pid}/stat") == b""


def test_a_zombie_is_dead_and_still_a_child() -> None:
    with python("import os\nif not os.fork(): os._exit(0)\nprint('ready'); input()") as program:
        [child] = until(lambda: tree.children(program.pid))
        dead = until(lambda: (now := tree.stat(child)) and now.state == "Z" and now)
        assert not tree.is_alive(dead)
        assert tree.walk(program.pid) == [child]


@pytest.mark.skipif(EXIT is None, reason="the number of exit(2) is not known for this machine")
def test_a_process_whose_first_thread_has_exited_is_alive() -> None:
    with python(LEADER_GONE, str(EXIT)) as program:
        shown_dead = until(lambda: (now := tree.stat(program.pid)) and now.state == "Z" and now)
        assert shown_dead.num_threads == 2
        assert tree.is_alive(shown_dead)


def test_children_of_all_threads_are_found() -> None:
    code = """
import os, threading
def work():
    if not os.fork(): os.read(0, 1)
    print("ready"); os.read(0, 1)
threading.Thread(target=work).start()
"""
    with python(code) as program:
        assert len(tree.children(program.pid)) == 1
        assert tree.walk(program.pid) == tree.children(program.pid)
        assert list(tree.collect(program.pid)) == [program.pid, *tree.children(program.pid)]


def test_a_deep_tree_is_walked_parents_first() -> None:
    with python(CHAIN, "100") as program:
        found = tree.walk(program.pid)
        assert len(found) == 100
        parent = program.pid
        for pid in found:
            process = tree.stat(pid)
            assert process is not None
            assert process.ppid == parent
            parent = pid
        assert list(tree.collect(program.pid)) == [program.pid, *found]


def test_more_children_than_one_page_of_the_file_holds() -> None:
    with python(WIDE, "1000") as program:
        found = tree.walk(program.pid)
        assert len(found) == len(set(found)) == 1000
        assert list(tree.collect(program.pid)) == [program.pid, *found]


def test_generations_come_in_order() -> None:
    with running("/bin/sh", "-c", "sh -c 'sleep 60 & sleep 60 & wait' & sh -c 'sleep 60 & wait' & wait") as sh:
        until(lambda: len(tree.walk(sh.pid)) == 5)
        found = tree.walk(sh.pid)
        assert [tree.stat(pid).ppid for pid in found[:2]] == [sh.pid, sh.pid]  # type: ignore[union-attr]
        assert {tree.stat(pid).ppid for pid in found[2:]} == set(found[:2])  # type: ignore[union-attr]


def test_without_the_children_file_all_processes_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with running("/bin/sh", "-c", "sh -c 'sleep 60 & sleep 60 & wait' & sh -c 'sleep 60 & wait' & wait") as sh:
        until(lambda: len(tree.walk(sh.pid)) == 5)
        by_children = tree.walk(sh.pid)
        assert sh.pid in tree.scan()
        monkeypatch.setattr(tree, "has_children_file", lambda: False)
        by_scan = tree.walk(sh.pid)
        assert sorted(by_scan) == sorted(by_children)
        assert set(by_scan[:2]) == set(by_children[:2])
        assert list(tree.collect(sh.pid)) == [sh.pid, *by_scan]
        assert tree.collect(2**22 + 1) == {}
        assert tree.walk(2**22 + 1) == []


def test_processes_may_come_and_go_during_a_walk() -> None:
    # `:` in a subshell: processes come and go as fast as they can.
    with running("/bin/sh", "-c", "sleep 60 & echo $!; while :; do (:) & (:); wait $!; done") as sh:
        stays = int(sh.says())
        for _ in range(300):
            assert stays in tree.walk(sh.pid)
            assert stays in tree.collect(sh.pid)
            for pid in tree.children(sh.pid):
                tree.describe(pid)


def test_describe_names_a_process() -> None:
    with running("sleep", "60") as sleep:
        until(lambda: (now := tree.stat(sleep.pid)) and now.name == "sleep" and now.state == "S")
        pid, name, uid, state, waits_in = tree.describe(sleep.pid) or (0, "", 0, "", "")
        assert (pid, name, uid, state) == (sleep.pid, "sleep", os.getuid(), "S")
        assert waits_in in (Path(f"/proc/{sleep.pid}/wchan").read_text(), "")
        assert waits_in != "0"


def test_a_process_that_runs_waits_in_nothing() -> None:
    with running("sh", "-c", "echo; while :; do :; done") as sh:
        sh.says()
        assert until(lambda: (tree.describe(sh.pid) or "?")[-1] == "")


def test_only_built_in_modules_are_imported() -> None:
    code = """
import sys
before = set(sys.modules)
import supervise.process.tree
print(*sorted(set(sys.modules) - before - set(sys.builtin_module_names)))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert out.stdout.split() == ["supervise", "supervise.process", "supervise.process.tree"]


def test_a_process_that_is_being_reaped_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment /proc shows it without a parent and a group: neither says where it came from."""
    line = Path(f"/proc/{os.getpid()}/stat").read_bytes()
    name, _, fields = line.rpartition(b") ")
    state, _, _, _, *rest = fields.split(b" ")
    reaped = b" ".join([name + b")", state, b"0", b"-1", b"-1", *rest])
    monkeypatch.setattr(tree, "read", lambda path: reaped)
    assert tree.stat(os.getpid()) is None
    assert tree.ancestry(os.getpid()) == []


def test_the_ancestry_of_a_process_whose_parent_ends_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process has another parent then, which is found."""
    stat, ended = tree.stat, [os.getppid()]

    def once_gone(pid: int) -> "tree.Stat | None":
        if pid in ended:
            ended.remove(pid)
            return None
        return stat(pid)

    whole = [one.pid for one in tree.ancestry(os.getpid())]
    monkeypatch.setattr(tree, "stat", once_gone)
    assert [one.pid for one in tree.ancestry(os.getpid())] == whole
    assert ended == []
