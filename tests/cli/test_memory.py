"""Memory: a kill by the OOM killer is named by evidence, --memory-max stops a tree, and a plain KILL is one."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervise.process import kernel_log, memory_cgroup
from supervise.process.memory_cgroup import RunCgroup
from tests.support.clients import ask, socket_of
from tests.support.harness import Place, Running, is_alive, wait_until
from tests.support.programs import missing
from tests.support.users import ALICE, Users

MIB = 1 << 20
LIMIT = 50 * MIB
AROUND = 100 * MIB
"""The limit of a cgroup that holds supervise, too, which has a quarter of it."""
HOG = "import sys; kept = []\nwhile True: kept.append(b'x' * (1 << 20))"
"""Takes memory without an end, so it needs a limit."""
BOMB = """
import os, sys, time
# Three hundred processes and no more: without a limit they come to an end, too.
for _ in range(300):
    if not os.fork():
        kept = b"x" * (1 << 20)
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""


SHARES = """
import os, time
kept = b"x" * (30 << 20)
for _ in range(9):
    if not os.fork():
        break
time.sleep(2.5)
"""
"""Ten processes that have the same 30 MiB, for two looks at least."""
STAYS = "sh", "-c", "echo $$; exec sleep 60"


def root_of(running: Running) -> int:
    """Return the pid of the command of STAYS."""
    wait_until(lambda: running.out.endswith(b"\n"))
    return int(running.out)


def hog() -> tuple[str, ...]:
    return "/usr/bin/python3", "-c", HOG


def late_hog(go: Path) -> tuple[str, ...]:
    """Return the hog that begins when the file is there."""
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    return "/usr/bin/python3", "-c", wait + HOG


def ended_late(place: Place, made: RunCgroup, *words: str) -> dict[str, Any]:
    """Run the words with supervise in that cgroup, as in a container, and return the report.

    The words wait for the file `go` until supervise has counted the kills so far: where the kernel's log may not be
    read, as in a container, only a count that grows is evidence.
    """
    others, report = len([*place.runtime.rglob("*.sock")]), place.file("late.json")
    running = place.popen([*in_cgroup(made, str(place.program), "run", "--report", str(report)), "--", *words])
    # A run that answers has its loop, and the loop begins with that count.
    assert ask(socket_of(place, others), do="status")["ok"]
    place.file("go").touch()
    ended = running.wait()
    found: dict[str, Any] = json.loads(report.read_text())
    assert ended.code == found["exit_code"]
    return {**found, "finals": ended.finals}


@pytest.fixture
def limited() -> Iterator[RunCgroup]:
    """Yield a memory cgroup of 100 MiB, as a container or an administrator makes one."""
    made = memory_cgroup.create(f"test-{os.getpid()}", AROUND)
    if made is None:
        pytest.skip("this process may not make a memory cgroup, or the kernel has no memory controller")
    yield made
    wait_until(lambda: not Path(made.folder, "cgroup.procs").read_text())
    made.clear()
    assert not os.path.exists(made.folder)


def is_out_of_memory(report: dict[str, Any]) -> bool:
    return (report["outcome"], report["reason"], report["exit_code"]) == ("signaled", "out_of_memory", 137)


def in_cgroup(made: RunCgroup, *words: str) -> tuple[str, ...]:
    return "sh", "-c", f'echo $$ > {made.folder}/cgroup.procs; exec "$@"', "sh", *words


def test_an_oom_kill_in_a_cgroup_around_the_run_is_named(supervise: Place, limited: RunCgroup) -> None:
    report = ended_late(supervise, limited, *late_hog(supervise.file("go")))
    assert is_out_of_memory(report)
    lack = report["out_of_memory"]
    assert (lack["killed_by"], lack["limit_bytes"]) == ("kernel", AROUND)
    assert lack["pid"] == report["attempts"][0]["pid"]
    assert lack["name"] == "python3"
    if lack["evidence"] == "kernel_log":
        assert AROUND / 2 < lack["process_bytes"] <= AROUND * 1.2
    assert len(report["finals"]) == 1
    size = " (" if lack["process_bytes"] else ";"
    assert f"out of memory: the kernel's OOM killer killed pid {lack['pid']} python3{size}" in report["finals"][0]
    assert report["memory_limit_by"] is None


