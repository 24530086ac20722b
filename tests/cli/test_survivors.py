"""Processes that cannot be stopped are named, and no message says that they were stopped."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.harness import PYTHON, Place, child, is_alive, state_of, wait_until
from tests.support.programs import needed
from tests.support.users import ALICE, Users

BECOMES_ROOT = """
#include <unistd.h>
int main(int count, char **words) { if (setuid(0)) return 9; if (count < 2) sleep(100); return 0; }
"""


@pytest.fixture
def roots_sleep(users: Users) -> Path:
    """Return a set-user-id program of root that sleeps."""
    needed("cc")  # for a program that becomes root's
    program, source = users.folder / "sleep-as-root", users.folder / "sleep-as-root.c"
    source.write_text(BECOMES_ROOT)
    subprocess.run(["cc", "-o", program, source], check=True)
    program.chmod(0o4755)
    if users.run(ALICE, "/bin/sh", "-c", f"{program} once").returncode == 9:
        pytest.skip("programs of the temporary folder become nobody's (nosuid)")
    return program


@pytest.mark.parametrize("count", [1, 3])
def test_surviving_processes_of_root_are_named(users: Users, roots_sleep: Path, count: int) -> None:
    script = f"for n in $(seq {count}); do {roots_sleep} & done; wait"
    report = users.home(ALICE) / "report.json"
    options = ("-t", "2", "-k", "0.2", "--report", str(report))
    done = users.supervise(ALICE, "run", *options, "--", "sh", "-c", script)
    try:
        assert done.returncode == 124, done.stderr
        named = [line for line in done.stderr.splitlines() if "could not kill: pid" in line]
        assert len(named) == count
        assert all("sleep-as-root (uid 0, " in line for line in named)
        final = done.stderr.splitlines()[-1]
        assert f"{count} process{'es' * (count > 1)} could not be stopped within" in final
        assert "was stopped" not in done.stderr
    finally:
        subprocess.run(["pkill", "-KILL", "-f", f"^{roots_sleep}$"], check=False)


def test_a_run_ends_though_a_debugger_holds_its_guardian(supervise: Place) -> None:
    """Such a guardian cannot be continued, only killed; its children become children of the supervisor."""
    running = supervise.start(
        "-t", "2", "-k", "0.3", "--", *child("ignore=TERM", "fork", "stay", "end", "ready", "stay")
    )
    running.wait_for_out(b"ready")
    guardian = running.guardian()
    script = f"""
import ctypes, sys, time
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT = 0x4206, 0x4207
if ptrace(SEIZE, {guardian}, None, None) or ptrace(INTERRUPT, {guardian}, None, None):
    print("refused", flush=True)
    sys.exit()
print("held", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([PYTHON[0], "-c", script], stdout=subprocess.PIPE) as debugger:
        try:
            assert debugger.stdout
            if debugger.stdout.readline() != b"held\n":
                running.send(signal.SIGTERM)
                running.wait()
                pytest.skip("nothing may be debugged here")
            wait_until(lambda: state_of(guardian) == "t")
            began = time.monotonic()
            ended = running.wait(20)
        finally:
            debugger.kill()
    assert ended.code == 124
    assert [one for one in ended.left if "supervise-guard" not in one] == []
    assert time.monotonic() - began < 15
    wait_until(lambda: not is_alive(guardian))
