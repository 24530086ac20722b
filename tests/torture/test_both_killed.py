"""KILL of the supervisor and its guardian at once: with a cgroup no process survives, and no file is left.

The kill itself takes milliseconds; the tests bound the wait for it.
"""

import os
import random
import signal
from pathlib import Path

import pytest

from tests.support.harness import (
    Place,
    Running,
    child,
    is_alive,
    is_watcher,
    name_of,
    parent_of,
    wait_for_file,
    wait_until,
)
from tests.support.trees import TREE
from tests.torture import arena
from tests.torture.arena import Artist

SETTLE_SECONDS = 15.0
STOPPING = ("-k", "0.2s", "--no-record")
TRIALS = 25
INSIDE_COUNT = 2
"""Processes in the cgroup of a plain run: the guardian and the command."""
QUICK_ARTISTS = ("double-fork", "emptied-environment", "leader-thread-gone", "stops-its-parent", "chain-1ms-setsid")

why_no_cgroup = arena.why_no_cgroup()
pytestmark = pytest.mark.skipif(bool(why_no_cgroup), reason=f"no cgroup can be made here: {why_no_cgroup}")


def kill_both(artist: Artist, program: Path, act: str, linger: float = 0.0, gap: float = 0.0) -> None:
    """Kill supervisor and guardian of an artist by that act, and check that no process survives."""
    with arena.turn(artist), arena.stage_folder() as place:
        try:
            words = arena.command_of(artist, place / "ready")
        except arena.NoCompilerError as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
        result = arena.run(
            [str(program), "run", *STOPPING, "--", *words],
            place,
            act=act,
            number=signal.SIGKILL,
            in_cgroup=True,
            linger=linger,
            gap=gap,
            settle=SETTLE_SECONDS,
        )
    if result.status == arena.NOT_ALLOWED and not result.stood:
        pytest.skip(f"the system does not allow {artist.what}")
    assert result.stood, result
    assert result.has_acted, result
    assert "/supervise-" in result.cgroup, result
    # The keeper waits for the watcher, too.
    assert not result.survivors, result
    assert not arena.folder_of(result.cgroup).exists(), result


@pytest.mark.parametrize("name", QUICK_ARTISTS)
def test_no_quick_artist_survives_the_death_of_both(name: str, program: Path) -> None:
    artist = next(one for one in arena.ALL if one.name == name)
    kill_both(artist, program, "both")


@pytest.mark.slow
@pytest.mark.parametrize("act", ["both", "both-reversed"])
@pytest.mark.parametrize("artist", arena.ALL, ids=lambda artist: artist.name)
def test_no_artist_survives_the_death_of_both(artist: Artist, act: str, program: Path) -> None:
    kill_both(artist, program, act)


@pytest.mark.slow
@pytest.mark.parametrize("act", ["both", "both-reversed"])
def test_no_artist_survives_the_death_of_both_at_any_moment(act: str, program: Path) -> None:
    """The supervisor and the guardian die some milliseconds apart, at any moment of a long run."""
    dice = random.Random(f"both {act}")
    for _ in range(TRIALS):
        kill_both(dice.choice(arena.ALL), program, act, dice.uniform(0, 0.3), dice.choice([0, dice.uniform(0, 0.005)]))


def cgroup_folder_of(running: Running) -> Path:
    """Wait until the guardian is in its cgroup, and return the folder of the cgroup."""
    guardian = running.guardian()
    wait_until(lambda: "/supervise-" in arena.cgroup_of(guardian))
    return arena.folder_of(arena.cgroup_of(guardian))


def inside(pid: int, cgroup: Path) -> bool:
    """Return whether the process is in that cgroup."""
    return arena.cgroup_of(pid).endswith(f"/{cgroup.name}")


def check_is_over(supervise: Place, cgroup: Path) -> None:
    """Check that no process lives, also not the watcher, and that the cgroup is gone."""
    wait_until(lambda: not supervise.alive() and not cgroup.exists())


def remove_sockets(supervise: Place) -> None:
    """Remove the sockets of runs that were killed whole, as `recover` would."""
    for left in supervise.runtime.rglob("*"):
        if left.is_socket():
            left.unlink()


def is_recovered(supervise: Place) -> None:
    """Check that `recover` finds the run and removes its socket."""
    ended = supervise.popen([str(supervise.program), "recover"]).wait()
    assert (ended.code, b"lost" in ended.out) == (1, True)


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (("-t", "4"), ("stay",), 124),
        ((), ("wait_for=go", "exit=3"), 3),
        (("--stragglers", "wait"), ("fork", "wait_for=go", "sleep=0.2", "end", "wait_for=go"), 0),
        (("--stragglers", "kill"), ("double_fork", "ignore=TERM", "stay", "end", "wait_for=go"), 0),
    ],
)
def test_the_cgroup_is_removed_at_any_end(
    supervise: Place, options: tuple[str, ...], words: tuple[str, ...], code: int
) -> None:
    running = supervise.start(*options, "--", *child(*words))
    cgroup = cgroup_folder_of(running)
    supervise.file("go").touch()
    ended = running.wait()
    assert (ended.code, ended.left, cgroup.exists()) == (code, [], False)