def test_a_shell_whose_child_the_kernel_killed_fails_for_that_reason(supervise: Place, limited: RunCgroup) -> None:
    report = ended_late(supervise, limited, "sh", "-c", '"$@"; exit $?', "sh", *late_hog(supervise.file("go")))
    assert (report["exit_code"], report["outcome"], report["reason"]) == (137, "failed", "out_of_memory")


@pytest.mark.parametrize("options", [(), ("--memory-max", "500M")], ids=["plain", "with a limit"])
def test_a_plain_kill_is_not_called_out_of_memory(supervise: Place, options: tuple[str, ...]) -> None:
    running = supervise.start(*options, "--", *STAYS)
    os.kill(root_of(running), signal.SIGKILL)
    ended = running.wait()
    report = ended.report
    assert (ended.code, report["outcome"], report["reason"], report["out_of_memory"]) == (137, "signaled", None, None)


def test_a_plain_kill_in_a_cgroup_with_an_oom_kill_of_another_run(supervise: Place, limited: RunCgroup) -> None:
    running = supervise.start("--", *in_cgroup(limited, *STAYS))
    root = root_of(running)
    # The other run is told from this one by its socket.
    socket_of(supervise)
    assert is_out_of_memory(ended_late(supervise, limited, *late_hog(supervise.file("go"))))
    os.kill(root, signal.SIGKILL)
    report = running.wait().report
    if not kernel_log.kills(0.0):
        pytest.skip("the kernel's log, which alone tells the two apart, may not be read")
    assert (report["outcome"], report["reason"]) == ("signaled", None)


def needs_cgroup() -> None:
    made = memory_cgroup.create(f"test-{os.getpid()}", LIMIT)
    if made is None:
        pytest.skip("this process may not make a memory cgroup, or the kernel has no memory controller")
    made.clear()


def test_memory_max_by_a_cgroup(supervise: Place) -> None:
    needs_cgroup()
    ended = supervise("--memory-max", "50M", "--", *hog())
    assert ended.code == 137
    assert is_out_of_memory(ended.report)
    assert ended.report["memory_limit_by"] == "cgroup"
    lack = ended.report["out_of_memory"]
    assert (lack["killed_by"], lack["name"], lack["limit_bytes"]) == ("kernel", "python3", LIMIT)
    assert not left_cgroups(ended.report)


def left_cgroups(report: dict[str, Any]) -> list[str]:
    home = memory_cgroup.find()
    assert home is not None
    return [one for one in os.listdir(home.folder) if report["run_id"] in one]


def test_a_bomb_of_small_processes_in_a_cgroup_is_stopped(supervise: Place) -> None:
    needs_cgroup()
    ended = supervise("--memory-max", "50M", "--", "/usr/bin/python3", "-c", BOMB)
    assert ended.code == 137
    assert is_out_of_memory(ended.report)
    assert ended.report["survivors"] == []
    assert not left_cgroups(ended.report)


def test_each_attempt_has_the_limit_and_oom_is_retried(supervise: Place) -> None:
    needs_cgroup()
    ended = supervise(
        "--memory-max", "50M", "--retries", "1", "--retry-delay", "0", "--retry-on", "oom", "--", *hog(),
    )  # fmt: skip
    assert is_out_of_memory(ended.report)
    assert [one["outcome"] for one in ended.report["attempts"]] == ["signaled", "signaled"]
    assert any("attempt 2 of 2" in one and "out of memory" in one for one in ended.messages)


def test_a_plain_kill_is_not_retried_as_oom(supervise: Place) -> None:
    ended = supervise("--retries", "2", "--retry-on", "oom", "--", "sh", "-c", "kill -9 $$")
    assert len(ended.report["attempts"]) == 1


def test_a_limit_that_is_not_reached_changes_nothing(supervise: Place) -> None:
    ended = supervise("--memory-max", "1G", "--", "sh", "-c", "echo out; exit 3")
    assert (ended.code, ended.out, ended.report["reason"]) == (3, b"out\n", None)
    assert ended.report["memory_limit_by"] in ("cgroup", "samples")


