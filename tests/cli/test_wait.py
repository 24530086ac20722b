"""`supervise wait`: it ends with the exit code of the run, and prints nothing."""

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.support.clients import RUNS_OF_ROOT, ask, command, is_waiting, newest, socket_of
from tests.support.harness import Place, child, validator, wait_until


def has_connections(path: Path, number: int) -> bool:
    """Return whether the socket of a run has so many connections, accepted or not (proc_pid_net(5): state 03)."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return sum(len(words) == 8 and words[5] == "03" and path.stem in words[7] for words in lines) == number


def id_of(supervise: Place) -> str:
    """Wait for a run on record, and return its id."""
    runs = Path(supervise.environ["HOME"]) / ".local/state/supervise/runs"
    return wait_until(lambda: next((path.name for path in runs.glob("2*")), ""))


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        ((), ("wait_for=go", "exit=0"), 0),
        ((), ("wait_for=go", "exit=7"), 7),
        ((), ("wait_for=go", "kill=KILL"), 137),
        (("-t", "5"), ("wait_for=go", "stay"), 124),
        (("-p", "-t", "5"), ("exit_on=TERM,9", "wait_for=go", "stay"), 9),
    ],
)
def test_wait_ends_with_the_code_of_the_run(
    supervise: Place, options: tuple[str, ...], words: tuple[str, ...], code: int
) -> None:
    running = supervise.start(*options, "--", *child(*words))
    run_id = id_of(supervise)
    waiting = supervise.popen([str(supervise.program), "wait", run_id])
    wait_until(lambda: is_waiting(waiting.pid))
    supervise.file("go").touch()
    ended = waiting.wait()
    assert (ended.code, ended.out, ended.err) == (code, b"", b"")
    assert running.process.wait(5) == code
    again = command(supervise, "wait", run_id)
    assert (again.code, again.out, again.err) == (code, b"", b"")
    running.wait()


def test_wait_ends_with_the_code_of_a_cancellation(supervise: Place) -> None:
    running = supervise.start("--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    waiting = supervise.popen([str(supervise.program), "wait", newest(supervise)])
    assert command(supervise, "stop", newest(supervise)).code == 0
    assert waiting.wait().code == 143
    assert running.wait().code == 143


def test_wait_ends_when_the_run_is_lost(supervise: Place) -> None:
    running = supervise.start("-k", "0.2", "--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    waiting = supervise.popen([str(supervise.program), "wait", newest(supervise)])
    wait_until(lambda: is_waiting(waiting.pid))
    running.send(signal.SIGKILL)
    running.process.wait()
    ended = waiting.wait()
    assert (ended.code, ended.out, ended.err) == (125, b"", b"")
    wait_until(lambda: not supervise.alive())
    assert command(supervise, "wait", newest(supervise)).code == 125
    running.wait()


def test_wait_works_for_a_run_without_a_record(supervise: Place) -> None:
    running = supervise.start("--no-record", "-t", "1h", "--", *child("exit_on=TERM,4", "ready", "stay"))
    path = socket_of(supervise)
    run_id = path.stem
    # A killed run leaves such a socket.
    dead = path.with_name(f"{run_id[:10]}00000-0123456789.sock")
    os.mknod(dead, stat.S_IFSOCK | 0o600)
    running.wait_for_out(b"ready")
    assert command(supervise, "extend", run_id[:10], "1s").code == 0
    assert not dead.exists()
    waiting = supervise.popen([str(supervise.program), "wait", run_id[:10]])
    wait_until(lambda: has_connections(path, 1))
    # The client has sent its request and waits for the answer, and the run serves clients in the order of their coming.
    wait_until(lambda: is_waiting(waiting.pid))
    ask(path, do="status")
    os.kill(running.pid, signal.SIGTERM)
    ended = waiting.wait()
    assert (ended.code, ended.out, ended.err) == (143, b"", b"")
    running.wait()


def test_wait_refuses_the_common_beginning_of_two_ids(supervise: Place) -> None:
    first = supervise.start("--no-record", "--", *child("ready", "stay"))
    second = supervise.start("--no-record", "--", *child("ready", "stay"))
    socket_of(supervise, 1)
    run_ids = [socket_of(supervise, number).stem for number in (0, 1)]
    ended = command(supervise, "wait", "20")
    assert ended.code == 125
    assert ended.messages == [f"wait: 2 runs begin with '20': {', '.join(run_ids)}"]
    for one in (first, second):
        one.send(signal.SIGTERM)
        assert one.wait().code == 143


def test_many_clients_can_wait_for_a_run(supervise: Place) -> None:
    running = supervise.start("--", *child("wait_for=go", "exit=3"))
    id_of(supervise)
    waiting = [supervise.popen([str(supervise.program), "wait", newest(supervise)]) for _ in range(10)]
    wait_until(lambda: all(is_waiting(one.pid) for one in waiting))
    supervise.file("go").touch()
    assert [one.wait().code for one in waiting] == [3] * 10
    running.wait()


def test_wait_refuses_an_unknown_run(supervise: Place) -> None:
    ended = command(supervise, "wait", "nobody")
    assert (ended.code, ended.messages) == (
        125,
        [f"wait: no run 'nobody' on record; see supervise ps --all{RUNS_OF_ROOT}"],
    )


@pytest.mark.parametrize("record", [(), ("--no-record",)])
def test_a_bounded_wait_ends_with_121_while_the_run_goes_on(supervise: Place, record: tuple[str, ...]) -> None:
    go = supervise.file("go")
    running = supervise.start(*record, "--", *child("ready", f"wait_for={go}", "exit=7"))
    running.wait_for_out(b"ready")
    first = command(supervise, "wait", socket_of(supervise).stem, "--for", "0.2", "--json")
    found = json.loads(first.out)
    validator("answer").validate(found)
    assert (first.code, found["state"], found["exit_code"], first.err) == (121, "running", 121, b"")
    waiting = supervise.popen([str(supervise.program), "wait", found["run_id"][-6:], "--for", "1h", "--json"])
    wait_until(lambda: is_waiting(waiting.pid))
    # The run serves clients in the order of their coming.
    ask(socket_of(supervise), do="status")
    go.touch()
    ended = waiting.wait()
    assert (ended.code, json.loads(ended.out)["state"], json.loads(ended.out)["exit_code"]) == (7, "ended", 7)
    assert running.wait().code == 7
