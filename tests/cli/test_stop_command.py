"""`--stop-command`: a command that ends what a daemon does on the command's behalf, when the tree is stopped."""

import os
import random
import shlex
import signal
import subprocess
import termios
import time

import pytest

from tests.support.deaths import kill, kill_both, recover
from tests.support.harness import Ended, Place, Running, child, is_alive, is_watcher, wait_for_file, wait_until
from tests.support.records import only
from tests.support.terminals import shell

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

TELL = ("--stop-command", "echo $SUPERVISE_OUTCOME $SUPERVISE_ATTEMPT >>told", "-k", "5s")
"""It tells of itself in a line."""
FEW_SECONDS = 10.0
"""Much less than what is waited for in these tests takes."""


def told(place: Place) -> list[str]:
    """Return the lines by which the command has told of itself."""
    path = place.file("told")
    return path.read_text().splitlines() if path.exists() else []


def started(place: Place, *options: str, words: tuple[str, ...] = (), **manner: object) -> tuple[Running, int]:
    """Start a run whose command stays; return it, and the command's pid."""
    running = place.start(*options, "--", *child(*words, f"mark={place.file('root')}", "ready", "stay"), **manner)
    return running, wait_for_file(place.file("root"))


# --- when it is run


@pytest.mark.parametrize("option", [(), ("--no-record",), ("--pty",), ("-q",)])
@pytest.mark.parametrize(
    ("limit", "outcome"),
    [
        (("-t", "0.3s"), "completion_timeout"),
        (("-i", "0.3s"), "idle_timeout"),
        (("-a", "0.3s", "--access-on", "manual"), "access_timeout"),
        (("--total-timeout", "0.3s"), "completion_timeout"),
        (("--on-timeout", "pass", "-t", "0.3s"), "completion_timeout"),
    ],
)
def test_a_limit_runs_it(supervise: Place, option: tuple[str, ...], limit: tuple[str, ...], outcome: str) -> None:
    ended = supervise(*TELL, *option, *limit, "--", *child("stay"))
    assert ended.report["outcome"] == outcome
    assert told(supervise) == [f"{outcome} 1"]
    assert not ended.left


def test_an_outer_deadline_runs_it(supervise: Place) -> None:
    ended = supervise(*TELL, "--", *child("stay"), env={"SUPERVISE_DEADLINE": str(time.time() + 3)})
    assert (ended.code, told(supervise)) == (75, ["resumable 1"])