def test_what_outlives_the_command_leaves_the_cgroup(supervise: Place) -> None:
    needs_cgroup()
    ended = supervise("--memory-max", "500M", "--", "sh", "-c", "sleep 60 >&- 2>&- & echo $!")
    pid = int(ended.out)
    place = memory_cgroup.find(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    home = memory_cgroup.find()
    assert place is not None
    assert home is not None
    assert place.folder == home.folder
    assert not left_cgroups(ended.report)


def test_the_guardian_removes_the_cgroup_where_the_supervisor_was_killed(supervise: Place) -> None:
    needs_cgroup()
    running = supervise.start("--memory-max", "500M", "--", *STAYS)
    home, folder = memory_cgroup.find(), memory_cgroup.find(root_of(running))
    assert home is not None
    assert folder is not None
    assert folder.folder != home.folder
    guardian = running.guardian()
    running.send(signal.SIGKILL)
    wait_until(lambda: not is_alive(guardian))
    assert not os.path.exists(folder.folder)
    running.wait()


def test_a_run_within_a_run_has_a_limit_within_the_limit(supervise: Place) -> None:
    needs_cgroup()
    inner = str(supervise.program), "run", "--no-record", "--memory-max", "50M", "--"
    assert supervise("--memory-max", "300M", "--", *inner, *hog()).code == 137
    running = supervise.start("--memory-max", "300M", "--", *inner, *STAYS)
    folder = memory_cgroup.find(root_of(running))
    assert folder is not None
    outer = os.path.dirname(folder.folder)
    assert os.path.basename(outer).startswith("supervise-")
    running.send(signal.SIGTERM)
    running.wait()
    assert not os.path.exists(outer)


def test_recover_removes_the_cgroup_where_both_were_killed(supervise: Place) -> None:
    needs_cgroup()
    running = supervise.start("--memory-max", "500M", "--", *STAYS)
    folder = memory_cgroup.find(root_of(running))
    assert folder is not None
    guardian = running.guardian()
    os.kill(guardian, signal.SIGSTOP)
    running.send(signal.SIGKILL)
    os.kill(guardian, signal.SIGKILL)
    wait_until(lambda: not is_alive(guardian))
    assert supervise("recover", report=False).code == 1
    assert not os.path.exists(folder.folder)
    running.wait()


@pytest.mark.parametrize("command", [HOG, BOMB], ids=["hog", "bomb"])
def test_memory_max_by_samples(users: Users, command: str) -> None:
    report = users.home(ALICE) / "report.json"
    done = users.supervise(
        ALICE, "--no-record", "--report", str(report), "--memory-max", "50M", "--", "/usr/bin/python3", "-c", command,
    )  # fmt: skip
    made = json.loads(report.read_text())
    if made["memory_limit_by"] == "cgroup":
        pytest.skip("another user may make a memory cgroup here")
    assert done.returncode == 137
    assert is_out_of_memory(made)
    lack = made["out_of_memory"]
    assert (lack["killed_by"], lack["evidence"], lack["limit_bytes"]) == ("supervise", "samples", LIMIT)
    assert lack["name"] == "python3"
    assert lack["tree_bytes"] > LIMIT
    assert made["survivors"] == []
    assert made["usage"]["max_tree_rss_bytes"] >= LIMIT
    assert "out of memory: its processes have" in done.stderr
    assert "the largest is pid" in done.stderr


def test_shared_pages_count_once(users: Users) -> None:
    report = users.home(ALICE) / "report.json"
    done = users.supervise(
        ALICE, "--no-record", "--report", str(report), "--memory-max", "150M", "--", "/usr/bin/python3", "-c", SHARES
    )
    assert done.returncode == 0, done.stderr


def test_a_limit_that_nothing_can_hold_is_told_once(supervise: Place) -> None:
    """In a pid namespace without a /proc of its own no process of the tree is found; some show a cgroup."""
    namespace = ["unshare", "--pid", "--fork"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        missing("this machine makes no namespaces")
    path = supervise.file("r.json")
    words = str(supervise.program), "--no-record", "--report", str(path), "--memory-max", "50M", "--", "sleep", "1.5"
    ended = supervise.popen([*namespace, *words]).wait()
    assert ended.code == 0
    is_held = json.loads(path.read_text())["memory_limit_by"] == "cgroup"
    assert len([one for one in ended.messages if "--memory-max: nothing can hold it here" in one]) == 1 - is_held


@pytest.mark.parametrize("word", ["0x", "-1", "10", "many"])
def test_a_size_that_is_none_is_refused(supervise: Place, word: str) -> None:
    ended = supervise("--memory-max", word, "--", "true", report=False)
    assert ended.code == 125
    assert "--memory-max" in ended.messages[0]
