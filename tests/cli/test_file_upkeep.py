"""Files that are removed under a running run: its lock, its control socket, and their folders."""

import fcntl
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from supervise.records import flock
from supervise.runner import file_upkeep
from tests.support.clients import command, socket_of, steered
from tests.support.harness import Place, child, is_alive, wait_for_file, wait_until
from tests.support.lock_paths import lock_file
from tests.support.locks import hold


def holder_of(path: Path) -> int:
    """Return the pid in the file of a lock; 0 where there is none."""
    try:
        words = path.read_text().split()
    except OSError:
        return 0
    return int(words[1]) if len(words) == 3 else 0


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock.

    /proc/locks would not do: in a pid namespace it hides a lock whose taker is dead.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def file_key(path: Path) -> tuple[int, int]:
    """Return device and inode number of the file."""
    found = path.stat()
    return found.st_dev, found.st_ino


def files_of(pid: int) -> set[tuple[int, int]]:
    """Return device and inode number of each file that the process has open."""
    found = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        # The process may close one meanwhile.
        with suppress(FileNotFoundError):
            found.add(file_key(one))
    return found


@pytest.mark.parametrize("way", ["removed", "renamed", "replaced", "replaced by a link"])
def test_the_holder_of_a_lock_restores_its_file(supervise: Place, lock_name: str, way: str) -> None:
    holder = hold(supervise, lock_name)
    path = lock_file(lock_name)
    wait_until(lambda: socket_of(supervise))
    before = path.stat().st_ino
    match way:
        case "removed":
            path.unlink()
        case "renamed":
            path.rename(f"{path}.old")
        case "replaced":
            fresh = path.with_suffix(".new")
            fresh.touch()
            fresh.rename(path)
        case _:
            # The file cannot be restored while another one has its name; the lock still holds.
            # The link comes in one step: the holder restores at once a file that is missing.
            link = path.with_suffix(".new")
            link.symlink_to(supervise.file("elsewhere"))
            link.replace(path)
            assert supervise("--lock", lock_name, "--", "true").code in (75, 125)
            path.unlink()
    wait_until(lambda: holder_of(path) == holder.pid)
    assert path.stat().st_ino != before
    ended = supervise("--lock", lock_name, "--", "true")
    assert ended.code == 75
    assert f"held by run {path.read_text().split()[0]} (pid {holder.pid}) since" in ended.finals[0]
    supervise.file("go").touch()
    assert holder.wait().code == 0
    assert supervise("--lock", lock_name, "--", "true").code == 0
    Path(f"{path}.old").unlink(missing_ok=True)


def test_the_guardian_holds_the_restored_file_of_a_lock(supervise: Place, lock_name: str) -> None:
    root, go = supervise.file("root"), supervise.file("go")
    words = child("ignore=TERM", f"mark={root}", "ready", f"wait_for={go}")
    holder = supervise.start("--lock", lock_name, "--kill-after", "30", "--", *words)
    holder.wait_for_out(b"ready")
    pid, path = wait_for_file(root), lock_file(lock_name)
    wait_until(lambda: socket_of(supervise))
    path.unlink()
    wait_until(lambda: holder_of(path) == holder.pid)
    inode = path.stat().st_ino
    wait_until(lambda: any(f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines()))
    # The supervisor writes the file before it hands the descriptor on.
    guardian = holder.guardian()
    wait_until(lambda: file_key(path) in files_of(guardian))
    holder.send(signal.SIGKILL)
    holder.process.wait()
    waiter = supervise.start("--lock", lock_name, "--lock-wait", "60", "--", "cat", f"/proc/{pid}/comm")
    assert is_locked(path)
    assert path.stat().st_ino == inode
    assert is_alive(pid)
    go.touch()
    # The waiting run begins when the command is gone.
    assert waiter.wait().code == 1
    holder.wait()


