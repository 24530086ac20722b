"""KILL of supervise and of its guardian at once: where a cgroup is to be had, nobody survives, and nothing is left.

What is bounded is the wait; the kill itself takes milliseconds.
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

WITHIN = 15.0
STOPPING = ("-k", "0.2s", "--no-record")
TIMES = 25
GUARDED = 2
"""A guardian and its command."""
QUICK = ("double-fork", "emptied-environment", "leader-thread-gone", "stops-its-parent", "chain-1ms-setsid")

why_not = arena.why_no_wall()
pytestmark = pytest.mark.skipif(bool(why_not), reason=f"no wall can be built here: {why_not}")


def kill_both(artist: Artist, program: Path, act: str, linger: float = 0.0, gap: float = 0.0) -> None:
    with arena.turn(artist), arena.stage() as place:
        try:
            words = arena.command_of(artist, place / "ready")
        except arena.NoCompilerError as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
        result = arena.run(
            [str(program), "run", *STOPPING, "--", *words],
            place,
            act=act,
            number=signal.SIGKILL,
            walled=True,
            linger=linger,
            gap=gap,
            settle=WITHIN,
        )
    if result.status == arena.NOT_ALLOWED and not result.stood:
        pytest.skip(f"the system does not allow {artist.what}")
    assert result.stood, result
    assert result.has_acted, result
    assert "/supervise-" in result.wall, result
    # The watcher is one of those whom the keeper waits for.
    assert not result.survivors, result
    assert not arena.folder_of(result.wall).exists(), result


@pytest.mark.parametrize("name", QUICK)
def test_nobody_survives(name: str, program: Path) -> None:
    artist = next(one for one in arena.ALL if one.name == name)
    kill_both(artist, program, "both")


@pytest.mark.slow
@pytest.mark.parametrize("act", ["both", "both-reversed"])
@pytest.mark.parametrize("artist", arena.ALL, ids=lambda artist: artist.name)
def test_no_artist_survives(artist: Artist, act: str, program: Path) -> None:
    kill_both(artist, program, act)


@pytest.mark.slow
@pytest.mark.parametrize("act", ["both", "both-reversed"])
def test_nobody_survives_at_any_moment(act: str, program: Path) -> None:
    """At any moment of a long run, one of them some milliseconds after the other."""
    dice = random.Random(f"both {act}")
    for _ in range(TIMES):
        kill_both(dice.choice(arena.ALL), program, act, dice.uniform(0, 0.3), dice.choice([0, dice.uniform(0, 0.005)]))


def wall_of(running: Running) -> Path:
    """The folder of its cgroup, as soon as the guardian is inside."""
    guardian = running.guardian()
    wait_until(lambda: "/supervise-" in arena.cgroup_of(guardian))
    return arena.folder_of(arena.cgroup_of(guardian))


def inside(pid: int, wall: Path) -> bool:
    return arena.cgroup_of(pid).endswith(f"/{wall.name}")


def is_over(supervise: Place, wall: Path) -> None:
    """No process is alive, the watcher neither, and the cgroup is gone."""
    wait_until(lambda: not supervise.alive() and not wall.exists())


def remove_sockets(supervise: Place) -> None:
    """Of runs that were killed whole, which `recover` would remove."""
    for left in supervise.runtime.rglob("*.sock"):
        left.unlink()


def is_recovered(supervise: Place) -> None:
    """What is on record of it is for `recover`, as ever, and its socket."""
    ended = supervise.popen([str(supervise.program), "recover"]).wait()
    assert (ended.code, b"lost" in ended.out) == (1, True)


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (("-t", "1"), ("stay",), 124),
        ((), ("sleep=1", "exit=3"), 3),
        (("--stragglers", "wait"), ("fork", "sleep=1.2", "end", "sleep=1"), 0),
        (("--stragglers", "kill"), ("double_fork", "ignore=TERM", "stay", "end", "sleep=1"), 0),
    ],
)
def test_nothing_is_left_of_it_at_any_end(
    supervise: Place, options: tuple[str, ...], words: tuple[str, ...], code: int
) -> None:
    running = supervise.start(*options, "--", *child(*words))
    wall = wall_of(running)
    ended = running.wait()
    assert (ended.code, ended.left, wall.exists()) == (code, [], False)


@pytest.mark.parametrize("options", [("--stragglers", "wait"), ("--stragglers", "report")])
def test_the_guardian_is_killed(supervise: Place, options: tuple[str, ...]) -> None:
    """The watcher is ours then, and no straggler."""
    go = supervise.file("go")
    running = supervise.start(*options, "--", *child(f"wait_for={go}", "exit=3"))
    wall = wall_of(running)
    os.kill(running.guardian(), signal.SIGKILL)
    wait_until(lambda: inside(running.pid, wall))
    go.touch()
    ended = running.wait()
    assert (ended.code, ended.left, wall.exists()) == (3, [], False)
    assert b"left running" not in ended.err


def test_the_guardian_is_killed_and_supervise_later(supervise: Place) -> None:
    mark = supervise.file("mark")
    running = supervise.start("--", *child("double_fork", "setsid", f"mark={mark}", "stay", "end", "stay"))
    pid, wall = wait_for_file(mark), wall_of(running)
    wait_until(lambda: inside(pid, wall))
    os.kill(running.guardian(), signal.SIGKILL)
    wait_until(lambda: inside(running.pid, wall))
    running.send(signal.SIGKILL)
    is_over(supervise, wall)
    running.wait()
    is_recovered(supervise)


def test_both_are_killed_when_all_but_the_last_is_done(supervise: Place) -> None:
    """It is over and said, and waits for a reader of the report: who is to remove the cgroup is still there."""
    report = supervise.file("fifo")
    os.mkfifo(report)
    running = supervise.start("-v", "--report", str(report), "--", *child("sleep=1", "exit=3"), report=False)
    wall = wall_of(running)
    running.wait_for_err(b"(exit 3)")
    os.kill(running.guardian(), signal.SIGKILL)
    running.send(signal.SIGKILL)
    is_over(supervise, wall)
    assert running.wait().code == -signal.SIGKILL
    remove_sockets(supervise)


def test_the_watcher_is_killed_too(supervise: Place) -> None:
    """Before both: nobody is left, and whoever recovers the run removes the cgroup, and what somebody made in it."""
    running = supervise.start("-k", "0.2", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    wall = wall_of(running)
    (wall / "more").mkdir()
    (watcher,) = filter(is_watcher, running.children())
    for pid in (watcher, running.guardian(), running.pid):
        os.kill(pid, signal.SIGKILL)
    running.process.wait()
    assert wall.exists()
    is_recovered(supervise)
    assert not wall.exists()
    assert not supervise.alive()


@pytest.mark.slow
def test_supervise_is_killed(supervise: Place) -> None:
    """The guardian does its work as ever: the grace, the report; and the cgroup is removed."""
    running = supervise.start("-k", "0.5", "--", *child("exit_on=TERM,0", "ready", *TREE[:-2], "stay"))
    running.wait_for_out(b"ready")
    wall = wall_of(running)
    running.send(signal.SIGKILL)
    is_over(supervise, wall)
    assert running.wait().report["outcome"] == "lost"


def test_who_lives_on_is_let_out(supervise: Place) -> None:
    mark = supervise.file("mark")
    running = supervise.start("--", *child("double_fork", "close_pipes", f"mark={mark}", "stay", "end", "sleep=1"))
    pid, wall = wait_for_file(mark), wall_of(running)
    wait_until(lambda: inside(pid, wall))
    ended = running.wait()
    assert ended.code == 0
    assert not wall.exists()
    assert is_alive(pid)
    assert arena.cgroup_of(pid) == arena.cgroup_of(os.getpid())
    supervise.sweep()


def test_a_later_attempt_is_inside_from_its_birth(supervise: Place) -> None:
    """With no descriptor more than the first."""
    script = "[ $SUPERVISE_ATTEMPT = 2 ] || { sleep 1; exit 75; }; ls /proc/$$/fd; echo is $$; sleep 100"
    running = supervise.start("--retries", "1", "--retry-delay", "0", "--", "sh", "-c", script)
    wall = wall_of(running)
    running.wait_for_out(b"is ")
    *numbers, last = wait_until(lambda: running.out.endswith(b"\n") and running.out.splitlines())
    assert inside(int(last.split()[1]), wall)
    assert {int(number) for number in numbers} <= {0, 1, 2, 10}, "10 is a shell's own, its script"
    os.kill(running.guardian(), signal.SIGKILL)
    running.send(signal.SIGKILL)
    is_over(supervise, wall)
    running.wait()
    is_recovered(supervise)


def test_whoever_has_a_cgroup_of_its_own_keeps_it(supervise: Place) -> None:
    """As a container does: it has been put there by somebody."""
    own = arena.unified() / f"own-{os.getpid()}"
    own.mkdir()
    script = 'echo 0 >"$1/cgroup.procs"; echo $$ >mark.new; mv mark.new mark; sleep 100'
    running = supervise.start("-t", "1", "--", "sh", "-c", script, "sh", str(own))
    pid, wall = wait_for_file(supervise.file("mark")), wall_of(running)
    wait_until(lambda: b"1" in running.err or inside(running.guardian(), wall))
    assert inside(pid, own)
    assert running.wait().code == 124
    assert not wall.exists()
    own.rmdir()


def test_a_command_that_freezes_its_cgroup(supervise: Place) -> None:
    """With the guardian inside: a limit stops it all the same."""
    script = "until [ -e go ]; do sleep 0.02; done; echo 1 >$(cat go)/cgroup.freeze; sleep 100"
    running = supervise.start("-t", "4", "--", "sh", "-c", script)
    wall = wall_of(running)
    pid = running.guardian()
    wait_until(lambda: all(inside(one, wall) for one in supervise.alive() if parent_of(one) == pid))
    supervise.file("go.new").write_text(str(wall))
    supervise.file("go.new").rename(supervise.file("go"))
    wait_until(lambda: "frozen 1" in (wall / "cgroup.events").read_text())
    ended = running.wait()
    assert (ended.code, ended.left, wall.exists()) == (124, [], False)


def test_what_a_run_within_has_left_is_removed_too(supervise: Place) -> None:
    """Killed whole, its watcher as well: nobody of it is left to do that.

    It looks for its cgroup while ours is not there yet, and has it below ours all the same.
    """
    inner = (str(supervise.program), "--no-record", "--", *child("ignore=TERM", "ready", "stay"))
    running = supervise.start("-k", "0", "--", *inner)
    wall = wall_of(running)
    running.wait_for_out(b"ready")
    (within,) = wait_until(lambda: list(wall.glob("supervise-*")))
    wait_until(lambda: len((within / "cgroup.procs").read_text().split()) >= GUARDED)
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert (ended.code, ended.left, wall.exists()) == (143, [], False)
    remove_sockets(supervise)


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_run_within_outlives_ours(supervise: Place, is_killed: bool) -> None:
    """What had to stay of ours goes with what was within, and who lives on is then where ours began."""
    go, mark = supervise.file("go"), supervise.file("mark")
    script = 'inner=$("$@") || exit; until [ -e inside ]; do sleep 0.02; done; echo $inner'
    words = child("double_fork", "close_pipes", f"mark={mark}", "stay", "end", f"wait_for={go}")
    running = supervise.start("--", "sh", "-c", script, "sh", str(supervise.program), "--detach", "--", *words)
    pid, wall = wait_for_file(mark), wall_of(running)
    (within,) = wait_until(lambda: list(wall.glob("supervise-*")))
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
    wait_until(lambda: not wall.exists())
    assert is_alive(pid) != is_killed
    if not is_killed:
        assert arena.cgroup_of(pid) == arena.cgroup_of(os.getpid())
    supervise.sweep()
    remove_sockets(supervise)
