"""`--lock`: one run at a time, the holder is named, and the lock is free when the tree of the run is gone."""

import json
import os
import re
import select
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.support.harness import Place, Running, child, is_alive, state_of, wait_for_file, wait_until
from tests.support.lock_paths import lock_file
from tests.support.locks import hold
from tests.support.refusals import is_refused

HOLDER = r"run (\d{8}-\d{6}-[0-9a-f]+) \(pid (\d+)\) since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def wait_for_wait(running: Running) -> None:
    """Wait until the run waits for the lock in the kernel."""
    running.wait_for_err(b"waiting for the lock")
    wait_until(lambda: "FLOCK" in _waiters(running.pid))


def _waiters(pid: int) -> str:
    """Return the lines of a waiting process in /proc/locks (proc(5)): `1: -> FLOCK  ADVISORY  WRITE 4711 ...`."""
    lines = Path("/proc/locks").read_text().splitlines()
    return "\n".join(line for line in lines if "->" in line and f" {pid} " in line)


@pytest.mark.parametrize("report", [True, False])
def test_a_second_run_of_a_lock_is_turned_away(supervise: Place, lock_name: str, report: bool) -> None:
    holder = hold(supervise, lock_name)
    started = supervise.file("started")
    words = ("--lock", lock_name, "--", *child(f"mark={started}"))
    ended = supervise.start(*words, report=report, events=report).wait()
    assert (ended.code, ended.out) == (75, b"")
    (message,) = ended.finals
    assert len(ended.messages) == 1
    found = re.fullmatch(rf"busy: the lock {lock_name} is held by {HOLDER} \(exit 75\)", message)
    assert found
    assert int(found[2]) == holder.pid
    assert not started.exists()
    if report:
        assert ended.report["outcome"] == "busy"
        assert ended.report["reason"] == message.removesuffix(" (exit 75)")
        assert ended.report["attempts"] == []
        assert [event["event"] for event in ended.events] == ["settled"]
        assert ended.events[0]["outcome"] == "busy"
    supervise.file("go").touch()
    ended_holder = holder.wait()
    assert ended_holder.report["run_id"] == found[1]
    assert supervise.start(*words, report=report).wait().code == 0
    assert started.exists()


