"""Processes that /proc does not show to the supervisor: they are stopped too, and survivors are named."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import is_alive, wait_until
from tests.support.mounts import HIDES
from tests.support.users import ALICE, Users

WAYS = {"hidden": (["-m"], HIDES), "of another namespace": (["-m", "--pid", "--fork"], ":")}
"""The options of unshare(1), and a command that runs before the supervisor starts."""
UNDUMPABLE = "import ctypes, time; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print('ready', flush=True); time.sleep(60)"
"""A process that its owner may kill, and that hidepid hides from its owner."""


def report_of(users: Users, way: str, *words: str) -> dict[str, Any]:
    """Return the report of an ordinary user's run that a limit stops after a second."""
    options, before = WAYS[way]
    path = users.home(ALICE) / "report.json"
    ordinary = ["setpriv", f"--reuid={ALICE}", f"--regid={ALICE}", "--clear-groups"]
    ours = [str(users.program), "-q", "--report", str(path), "-t", "1", "-k", "0.2", "--", *words]
    script = f'{before} && exec "$@"'
    call = subprocess.run(
        ["unshare", *options, "sh", "-c", script, "sh", *ordinary, *ours],
        env=users.environ(ALICE),
        capture_output=True,
        timeout=40,
        cwd="/",
    )
    if not path.exists():
        pytest.skip(f"nothing can be mounted here: {call.stderr.decode()}")
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def pids_of(word: str) -> list[int]:
    """Return the pids of the processes with this word on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_hidden_process_of_root_that_survives_is_named(users: Users, way: str) -> None:
    becoming = users.folder / "becoming"
    shutil.copy(shutil.which("setpriv") or pytest.skip("there is no setpriv(1)"), becoming)
    becoming.chmod(0o4755)
    length = str(100_000 + os.getpid())
    report = report_of(users, way, str(becoming), "--reuid=0", "--regid=0", "--keep-groups", "sleep", length)
    alive = pids_of(length)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, alive)))
    if report["outcome"] != "completion_timeout":
        pytest.skip("set-user-id programs do not work here")
    [survivor] = report["survivors"]
    # All processes of a pid namespace die with its first process.
    assert [survivor["pid"]] == alive if way == "hidden" else survivor["pid"] > 1


@pytest.mark.parametrize("way", WAYS)
def test_a_hidden_process_of_the_user_is_killed(users: Users, way: str) -> None:
    word = f"undumpable-{os.getpid()}"
    # The process has a session of its own and a dead parent: neither its group nor a visible parent leads to it.
    script = f'setsid {users.python} -I -S -c "$1" {word} & sleep 0.5; exec sleep 60'
    report = report_of(users, way, "sh", "-c", script, "sh", UNDUMPABLE)
    assert (report["outcome"], report["survivors"]) == ("completion_timeout", [])
    assert pids_of(word) == []
