"""Clients, readers, commands and signals that stall, flood or send nonsense: they cost little and block nothing."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervise.records.bounded_output import Writer
from tests.support.clients import ask, command, connect, socket_of, steered
from tests.support.harness import PYTHON, Place, Running, child, wait_until
from tests.support.measures import GROWTH_LIMIT_KB, connected, fds, memory, threads


def stop(supervise: Place, running: Running, run_id: str) -> None:
    """Stop the run by `supervise stop`, and check its end."""
    assert command(supervise, "stop", run_id).code == 0
    assert running.wait().code == 143


# --- clients


@pytest.mark.parametrize("request_", [b'{"do":"status"}\n', b"{}\n", b'{"do":"keys","text":"x"}\n', b"[" * 50 + b"\n"])
def test_a_client_that_never_reads_costs_little(supervise: Place, request_: bytes) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    assert ask(path, do="status")["ok"]
    before = memory(running.pid)
    with connect(path) as one:
        one.settimeout(0.5)
        try:
            for _ in range(200):
                one.sendall(request_ * 500)
        except OSError:
            # The run takes no more, or has closed the connection.
            pass
        assert memory(running.pid) - before < GROWTH_LIMIT_KB
        assert ask(path, do="status")["ok"]
    stop(supervise, running, run_id)


def test_all_of_many_requests_are_answered_to_a_client_that_reads(supervise: Place) -> None:
    """The run reads no request of a client that does not read its answers."""
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


def test_no_deadline_is_moved_beyond_a_century(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    assert not ask(path, do="extend", by=-1)["ok"]
    assert ask(path, do="extend", by=99 * 365 * 86400)["ok"]
    for _ in range(100):
        refused = ask(path, do="extend", by=100 * 365 * 86400)
        assert (refused["ok"], refused["why"]) == (False, "no deadline is further away than a century")
    stop(supervise, running, run_id)


def test_clients_of_a_full_socket_say_that_it_is_full(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    many = []
    for _ in range(256):
        one = wait_until(lambda: connected(path))
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


def test_clients_that_send_no_request_give_way_to_others(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    many = [wait_until(lambda: connected(path)) for _ in range(300)]
    for one in many[::7]:
        try:
            one.sendall(b'{"do":')
        except OSError:
            # The run has closed the oldest of these connections.
            pass
    assert wait_until(lambda: status_if_accepted(path))["ok"]
    stop(supervise, running, run_id)
    for one in many:
        one.close()


def status_if_accepted(path: Path) -> Any:
    """Return the answer to the request `status`; None where the queue of connections is full at this moment."""
    try:
        return ask(path, do="status")
    except BlockingIOError:
        return None


# --- the reader of stdout


@pytest.mark.parametrize("flood", [300_000, 30_000_000])
def test_attempts_leave_no_resources_behind_while_the_reader_stands_still(supervise: Place, flood: int) -> None:
    ours, theirs = os.pipe()
    words = ["--retries", "100000", "--retry-on", "completion", "--retry-delay", "0", "-t", "0.1", "-k", "0"]
    script = f"head -c {flood} /dev/zero; head -c {flood} /dev/zero >&2; sleep 9"
    words += ["--drain", "0", "--diagnose", "off", "-q", "--", "sh", "-c", script]
    running = supervise.start(*words, events=True, stdout=theirs, stderr=theirs)
    os.close(theirs)

    def attempts() -> int:
        assert running.process.poll() is None
        path = running.events_path
        return path.read_bytes().count(b'"event": "started"') if path.exists() else 0

    def held() -> tuple[int, int, int]:
        return fds(running.pid), threads(running.pid), memory(running.pid)

    wait_until(lambda: attempts() >= 4)
    # An attempt has more while it runs than at its start.  The pipes for a flood (output/tee) come once, when the disk
    # is slow, and stay: a sample at the start of an attempt and one with these pipes say nothing of a leak.
    samples = [held()]
    wait_until(lambda: samples.append(held()) or attempts() >= 6)  # type: ignore[func-returns-value]  # append
    first = [max(values) for values in zip(*samples, strict=True)]
    wait_until(lambda: attempts() >= 20)
    last = held()
    running.send(signal.SIGTERM)
    running.process.wait(20)
    os.close(ours)
    running.wait()
    # The running attempt has descriptors and threads of its own.
    assert last[0] - first[0] <= 8
    assert last[1] - first[1] <= 4
    assert last[2] - first[2] < GROWTH_LIMIT_KB


# --- the guardian


STOPS_ITS_PARENT = "kill -STOP $PPID; "


def test_signals_to_a_stopped_guardian_block_no_limit(supervise: Place) -> None:
    script = f"trap : USR1; echo ready; {STOPS_ITS_PARENT} while :; do sleep 0.1; done"
    running = supervise.start("-t", "4", "-k", "1", "--", "sh", "-c", script)
    running.wait_for_out(b"ready")
    for number in range(1500):
        running.send((signal.SIGUSR1, signal.SIGWINCH)[number % 2])
        time.sleep(0.001)
    ended = running.wait(15)
    assert ended.code == 124
    assert ended.left == []


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGWINCH, signal.SIGCONT, signal.SIGCHLD])
def test_a_storm_of_signals_costs_little_and_blocks_no_limit(supervise: Place, number: int) -> None:
    """USR1, WINCH and CONT are passed on; CHLD reports the death of a child."""
    script = "trap : USR1; echo ready; while :; do sleep 9; done"
    running = supervise.start("-t", "5", "-k", "1", "--", "sh", "-c", script, events=True)
    running.wait_for_out(b"ready")
    # All modules are loaded by then.
    assert ask(socket_of(supervise), do="status")["ok"]
    running.send(number)
    time.sleep(1)
    before, sent, grown = memory(running.pid), 0, 0
    while running.process.poll() is None and b"completion timeout" not in running.err:
        for _ in range(2000):
            running.send(number)
        sent += 2000
        try:
            grown = max(grown, memory(running.pid) - before)
        except (OSError, IndexError):
            break
    ended = running.wait(15)
    assert (ended.code, ended.left) == (124, [])
    (verdict,) = ended.events_named("verdict")
    assert verdict["t"] < 6
    assert sent > 5000
    assert grown < GROWTH_LIMIT_KB


STORMS = {
    "the first parent": "parent = os.getppid()\nstop = lambda: os.kill(parent, signal.SIGSTOP)",
    # The supervisor becomes the parent when the guardian is gone.
    "the present parent": "stop = lambda: os.kill(os.getppid(), signal.SIGSTOP)",
}


@pytest.mark.parametrize("grace", ["0", "0.5"])
@pytest.mark.parametrize("storm", STORMS.values(), ids=STORMS)
def test_a_guardian_that_the_command_keeps_stopping_blocks_no_limit(supervise: Place, storm: str, grace: str) -> None:
    script = (
        f"import os, signal, time\n{storm}\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.fork(); os.fork()\n"
        "until = time.monotonic() + 40\nprint('ready', flush=True)\n"
        "while time.monotonic() < until:\n    try: stop()\n    except OSError: break\n    time.sleep(0.0005)"
    )
    began = time.monotonic()
    ended = supervise.start("-t", "1", "-k", grace, "--diagnose", "off", "--", *PYTHON, "-c", script).wait()
    assert (ended.code, ended.left) == (124, [])
    assert time.monotonic() - began < 8
    assert "the command was stopped" in ended.finals[-1]


def test_a_guardian_that_the_command_keeps_stopping_blocks_no_request(supervise: Place) -> None:
    script = f"trap : TERM; echo ready; while :; do {STOPS_ITS_PARENT} sleep 0.001; done"
    running, run_id = steered(supervise, "-k", "0.5", "--", "sh", "-c", script)
    running.wait_for_out(b"ready")
    stop(supervise, running, run_id)


def test_the_command_of_a_stopped_guardian_gets_exactly_one_term(supervise: Place) -> None:
    """The sender is the guardian, or the supervisor where the guardian is stopped."""
    script = (
        "import os, signal, time\nparent = os.getppid()\ngot = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: got.append(1))\nprint('ready', flush=True)\n"
        "began = time.monotonic()\n"
        "while not got or time.monotonic() < ended + 1:\n    if not got: ended = time.monotonic()\n"
        "    try: os.kill(parent, signal.SIGSTOP)\n    except OSError: pass\n    time.sleep(0.0005)\n"
        "print(len(got), flush=True)"
    )
    ended = supervise("-t", "1", "-k", "10", "--diagnose", "off", "--", *PYTHON, "-c", script)
    assert (ended.code, ended.left) == (124, [])
    assert ended.out == b"ready\n1\n"


def test_the_supervisor_notices_the_end_of_the_command_under_a_stopped_guardian(supervise: Place) -> None:
    began = time.monotonic()
    ended = supervise("-t", "30", "--", "sh", "-c", f"sleep 0.5; {STOPS_ITS_PARENT} exit 7")
    assert ended.code == 7
    assert time.monotonic() - began < 10


def test_an_end_before_the_limit_wins_though_the_guardian_is_stopped(supervise: Place) -> None:
    running = supervise.start("-t", "3", "--", "sh", "-c", "echo ready; sleep 1.5; exit 7")
    running.wait_for_out(b"ready")
    guardian = running.guardian()
    while running.process.poll() is None:
        try:
            os.kill(guardian, signal.SIGSTOP)
        except ProcessLookupError:
            break
        time.sleep(0.002)
    assert running.wait().code == 7


FREEZERS = (("/sys/fs/cgroup/unified", "cgroup.freeze", "1"), ("/sys/fs/cgroup", "cgroup.freeze", "1"),
            ("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN"))  # fmt: skip


@pytest.fixture(params=FREEZERS, ids=[f"{one[0].rpartition('/')[2]}-{one[1]}" for one in FREEZERS])
def freezer(request: pytest.FixtureRequest) -> Iterator[tuple[Path, str, str]]:
    """Make a cgroup that can be frozen; it is removed at the end."""
    mount, name, word = request.param
    folder = Path(mount, f"test-bounds-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made in {mount}: {error.strerror}")
    if not (folder / name).exists():
        folder.rmdir()
        pytest.skip(f"{mount} has no {name}")
    yield folder, name, word
    wait_until(lambda: _is_removed(folder))


def _is_removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@pytest.mark.parametrize("who", ["the guardian", "the command", "both"])
def test_a_frozen_cgroup_blocks_no_limit(supervise: Place, freezer: tuple[Path, str, str], who: str) -> None:
    folder, name, word = freezer
    running = supervise.start("-t", "2", "-k", "0.5", "--diagnose", "off", "--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    guardian = running.guardian()
    (command,) = Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()
    # The cgroup of the run is made by then, or never.
    time.sleep(0.5)
    for pid in [guardian] * (who != "the command") + [command] * (who != "the guardian"):
        (folder / "cgroup.procs").write_text(str(pid))
    (folder / name).write_text(word)
    ended = running.wait(20)
    assert (ended.code, ended.left) == (124, [])
    assert ended.report["survivors"] == []


# --- the matcher


def matcher(running: Running) -> int:
    """Wait for the matcher of the run, and return its pid."""

    def found() -> int:
        for pid in running.children():
            try:
                if b"access/matcher.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
            except OSError:
                continue
        return 0

    return wait_until(found)


@pytest.mark.parametrize("line", [b"y\\n", b"y"], ids=["lines", "one endless line"])
def test_a_stopped_matcher_delays_no_output_and_sees_the_last_line(supervise: Place, line: bytes) -> None:
    go, more, over = (supervise.file(name) for name in ("go", "more", "over"))
    script = (
        f"import os, time\ndef wait(path):\n    while not os.path.exists(path): time.sleep(0.01)\n"
        f"wait({str(go)!r})\nfor _ in range(50): os.write(1, b'{line.decode()}' * 200_000)\n"
        f"os.write(1, b'\\nall is said\\n')\nwait({str(more)!r})\nos.write(1, b'READY\\n')\nwait({str(over)!r})"
    )
    running = supervise.start("-a", "30", "--access-on", "match=^READY$", "-v", "--", *PYTHON, "-c", script)
    pid = matcher(running)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    go.touch()
    wait_until(lambda: running.out.endswith(b"\nall is said\n"))
    assert time.monotonic() - began < 8
    more.touch()
    wait_until(lambda: running.out.endswith(b"READY\n"))
    os.kill(pid, signal.SIGCONT)
    running.wait_for_err(b"access after")
    over.touch()
    ended = running.wait()
    assert (ended.code, ended.report["access"]["how"]) == (0, "match=^READY$")
    assert any("not all of the output is searched" in message for message in ended.messages)


def test_an_endless_search_delays_no_output(supervise: Place) -> None:
    script = "echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; yes | head -c 3000000; sleep 1; echo end"
    began = time.monotonic()
    running = supervise.start("-a", "20", "--access-on", "match=(a+)+b", "--", "sh", "-c", script)
    running.wait_for_out(b"end")
    assert time.monotonic() - began < 8
    assert running.wait().code == 0


# --- notify messages


def talker(words: str, over: Path, pause: float) -> tuple[str, ...]:
    """Return a command that sends this message by sd_notify until the file exists; `n` in it counts the messages."""
    script = f"""
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
until = time.monotonic() + 60
n = 0
while time.monotonic() < until and not os.path.exists({str(over)!r}):
    s.send(({words}).encode())
    n += 1
    time.sleep({pause})