def test_a_lock_of_another_name_is_free(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    assert supervise("--lock", f"{lock_name}-2", "--", "true").code == 0
    lock_file(f"{lock_name}-2").unlink()
    supervise.file("go").touch()
    holder.wait()


def test_a_waiting_run_gets_the_lock_and_its_limits_begin_then(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    waiter = supervise.start("--lock", lock_name, "--lock-wait", "60", "-t", "30", "--", "echo", "in", events=True)
    wait_for_wait(waiter)
    assert re.search(rf"waiting for the lock {lock_name}, held by {HOLDER}", waiter.err.decode())
    # The run itself adds the other facts later.
    (waiting,) = [json.loads(line) for line in waiter.events_path.read_text().splitlines()]
    assert (waiting["event"], waiting["t"], waiting["lock"]) == ("waiting", 0, lock_name)
    found = re.fullmatch(HOLDER, waiting["holder"])
    assert found
    assert int(found[2]) == holder.pid
    supervise.file("go").touch()
    end_of_holder = holder.wait().report["ended_at"]
    ended = waiter.wait()
    assert (ended.code, ended.out) == (0, b"in\n")
    assert ended.report["started_at"] >= end_of_holder
    assert [event["event"] for event in ended.events][:2] == ["waiting", "started"]
    assert {event["run_id"] for event in ended.events} == {ended.report["run_id"]}


def test_an_unread_events_fifo_delays_no_lock_wait(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    path = supervise.file("fifo")
    os.mkfifo(path)
    full = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        while os.write(full, bytes(select.PIPE_BUF)):
            pass
    except BlockingIOError:
        pass
    waiter = supervise.start("--events", str(path), "--lock", lock_name, "--lock-wait", "60", "--", "echo", "in")
    wait_for_wait(waiter)
    supervise.file("go").touch()
    assert holder.wait().code == 0
    assert waiter.wait().out == b"in\n"
    os.close(full)


def test_lock_wait_has_an_end(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    ended = supervise("--lock", lock_name, "--lock-wait", "0.3", "-q", "--", "true")
    assert ended.code == 75
    assert len(ended.messages) == 1
    assert ended.report["outcome"] == "busy"
    assert ended.report["duration"] >= 0.3
    # A wait beyond the deadline of the outer run is not begun.
    environ = {"SUPERVISE_DEADLINE": str(time.time() + 2)}
    ended = supervise("--lock", lock_name, "--lock-wait", "1h", "--", "true", env=environ)
    assert ended.report["outcome"] == "busy"
    supervise.file("go").touch()
    holder.wait()


def test_a_lock_wait_counts_against_the_time_of_an_outer_run(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    deadline = time.time() + 100
    waiter = supervise.start(
        "--lock", lock_name, "--lock-wait", "60", "-k", "0", "--", "sh", "-c", "echo $SUPERVISE_DEADLINE",
        env={"SUPERVISE_DEADLINE": str(deadline)},
    )  # fmt: skip
    wait_for_wait(waiter)
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() > begin + 2)
    supervise.file("go").touch()
    holder.wait()
    # The inner run ends one second before the outer one, however long it has waited.
    assert abs(float(waiter.wait().out) - (deadline - 1)) < 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_cancels_a_lock_wait(supervise: Place, lock_name: str, number: int) -> None:
    holder = hold(supervise, lock_name)
    waiter = supervise.start("--lock", lock_name, "--lock-wait", "60", "--", "echo", "in")
    wait_for_wait(waiter)
    waiter.send(number)
    ended = waiter.wait()
    assert ended.code == (-number if number == signal.SIGINT else 128 + number)
    assert ended.out == b""
    assert ended.report["outcome"] == "cancelled"
    assert ended.report["exit_code"] == 128 + number
    assert ended.report["reason"].startswith(f"while it waited for the lock {lock_name}, held by run ")
    (message,) = ended.finals
    assert message.startswith(f"cancelled by signal {signal.Signals(number).name[3:]} while it waited for the lock")
    supervise.file("go").touch()
    assert holder.wait().code == 0


def test_a_signal_that_the_caller_ignores_cancels_no_lock_wait(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    waiter = supervise.popen(
        ["nohup", str(supervise.program), "--lock", lock_name, "--lock-wait", "60", "--", "echo", "in"]
    )
    wait_for_wait(waiter)
    waiter.send(signal.SIGHUP)
    waiter.send(signal.SIGURG)
    supervise.file("go").touch()
    holder.wait()
    assert waiter.wait().out == b"in\n"


def test_a_kill_of_the_supervisor_frees_the_lock_when_the_tree_is_gone(supervise: Place, lock_name: str) -> None:
    root, go = supervise.file("root"), supervise.file("go")
    command = child("ignore=TERM", f"mark={root}", "ready", f"wait_for={go}")
    holder = supervise.start("--lock", lock_name, "--kill-after", "30", "--", *command)
    holder.wait_for_out(b"ready")
    pid = wait_for_file(root)
    waiter = supervise.start("--lock", lock_name, "--lock-wait", "60", "--", "cat", f"/proc/{pid}/comm")
    wait_for_wait(waiter)
    holder.send(signal.SIGKILL)
    wait_until(lambda: not is_alive(holder.pid))
    ended = supervise("--lock", lock_name, "--", "true")
    assert ended.code == 75
    assert "killed, and its command is still being stopped) since " in ended.finals[0]
    go.touch()
    assert waiter.wait().code == 1
    assert state_of(pid) == "X"
    holder.wait()


def test_the_lock_holds_after_the_guardian_was_killed(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    guardian = holder.guardian()
    os.kill(guardian, signal.SIGKILL)
    wait_until(lambda: not is_alive(guardian))
    assert supervise("--lock", lock_name, "--", "true").code == 75
    supervise.file("go").touch()
    assert holder.wait().code == 0
    assert supervise("--lock", lock_name, "--", "true").code == 0


def test_neither_the_command_nor_its_stragglers_hold_the_lock(supervise: Place, lock_name: str) -> None:
    ended = supervise("--lock", lock_name, "--", "sh", "-c", "ls -l /proc/$$/fd; sleep 60 >/dev/null 2>&1 &")
    assert ended.code == 0
    assert b".lock" not in ended.out
    assert supervise("--lock", lock_name, "--", "true").code == 0
    supervise.sweep()


def test_a_lock_holds_though_its_file_was_removed_or_replaced(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    waiter = supervise.start("--lock", lock_name, "--lock-wait", "60", "--", "echo", "over")
    wait_for_wait(waiter)
    for replace in (False, True):
        lock_file(lock_name).unlink(missing_ok=True)
        if replace:
            lock_file(lock_name).touch(0o600)
        ended = supervise("--lock", lock_name, "--", "echo", "in")
        assert (ended.code, ended.out) == (75, b"")
        assert f"(pid {holder.pid})" in ended.finals[0] or f"by pid {holder.pid} " in ended.finals[0]
        late = supervise.start("--lock", lock_name, "--lock-wait", "0.2", "--", "echo", "in").wait()
        assert (late.code, late.out) == (75, b"")
    assert waiter.out == b""
    supervise.file("go").touch()
    assert holder.wait().code == 0
    assert waiter.wait().out == b"over\n"


def test_one_of_many_simultaneous_runs_gets_the_lock(supervise: Place, lock_name: str) -> None:
    go = supervise.file("go")
    running = [
        supervise.start("--lock", lock_name, "--", *child("ready", f"wait_for={go}"), report=False) for _ in range(12)
    ]
    wait_until(lambda: sum(one.process.poll() == 75 for one in running) == 11)
    go.touch()
    assert sorted(one.wait().code for one in running) == [0, *[75] * 11]


@pytest.mark.slow
@pytest.mark.alone
def test_two_hundred_waiting_runs_get_the_lock_one_after_the_other(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    script = "mkdir inside || echo two; echo $1 >>log; rmdir inside"
    running = [
        supervise.start(
            "-q", "--no-record", "--lock", lock_name, "--lock-wait", "10m", "--", "sh", "-c", script, "sh", str(number),
            report=False,
        )
        for number in range(200)
    ]  # fmt: skip
    wait_until(lambda: all("FLOCK" in _waiters(one.pid) for one in running), 120)
    supervise.file("go").touch()
    assert holder.wait().code == 0
    for one in running:
        ended = one.wait(120)
        assert (ended.code, ended.out, ended.err) == (0, b"", b"")
    assert sorted(map(int, (supervise.folder / "log").read_text().split())) == list(range(200))


@pytest.mark.parametrize("between", [(), ("--", "setsid", "-f", "-w", "sh", "-c", '"$@"', "sh", "supervise")])
def test_an_inner_run_does_not_wait_for_the_lock_of_its_outer_run(
    supervise: Place, lock_name: str, between: tuple[str, ...]
) -> None:
    words = ("--lock", lock_name, "--lock-wait", "1h", "--", "true")
    ended = supervise("--lock", lock_name, *between, "--", "supervise", *words)
    (message,) = ended.finals
    assert ended.code == 75
    assert re.fullmatch(
        rf"busy: the lock {lock_name} is held by {HOLDER}, of which this run is a part \(exit 75\)", message
    )


def test_a_detached_run_is_turned_away_without_an_id(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    ended = supervise.start("run", "--detach", "--lock", lock_name, "--", "true", report=False).wait()
    assert (ended.code, ended.out) == (75, b"")
    assert ended.finals[0].startswith(f"busy: the lock {lock_name} is held by run ")
    supervise.file("go").touch()
    holder.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_detached_run_stops_waiting_when_its_caller_has_given_up(
    supervise: Place, lock_name: str, number: int
) -> None:
    holder = hold(supervise, lock_name)
    started = supervise.file("started")
    words = ("--lock", lock_name, "--lock-wait", "60", "--", *child(f"mark={started}"))
    caller = supervise.start("run", "--detach", *words, report=False)
    caller.wait_for_err(b"waiting for the lock")
    caller.send(number)
    ended = caller.wait()
    assert (ended.code, ended.out) == (-number, b"")
    assert ended.finals[0].startswith(f"cancelled by signal TERM while it waited for the lock {lock_name}")
    supervise.file("go").touch()
    assert holder.wait().code == 0
    assert not started.exists()


@pytest.mark.parametrize("word", ["", "a/b", ".", "..", "a b", "-x", "x" * 300])
def test_an_invalid_lock_name_is_refused(supervise: Place, word: str) -> None:
    is_refused(supervise.start(f"--lock={word}", "--", "true", report=False).wait(), "--lock: got ", "takes ")


def test_a_link_in_the_place_of_a_lock_file_is_refused(supervise: Place, lock_name: str) -> None:
    lock_file(lock_name).symlink_to(supervise.file("other"))
    is_refused(
        supervise.start("--lock", lock_name, "--", "true", report=False).wait(), "--lock: too many levels of symbolic"
    )
    assert not supervise.file("other").exists()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can mount")
def test_runs_with_private_file_systems_share_a_lock(supervise: Place, lock_name: str) -> None:
    """Services of systemd have such file systems (ProtectSystem=strict, PrivateTmp)."""
    holder = hold(supervise, lock_name)
    script = 'mount -t tmpfs none /run && mount -t tmpfs none /tmp && cd / && exec "$0" "$@"'
    words = (str(supervise.program), "--no-record", "--lock", lock_name, "--", "echo", "in")
    ended = supervise.popen(["unshare", "-m", "sh", "-c", script, *words]).wait()
    assert (ended.code, ended.out) == (75, b"")
    assert f"the lock {lock_name} is held by pid {holder.pid} (exit 75)" in ended.finals[0]
    words = (*words[:2], "--lock-wait", "1m", *words[2:])
    waiter = supervise.popen(["unshare", "-m", "sh", "-c", script, *words])
    waiter.wait_for_err(b"waiting for the lock")
    supervise.file("go").touch()
    assert holder.wait().code == 0
    assert waiter.wait().out == b"in\n"


def test_a_file_that_serves_as_a_lock_keeps_its_content(supervise: Place) -> None:
    """A data file may be locked while the command writes it, as under flock(1)."""
    path = supervise.file("data")
    path.write_text("of the user's\n")
    holder = supervise.start("--lock", str(path), "--", *child("ready", "stay"))
    holder.wait_for_out(b"ready")
    busy = supervise("--lock", str(path), "--", "true")
    assert busy.code == 75
    assert f"held by pid {holder.pid}" in busy.err.decode()
    holder.send(signal.SIGTERM)
    holder.wait()
    assert supervise("--lock", str(path), "--", "true").code == 0
    assert path.read_text() == "of the user's\n"


def test_a_full_events_pipe_delays_no_lock_wait(supervise: Place) -> None:
    """The pipe has room, but not for a line as long as the one that names this lock."""
    folder = supervise.folder.joinpath(*['"' * 250] * 10)
    folder.mkdir(parents=True)
    words = ["--lock", str(folder / "lock")]
    holder = supervise.popen([str(supervise.program), "--no-record", *words, "--", *child("ready", "stay")])
    holder.wait_for_out(b"ready")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    os.read(reader, 4096)
    options = [*words, "--lock-wait", "1", "--events", f"/dev/fd/{writer}"]
    began = time.monotonic()
    waiter = supervise.popen([str(supervise.program), *options, "--", "true"], pass_fds=(writer,))
    os.close(writer)
    code = waiter.process.wait(20)
    os.close(reader)
    assert (code, time.monotonic() - began < 5) == (75, True), waiter.err
    holder.send(signal.SIGTERM)
    holder.wait()
