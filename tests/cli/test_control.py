"""The control socket: its folder, its permissions, bad clients, and its removal."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervise.control import runtime_folders, sockets
from tests.support.clients import ask, bind, command, connect, socket_of, steered
from tests.support.harness import HANG_SECONDS, Place, Running, child, wait_until


def stop(supervise: Place, run_id: str) -> None:
    """Stop the run by `supervise stop`."""
    assert command(supervise, "stop", run_id).code == 0


# --- its folder


def test_a_runtime_folder_with_a_long_path_has_a_control_socket(supervise: Place) -> None:
    """A socket address has room for 108 bytes (unix(7))."""
    runtime = supervise.folder / ("long" * 40) / ("longer" * 30)
    runtime.mkdir(parents=True)
    environ = {"XDG_RUNTIME_DIR": str(runtime)}
    running = supervise.start("--", *child("ready", "stay"), env=environ)
    path = wait_until(lambda: next(runtime.glob("supervise/*.sock"), None))
    assert ask(path, do="status")["ok"]
    assert command(supervise, "stop", path.stem, env=environ).code == 0
    assert running.wait().code == 143
    assert not path.exists()


PLANTED = ["mkdir -m 700 {0}-mine; ln -s {0}-mine {0}", "touch {0}", "mkdir {0}; chmod 777 {0}"]


@pytest.fixture
def fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the last folder that is tried, and take the others away."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for name in ("LOGIN_PARENT", "LOCK_PARENT"):
        monkeypatch.setattr(runtime_folders, name, str(tmp_path / "absent"))
    monkeypatch.setattr(runtime_folders, "_home", lambda uid: "")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    temporary.chmod(0o1777)
    monkeypatch.setattr(runtime_folders, "TEMPORARY_PARENT", str(temporary))
    return temporary / f"supervise-{os.geteuid()}"


RUN_ID = "20000101-000000-123456abcd"


def test_the_fallback_folder_is_made_private_and_removed_again(fallback: Path) -> None:
    announced: list[str] = []
    before = os.umask(0o777)
    try:
        listener = sockets.listen(RUN_ID, announced.append)
    finally:
        os.umask(before)
    (path,) = fallback.iterdir()
    assert announced == [str(fallback)]
    assert [stat.S_IMODE(one.lstat().st_mode) for one in (fallback, path)] == [0o700, 0o600]
    assert sockets.ids() == [RUN_ID]
    listener.remove()
    assert not path.exists()
    listener.close()


@pytest.mark.parametrize("plant", PLANTED, ids=["link", "file", "open"])
def test_a_second_fallback_folder_is_made_where_the_name_is_taken(fallback: Path, plant: str) -> None:
    subprocess.run(["sh", "-c", plant.format(fallback)], check=True)
    listener = sockets.listen(RUN_ID, lambda path: None)
    folder = Path(listener.folder.path)
    assert folder.name.startswith(f"{fallback.name}.")
    assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
    assert sockets.ids() == [RUN_ID]
    connection = sockets.connect(RUN_ID, 1)
    assert connection is not None
    connection.close()
    # Neither the next run nor a run after the name is free again makes a third folder.
    subprocess.run(["sh", "-c", f"rm -rf {fallback} {fallback}-mine"], check=True)
    second = sockets.listen(RUN_ID.replace("abcd", "0000"), lambda path: None)
    assert second.folder.path == listener.folder.path
    for one in (listener, second):
        one.remove()
        one.close()


def test_processes_that_begin_at_once_share_one_fallback_folder(fallback: Path) -> None:
    place = runtime_folders.for_locks()[-1]
    for _ in range(100):
        wait, go = os.pipe()
        pids = []
        for _ in range(6):
            if not (pid := os.fork()):
                try:
                    os.close(go)
                    os.read(wait, 1)
                    place.open()
                finally:
                    os._exit(0)
            pids.append(pid)
        os.close(go)
        os.close(wait)
        for pid in pids:
            os.waitpid(pid, 0)
        assert list(fallback.parent.iterdir()) == [fallback]
        fallback.rmdir()


# --- permissions

AS_ANOTHER_USER = """
import os, pkgutil, sys
from importlib import import_module
from supervise.commands import invocation
call = invocation.read(sys.argv[1:])
for room in "commands", "control", "files", "options", "process", "records", "text":
    path = import_module(f"supervise.{room}").__path__
    for module in pkgutil.iter_modules(path, f"supervise.{room}."):
        import_module(module.name)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os._exit(invocation.carry_out(call))
