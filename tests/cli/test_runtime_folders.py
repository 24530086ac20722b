"""The folders of locks and sockets, where other users try to take their names."""

import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervise.control import sockets
from tests.support.harness import HANG_SECONDS, wait_until
from tests.support.mounts import HIDES
from tests.support.users import ALICE, BOB, ROOT, Users

if TYPE_CHECKING:
    import subprocess

SHARED = ("/run/lock", "/tmp")
PLANT = {
    "folder": "mkdir -m 700 {0}",
    "open folder": "mkdir -m 777 {0}",
    "file": "touch {0}",
    "link": "mkdir -p {0}-elsewhere; chmod 777 {0}-elsewhere; ln -s {0}-elsewhere {0}",
    "FIFO": "mkfifo {0}",
}


@pytest.fixture
def plant(users: Users, request: pytest.FixtureRequest) -> Iterator[None]:
    """Have Bob take the names of Alice's folders."""
    names = [f"{parent}/supervise-{ALICE}" for parent in SHARED if os.access(parent, os.W_OK)]
    for name in names:
        users.shell(BOB, PLANT[request.param].format(name))
    yield
    for name in names:
        users.shell(BOB, f"rm -rf {name} {name}-elsewhere")


def text_of(process: "subprocess.Popen[bytes]") -> str:
    """Wait for the end of the process, and return its stderr."""
    assert process.stderr
    assert process.stdout
    with process:
        process.wait(HANG_SECONDS)
        return process.stderr.read().decode()


@contextmanager
def running(users: Users, uid: int, *words: str, env: "dict[str, str] | None" = None) -> Iterator[str]:
    """Start a run of that user, yield its id, and stop it at the end."""
    ready = users.folder / f"ready-{os.urandom(4).hex()}"
    ready.touch()
    os.chown(ready, uid, uid)
    script = f"echo $SUPERVISE_RUN_ID >{ready}; exec sleep 60"
    process = users.popen(uid, str(users.program), "run", *words, "--", "sh", "-c", script, env=env)
    try:
        yield wait_until(lambda: ready.read_text().strip())
    finally:
        process.terminate()
        text_of(process)


def steered(
    users: Users, uid: int, *words: str, env: "dict[str, str] | None" = None
) -> "subprocess.CompletedProcess[str]":
    """Send a request as soon as the run answers, and return how the client ended."""

    def ask() -> "subprocess.CompletedProcess[str] | None":
        done = users.supervise(uid, *words, env=env)
        return None if "no run" in done.stderr else done

    found = wait_until(ask)
    assert found
    return found


@pytest.mark.parametrize("plant", PLANT, indirect=True)
@pytest.mark.usefixtures("plant")
def test_locks_and_sockets_are_found_though_another_user_took_their_names(users: Users) -> None:
    """A call by cron, with an almost empty environment, finds the same files as one from a login."""
    assert users.supervise(ALICE, "--lock", "job", "--", "true").returncode == 0
    with running(users, ALICE, "--lock", "job") as run_id:
        cron = {"HOME": "/nonexistent", "XDG_RUNTIME_DIR": ""}
        for env in ({}, cron):
            busy = users.supervise(ALICE, "--no-record", "--lock", "job", "--", "true", env=env)
            assert busy.returncode == 75
            assert f"the lock job is held by run {run_id} (pid " in busy.stderr
        # When the names are free again, lock and socket are still the same.
        for parent in SHARED:
            users.shell(BOB, f"rm -rf {parent}/supervise-{ALICE}")
        assert users.supervise(ALICE, "--no-record", "--lock", "job", "--", "true", env=cron).returncode == 75
        stopped = steered(users, ALICE, "stop", run_id, env={"HOME": "/"})
        assert (stopped.returncode, stopped.stderr) == (0, "")
    assert users.supervise(ALICE, "--lock", "job", "--", "true", env=cron).returncode == 0


def test_a_runtime_folder_of_another_user_is_not_used(users: Users) -> None:
    """A call by sudo can have such a variable."""
    with running(users, ROOT, "--no-record", env={"XDG_RUNTIME_DIR": str(users.home(ALICE))}) as run_id:
        assert "neither -t nor -a is in force" in steered(users, ROOT, "extend", run_id, "1m").stderr
    assert list(users.home(ALICE).iterdir()) == []