@pytest.mark.parametrize("options", [("--stragglers", "wait"), ("--stragglers", "report")])
def test_the_cgroup_is_removed_after_the_guardian_was_killed(supervise: Place, options: tuple[str, ...]) -> None:
    """The supervisor does not take the watcher for a straggler."""
    go = supervise.file("go")
    running = supervise.start(*options, "--", *child(f"wait_for={go}", "exit=3"))
    cgroup = cgroup_folder_of(running)
    os.kill(running.guardian(), signal.SIGKILL)
    wait_until(lambda: inside(running.pid, cgroup))
    go.touch()
    ended = running.wait()
    assert (ended.code, ended.left, cgroup.exists()) == (3, [], False)
    assert b"left running" not in ended.err


def test_no_process_survives_the_guardian_and_later_the_supervisor(supervise: Place) -> None:
    mark = supervise.file("mark")
    running = supervise.start("--", *child("double_fork", "setsid", f"mark={mark}", "stay", "end", "stay"))
    pid, cgroup = wait_for_file(mark), cgroup_folder_of(running)
    wait_until(lambda: inside(pid, cgroup))
    os.kill(running.guardian(), signal.SIGKILL)
    wait_until(lambda: inside(running.pid, cgroup))
    running.send(signal.SIGKILL)
    check_is_over(supervise, cgroup)
    running.wait()
    is_recovered(supervise)


def test_both_killed_at_the_end_of_a_run_leave_no_cgroup(supervise: Place) -> None:
    """The run waits for a reader of its report, and its watcher still lives."""
    report = supervise.file("fifo")
    os.mkfifo(report)
    words = child("wait_for=go", "exit=3")
    running = supervise.start("-v", "--report", str(report), "--", *words, report=False)
    cgroup = cgroup_folder_of(running)
    supervise.file("go").touch()
    running.wait_for_err(b"(exit 3)")
    os.kill(running.guardian(), signal.SIGKILL)
    running.send(signal.SIGKILL)
    check_is_over(supervise, cgroup)
    assert running.wait().code == -signal.SIGKILL
    remove_sockets(supervise)


