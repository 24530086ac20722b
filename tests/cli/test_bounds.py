"""Bounded against everyone: what stands still, floods or talks nonsense costs little, and blocks nothing."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from supervise.runs.output import Writer
from tests.cli.test_steering import ask, command, connect, socket_of, steered
from tests.harness import PYTHON, Place, Running, child, wait_until

MOST_KB = 4096
"""By which a process may grow, whatever is done to it."""


def pss(pid: int) -> int:
    """The proportional set size in kB (proc(5), smaps_rollup)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("\nPss:")[1].split()[0])


def fds(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def stop(supervise: Place, running: Running, run_id: str) -> None:
    assert command(supervise, "stop", run_id).code == 0
    assert running.wait().code == 143


# --- clients


@pytest.mark.parametrize("request_", [b'{"do":"status"}\n', b"{}\n", b'{"do":"keys","text":"x"}\n', b"[" * 50 + b"\n"])
def test_a_client_that_never_reads_costs_little(supervise: Place, request_: bytes) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    assert ask(path, do="status")["ok"]
    before = pss(running.pid)
    with connect(path) as one:
        one.settimeout(0.5)
        try:
            for _ in range(200):
                one.sendall(request_ * 500)
        except OSError:
            # It takes no more, or has hung up.
            pass
        assert pss(running.pid) - before < MOST_KB
        assert ask(path, do="status")["ok"]
    stop(supervise, running, run_id)


def test_many_requests_at_once_are_all_answered_to_one_that_reads(supervise: Place) -> None:
    """However slowly: who does not read is not read."""
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    count = 5000
    with connect(socket_of(supervise)) as one:
        one.setblocking(False)
        left = b'{"do":"status"}\n' * count
        got = b""
        while got.count(b"\n") < count:
            try:
                left = left[one.send(left) :] if left else left
            except BlockingIOError:
                pass
            try:
                got += one.recv(1 << 14)
            except BlockingIOError:
                time.sleep(0.001)
    stop(supervise, running, run_id)


NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e308",
    "-1e308",
    "1" + "0" * 400,
    "true",
    "null",
    '"5"',
    "[]",
    "3153600001",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_is_no_duration_is_refused(supervise: Place, number: str) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    with connect(socket_of(supervise)) as one, one.makefile("rw") as file:
        for text in (f'{{"do":"extend","by":{number}}}', f'{{"do":"stop","signal":{number}}}'):
            file.write(text + "\n")
            file.flush()
            answer = json.loads(file.readline())
            assert not answer["ok"]
            assert "internal" not in answer["why"]
    assert len(ask(socket_of(supervise), do="status")["deadlines"]) == 1
    stop(supervise, running, run_id)


def test_a_deadline_has_an_end_however_often_it_is_moved(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    assert not ask(path, do="extend", by=-1)["ok"]
    assert ask(path, do="extend", by=99 * 365 * 86400)["ok"]
    for _ in range(100):
        refused = ask(path, do="extend", by=100 * 365 * 86400)
        assert (refused["ok"], refused["why"]) == (False, "no deadline is further away than a century")
    stop(supervise, running, run_id)


def test_a_full_socket_is_called_full_and_not_the_end_of_the_run(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    many = []
    for _ in range(256):
        one = wait_until(lambda: _connected(path))
        one.sendall(b'{"do":"status"}\n')
        assert one.recv(10)
        many.append(one)
    for words in (["extend", run_id, "1m"], ["stop", run_id]):
        ended = command(supervise, *words)
        assert ended.code == 125
        assert ended.messages == [f"{words[0]}: refused: its control socket is full: it serves 256 clients at a time"]
    followed = supervise.popen([str(supervise.program), "logs", "-f", run_id])
    followed.wait_for_out(b"ready")
    assert followed.process.poll() is None
    for one in many:
        one.close()
    wait_until(lambda: command(supervise, "extend", run_id, "1m").code == 0)
    stop(supervise, running, run_id)
    assert followed.wait().code == 0


def test_who_only_connects_takes_nobodys_place(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    many = [wait_until(lambda: _connected(path)) for _ in range(300)]
    for one in many[::7]:
        try:
            one.sendall(b'{"do":')
        except OSError:
            # It was the first, and has had to go.
            pass
    assert ask(path, do="status")["ok"]
    stop(supervise, running, run_id)
    for one in many:
        one.close()


def _connected(path: Path) -> socket.socket | None:
    try:
        return connect(path)
    except BlockingIOError:
        return None


# --- the reader of our stdout


@pytest.mark.parametrize("flood", [300_000, 30_000_000])
def test_attempts_leave_nothing_while_the_reader_stands_still(supervise: Place, flood: int) -> None:
    ours, theirs = os.pipe()
    words = ["--retries", "100000", "--retry-on", "completion", "--retry-delay", "0", "-t", "0.1", "-k", "0"]
    script = f"head -c {flood} /dev/zero; head -c {flood} /dev/zero >&2; sleep 9"
    words += ["--drain", "0", "--diagnose", "off", "-q", "--", "sh", "-c", script]
    running = supervise.start(*words, events=True, stdout=theirs, stderr=theirs)
    os.close(theirs)

    def attempts() -> int:
        path = running.events_path
        return path.read_bytes().count(b'"event": "started"') if path.exists() else 0

    wait_until(lambda: attempts() >= 4)
    first = fds(running.pid), threads(running.pid), pss(running.pid)
    wait_until(lambda: attempts() >= 20)
    last = fds(running.pid), threads(running.pid), pss(running.pid)
    running.send(signal.SIGTERM)
    running.process.wait(20)
    os.close(ours)
    running.wait()
    # Those of the attempt that goes on come and go.
    assert last[0] - first[0] <= 8
    assert last[1] - first[1] <= 4
    assert last[2] - first[2] < MOST_KB


# --- the guardian


STOPS_ITS_PARENT = "kill -STOP $PPID; "


def test_signals_to_a_guardian_that_is_stopped_block_nothing(supervise: Place) -> None:
    script = f"trap : USR1; echo ready; {STOPS_ITS_PARENT} while :; do sleep 0.1; done"
    running = supervise.start("-t", "4", "-k", "1", "--", "sh", "-c", script)
    running.wait_for_out(b"ready")
    for number in range(1500):
        running.send((signal.SIGUSR1, signal.SIGWINCH)[number % 2])
        time.sleep(0.001)
    ended = running.wait(15)
    assert ended.code == 124
    assert ended.left == []


# --- what is recorded


def test_logs_are_linear_in_a_line_without_an_end(supervise: Place) -> None:
    """A progress bar: 8 MB in pieces of 80 bytes, each with a carriage return and none with a line feed."""
    script = "import os, time\nfor _ in range(1000): os.write(1, (b'\\r' + b'#' * 79) * 100)"
    supervise.start("-q", "--name", "bar", "--", *PYTHON, "-c", script, report=False).wait()
    folder = next(Path(supervise.state, "runs").iterdir())
    for path in folder.glob("output*"):
        path.unlink()
    writer = Writer(str(folder), 64 << 20)
    for number in range(100_000):
        writer.write("stdout", time.time(), b"\r%79d" % number)
    os.close(writer._fd)
    for words in (["-n", "5"], [], ["--timestamps"], ["--timestamps", "-n", "5"]):
        began = time.monotonic()
        ended = supervise.popen([str(supervise.program), "logs", *words, "bar"]).wait()
        assert time.monotonic() - began < 10
        assert ended.code == 0
        # With its times a line is cut into pieces of 64 KiB.
        assert len(ended.out) >= (8_000_000 if "--timestamps" not in words or "-n" not in words else 4 << 16)
    began = time.monotonic()
    assert supervise.popen([str(supervise.program), "show", "bar"]).wait().code == 0
    assert time.monotonic() - began < 10