def test_the_folders_have_their_modes_under_any_umask(users: Users) -> None:
    for mask in ("000", "077", "777"):
        users.shell(ALICE, f"umask {mask}; {users.program} --no-record --lock job -- true")
        [folder] = [found for parent in SHARED for found in Path(parent).glob(f"supervise-{ALICE}*")]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "job.lock").stat().st_mode) & 0o077 == 0
        users.shell(ALICE, f"rm -rf {folder}")


def test_an_abstract_socket_of_another_user_holds_no_lock(users: Users) -> None:
    with socket.socket(socket.AF_UNIX) as squatter:
        script = (
            "import socket, sys, time\none = socket.socket(socket.AF_UNIX)\n"
            f"one.bind('\\0supervise/lock/{ALICE}/job')\none.listen(int(sys.argv[1]))\nprint('there', flush=True)\n"
            "time.sleep(60)\n"
        )
        squatter.close()
        for backlog in ("100", "0"):
            with users.popen(BOB, "/usr/bin/python3", "-c", script, backlog) as process:
                assert process.stdout
                assert process.stdout.readline() == b"there\n"
                with running(users, ALICE, "--no-record", "--lock", "job"):
                    assert users.supervise(ALICE, "--no-record", "--lock", "job", "--", "true").returncode == 75
                assert users.supervise(ALICE, "--no-record", "--lock", "job", "--", "true").returncode == 0
                process.kill()


# --- a lock that several users share


@pytest.mark.parametrize("folder_mode", [0o1777, 0o777])
@pytest.mark.parametrize(
    ("mask", "words", "mode"), [("022", (), 0o644), ("000", (), 0o666), ("077", ("--lock-mode", "666"), 0o666)]
)
def test_two_users_and_root_share_a_lock_file(
    users: Users, folder_mode: int, mask: str, words: "tuple[str, ...]", mode: int
) -> None:
    path = users.shared(mode=folder_mode) / "job.lock"
    lock = ("--no-record", "--lock", str(path), *words)
    users.shell(ALICE, f"umask {mask}; {users.program} {' '.join(lock)} -- true")
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (mode, ALICE)
    for holder in (ALICE, BOB, ROOT):
        with running(users, holder, *lock) as run_id:
            for other in (ALICE, BOB, ROOT):
                busy = users.supervise(other, *lock, "--", "true")
                assert busy.returncode == 75, (holder, other, busy.stderr)
                of = "" if holder == other else f" of {'root' if holder == ROOT else f'uid {holder}'}"
                # Bob may lock a file that he may read, but not write his name into it.
                is_named = holder != BOB or mode == 0o666
                who = rf"run {run_id} \(pid \d+{of}\) since \S+" if is_named else rf"pid \d+{of}"
                assert re.search(rf"busy: the lock {path} is held by {who} \(exit 75\)\n$", busy.stderr), busy.stderr
    assert path.stat().st_uid == ALICE


@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_the_holder_of_a_shared_lock_has_its_user_where_proc_hides_it(users: Users, mode: int) -> None:
    path = users.shared() / "job.lock"
    lock = ("--no-record", "--lock", str(path), "--lock-mode", f"{mode:o}")
    assert users.supervise(ALICE, *lock, "--", "true").returncode == 0
    for holder, other in ((ALICE, BOB), (BOB, ALICE), (ROOT, ALICE), (ROOT, BOB)):
        with running(users, holder, *lock) as run_id:
            ordinary = ("setpriv", f"--reuid={other}", f"--regid={other}", "--clear-groups")
            words = (*ordinary, str(users.program), *lock, "--", "true")
            hidden = ("unshare", "-m", "sh", "-c", f'{HIDES} || exit 99; exec "$@"', "sh", *words)
            busy = users.run(ROOT, *hidden, env={"HOME": str(users.home(other))})
            if busy.returncode == 99:
                pytest.skip(f"nothing can be mounted here: {busy.stderr}")
            of = " of root" if holder == ROOT else f" of uid {holder}"
            # Bob may lock a file that he may read, but not write his name into it.
            is_named = holder != BOB or mode == 0o666
            who = rf"run {run_id} \(pid \d+{of}\) since \S+" if is_named else rf"pid \d+{of}"
            assert re.search(rf"busy: the lock {path} is held by {who} \(exit 75\)\n$", busy.stderr), busy.stderr