def test_a_removed_control_socket_is_restored(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    path = socket_of(supervise)
    path.unlink()
    wait_until(path.exists)
    # A client that misses the socket has it restored at once.
    begin = time.monotonic()
    for replace in (False, True):
        path.unlink()
        if replace:
            # Another file in the place of the socket is neither removed nor connected to.
            path.touch()
        assert command(supervise, "extend", run_id, "1m").code == 0
        assert path.is_socket()
    assert time.monotonic() - begin < file_upkeep.MIN_PAUSE_SECONDS
    assert command(supervise, "stop", run_id).code == 0
    assert running.wait().code == 143
    assert not path.exists()


def test_a_run_can_be_steered_after_a_logout_removed_the_runtime_folder(supervise: Place, lock_name: str) -> None:
    running, run_id = steered(supervise, "--lock", lock_name, "-t", "1h", "--", *child("ready", "stay"))
    record = Path(supervise.state, "runs", run_id)
    wait_until((record / "socket").exists)
    assert (record / "socket").read_text().strip() == str(supervise.runtime / "supervise")
    client = command(supervise, "extend", run_id, "1m")
    assert client.code == 0
    shutil.rmtree(supervise.runtime)
    noted = wait_until(
        lambda: (found := (record / "socket").read_text().strip()) != str(supervise.runtime / "supervise") and found
    )
    assert (Path(noted) / f"{run_id}.sock").is_socket()
    for environ in ({}, {"XDG_RUNTIME_DIR": ""}):
        assert command(supervise, "extend", run_id, "1m", env=environ).code == 0
    # Where the supervisor is killed now, the guardian removes this socket as well.
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not (Path(noted) / f"{run_id}.sock").exists())
    running.wait()
    wait_until(lambda: not supervise.alive())
    supervise.runtime.mkdir()


def test_clients_find_the_socket_by_the_record(supervise: Place) -> None:
    """So does a client with another runtime folder than the run."""
    running, run_id = steered(supervise, "-t", "1h", "--", *child("ready", "stay"))
    other = supervise.file("other")
    other.mkdir()
    assert command(supervise, "stop", run_id, env={"XDG_RUNTIME_DIR": str(other)}).code == 0
    assert running.wait().code == 143


@pytest.fixture
def remover(lock_name: str) -> Iterator["list[int]"]:
    """Remove the file of the lock as often as possible, and yield a counter of the removals."""
    path, count, is_over = lock_file(lock_name), [0], threading.Event()

    def remove() -> None:
        while not is_over.is_set():
            try:
                path.unlink()
                count[0] += 1
            except FileNotFoundError:
                pass
            time.sleep(0.0005)

    thread = threading.Thread(target=remove)
    thread.start()
    yield count
    is_over.set()
    thread.join()


@pytest.mark.parametrize("many", [12, pytest.param(100, marks=(pytest.mark.slow, pytest.mark.alone))])
def test_no_two_runs_hold_a_lock_whose_file_is_removed_again_and_again(
    supervise: Place,
    lock_name: str,
    remover: "list[int]",
    many: int,
) -> None:
    script = "mkdir inside || echo two; echo $1 >>log; sleep 0.05; rmdir inside || echo two"
    running = [
        supervise.start(
            "-q", "--no-record", "--lock", lock_name, "--lock-wait", "10m", "--", "sh", "-c", script, "sh", str(number),
            report=False,
        )
        for number in range(many)
    ]  # fmt: skip
    for one in running:
        ended = one.wait(120)
        assert (ended.code, ended.out) == (0, b"")
    assert sorted(map(int, (supervise.folder / "log").read_text().split())) == list(range(many))
    assert remover[0] > many


def test_the_folder_of_locks_is_locked_against_systemd_tmpfiles(supervise: Place, lock_name: str) -> None:
    """systemd-tmpfiles passes over folders that it cannot lock (tmpfiles.d(5))."""
    import fcntl

    holder = hold(supervise, lock_name)
    folder = os.open(lock_file(lock_name).parent, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    supervise.file("go").touch()
    holder.wait()
    os.close(folder)
    assert flock.LOCK_SUFFIX == ".lock"
