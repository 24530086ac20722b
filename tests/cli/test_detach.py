"""`--detach`: the call prints the id once the command runs, and the run goes on without its caller."""

import os
import sys
from pathlib import Path

import pytest

from tests.support.clients import detached, report_of, stop
from tests.support.harness import Place, child, is_alive, wait_for_file, wait_until
from tests.support.screens import SHELLS, screen, words


def test_detach_prints_the_id_and_the_run_goes_on(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    run_id, ended = detached(supervise, *child("say=hello", "say_err=and hello", f"mark={pid_file}", "stay"))
    # The pipes have ended, so no process holds them: an ssh would have returned.
    assert ended.out.decode() == f"{run_id}\n"
    pid = wait_for_file(pid_file)
    assert is_alive(pid)
    assert os.getsid(pid) == pid
    assert [os.readlink(f"/proc/{pid}/fd/0"), os.path.exists("/dev/tty")] == ["/dev/null", True]
    report = stop(supervise, run_id)
    assert (report["run_id"], report["outcome"], report["exit_code"]) == (run_id, "cancelled", 143)
    assert not is_alive(pid)


def test_a_short_detached_command_writes_its_report(supervise: Place) -> None:
    run_id, _ = detached(supervise, "sh", "-c", "exit 3")
    report = report_of(supervise)
    assert (report["run_id"], report["exit_code"]) == (run_id, 3)


def test_a_variable_can_detach_a_run(supervise: Place) -> None:
    ended = supervise("--", "true", env={"SUPERVISE_DETACH": "1"})
    assert ended.out.decode().startswith("20")
    report_of(supervise)


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (("--", "./nosuch"), 127, "./nosuch: not found"),
        (("--", "/etc/passwd"), 126, "/etc/passwd: permission denied"),
        (("--events", "/nowhere/events", "--", "true"), 125, "--events: cannot write"),
        (("--no-record", "--", "true"), 125, "--detach: the output goes into the record, which --no-record"),
        (("--detac", "--", "true"), 125, "no such option --detac"),
    ],
)  # fmt: skip
def test_a_failed_start_of_a_detached_run_has_message_and_code(
    supervise: Place, said: tuple[str, ...], code: int, text: str
) -> None:
    ended = supervise("--detach", *said)
    assert (ended.code, ended.out) == (code, b"")
    (message,) = ended.messages
    assert text in message
    assert ended.left == []


def test_a_detached_run_outlives_the_terminal_of_its_caller(supervise: Place) -> None:
    """The caller is a shell whose window is then closed."""
    pid_file = supervise.file("pid")
    with screen(supervise, SHELLS["bash"]) as on:
        on.enter(
            f"supervise run --detach --report {supervise.report_path(0)} -- {words(f'mark={pid_file}', 'stay')} > id"
        )
        on.wait_for_prompt(2)
        pid = wait_for_file(pid_file)
        on.hang_up()
    run_id = supervise.file("id").read_text().strip()
    assert stop(supervise, run_id)["outcome"] == "cancelled"
    assert not is_alive(pid)


def test_a_detached_run_holds_no_descriptor_of_its_caller(supervise: Place) -> None:
    """Neither the pipes of the caller nor another descriptor that it has open."""
    reading, writing = os.pipe()
    pid_file = supervise.file("pid")
    running = supervise.start("--detach", "--", *child(f"mark={pid_file}", "stay"), pass_fds=(writing,))
    run_id = running.wait().out.decode().strip()
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert is_alive(wait_for_file(pid_file))
    stop(supervise, run_id)


def test_the_terminal_of_a_detached_run_has_no_end_of_file(supervise: Place) -> None:
    """The keys come from clients of `attach`."""
    pid_file, seen = supervise.file("pid"), supervise.file("seen")
    script = (
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.ttyname(0); input(); open(sys.argv[2], 'w')"
    )
    script = script.replace("; ", "\n")
    detached(supervise, sys.executable, "-c", script, str(pid_file), str(seen), options=("--pty", "-t", "4"))
    assert is_alive(wait_for_file(pid_file))
    assert report_of(supervise)["outcome"] == "completion_timeout"
    assert not seen.exists()


def test_a_detached_command_has_the_signal_mask_of_the_caller(supervise: Place) -> None:
    """The supervisor blocks all signals for itself alone."""
    run_id, _ = detached(supervise, "sh", "-c", "grep SigBlk /proc/self/status > mask; sleep 60")
    wait_until(lambda: Path(supervise.file("mask")).exists() and Path(supervise.file("mask")).read_text())
    assert Path(supervise.file("mask")).read_text().split()[1].strip("0") == ""
    stop(supervise, run_id)


def test_a_detached_run_keeps_its_limit(supervise: Place) -> None:
    detached(supervise, *child("stay"), options=("-t", "0.7"))
    report = report_of(supervise)
    assert (report["outcome"], report["exit_code"]) == ("completion_timeout", 124)