def test_a_lack_of_memory_runs_it(supervise: Place) -> None:
    code = "import time; x = bytearray(90 << 20); x[::4096] = b'1' * len(x[::4096]); time.sleep(60)"
    # The shell lives on where the kernel kills its child at once: otherwise there may be nothing left to stop.
    ended = supervise(*TELL, "--memory-max", "60M", "--", "sh", "-c", 'python3 -c "$1"; sleep 60', "sh", code)
    assert ended.report["reason"] == "out_of_memory"
    assert told(supervise) == ["signaled 1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_runs_it(supervise: Place, number: int) -> None:
    running, _ = started(supervise, *TELL)
    running.send(number)
    assert running.wait().report["outcome"] == "cancelled"
    assert told(supervise) == ["cancelled 1"]


def test_supervise_stop_runs_it_in_a_detached_run(supervise: Place) -> None:
    run_id = started(supervise, "--detach", *TELL, report=False)[0].wait().out.decode().strip()
    assert supervise.start("stop", run_id, report=False).wait().code == 0
    assert told(supervise) == ["cancelled 1"]


def test_the_end_of_a_tie_runs_it(supervise: Place) -> None:
    source, sink = os.pipe()
    running, _ = started(supervise, *TELL, "--stop-on-eof", stdin=source)
    os.close(source)
    os.close(sink)
    assert running.wait().report["reason"] == "stdin_ended"
    assert told(supervise) == ["cancelled 1"]


def test_it_is_run_after_control_was_given_back(supervise: Place) -> None:
    assert supervise("--detach-after", "0.3s", *TELL, "--", *child("stay"), report=False).code == 121
    assert supervise.start("stop", only(supervise).run_id, report=False).wait().code == 0
    assert told(supervise) == ["cancelled 1"]


@pytest.mark.parametrize(
    "words",
    [("exit=0",), ("exit=3",), ("sleep=0.2", "exit=3"), ("kill=KILL",), ("sleep=0.2", "kill=TERM")],
)
def test_the_commands_own_end_does_not_run_it(supervise: Place, words: tuple[str, ...]) -> None:
    supervise(*TELL, "--", *child(*words))
    supervise(*TELL, "--stragglers", "kill", "--", *child("fork", "stay", "end", *words))
    assert told(supervise) == []


def test_a_command_that_cannot_be_started_does_not_run_it(supervise: Place) -> None:
    assert supervise(*TELL, "--", "none/command").code == 127
    assert told(supervise) == []


def test_each_attempt_that_is_stopped_runs_it(supervise: Place) -> None:
    """The second attempt fails by itself."""
    script = 'test "$SUPERVISE_ATTEMPT" = 2 && exit 5; exec sleep 60'
    retries = ("--retries", "2", "--retry-on", "any", "--retry-delay", "0")
    ended = supervise(*TELL, "-i", "2s", *retries, "--", "sh", "-c", script)
    assert ended.code == 123
    assert told(supervise) == ["idle_timeout 1", "idle_timeout 3"]


def test_the_next_attempt_waits_for_it(supervise: Place) -> None:
    slow = ("--stop-command", "sleep 0.5; touch over; sleep 0.1", "-k", "5s")
    retries = ("--retries", "1", "--retry-delay", "0")
    ended = supervise(*slow, "-i", "2s", *retries, "--", "sh", "-c", "test -e over && exit 4; exec sleep 60")
    assert (ended.code, ended.report["outcome"]) == (4, "failed")


def test_a_signal_between_attempts_leaves_it_time(supervise: Place) -> None:
    slow = ("--stop-command", "touch begun; sleep 0.7; touch over", "-k", "30s")
    running = supervise.start(*slow, "-i", "0.3s", "--retries", "1", "--retry-delay", "0", "--", *child("stay"))
    running.wait_for_err(b"attempt 2 of 2")
    wait_until(supervise.file("begun").exists)
    running.send(signal.SIGTERM)
    assert running.wait().report["outcome"] == "cancelled"
    assert supervise.file("over").exists()


def test_the_lock_is_held_until_it_is_over(supervise: Place, lock_name: str) -> None:
    slow = ("--stop-command", "touch begun; sleep 0.5; touch over", "-k", "5s")
    holder = supervise.start("--lock", lock_name, *slow, "-t", "0.3s", "--", *child("stay"))
    wait_until(supervise.file("begun").exists)
    assert supervise("--lock", lock_name, "--lock-wait", "20s", "--", "test", "-e", "over").code == 0
    assert holder.wait().code == 124


# --- what it gets


def test_it_has_the_environment_of_the_command_and_neither_its_tree_nor_its_streams(supervise: Place) -> None:
    script = (
        "echo $SUPERVISE_RUN_ID $SUPERVISE_COMMAND_PID $PPID $$ $MINE >facts; cut -d ' ' -f 6 /proc/$$/stat >>facts; "
        "streams=$(readlink /proc/$$/fd/[012]); echo $streams >>facts; date +%s >>facts; "
        "echo $SUPERVISE_DEADLINE >>facts; echo to nobody; echo to nobody >&2"
    )
    options = ("--stop-command", script, "-k", "5s", "-t", "2s")
    running, root = started(supervise, *options, env={"MINE": "x y"})
    ended = running.wait()
    facts = supervise.file("facts").read_text().split()
    run_id, pid, parent, own, *mine = facts[:6]
    assert (run_id, int(pid), int(parent), mine) == (ended.report["run_id"], root, running.pid, ["x", "y"])
    assert facts[6] == own
    assert facts[7:10] == ["/dev/null"] * 3
    assert 2 < float(facts[11]) - int(facts[10]) < 6
    assert b"to nobody" not in ended.out + ended.err


def test_the_signal_that_stops_the_tree_does_not_reach_it(supervise: Place) -> None:
    """With KILL, too, the tree is gone at once, and it still has its time."""
    for number in ("TERM", "KILL"):
        slow = ("--stop-command", "sleep 0.4; echo over >>told", "-k", "5s", "-s", number)
        assert supervise(*slow, "-t", "0.3s", "--", *child("stay")).code == 124
    assert told(supervise) == ["over"] * 2


def test_a_run_has_none_of_its_variables(supervise: Place) -> None:
    inherited = {"SUPERVISE_OUTCOME": "lost", "SUPERVISE_COMMAND_PID": "1"}
    ended = supervise("--", "env", env=inherited)
    assert b"SUPERVISE_OUTCOME" not in ended.out
    assert b"SUPERVISE_COMMAND_PID" not in ended.out
    assert ended.messages == []


def test_the_deadline_has_the_name_of_that_of_a_run() -> None:
    from supervise.options import table
    from supervise.process import stop_process

    assert os.fsdecode(stop_process.DEADLINE) == table.DEADLINE


# --- its bound


HANGS = "setsid sh -c 'echo $$ >far; exec sleep 1000' & sh -c 'echo $$ >near; exec sleep 1000' & {last}"


def is_gone(place: Place) -> bool:
    return not any(is_alive(int(place.file(name).read_text())) for name in ("near", "far"))


@pytest.mark.parametrize("last", ["sleep 1000", "trap '' TERM INT; sleep 1000 & wait", "kill -STOP $$"])
def test_one_that_hangs_is_killed_with_its_tree(supervise: Place, last: str) -> None:
    ended = supervise("--stop-command", HANGS.format(last=last), "-k", "2s", "-t", "0.3s", "--", *child("stay"))
    assert (ended.code, ended.report["outcome"]) == (124, "completion_timeout")
    assert "--stop-command: not done after 2s" in ended.messages
    assert is_gone(supervise)
    assert not ended.left


def test_what_it_leaves_running_is_killed(supervise: Place) -> None:
    last = "until test -s near && test -s far; do sleep 0.01; done"
    ended = supervise("--stop-command", HANGS.format(last=last), "-k", "20s", "-t", "0.3s", "--", *child("stay"))
    assert ended.code == 124
    assert not any("--stop-command" in message for message in ended.messages)
    assert is_gone(supervise)
    assert not ended.left


def check_hurried(running: Running) -> Ended:
    ended = running.wait(FEW_SECONDS)
    assert "--stop-command: killed by signal KILL" in ended.messages
    assert not ended.left
    return ended


HANG = ("--stop-command", "touch begun; sleep 1000", "-k", "1h")


def knows_the_tree_is_gone(place: Place) -> bool:
    """Return whether the first run, which has started the command HANG, has heard that its tree is gone."""
    events = place.events_path(0)
    return events.exists() and b'"emptied"' in events.read_bytes() and place.file("begun").exists()


@pytest.mark.parametrize("words", [(), ("ignore=INT",)])
def test_a_second_signal_kills_it(supervise: Place, words: tuple[str, ...]) -> None:
    """The tree is gone at once, or is still being stopped."""
    running, root = started(supervise, *HANG, words=words)
    running.send(signal.SIGINT)
    wait_until(supervise.file("begun").exists)
    if not words:
        wait_until(lambda: not is_alive(root))
    time.sleep(0.2)
    assert running.process.poll() is None
    running.send(signal.SIGINT)
    assert check_hurried(running).code in (-signal.SIGINT, 130)


def test_a_signal_that_comes_twice_at_once_leaves_it_time(supervise: Place) -> None:
    """timeout(1) and CI services send a signal to a process, and then to its group."""
    running, _ = started(supervise, "--stop-command", "touch begun; sleep 0.3; echo over >>told", "-k", "5s")
    running.send(signal.SIGTERM)
    running.send(signal.SIGTERM)
    assert running.wait().code == 143
    assert told(supervise) == ["over"]


def test_a_signal_after_a_limit_kills_it_when_the_tree_is_gone(supervise: Place) -> None:
    running, root = started(supervise, *HANG, "-t", "2s", events=True)
    wait_until(lambda: knows_the_tree_is_gone(supervise))
    assert not is_alive(root)
    running.send(signal.SIGTERM)
    assert check_hurried(running).report["outcome"] == "completion_timeout"


def test_supervise_stop_kills_it_when_the_tree_is_gone(supervise: Place) -> None:
    running, root = started(supervise, *HANG, "-t", "2s", events=True)
    wait_until(lambda: knows_the_tree_is_gone(supervise))
    assert not is_alive(root)
    run_id = only(supervise).run_id
    assert b'"running"' in supervise.start("ps", "--json", report=False).wait().out
    for request in (("ready", run_id), ("extend", run_id, "5m")):
        assert b"refused: the run is over" in supervise.start(*request, report=False).wait().err
    supervise.start("stop", run_id, report=False).wait()
    check_hurried(running)


@pytest.mark.parametrize("option", [(), ("--pty",)])
def test_a_key_kills_it_when_the_tree_is_gone(supervise: Place, option: tuple[str, ...]) -> None:
    """With --pty the keys are the command's until it is gone."""
    options = (*option, *HANG, "-t", "2s", "--events", str(supervise.events_path(0)))
    words = shlex.join(["supervise", "run", *options, "--", "sh", "-c", "echo $$ >root; exec sleep 60"])
    with shell(supervise) as sh:
        sh.start(words)
        root = int(wait_until(lambda: supervise.file("root").exists() and supervise.file("root").read_text()))
        wait_until(lambda: knows_the_tree_is_gone(supervise))
        assert not is_alive(root)
        # A moment later the key means INT again: with --pty supervise has read single keys for the command.
        wait_until(lambda: termios.tcgetattr(sh.screen._child.child_fd)[3] & termios.ISIG)
        sh.type("\x03")
        sh.wait_for(r"\(exit 124")
        sh.wait_for_prompt()


# --- its faults


def test_a_fault_of_it_costs_a_message(supervise: Place) -> None:
    for text, why in (("exit 7", "exit 7"), ("kill -9 $$", "killed by signal KILL"), ("none-such", "exit 127")):
        ended = supervise("--stop-command", text, "-k", "5s", "-t", "0.3s", "--", *child("stay"))
        assert (ended.code, ended.report["outcome"]) == (124, "completion_timeout")
        assert f"--stop-command: {why}" in ended.messages


def test_one_that_cannot_be_started_costs_a_message(supervise: Place) -> None:
    """One word of a command line can have 128 KiB at most (execve(2))."""
    supervise.file("long.toml").write_text(f'stop-command = "true {"x" * 140_000}"\n')
    ended = supervise("--config", "long.toml", "-k", "1s", "-t", "0.3s", "--", *child("stay"))
    assert ended.code == 124
    assert "--stop-command: argument list too long" in ended.messages


def test_no_time_for_it_is_refused(supervise: Place) -> None:
    ended = supervise("--stop-command", "true", "-k", "0", "--", "touch", "started")
    assert (ended.code, ended.messages) == (125, ["--stop-command: has the time of --kill-after, which is 0 here"])
    assert not supervise.file("started").exists()


# --- deaths


def test_the_guardian_runs_it_after_the_supervisors_death(supervise: Place) -> None:
    running, root = started(
        supervise, "--stop-command", "sleep 0.3; echo $SUPERVISE_OUTCOME $SUPERVISE_COMMAND_PID >>told", "-k", "5s"
    )
    kill(supervise, running)
    assert told(supervise) == [f"lost {root}"]
    assert only(supervise).end()["outcome"] == "lost"


def test_the_guardian_kills_it_when_its_time_is_over(supervise: Place) -> None:
    running, _ = started(supervise, "--stop-command", HANGS.format(last="sleep 1000"), "-k", "2s")
    kill(supervise, running)
    assert is_gone(supervise)
    assert only(supervise).end()["outcome"] == "lost"


def test_a_command_that_has_ended_by_itself_does_not_have_the_guardian_run_it(supervise: Place) -> None:
    stays = child("fork", f"mark={supervise.file('straggler')}", "stay", "end")
    running = supervise.start(*TELL, "--stragglers", "wait", "--", *stays)
    pid = wait_for_file(supervise.file("straggler"))
    # The supervisor, its guardian and the straggler: the command is gone.
    wait_until(lambda: sum(not is_watcher(one) for one in supervise.alive()) == 3)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    assert not is_alive(pid)
    assert told(supervise) == []


@pytest.mark.parametrize("words", [(), ("ignore=TERM",)])
def test_one_that_runs_outlives_the_supervisor(supervise: Place, words: tuple[str, ...]) -> None:
    """It is not begun anew."""
    script = "echo begun >>told; sleep 0.5; echo to nobody; echo over >>told"
    running, _ = started(supervise, "--stop-command", script, "-k", "4s", words=words)
    running.send(signal.SIGTERM)
    wait_until(lambda: told(supervise))
    kill(supervise, running)
    assert told(supervise) == ["begun", "over"]


def test_one_that_runs_and_hangs_is_killed_by_the_guardian(supervise: Place) -> None:
    running, _ = started(supervise, "--stop-command", HANGS.format(last="sleep 1000"), "-k", "3s")
    running.send(signal.SIGTERM)
    wait_until(lambda: all(supervise.file(name).exists() for name in ("near", "far")))
    kill(supervise, running)
    assert is_gone(supervise)


def test_recover_stops_it_where_both_are_killed(supervise: Place) -> None:
    running, _ = started(supervise, *HANG[:2], "-k", "2s", words=("ignore=TERM",))
    running.send(signal.SIGTERM)
    wait_until(supervise.file("begun").exists)
    kill_both(running)
    recover(supervise)
    wait_until(lambda: not supervise.alive())
    assert only(supervise).end()["outcome"] == "lost"


def test_what_it_has_left_running_is_killed_after_the_supervisors_death(supervise: Place) -> None:
    """It is no child of the guardian."""
    script = HANGS.format(last="until test -s near && test -s far; do sleep 0.01; done; echo over >>told")
    running, _ = started(supervise, "--stop-command", script, "-k", "4s", words=("ignore=TERM",))
    running.send(signal.SIGTERM)
    wait_until(lambda: told(supervise))
    kill(supervise, running)
    assert is_gone(supervise)
    assert told(supervise) == ["over"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["supervisor", "guardian"])
def test_it_is_run_once_at_whatever_moment_one_of_the_two_is_killed(supervise: Place, victim: str) -> None:
    """Each run has a session that is left behind, to be killed."""
    chance = random.Random(victim)
    script = "echo begun >>told-{n}; (setsid sleep 1000 &); sleep 0.2; echo over >>told-{n}"
    numbers = range(16)
    runs = [
        supervise.start(
            *("--stop-command", script.format(n=number), "-k", "4s", "--"),
            *child("ignore=TERM" if number % 2 else "exit_on=TERM,3", f"mark={supervise.file(f'up-{number}')}", "stay"),
        )
        for number in numbers
    ]
    for number, running in zip(numbers, runs, strict=True):
        wait_for_file(supervise.file(f"up-{number}"))
        dies = running.pid if victim == "supervisor" else running.guardian()
        running.send(signal.SIGTERM)
        time.sleep(chance.random() * chance.choice((0.02, 0.4)))
        try:
            os.kill(dies, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for running in runs:
        running.process.wait()
    wait_until(lambda: not supervise.alive())
    lines = [supervise.file(f"told-{number}").read_text().split() for number in numbers]
    assert lines == [["begun", "over"]] * len(numbers)


def test_one_that_is_over_is_not_run_again(supervise: Place) -> None:
    running, _ = started(supervise, *TELL[:2], "-k", "3s", words=("ignore=TERM",))
    running.send(signal.SIGTERM)
    wait_until(lambda: told(supervise))
    time.sleep(0.3)
    kill(supervise, running)
    assert told(supervise) == ["cancelled 1"]


@pytest.mark.parametrize("is_stopping", [False, True])
def test_it_is_run_without_the_guardian(supervise: Place, is_stopping: bool) -> None:
    """The supervisor holds the command then, and neither stops nor kills it with the tree."""
    script = "echo begun >>told; sleep 0.7; echo over >>told"
    running, root = started(supervise, "--stop-command", script, "-k", "5s", words=("exit_on=TERM,3",))
    guardian = running.guardian()
    if is_stopping:
        running.send(signal.SIGTERM)
        wait_until(lambda: told(supervise))
    os.kill(guardian, signal.SIGKILL)
    if not is_stopping:
        wait_until(lambda: not is_alive(guardian))
        running.send(signal.SIGTERM)
    ended = running.wait()
    assert ended.report["outcome"] == "cancelled"
    assert told(supervise) == ["begun", "over"]
    assert not is_alive(root)
    assert not ended.left


@pytest.mark.parametrize("flag", ["", "-q"])
@pytest.mark.parametrize("most", range(16, 24))
def test_a_run_with_few_descriptors_is_stopped_all_the_same(supervise: Place, most: int, flag: str) -> None:
    """As without the option: with too few, which differs between Pythons, each run ends with 125."""
    words = f"-k 2s -t 0.3s -- {subprocess.list2cmdline(child('stay'))}"
    limited = f"ulimit -n {most}; supervise run {flag} --report report-0.json"
    plain = supervise.shell(f"{limited} {words}")
    assert plain.code == (125 if most < 20 and plain.code == 125 else 124)
    ended = supervise.shell(f"{limited} --stop-command 'echo x >>told' {words}")
    assert ended.code == plain.code
    if plain.code == 125:
        return
    assert told(supervise) == ["x"] or any("--stop-command" in message for message in ended.messages)
