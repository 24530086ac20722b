"""Requests to a run by its control socket: `ready`, `extend`, `stop` and `status`."""

import re
import signal
import stat

import pytest

from tests.support.clients import ask, command, socket_of, steered
from tests.support.harness import Place, child, state_of, wait_until


def test_the_control_socket_is_private_and_ends_with_the_run(supervise: Place) -> None:
    running, run_id = steered(supervise, "--", *child("ready", "stay"))
    path = socket_of(supervise)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.lstat().st_mode) == 0o700
    assert command(supervise, "stop", run_id).code == 0
    assert running.wait().code == 143
    assert not path.exists()


def test_stop_cancels_and_waits_for_the_end(supervise: Place) -> None:
    running, run_id = steered(supervise, "-k", "1", "--", *child("fork", "ignore=TERM", "stay", "end", "ready", "stay"))
    running.wait_for_out(b"ready")
    ended = command(supervise, "stop", run_id)
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")
    assert running.process.wait(1) == 143
    run = running.wait()
    assert run.report["outcome"] == "cancelled"
    (final,) = run.finals
    assert final.startswith("cancelled by supervise stop: the command was stopped after")
    assert final.endswith("(exit 143; its own status: killed by TERM)")


@pytest.mark.parametrize(("name", "code"), [("INT", -2), ("KILL", 137), ("USR1", 138), ("SIGHUP", 129)])
def test_stop_sends_the_named_signal(supervise: Place, name: str, code: int) -> None:
    running, run_id = steered(supervise, "--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    assert command(supervise, "stop", "--signal", name, run_id).code == 0
    assert running.wait().code == code


def test_extend_adds_to_the_deadline_in_force(supervise: Place) -> None:
    running, run_id = steered(supervise, "-t", "6", "--warn-at", "off", "--", *child("sleep_until_age=7", "exit=5"))
    ended = command(supervise, "extend", run_id, "1h")
    assert ended.code == 0
    assert ended.messages[0].startswith("the completion limit is extended by 1h")
    run = running.wait()
    assert run.code == 5
    (extension,) = run.report["extensions"]
    assert (extension["source"], extension["by"], extension["evidence"]) == ("user", 3600, None)


def test_extend_names_the_part_that_the_total_timeout_allows(supervise: Place) -> None:
    options = ("-t", "1h", "-x", "1", "--total-timeout", "61m")
    running, run_id = steered(supervise, *options, "--", *child("ready", "stay"))
    ended = command(supervise, "extend", run_id, "2h")
    assert ended.code == 0
    (message,) = ended.messages
    assert message.startswith("the completion limit is extended by ")
    assert re.search(r" by (59|60|1m)[\d.]*s? of 2h, since the time of the whole run bounds it; (1h|60m|59m)", message)
    assert command(supervise, "extend", run_id, "1s").messages == [
        "extend: refused: the time of the whole run bounds it"
    ]
    assert command(supervise, "stop", run_id).code == 0
    (extension,) = running.wait().report["extensions"]
    # The completion limit counts from the start of the command, and the total from the start of the run.
    assert (extension["source"], 55 < extension["by"] <= 60) == ("user", True)


def test_extend_is_refused_where_there_is_no_limit(supervise: Place) -> None:
    running, run_id = steered(supervise, "--", *child("ready", "stay"))
    ended = command(supervise, "extend", run_id, "1h")
    assert (ended.code, ended.messages) == (
        125,
        ["extend: refused: neither -t nor -a is in force, and no other limit can be extended"],
    )
    running.send(signal.SIGTERM)
    running.wait()


def test_status_has_phase_and_deadlines_of_the_run(supervise: Place) -> None:
    running, run_id = steered(supervise, "-a", "1h", "-t", "2h", "--", *child("wait_for=go", "ready", "stay"))
    path = socket_of(supervise)
    status = ask(path, do="status")
    assert status["ok"]
    assert (status["run_id"], status["phase"], status["supervisor_pid"]) == (run_id, "running", running.pid)
    assert [one["limit"] for one in status["deadlines"]] == ["access"]
    assert 3500 < status["deadlines"][0]["left"] <= 3600
    supervise.file("go").touch()
    running.wait_for_out(b"ready")
    status = ask(path, do="status")
    assert [one["limit"] for one in status["deadlines"]] == ["completion"]
    running.send(signal.SIGTERM)
    running.wait()


def test_a_run_answers_between_its_attempts(supervise: Place) -> None:
    options = ("--retries", "3", "--retry-on", "failed", "--retry-delay", "1h", "--retry-delay-max", "1h")
    running = supervise.start(*options, "--", *child("say=hello", "exit=1"))
    path = socket_of(supervise)
    status = wait_until(lambda: (found := ask(path, do="status"))["phase"] == "backoff" and found)
    assert (status["attempt"], status["pid"]) == (2, None)
    watching = supervise.popen([str(supervise.program), "attach", path.stem])
    watching.wait_for_out(b"hello\n")
    assert ask(path, do="ready") == {"ok": False, "why": "the next attempt has not begun"}
    assert command(supervise, "stop", path.stem).code == 0
    assert running.wait().code == 143
    assert watching.wait().code == 143


def test_a_run_answers_while_it_is_draining(supervise: Place) -> None:
    """The command has ended, and a process of its tree still holds the pipe."""
    running, run_id = steered(supervise, "--drain", "1h", "--", *child("fork", "stay", "end", "sleep=1", "exit=0"))
    path = socket_of(supervise)
    wait_until(lambda: ask(path, do="status")["phase"] == "draining")
    assert ask(path, do="extend", by=60) == {"ok": False, "why": "the command has ended"}
    assert command(supervise, "stop", run_id).code == 0
    run = running.wait()
    assert (run.code, run.report["outcome"], run.left) == (143, "cancelled", [])


def test_a_run_answers_while_it_is_stopping(supervise: Place) -> None:
    running, _ = steered(supervise, "-k", "1h", "--", *child("ignore=TERM", "ready", "stay"))
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    running.wait_for_err(b"cancelled")
    path = socket_of(supervise)
    assert ask(path, do="status")["phase"] == "stopping"
    assert ask(path, do="extend", by=60) == {"ok": False, "why": "the command is being stopped"}
    assert ask(path, do="stop", signal=9)["ok"]
    assert running.wait().code == 143


def test_the_newest_run_is_one_of_the_own_state_folder(supervise: Place) -> None:
    """A run of another HOME does not count, recorded or not, though its socket is in the same folder."""
    elsewhere = {"HOME": str(supervise.file("home"))}
    supervise.file("home").mkdir()
    ours, _ = steered(supervise, "--no-record", "--", *child("ready", "stay"))
    others = []
    for number, without in enumerate(([], ["--no-record"]), 2):
        others.append(supervise.start(*without, "--", *child("ready", "stay"), env=elsewhere))
        wait_until(lambda number=number: len([*(supervise.runtime / "supervise").glob("*.sock")]) == number)
    # A stopped run cannot say to which state folder it belongs.
    ours.send(signal.SIGSTOP)
    wait_until(lambda: state_of(ours.pid) == "T")
    # (It carries out the request when it goes on.)
    ended = command(supervise, "ready", "-")
    assert ended.code == 125
    assert "its supervise is stopped" in ended.messages[0]
    ours.send(signal.SIGCONT)
    assert command(supervise, "stop", "-").code == 0
    assert ours.wait().code == 143
    assert command(supervise, "stop", "-").messages == ["stop: there is no run on record"]
    for other in reversed(others):
        assert command(supervise, "stop", "-", env=elsewhere).code == 0
        assert other.wait().code == 143