"""
"""A command of supervise run by another user with this environment; that user cannot read the program's folder, nor
that of a Python in a home, so all that it needs is loaded before."""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_commands_of_another_user_name_the_owner_of_the_run(supervise: Place) -> None:
    """A socket that this user may not enter is not waited for."""
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path, folder = socket_of(supervise), f"{supervise.state}/runs/{run_id}"
    # A running supervisor would put the socket back.
    running.send(signal.SIGSTOP)
    path.rename(f"{path}.away")
    os.chown(folder, 65534, 65534)
    ended = command(supervise, "stop", run_id)
    assert ended.code == 125
    whose = "it has no control socket; it is a run of the user 65534, and this is the user 0"
    assert ended.messages == [f"stop: run {run_id} cannot be reached: {whose}"]
    os.chown(folder, 0, 0)
    Path(f"{path}.away").rename(path)
    running.send(signal.SIGCONT)
    assert command(supervise, "stop", run_id).code == 0
    running.wait()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_reaches_neither_the_socket_nor_the_run(supervise: Place) -> None:
    """Also where the folder of the socket is open by mistake, the run does not answer another user."""
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    program = (
        "import os, socket, sys\n"
        "os.chdir(sys.argv[1]); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "one = socket.socket(socket.AF_UNIX)\n"
        "one.connect(sys.argv[2])\n"
        'one.sendall(b\'{"do": "stop", "signal": 9}\\n\')\n'
        "print(one.recv(100))\n"
    )

    def intrude() -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, "-c", program, str(path.parent), path.name]
        return subprocess.run(words, capture_output=True, text=True, timeout=HANG_SECONDS)

    assert "PermissionError" in intrude().stderr
    path.parent.chmod(0o711)
    path.chmod(0o666)
    refused = intrude()
    assert refused.stdout == "b''\n" or "BrokenPipeError" in refused.stderr or "ConnectionReset" in refused.stderr
    path.parent.chmod(0o700)
    assert ask(path, do="status")["phase"] == "running"
    for words in (["stop", run_id], ["extend", run_id, "1h"], ["attach", run_id], ["ready", run_id], ["wait", run_id]):
        ended = supervise.popen([sys.executable, "-c", AS_ANOTHER_USER, *words]).wait()
        assert (ended.code, ended.messages[0].split(":")[0]) == (125, words[0])
    assert running.process.poll() is None
    stop(supervise, run_id)
    run = running.wait()
    assert (run.code, run.report["extensions"]) == (143, [])


# --- bad clients

REQUESTS = st.fixed_dictionaries(
    {"do": st.sampled_from(["status", "extend", "ready", "attach", "more", "keys", "size", "stop", "x"])},
    optional={
        "by": st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.booleans(), st.none()),
        "signal": st.one_of(st.integers(max_value=0), st.integers(min_value=65), st.text(max_size=5), st.floats()),
        "text": st.one_of(st.text(max_size=20), st.integers()),
        "rows": st.integers(),
        "columns": st.one_of(st.integers(), st.lists(st.integers(), max_size=2)),
    },
)
GARBAGE = st.one_of(
    st.binary(max_size=200),
    REQUESTS.map(lambda request: json.dumps(request).encode() + b"\n"),
    st.lists(REQUESTS, max_size=20).map(lambda many: b"".join(json.dumps(one).encode() + b"\n" for one in many)),
    st.tuples(REQUESTS, st.integers(0, 60)).map(lambda cut: json.dumps(cut[0]).encode()[: cut[1]]),
    st.sampled_from(
        [b"[" * 60000 + b"\n", b"x" * 70000, b"\n" * 1000, b'{"do": "status"}\n' * 100, b"\0\n", b"\xff\n"]
    ),
)


def check_garbage_is_survived(supervise: Place, count: int, options: tuple[str, ...]) -> None:
    """Send a run so much garbage, and check that it still answers and its command still runs."""
    # The keys have a Ctrl-C now and then, which must be a mere byte to the command.
    command = ("sh", "-c", "if [ -t 1 ]; then stty raw -echo </dev/tty; fi; echo ready; exec sleep 1000")
    running, run_id = steered(supervise, *options, "--", *command)
    # Before the terminal is raw, Ctrl-C and Ctrl-\\ would rightly end the command.
    running.wait_for_out(b"ready")
    path = socket_of(supervise)

    @settings(max_examples=count, deadline=None, database=None)
    @given(GARBAGE)
    def throw(data: bytes) -> None:
        with connect(path) as one:
            try:
                one.sendall(data)
                one.shutdown(socket.SHUT_WR)
                got = b""
                # The request `more` may have no answer, so none is waited for.
                one.settimeout(0.002 if b'"more"' in data else HANG_SECONDS)
                while more := one.recv(1 << 16):
                    got += more
            except (BrokenPipeError, ConnectionResetError, TimeoutError):
                return
        for line in got.splitlines():
            assert json.loads(line)["ok"] in (True, False)

    throw()
    assert ask(path, do="status")["phase"] == "running"
    stop(supervise, run_id)
    run = running.wait()
    assert (run.code, run.finals[-1].count("cancelled by supervise stop")) == (143, 1)


def test_a_run_survives_garbage_on_its_socket(supervise: Place) -> None:
    check_garbage_is_survived(supervise, 200, ("-t", "1h"))


@pytest.mark.slow
def test_a_terminal_run_survives_much_garbage_on_its_socket(supervise: Place) -> None:
    check_garbage_is_survived(supervise, 5000, ("--pty", "-a", "1h", "--access-on", "attach"))


def test_clients_that_leave_while_they_wait_make_room(supervise: Place) -> None:
    """There are more of them than the run serves at a time."""
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    path = socket_of(supervise)
    for _ in range(300):
        with connect(path) as one, one.makefile("rw") as file:
            file.write('{"do": "more"}\n')
            file.flush()
            assert json.loads(file.readline())["ok"]
            file.write('{"do": "more"}\n')
            file.flush()
    wait_until(lambda: _answers(path))
    stop(supervise, run_id)
    running.wait()


def test_stalled_clients_delay_no_other_client(supervise: Place) -> None:
    """Some send requests and never read, some send nothing, some stop in the middle of a request."""
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    idle = [connect(path) for _ in range(100)]
    for number, one in enumerate(idle):
        if number % 3 == 0:
            one.sendall(b'{"do": "sta')
        elif number % 3 == 1:
            one.setblocking(False)
            try:
                while True:
                    one.send(b'{"do": "status"}\n' * 1000)
            except (BlockingIOError, ConnectionError):
                pass
    for _ in range(20):
        assert ask(path, do="status")["ok"]
    memory = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1]) * 4096
    assert memory < 200_000_000
    stop(supervise, run_id)
    assert running.wait().code == 143
    for one in idle:
        one.close()


def test_more_clients_than_a_run_serves_push_out_the_silent_ones(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    many = [wait_until(lambda: _connect(path)) for _ in range(300)]
    # Clients that have sent no request give way, the oldest first.
    wait_until(lambda: _is_closed(many[0]))
    assert not _is_closed(many[-1])
    for one in many:
        one.close()
    wait_until(lambda: _answers(path))
    stop(supervise, run_id)
    running.wait()


def _connect(path: Path) -> socket.socket | None:
    try:
        return connect(path)
    except BlockingIOError:
        # The backlog is full of connections that are not accepted yet.
        return None


def _is_closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False


def _answers(path: Path) -> bool:
    try:
        return bool(ask(path, do="status")["ok"])
    except (ValueError, OSError):
        return False


# --- removal


def kill_both(running: Running) -> None:
    """Kill the supervisor and its guardian, neither of which can act on the death of the other."""
    pids = (running.pid, running.guardian())
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    running.process.wait(HANG_SECONDS)


@pytest.mark.parametrize("also_guardian", [False, True])
def test_a_killed_run_leaves_no_socket(supervise: Place, also_guardian: bool) -> None:
    """The guardian removes the socket; where it was killed too, the next client that finds no listener does."""
    running, run_id = steered(supervise, "-k", "0.1", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    if also_guardian:
        kill_both(running)
        assert path.exists()
        assert command(supervise, "stop", run_id).code == 125
    else:
        running.send(signal.SIGKILL)
    wait_until(lambda: not path.exists())
    if also_guardian:
        supervise.sweep()
    # The report is the last file that a guardian writes.
    wait_until(lambda: not supervise.alive())
    running.wait()


def test_a_run_killed_before_its_socket_had_a_name_leaves_none(supervise: Place) -> None:
    """The next client that misses the run removes the unnamed socket, unless it is new or a process holds it."""
    running, run_id = steered(supervise, "--", *child("ready", "stay"))
    kill_both(running)
    unnamed = socket_of(supervise).rename(socket_of(supervise).with_suffix(sockets.UNNAMED_SUFFIX))
    later = time.time() + 100
    os.utime(unnamed, (later, later))
    assert command(supervise, "stop", run_id).code == 125
    assert unnamed.exists()
    os.utime(unnamed, (0, 0))
    assert command(supervise, "stop", run_id).code == 125
    assert not unnamed.exists()
    with bind(unnamed):
        os.utime(unnamed, (0, 0))
        assert command(supervise, "stop", run_id).code == 125
        assert unnamed.exists()
    unnamed.unlink()
    supervise.sweep()


def test_clients_of_a_stopped_supervisor_say_that_it_does_not_answer(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    running.send(signal.SIGTSTP)
    wait_until(lambda: _state(running.pid) == "T")
    ended = command(supervise, "extend", run_id, "5m")
    assert ended.code == 125
    assert ended.messages == [
        f"extend: run {run_id} does not answer: its supervise is stopped (continue it: kill -CONT {running.pid})"
    ]
    running.send(signal.SIGCONT)
    stop(supervise, run_id)
    running.wait()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# --- many runs


@pytest.mark.slow
@pytest.mark.alone
def test_each_of_two_hundred_clients_gets_the_answer_of_its_run(supervise: Place) -> None:
    """No answer goes to the client of another run."""
    count = 200
    ids = [
        supervise.popen([str(supervise.program), "run", "-d", "-t", "1h", "--", "sleep", "300"]) for _ in range(count)
    ]
    names = [one.wait().out.decode().strip() for one in ids]
    assert len(set(names)) == count
    wait_until(lambda: len(list((supervise.runtime / "supervise").glob("*.sock"))) == count, 120)
    for step in range(0, count, 20):
        clients = [
            supervise.popen([str(supervise.program), "extend", name, f"{step + number + 1}m"])
            for number, name in enumerate(names[step : step + 20])
        ]
        assert [one.wait().code for one in clients] == [0] * len(clients)
    # All clients ask at the same time, and read the answers in another order.
    clients = [connect(supervise.runtime / "supervise" / f"{name}.sock") for name in names]
    for client in clients:
        client.sendall(b'{"do": "status"}\n')
    answers = {}
    for name, client in sorted(zip(names, clients, strict=True), key=lambda pair: pair[0][::-1]):
        with client, client.makefile() as file:
            answers[name] = json.loads(file.readline())
    for number, name in enumerate(names):
        status = answers[name]
        assert status["run_id"] == name
        (deadline,) = status["deadlines"]
        assert deadline["limit"] == "completion"
        left = 3600 + 60 * (number + 1)
        assert left - 180 < deadline["left"] <= left
    for name in names:
        assert ask(supervise.runtime / "supervise" / f"{name}.sock", do="stop", signal=9)["ok"]
    wait_until(lambda: not supervise.alive())