def test_a_lock_file_that_the_user_may_not_read_is_refused(users: Users) -> None:
    path = users.shared() / "job.lock"
    assert users.supervise(ALICE, "--lock", str(path), "--lock-mode", "600", "--", "true").returncode == 0
    refused = users.supervise(BOB, "--lock", str(path), "--", "true")
    assert (refused.returncode, refused.stderr) == (125, f"supervise: --lock: permission denied: {path.name}\n")


@pytest.mark.parametrize("kind", ["link", "hard link", "FIFO", "folder"])
def test_a_file_that_another_user_has_planted_is_no_lock(users: Users, kind: str) -> None:
    folder = users.shared()
    path, own = folder / "job.lock", folder / "precious"
    own.write_text("precious")
    own.chmod(0o644)
    match kind:
        case "hard link":
            # Any user may do so where protected_hardlinks is off (proc(5)).
            os.link(own, path)
        case "link":
            users.shell(BOB, f"ln -s {own} {path}")
        case "FIFO":
            users.shell(BOB, f"mkfifo -m 666 {path}")
        case _:
            users.shell(BOB, f"mkdir -m 777 {path}")
    begin = time.monotonic()
    refused = users.supervise(ROOT, "--no-record", "--lock", str(path), "--", "echo", "in")
    assert time.monotonic() - begin < 10
    assert (refused.returncode, refused.stdout) == (125, "")
    assert refused.stderr.startswith("supervise: --lock: ")
    assert refused.stderr.count("\n") == 1
    assert own.read_text() == "precious"


# --- permission to steer


def test_root_steers_the_run_of_another_user(users: Users) -> None:
    with running(users, ALICE, "-t", "50") as run_id:
        for words in (("extend", run_id, "1m"), ("extend", run_id[:22], "1m"), ("stop", run_id)):
            done = steered(users, ROOT, *words)
            assert (done.returncode, done.stderr) == (0, "" if words[0] == "stop" else done.stderr)


def test_no_other_user_steers_a_run(users: Users) -> None:
    for owner in (ALICE, ROOT):
        with running(users, owner, "--no-record") as run_id:
            for env in ({}, {"HOME": str(users.home(owner))}):
                assert users.supervise(BOB, "stop", run_id, env=env).returncode == 125
            assert "neither -t nor -a is in force" in steered(users, owner, "extend", run_id, "1m").stderr


# --- notify sockets


SEND = """
import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"STATUS=stranger", sys.argv[1])
"""


@pytest.mark.needs("ps")
def test_another_user_neither_finds_nor_reaches_the_notify_socket(users: Users) -> None:
    for owner in (ALICE, ROOT):
        said = users.folder / f"said-{owner}"
        said.touch()
        os.chown(said, owner, owner)
        script = f"echo $NOTIFY_SOCKET >{said}; exec sleep 60"
        process = users.popen(owner, str(users.program), "--no-record", "--notify", "--", "sh", "-c", script)
        try:
            path = wait_until(lambda said=said: said.read_text().strip())  # type: ignore[misc]
            mode = stat.S_IMODE(os.stat(path).st_mode)
            assert mode == (0o666 if owner == ROOT else 0o600)
            # All who know its path may use root's socket: a server may have given up root.
            send = (
                "import socket, sys\nsocket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', sys.argv[1])"
            )
            reached = users.run(BOB, "/usr/bin/python3", "-c", send, path).returncode == 0
            assert reached == (owner == ROOT)
            listed = users.run(BOB, "find", "/run/supervise-notify", *map(str, Path("/tmp").glob("supervise-*")))
            assert path not in listed.stdout
            seen = users.shell(BOB, "cat /proc/net/unix; ps -eo args; ls -l /proc/*/fd 2>&1 || :")
            assert "said" in seen or owner == ALICE
            assert path not in seen
        finally:
            process.terminate()
            text_of(process)
        assert not os.path.lexists(os.path.dirname(path)) or owner == ALICE
        assert not os.path.lexists(path)


