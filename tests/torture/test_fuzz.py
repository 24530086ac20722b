"""Twenty thousand inputs for each socket: no traceback, no hang, no growth, and the run goes on."""

import os
import random
from pathlib import Path

import pytest

from tests.support.clients import ask, command, socket_of, steered
from tests.support.harness import HANG_SECONDS, PYTHON, Place, child, wait_until
from tests.support.measures import GROWTH_LIMIT_KB, connected, fds, memory, threads
from tests.torture import garbage

COUNT = int(os.environ.get("FUZZ_COUNT", "20000"))
WARM_UP_COUNT = COUNT // 20
"""Inputs after which all modules are loaded."""
SEED = int(os.environ.get("FUZZ_SEED", str(random.randrange(10**9))))


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--pty", "-a", "1h", "--access-on", "attach")], ids=["plain", "pty"])
def test_the_control_socket_survives_garbage(supervise: Place, options: tuple[str, ...]) -> None:
    count = COUNT if not options else COUNT // 10
    script = "if [ -t 1 ]; then stty raw -echo <&1; fi; echo ready; exec sleep 1000"
    running, run_id = steered(supervise, "-q", "-t", "1h", *options, "--", "sh", "-c", script)
    running.wait_for_out(b"ready")
    path = socket_of(supervise)
    chance = random.Random(SEED)
    before = None
    for number in range(count):
        if number == WARM_UP_COUNT:
            before = memory(running.pid)
        with wait_until(lambda: connected(path)) as one:
            # The request `more` may have no answer, so none is waited for.
            one.settimeout(0.01)
            try:
                one.sendall(garbage.requests(chance))
                if number % 3:
                    one.shutdown(1)
                while number % 4 and (got := one.recv(1 << 16)):
                    assert b"internal error" not in got, f"FUZZ_SEED={SEED}: {got!r}"
            except OSError:
                # The run does not read it any more, or sends nothing.
                pass
    assert running.process.poll() is None, f"FUZZ_SEED={SEED}"
    assert ask(path, do="status")["phase"] == "running", f"FUZZ_SEED={SEED}"
    wait_until(lambda: fds(running.pid) < 60)
    assert threads(running.pid) < 12
    assert before is not None
    assert memory(running.pid) - before < GROWTH_LIMIT_KB, f"FUZZ_SEED={SEED}"
    assert command(supervise, "stop", run_id).code == 0
    ended = running.wait()
    assert (ended.code, ended.left) == (143, [])
    assert b"Traceback" not in ended.err + ended.out
    assert b"internal error" not in ended.err


@pytest.mark.slow
def test_the_notify_socket_survives_garbage(supervise: Place) -> None:
    read, write = os.pipe()
    words = (*PYTHON, str(Path(garbage.__file__)), str(SEED), str(COUNT))
    options = ("-q", "--notify", "-a", "1h", "--access-on", "notify", "-x", "1h", "-t", "2h", "-i", "1h")
    running = supervise.start(*options, "--", *words, stdin=read, events=True)
    os.close(read)

    def says(text: str) -> bool:
        status = ask(socket_of(supervise), do="status")["notify"]["status"]
        return bool(status == text)

    wait_until(lambda: says("begun"))
    before = memory(running.pid), fds(running.pid)
    os.write(write, b"\n")
    wait_until(lambda: says("all is said"), 4 * HANG_SECONDS)
    assert memory(running.pid) - before[0] < GROWTH_LIMIT_KB, f"FUZZ_SEED={SEED}"
    assert fds(running.pid) <= before[1] + 2
    os.close(write)
    ended = running.wait()
    assert (ended.code, ended.left) == (0, []), f"FUZZ_SEED={SEED}"
    assert ended.report["status"] == "all is said"
    assert b"Traceback" not in ended.err
    assert running.events_path.stat().st_size < 1 << 20
    assert running.report_path.stat().st_size < 1 << 16


def test_both_sockets_survive_a_little_garbage(supervise: Place) -> None:
    """A quick test of the generators, for each run of the tests."""
    chance = random.Random(SEED)
    running, run_id = steered(supervise, "-q", "--notify", "-t", "1h", "--", *child("ready", "stay"))
    for _ in range(200):
        with wait_until(lambda: connected(socket_of(supervise))) as one:
            try:
                one.sendall(garbage.requests(chance))
            except OSError:
                pass
    for _ in range(1000):
        assert len(garbage.datagram(chance)) <= 6000
    assert ask(socket_of(supervise), do="status")["ok"], f"FUZZ_SEED={SEED}"
    assert command(supervise, "stop", run_id).code == 0
    assert running.wait().code == 143