def test_recover_removes_the_cgroup_where_the_watcher_was_killed_too(supervise: Place) -> None:
    """The watcher dies before the other two. `recover` also removes a cgroup that was made inside."""
    running = supervise.start("-k", "0.2", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    cgroup = cgroup_folder_of(running)
    (cgroup / "more").mkdir()
    (watcher,) = filter(is_watcher, running.children())
    others = watcher, running.guardian()
    for pid in (*others, running.pid):
        os.kill(pid, signal.SIGKILL)
    running.process.wait()
    # The guardian holds the lock of the record until it has died.
    wait_until(lambda: not any(map(is_alive, others)))
    assert cgroup.exists()
    is_recovered(supervise)
    assert not cgroup.exists()
    assert not supervise.alive()


@pytest.mark.slow
def test_the_guardian_of_a_killed_supervisor_removes_the_cgroup(supervise: Place) -> None:
    """The guardian waits for the grace and writes the report as ever."""
    running = supervise.start("-k", "0.5", "--", *child("exit_on=TERM,0", "ready", *TREE[:-2], "stay"))
    running.wait_for_out(b"ready")
    cgroup = cgroup_folder_of(running)
    running.send(signal.SIGKILL)
    check_is_over(supervise, cgroup)
    assert running.wait().report["outcome"] == "lost"


def test_a_straggler_is_moved_out_of_the_cgroup(supervise: Place) -> None:
    mark = supervise.file("mark")
    running = supervise.start("--", *child("double_fork", "close_pipes", f"mark={mark}", "stay", "end", "wait_for=go"))
    pid, cgroup = wait_for_file(mark), cgroup_folder_of(running)
    wait_until(lambda: inside(pid, cgroup))
    supervise.file("go").touch()
    ended = running.wait()
    assert ended.code == 0
    assert not cgroup.exists()
    assert is_alive(pid)
    assert arena.cgroup_of(pid) == arena.cgroup_of(os.getpid())
    supervise.sweep()


def test_a_later_attempt_starts_inside_the_cgroup(supervise: Place) -> None:
    """It has no more descriptors than the first attempt."""
    first = "until [ -e go ]; do sleep 0.02; done; exit 75"
    script = f"[ $SUPERVISE_ATTEMPT = 2 ] || {{ {first}; }}; ls /proc/$$/fd; echo is $$; sleep 100"
    running = supervise.start("--retries", "1", "--retry-delay", "0", "--", "sh", "-c", script)
    cgroup = cgroup_folder_of(running)
    supervise.file("go").touch()
    running.wait_for_out(b"is ")
    *numbers, last = wait_until(lambda: running.out.endswith(b"\n") and running.out.splitlines())
    assert inside(int(last.split()[1]), cgroup)
    assert {int(number) for number in numbers} <= {0, 1, 2, 10}, "10 is a shell's own, its script"
    os.kill(running.guardian(), signal.SIGKILL)
    running.send(signal.SIGKILL)
    check_is_over(supervise, cgroup)
    running.wait()
    is_recovered(supervise)


def test_a_process_with_a_cgroup_of_its_own_keeps_it(supervise: Place) -> None:
    """A container engine puts its processes into such a cgroup."""
    own = arena.own_cgroup() / f"own-{os.getpid()}"
    own.mkdir()
    script = 'echo 0 >"$1/cgroup.procs"; echo $$ >mark.new; mv mark.new mark; sleep 100'
    running = supervise.start("-t", "4", "--", "sh", "-c", script, "sh", str(own))
    pid, cgroup = wait_for_file(supervise.file("mark")), cgroup_folder_of(running)
    wait_until(lambda: b"1" in running.err or inside(running.guardian(), cgroup))
    assert inside(pid, own)
    assert running.wait().code == 124
    assert not cgroup.exists()
    own.rmdir()


def test_a_limit_stops_a_command_that_freezes_its_cgroup(supervise: Place) -> None:
    """The guardian is inside and frozen, too."""
    script = "until [ -e go ]; do sleep 0.02; done; echo 1 >$(cat go)/cgroup.freeze; sleep 100"
    running = supervise.start("-t", "4", "--", "sh", "-c", script)
    cgroup = cgroup_folder_of(running)
    pid = running.guardian()
    wait_until(lambda: all(inside(one, cgroup) for one in supervise.alive() if parent_of(one) == pid))
    supervise.file("go.new").write_text(str(cgroup))
    supervise.file("go.new").rename(supervise.file("go"))
    wait_until(lambda: "frozen 1" in (cgroup / "cgroup.events").read_text())
    ended = running.wait()
    assert (ended.code, ended.left, cgroup.exists()) == (124, [], False)


def test_the_cgroup_of_a_killed_inner_run_is_removed(supervise: Place) -> None:
    """The inner run was killed with its watcher, so the outer run removes its cgroup.

    The inner run starts before the outer one has its cgroup, and still makes its own below that one.
    """
    inner = (str(supervise.program), "--no-record", "--", *child("ignore=TERM", "ready", "stay"))
    running = supervise.start("-k", "0", "--", *inner)
    cgroup = cgroup_folder_of(running)
    running.wait_for_out(b"ready")
    (within,) = wait_until(lambda: list(cgroup.glob("supervise-*")))
    wait_until(lambda: len((within / "cgroup.procs").read_text().split()) >= INSIDE_COUNT)
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert (ended.code, ended.left, cgroup.exists()) == (143, [], False)
    remove_sockets(supervise)


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_inner_run_outlives_its_outer_run(supervise: Place, is_killed: bool) -> None:
    """The inner run removes the cgroup that the outer one had to leave, and a straggler is moved out of both."""
    go, mark = supervise.file("go"), supervise.file("mark")
    script = 'inner=$("$@") || exit; until [ -e inside ]; do sleep 0.02; done; echo $inner'
    words = child("double_fork", "close_pipes", f"mark={mark}", "stay", "end", f"wait_for={go}")
    running = supervise.start("--", "sh", "-c", script, "sh", str(supervise.program), "--detach", "--", *words)
    pid, cgroup = wait_for_file(mark), cgroup_folder_of(running)
    (within,) = wait_until(lambda: list(cgroup.glob("supervise-*")))
    wait_until(lambda: inside(pid, within))
    supervise.file("inside").touch()
    ended = running.wait()
    assert ended.code == 0
    assert within.exists()
    if is_killed:
        for one in supervise.alive():
            if name_of(one) in ("supervise", "supervise-guard"):
                os.kill(one, signal.SIGKILL)
    else:
        go.touch()
    wait_until(lambda: not cgroup.exists())
    assert is_alive(pid) != is_killed
    if not is_killed:
        assert arena.cgroup_of(pid) == arena.cgroup_of(os.getpid())
    supervise.sweep()
    remove_sockets(supervise)
