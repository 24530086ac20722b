"""A timeout or a cancellation stops the whole tree, also processes that try to escape."""

import os
import signal
import subprocess

import pytest

from tests.support.harness import Place, child, is_alive, wait_for_file, wait_until

ESCAPES = {
    "ignores TERM": ["ignore=TERM", "ready", "stay"],
    "ignores all it can": ["ignore=TERM", "ignore=INT", "ignore=HUP", "ignore=QUIT", "ignore=PIPE", "ready", "stay"],
    "a session of its own": ["fork", "setsid", "ignore=TERM", "ready", "stay", "end", "stay"],
    "double fork": ["double_fork", "ready", "stay", "end", "stay"],
    "double fork that ignores TERM": ["double_fork", "ignore=TERM", "ready", "stay", "end", "stay"],
    "a daemon": ["double_fork", "ignore=TERM", "ready", "close_pipes", "stay", "end", "stay"],
    "stopped": ["ready", "stop"],
    "stopped, ignoring TERM": ["ignore=TERM", "ready", "stop"],
    "a stopped daemon": ["double_fork", "ready", "stop", "end", "stay"],
    "holds the pipe": ["fork", "ignore=TERM", "ignore=HUP", "ready", "stay", "end", "stay"],
    "forks when asked to stop": ["fork", "ready", "stay", "end", "last_words=TERM", "stay"],
    "generations": ["double_fork", "double_fork", "fork", "ready", "stay", *["end", "stay"] * 3],
    "many": ["fork", "stay", "end"] * 20 + ["ready", "stay"],
}  # fmt: skip

ENDLESS_FORKS = "trap '' TERM; echo ready; while :; do (trap '' TERM; sleep 30) & sleep 0.01; done"


