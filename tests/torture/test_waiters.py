"""Waits at their limits: many of them, a very long line, a quiet minute, a flood. They print what they measure."""

import json
import signal
import statistics
import subprocess
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support.clients import ask, command, connect, detached, is_waiting, newest, socket_of
from tests.support.harness import Place, child, wait_until
from tests.support.measures import GROWTH_LIMIT_KB, fds, memory

GOES_ON = 121
WAITERS = 200
QUIET_SECONDS = 20.0
WAIT_CPU_MILLISECONDS = 20.0
"""Milliseconds of CPU that a wait may use in a minute in which nothing happens."""
WAITER_MEMORY_KB = 64 << 10

LONG_LINE = """
import os, sys, time
def write(data):
    while data:
        data = data[os.write(1, data):]
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
wait_for(sys.argv[1])
block = b"x" * (1 << 20)
for number in range(100):
    write(b"the needle is here" if number == 50 else block)
write(b"\\n")
wait_for(sys.argv[2])
"""
STAMPS = """
import os, sys, time
for number in range(int(sys.argv[1])):
    while not os.path.exists(f"{sys.argv[2]}{number}"):
        time.sleep(0.005)
    print("stamp", number, time.monotonic(), flush=True)
time.sleep(100)
"""


def cpu(pid: int) -> float:
    """Return the milliseconds of CPU of a process so far (clock ticks of 10 ms would be too coarse)."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e6


def settle(pid: int) -> float:
    """Wait until a process has used no CPU for half a second, and return what it has used."""
    used = -1.0
    while used != (used := cpu(pid)):
        time.sleep(0.5)
    return used


@pytest.mark.slow
@pytest.mark.alone
def test_many_waiters_end_with_one_line_and_cost_the_run_nothing(supervise: Place) -> None:
    go = supervise.file("go")
    running = supervise.start("--", *child(f"wait_for={go}", "say=it is up", "stay"))
    path = socket_of(supervise)
    # An answer means that all which serves a client is loaded.
    ask(path, do="status")
    before = (memory(running.pid), fds(running.pid))
    words = [str(supervise.program), "wait", newest(supervise), "--until", "match=it is up", "--for", "5m"]
    waiters = [supervise.popen(words, stdout=subprocess.DEVNULL) for _ in range(WAITERS)]
    wait_until(lambda: fds(running.pid) >= before[1] + WAITERS)
    began = time.monotonic()
    go.touch()
    assert [one.wait().code for one in waiters] == [GOES_ON] * WAITERS
    print(f"{WAITERS} waits ended {time.monotonic() - began:.2f} s after the line")
    # The run has opened a few files since: of the output, of the samples.
    wait_until(lambda: fds(running.pid) < before[1] + 10)
    grown = memory(running.pid) - before[0]
    print(f"after that the run has grown by {grown} kB")
    assert grown < GROWTH_LIMIT_KB
    assert path.exists()
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


@pytest.mark.slow
@pytest.mark.alone
def test_more_waiters_than_a_run_serves_all_end(supervise: Place) -> None:
    """Those that the run does not serve look at its record."""
    go = supervise.file("go")
    running = supervise.start("-a", "1h", "--", *child(f"wait_for={go}", "say=it is up", "stay"))
    socket_of(supervise)
    words = [str(supervise.program), "wait", newest(supervise), "--until", "match=it is up", "--until", "access"]
    waiters = [supervise.popen(words, stdout=subprocess.DEVNULL) for _ in range(150)]
    go.touch()
    assert {one.wait().code for one in waiters} == {GOES_ON}
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


@pytest.mark.slow
def test_a_match_in_the_middle_of_a_line_of_100_megabytes(supervise: Place) -> None:
    begin, go = supervise.file("begin"), supervise.file("go")
    words = ("python3", "-c", LONG_LINE, str(begin), str(go))
    # The record holds the whole line: a wait that the machine delays may not miss its middle.
    run_id, _ = detached(supervise, *words, options=("--log-max", "128MiB"))
    waiter = supervise.popen([str(supervise.program), "wait", run_id, "--until", "match=needle is", "--json"])
    begin.touch()
    ended = waiter.wait()
    assert (ended.code, json.loads(ended.out)["until"], ended.err) == (GOES_ON, "match=needle is", b"")
    go.touch()
    assert command(supervise, "wait", run_id).code == 0


@pytest.mark.slow
def test_the_memory_of_a_wait_does_not_grow_with_the_line(supervise: Place) -> None:
    begin, go = supervise.file("begin"), supervise.file("go")
    begin.touch()
    run_id, _ = detached(supervise, "python3", "-c", LONG_LINE, str(begin), str(go))
    waiter = supervise.popen([str(supervise.program), "wait", run_id, "--until", "match=nothing like that"])
    wait_until(lambda: b"\n" in command(supervise, "logs", run_id, "--lines", "1").out[-1:])
    used = settle(waiter.pid)
    status = Path(f"/proc/{waiter.pid}/status").read_text()
    most = int(status.split("VmHWM:")[1].split()[0])
    print(f"a wait that searched 100 MB: {most} kB, {used:.0f} ms of CPU")
    assert most < WAITER_MEMORY_KB
    go.touch()
    assert waiter.wait().code == 0


@pytest.mark.slow
def test_a_wait_uses_no_cpu_while_nothing_happens(supervise: Place) -> None:
    running = supervise.start("-a", "1h", "--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    every = ("--until", "match=x", "--until", "idle=1h", "--for", "5m")
    waiter = supervise.popen([str(supervise.program), "wait", newest(supervise), *every])
    wait_until(lambda: is_waiting(waiter.pid))
    settled = settle(waiter.pid)
    supervisor = cpu(running.pid)
    time.sleep(QUIET_SECONDS)
    minutes = QUIET_SECONDS / 60
    used, theirs = (cpu(waiter.pid) - settled) / minutes, (cpu(running.pid) - supervisor) / minutes
    print(f"in a quiet minute a wait uses {used:.2f} ms of CPU, and the supervisor {theirs:.2f} ms")
    assert used < WAIT_CPU_MILLISECONDS
    running.send(signal.SIGTERM)
    assert waiter.wait().code == 143
    running.wait()


@pytest.mark.slow
def test_a_wait_ends_soon_after_what_it_waits_for(supervise: Place) -> None:
    number, go = 20, supervise.file("go")
    run_id, _ = detached(supervise, "python3", "-c", STAMPS, str(number), str(go))
    late = []
    for one in range(number):
        words = [str(supervise.program), "wait", run_id, "--until", rf"match=stamp {one} \S+"]
        with subprocess.Popen(words, env=supervise.environ) as waiter:
            # The line comes when the client is connected: how long its start takes is not what is measured.
            wait_until(partial(is_waiting, waiter.pid, "socket:"))
            go.with_name(f"go{one}").touch()
            assert waiter.wait() == GOES_ON
            ended = time.monotonic()
        lines = command(supervise, "logs", run_id).out.decode().splitlines()
        stamp = next(float(line.split()[2]) for line in lines if line.startswith(f"stamp {one} "))
        late.append((ended - stamp) * 1000)
    print(f"a wait ends {statistics.median(late):.1f} ms after the line (median), {max(late):.1f} ms at most")
    assert statistics.median(late) < 1000
    assert command(supervise, "stop", run_id).code == 0


@pytest.mark.slow
def test_clients_that_have_left_cost_the_run_no_memory(supervise: Place) -> None:
    """Each way to leave: after the answer was read, before that, and while the run waits to have more to say."""
    running = supervise.start("--", *child("stay"))
    path = socket_of(supervise)
    ask(path, do="status")
    before = (memory(running.pid), fds(running.pid))
    for _ in range(20):
        with ExitStack() as clients:
            for number in range(100):
                one = clients.enter_context(connect(path))
                one.setblocking(True)
                one.sendall(b'{"do": "status"}\n' if number % 3 else b'{"do": "more"}\n')
                if number % 3 == 1:
                    one.recv(1 << 16)
            wait_until(lambda: fds(running.pid) >= before[1] + 100)
        wait_until(lambda: fds(running.pid) < before[1] + 10)
    grown = memory(running.pid) - before[0]
    print(f"2000 clients have left, a hundred at a time, and the run has grown by {grown} kB")
    assert grown < GROWTH_LIMIT_KB
    running.send(signal.SIGTERM)
    assert running.wait().code == 143
