"""The messages of supervise on stderr: which there are, and that none waits for a reader."""

import os
import re
import signal

import pytest

from tests.support.harness import Place, child

TIMEOUT = (
    "-t",
    "3",
    "-k",
    "0.3",
    "--warn-at",
    "2s",
    "--diagnose",
    "off",
    "--",
    *child("ignore=TERM", "ready", "stay"),
)


def test_a_timeout_has_warning_verdict_kill_and_final_message(supervise: Place) -> None:
    ended = supervise(*TIMEOUT)
    warning, verdict, killing, final = ended.messages
    assert re.match(r"completion limit in (2|1\.\d+)s", warning)
    assert verdict == "completion timeout: ran longer than 3s; stopping with TERM, KILL in 0.3s"
    assert "KILL" in killing
    assert re.fullmatch(
        r"completion timeout: the command was stopped after \d+\.?\d*s \(exit 124; its own status: killed by KILL\)",
        final,
    )


def test_a_quiet_run_has_the_final_message_alone(supervise: Place) -> None:
    for words, env in ((("-q",), {}), ((), {"SUPERVISE_QUIET": "yes"})):
        ended = supervise(*words, *TIMEOUT, env=env)
        assert len(ended.messages) == len(ended.finals) == 1


def test_a_verbose_run_has_more_messages(supervise: Place) -> None:
    ended = supervise("-v", *TIMEOUT)
    assert len(ended.messages) > 4
    assert ended.messages[0].startswith("started: pid ")
    assert len(ended.finals) == 1


@pytest.mark.parametrize("code", [0, 1, 3, 75, 124])
def test_a_command_that_ends_by_itself_gets_no_message(supervise: Place, code: int) -> None:
    """Only -v has a message then."""
    command = ("sh", "-c", f"exit {code}")
    for words in ((), ("-q",), ("-t", "30", "-i", "30")):
        assert supervise(*words, "--", *command).err == b""
        assert supervise.start(*words, "--", *command, report=False).wait().err == b""
    ended = supervise("-v", "--", *command)
    assert ended.code == code
    assert len(ended.finals) == 1


def test_a_run_in_a_shell_condition_prints_nothing(supervise: Place) -> None:
    ended = supervise.shell("if supervise -- grep -q x /dev/null; then echo yes; else echo no; fi")
    assert (ended.out, ended.err) == (b"no\n", b"")


def test_no_message_goes_to_stdout(supervise: Place) -> None:
    assert supervise("-v", *TIMEOUT).out == b"ready\n"


def test_a_full_stderr_delays_no_end(supervise: Place) -> None:
    """Messages that find no room in the pipe are dropped."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    try:
        while True:
            os.write(theirs, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(theirs, True)
    try:
        ended = supervise("-v", *TIMEOUT, stderr=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.code == 124
    assert ended.left == []
    assert ended.out == b"ready\n"


def test_a_stderr_without_a_reader_changes_no_exit_code(supervise: Place) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        ended = supervise("-v", *TIMEOUT, stderr=theirs)
    finally:
        os.close(theirs)
    assert ended.code == 124
    assert ended.out == b"ready\n"


def test_a_stderr_without_a_reader_does_not_stop_stdout(supervise: Place) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        ended = supervise("-t", "30", "--", *child("say=one", "sleep=0.5", "say=two", "exit=3"), stderr=theirs)
    finally:
        os.close(theirs)
    assert (ended.code, ended.out) == (3, b"one\ntwo\n")


def test_the_message_of_a_cancellation_names_the_sender(supervise: Place) -> None:
    running = supervise.start("--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    assert f"from pid {os.getpid()}" in running.wait().finals[0]


def test_messages_escape_control_characters_of_a_command_name(supervise: Place) -> None:
    """A name cannot forge a line of supervise."""
    ended = supervise("-t", "30", "--", "./no\nsupervise: forged\x1b[31m")
    assert ended.code == 127
    [line] = ended.err.decode().splitlines()
    assert "\x1b" not in line