def test_no_process_outlives_a_timeout(supervise: Place) -> None:
    running = {name: supervise.start("-t", "1", "-k", "0.2", "--", *child(*words)) for name, words in ESCAPES.items()}
    for name, one in running.items():
        ended = one.wait()
        assert (name, ended.code, ended.left) == (name, 124, [])
        assert ended.report["survivors"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may unmount /proc, or make a pid namespace")
@pytest.mark.parametrize(
    "place",
    [
        ("unshare", "--mount", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"),
        ("unshare", "--pid", "--fork", "sh", "-c", '"$@"; exit $?', "sh"),
    ],
    ids=["without /proc", "with somebody else's"],
)
@pytest.mark.parametrize(
    ("script", "signal"),
    [
        ("sleep 60 & sleep 60", "TERM"),
        ("trap '' TERM; sleep 60 & sleep 60", "KILL"),
        ("(trap '' TERM; sleep 60) & sleep 60", "TERM"),
    ],
)
def test_command_and_group_are_stopped_where_proc_is_missing(
    supervise: Place, place: tuple[str, ...], script: str, signal: str
) -> None:
    """A chroot of a build may have no /proc; timeout(1) works there as well."""
    report = supervise.report_path(0)
    words = [str(supervise.program), "run", "--report", str(report), "-t", "0.5", "-k", "0.3", "--", "sh", "-c", script]
    ended = supervise.popen([*place, *words]).wait()
    assert (ended.code, ended.left) == (124, [])
    assert ended.report["command_exit"]["signal"] == signal
    assert b"what the processes were doing" not in ended.err


@pytest.mark.parametrize("words", ESCAPES.values(), ids=ESCAPES)
def test_no_process_outlives_a_cancellation(supervise: Place, words: list[str]) -> None:
    running = supervise.start("-t", "30", "-k", "0.1", "--", *child(*words))
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert (ended.code, ended.left) == (143, [])
    assert ended.report["survivors"] == []


def test_no_fork_during_the_kill_survives(supervise: Place) -> None:
    ended = supervise("-t", "1", "-k", "0.2", "--", "sh", "-c", ENDLESS_FORKS)
    assert ended.code == 124
    assert ended.left == []


def test_a_tree_that_ends_on_the_signal_is_not_killed(supervise: Place) -> None:
    words = ["double_fork", "stay", "end", "fork", "setsid", "stay", "end", "ready", "stay"]
    ended = supervise("-t", "1", "-k", "30", "--", *child(*words))
    assert ended.code == 124
    assert ended.left == []
    assert ended.report["stop"]["killed"] is False


def test_a_command_that_ignores_the_signal_is_killed_after_the_grace(supervise: Place) -> None:
    ended = supervise("-t", "1", "-k", "0.5", "--", *child("ignore=TERM", "ready", "stay"), events=True)
    assert ended.code == 124
    assert ended.report["stop"]["killed"] is True
    assert ended.report["command_exit"]["signal"] == "KILL"
    [verdict], [killing] = ended.events_named("verdict"), ended.events_named("killing")
    assert killing["t"] >= verdict["t"] + 0.499


def test_the_grace_holds_for_the_whole_tree(supervise: Place) -> None:
    """The command ends at once; its stragglers have the same grace to clean up."""
    words = ("double_fork", "exit_on=TERM,0", "ready", "stay", "end", "stay")
    ended = supervise("-t", "1", "-k", "30", "--", *child(*words))
    assert ended.code == 124
    assert ended.report["stop"]["killed"] is False
    ended = supervise(
        "-t", "1", "-k", "0.5", "--", *child("double_fork", "ignore=TERM", "ready", "stay", "end", "stay")
    )
    assert ended.report["stop"]["killed"] is True
    assert ended.report["command_exit"]["signal"] == "TERM"


def test_a_grace_of_zero_kills_at_once(supervise: Place) -> None:
    ended = supervise(
        "-t", "1", "-k", "0", "--", *child("double_fork", "ignore=TERM", "stay", "end", "ignore=TERM", "stay")
    )
    assert ended.code == 124
    assert ended.left == []


def test_signal_chooses_the_signal(supervise: Place) -> None:
    names = {"INT": "INT", "SIGHUP": "HUP", "2": "INT", "kill": "KILL"}
    running = {name: supervise.start("-t", "1", "-s", name, "--", *child("ready", "stay")) for name in names}
    for name, one in running.items():
        ended = one.wait()
        assert ended.code == 124
        assert ended.report["command_exit"]["signal"] == ended.report["stop"]["signal"] == names[name]


def test_output_on_the_signal_arrives(supervise: Place) -> None:
    ended = supervise("-t", "1", "--", *child("last_words=TERM", "ready", "stay"))
    assert ended.code == 124
    assert ended.out == b"ready\nlast words\n"
    assert b"last words on stderr\n" in ended.err
    assert ended.report["command_exit"]["code"] == 1


def test_each_process_gets_the_signal_once(supervise: Place) -> None:
    words = ("fork", "setsid", "print_signals", "ready", "stay", "end", "print_signals", "ready", "stay")
    ended = supervise("-t", "1.5", "-k", "2", "--", *child(*words))
    assert ended.out.count(b"ready") == 2
    assert ended.out.count(b"got TERM") == 2


def test_a_stopped_process_can_clean_up(supervise: Place) -> None:
    """CONT follows TERM."""
    ended = supervise("-t", "1", "-k", "30", "--", *child("last_words=TERM", "ready", "stop", "stay"))
    assert ended.code == 124
    assert ended.out == b"ready\nlast words\n"


def test_the_verdict_is_announced_before_the_clean_up(supervise: Place) -> None:
    """The command still runs then."""
    pid_file = supervise.file("pid")
    running = supervise.start("-t", "1", "-k", "1h", "--", *child("ignore=TERM", f"mark={pid_file}", "stay"))
    pid = wait_for_file(pid_file)
    running.wait_for_err(b"completion timeout: ran longer than 1s")
    assert is_alive(pid)
    assert running.process.poll() is None
    os.kill(pid, signal.SIGKILL)
    assert running.wait().code == 124


def test_a_signal_during_the_clean_up_is_passed_on_and_a_second_one_kills(supervise: Place) -> None:
    """The first cause stays."""
    running = supervise.start("-t", "1", "-k", "1h", "--", *child("print_signals", "ready", "stay"))
    running.wait_for_out(b"got TERM")
    running.send(signal.SIGINT)
    running.wait_for_out(b"got INT")
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert ended.code == 124
    assert ended.report["outcome"] == "completion_timeout"
    assert ended.left == []
    assert len(ended.finals) == 1


@pytest.mark.parametrize("second", ["TERM", "INT"])
def test_a_second_signal_kills_at_once(supervise: Place, second: str) -> None:
    running = supervise.start("-k", "1h", "--", *child("ignore=TERM", "ignore=INT", "ready", "stay"))
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    running.wait_for_err(b"cancelled by signal TERM")

    def has_ended_when_asked_again() -> bool:
        # The same signal within a moment may be an echo of the first, so the test sends it more than once.
        running.send(getattr(signal, f"SIG{second}"))
        return running.process.poll() is not None

    wait_until(has_ended_when_asked_again)
    ended = running.wait()
    assert ended.code == 143
    assert ended.report["stop"]["killed"] is True
    assert ended.left == []


def test_a_flood_after_the_verdict_is_bounded(supervise: Place) -> None:
    """The command ignores TERM and writes without end."""
    command = ("sh", "-c", "trap '' TERM; exec yes")
    ended = supervise("-t", "1", "-k", "0.3", "-q", "--", *command, stdout=subprocess.DEVNULL)
    assert ended.code == 124
    assert ended.left == []


def test_a_stalled_reader_delays_no_stop(supervise: Place) -> None:
    """After a timeout the wait for a reader is bounded."""
    ours, theirs = os.pipe()
    try:
        ended = supervise("-t", "1", "--", *child("flood=50000000", "stay"), stdout=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.code == 124
    assert ended.left == []


BACKGROUND = "sleep 100 >/dev/null 2>&1 & echo $! >background; exec supervise "


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        ("-a 20 --access-on file=up -- sh -c 'echo >up; sleep 0.3'", {}),
        ("-a 20 --access-on match=up -- sh -c 'echo up; sleep 0.3'", {}),
        ("--stop-command true -t 1 -- sleep 60", {}),
        ("-- sleep 0.3", {"_CONDOR_JOB_AD": "ad"}),
        ("-- sleep 0.3", {"SUPERVISE_ACTIVE_DEADLINE": "600"}),
    ],
)
def test_what_the_script_around_the_run_has_started_lives_on(
    supervise: Place, words: str, environ: dict[str, str]
) -> None:
    """A script that becomes supervise by exec leaves its children to supervise, which kills its helpers at the end."""
    supervise.file("ad").write_text("JobLeaseDuration = 600\n")
    ended = supervise.shell(BACKGROUND + words, env=environ)
    assert ended.code == (124 if "-t" in words.split() else 0)
    background = int(supervise.file("background").read_text())
    assert is_alive(background)
    os.kill(background, signal.SIGKILL)
    wait_until(lambda: not is_alive(background))