# While the shared folder has other modes, servers of other tests do not reach their sockets in it.
@pytest.mark.alone
def test_servers_reach_their_notify_socket_under_any_umask(users: Users) -> None:
    for mask in ("077", "000"):
        script = 'stat -c %a "$NOTIFY_SOCKET" "${NOTIFY_SOCKET%/*}" "${NOTIFY_SOCKET%/*/*}"'
        command = f"umask {mask}; {users.program} --no-record --notify -- sh -c '{script}'"
        assert users.shell(ROOT, command).split() == ["666", "711", "711"]
    # A folder with other modes is repaired.
    os.chmod("/run/supervise-notify", 0o700)
    assert users.shell(ROOT, command).split() == ["666", "711", "711"]


def test_the_guardian_removes_both_sockets_of_a_killed_supervisor(users: Users) -> None:
    ready = users.folder / "ready"
    process = users.popen(
        ROOT, str(users.program), "--no-record", "--notify", "--", "sh", "-c",
        f"echo $NOTIFY_SOCKET $SUPERVISE_RUN_ID >{ready}; exec sleep 60",
    )  # fmt: skip
    path, run_id = wait_until(lambda: ready.exists() and ready.read_text()).split()  # type: ignore[union-attr]

    def sockets() -> "list[Path]":
        return [found for parent in SHARED for found in Path(parent).glob(f"supervise-0*/{run_id}*")]

    wait_until(sockets)
    process.kill()
    text_of(process)
    wait_until(lambda: not sockets() and not os.path.lexists(path))
    assert not os.path.lexists(os.path.dirname(path))


def test_a_socket_whose_listener_does_not_own_its_folder_is_no_run(users: Users) -> None:
    folder, run_id = Path(f"/tmp/supervise-{ALICE}"), "20000101-000000-123456abcd"
    users.shell(ALICE, f"mkdir -m 700 {folder}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / f"{run_id}.sock"))
        listener.listen()
        assert run_id in sockets.ids()
        assert sockets.connect(run_id, 1) is None
    # Root does not remove files that another user has left.
    assert sockets.connect(run_id, 1) is None
    assert (folder / f"{run_id}.sock").is_socket()


def test_runs_find_one_lock_in_an_unlistable_folder(users: Users) -> None:
    """Another user has the plain name there, and no other name could be found without listing the folder."""
    ready = users.folder / "ready"
    script = f"""
        set -e
        mount -t tmpfs -o mode=1733 none /run/lock
        if [ "$1" = taken ]; then setpriv --reuid={BOB} --clear-groups mkdir -m 700 /run/lock/supervise-{ALICE}; fi
        as="setpriv --reuid={ALICE} --regid={ALICE} --clear-groups {users.program} run --no-record --lock one"
        $as -- sh -c 'echo up; read x' </dev/zero >{ready} &
        while ! grep -q up {ready}; do sleep 0.01; done
        $as -- true || echo $?
        kill $!
        wait
        ls -l /run/lock
    """
    for case in ("free", "taken"):
        ready.unlink(missing_ok=True)
        done = users.run(ROOT, "unshare", "-m", "sh", "-c", script, "sh", case)
        assert done.stdout.startswith("75\n"), done.stderr
        assert done.stdout.count("supervise-") == 1
        assert "busy: the lock one is held by run" in done.stderr


def test_a_folder_of_the_user_with_mode_0_is_repaired(users: Users) -> None:
    with running(users, ALICE, "--no-record", "--lock", "one"):
        [folder] = [path for path in Path("/run/lock").glob(f"supervise-{ALICE}*") if path.is_dir()]
    folder.chmod(0)
    assert users.supervise(ALICE, "run", "--lock", "one", "--", "true").stderr == ""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [*Path("/run/lock").glob(f"supervise-{ALICE}*")] == [folder]