print(n, flush=True)
"""
    return (*PYTHON, "-c", script)


FLOODS = {
    "status": "f'STATUS=step {n}'",
    "long status": "f'STATUS=step {n} ' + 'x' * 4000",
    "no text": "'STATUS=' + '\\x01' * 1000 + str(n)",
    "both": "f'STATUS={n}\\nMAINPID={n + 2}\\nSTOPPING=1\\nWATCHDOG=1'",
    "more time": "f'EXTEND_TIMEOUT_USEC=7200{n:03}000'",
    "to and fro": "f'EXTEND_TIMEOUT_USEC={(59, 61)[n % 2] + n}000000'",
}


@pytest.mark.parametrize("pause", [0, 0.02])
@pytest.mark.parametrize("words", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_notify_messages_is_bounded_in_memory_record_and_events(
    supervise: Place, words: str, pause: float
) -> None:
    options = ("-v", "--notify", "-t", "60", "-x", "1d", "--log-max", "64KiB")
    over = supervise.file("over")
    running = supervise.start(*options, "--", *talker(words, over, pause), events=True)
    wait_until(lambda: b"started" in running.err)
    # All modules are loaded by then.
    assert ask(socket_of(supervise), do="status")["ok"]
    time.sleep(1)
    before = memory(running.pid)
    time.sleep(1.5)
    assert memory(running.pid) - before < GROWTH_LIMIT_KB
    over.touch()
    ended = running.wait()
    assert ended.code == 0
    (record,) = Path(supervise.state, "runs").iterdir()
    recorded = (record / "events.jsonl").stat().st_size
    assert recorded < 1 << 16
    assert running.events_path.stat().st_size < 1 << 17
    assert running.report_path.stat().st_size < 25_000
    assert len(ended.err) < 100_000
    told = [one for one in ended.events if one["event"] in ("said", "extended", "warned")]
    assert (2 if "* 1000" in words or "* 4000" in words else 10) <= len(told) <= 120
    if words == FLOODS["status"] and pause:
        assert ended.report["status"] == f"step {int(ended.out) - 1}"
    if words == FLOODS["more time"]:
        granted = sum(one["by"] for one in ended.report["extensions"])
        assert granted == pytest.approx(ended.report["extensions"][-1]["used"], abs=0.1)


@pytest.mark.alone
def test_left_out_notify_messages_are_counted(supervise: Place) -> None:
    over = supervise.file("over")
    running = supervise.start("-v", "--notify", "--", *talker(FLOODS["status"], over, 0.02), events=True)
    wait_until(lambda: running.err.count(b"step ") > 15)
    over.touch()
    ended = running.wait()
    told = ended.events_named("said")
    count = len(told) + sum(one.get("left_out", 0) for one in told)
    # Messages that come together count once, and more of them do so the longer the supervisor waits for a CPU.
    assert int(ended.out) / 4 < count <= int(ended.out)
    assert count > len(told)


def test_ps_shows_a_status_that_changes_all_the_time_soon(supervise: Place) -> None:
    """The events have only a few of the changes."""
    over = supervise.file("over")
    running = supervise.start("--notify", "--", *talker("f'STATUS={n}'", over, 0.02))
    program = str(supervise.program)

    def shown() -> int:
        listed = json.loads(supervise.popen([program, "ps", "--json"]).wait().out)
        return int(listed[0]["status"] or 0) if listed else 0

    wait_until(lambda: shown() > 60)
    first = shown()
    # The supervisor writes the file of the status once a second.
    wait_until(lambda: shown() > first + 30, 10)
    over.touch()
    running.wait()


def test_three_hundred_attempts_fill_no_record(supervise: Place) -> None:
    words = ("--retries", "300", "--retry-on", "failed", "--retry-delay", "0", "--log-max", "64KiB")
    ended = supervise.start(*words, "-q", "--", "false", events=True).wait()
    assert ended.code == 1
    assert len(ended.report["attempts"]) == 301
    assert [one["number"] for one in ended.report["attempts"]] == list(range(1, 302))
    assert len(ended.events_named("retrying")) == 300
    (record,) = Path(supervise.state, "runs").iterdir()
    recorded = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    assert (record / "events.jsonl").stat().st_size < (1 << 16) + 1000
    assert recorded[-1]["event"] == "settled"
    assert len(recorded) + recorded[-1]["left_out"] == len(ended.events)


# --- records


def test_logs_takes_linear_time_for_an_endless_line(supervise: Place) -> None:
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
        # With --timestamps a line is cut into pieces of 64 KiB.
        assert len(ended.out) >= (8_000_000 if "--timestamps" not in words or "-n" not in words else 4 << 16)
    began = time.monotonic()
    assert supervise.popen([str(supervise.program), "show", "bar"]).wait().code == 0
    assert time.monotonic() - began < 10
