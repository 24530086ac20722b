"""Messages about attempts that were not used, the stdin of a second attempt, and `--retry-output last`."""

import os
import signal
import socket

import pytest

from tests.support.harness import Ended, Place

AT_ONCE = ("--retry-delay", "0")
COUNT_ROWS = 'n=$(wc -l); echo "rows $((n))"; [ $SUPERVISE_ATTEMPT = 2 ] || exit 75'


def unused_messages(ended: Ended) -> list[str]:
    """Return the messages that say why no other attempt follows."""
    return [message for message in ended.messages if message.startswith("not tried again: ")]


@pytest.mark.parametrize(
    ("options", "script", "word"),
    [
        ((), "exit 22", "--retry-on failed"),
        (("-t", "0.3"), "sleep 5", "--retry-on completion"),
        ((), "kill -SEGV $$", "--retry-on signaled"),
        (("--retry-on", "code=3"), "exit 75", "--retry-on resumable"),
        (("-i", "2", "--retry-if-silent"), "echo x; sleep 30", "--retry-if-silent"),
        (("--total-timeout", "0.3"), "sleep 5", "no time left"),
    ],
)
def test_a_message_says_why_no_attempt_follows(
    supervise: Place, options: tuple[str, ...], script: str, word: str
) -> None:
    ended = supervise("--retries", "3", *AT_ONCE, *options, "--", "sh", "-c", script, events=True)
    assert len(ended.report["attempts"]) == 1
    assert len(unused_messages(ended)) == 1
    assert word in unused_messages(ended)[0]
    assert [event["outcome"] for event in ended.events_named("not_retried")] == [ended.report["outcome"]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "failed, and --retry-on covers only access,idle,resumable"),
        (("--retry-on", "code=4,idle"), "failed, and --retry-on covers only code=4,idle"),
        (("--retry-on", "any", "--retry-if-silent"), "the command had printed, and --retry-if-silent was set"),
    ],
)
def test_the_page_says_why_no_attempt_follows(supervise: Place, options: tuple[str, ...], words: str) -> None:
    supervise("--retries", "3", *AT_ONCE, *options, "--", "sh", "-c", "echo x; exit 22")
    assert f"<td>not tried again: {words}</td>" in supervise.shell("supervise show --html - -").out.decode()


@pytest.mark.parametrize(
    ("options", "script"),
    [
        (("--retries", "3"), "exit 0"),
        (("--retries", "3", "--success-codes", "22"), "exit 22"),
        (("--retries", "1", "--retry-on", "failed"), "exit 22"),
        ((), "exit 22"),
        (("--retries", "3", "-q"), "exit 22"),
    ],
)
def test_a_run_without_unused_attempts_has_no_such_message(
    supervise: Place, options: tuple[str, ...], script: str
) -> None:
    ended = supervise(*options, *AT_ONCE, "--", "sh", "-c", script)
    assert unused_messages(ended) == []


def test_a_cancelled_run_has_no_such_message(supervise: Place) -> None:
    running = supervise.start("--retries", "3", "--", "sh", "-c", "echo up; sleep 30")
    running.wait_for_out(b"up")
    running.send(signal.SIGTERM)
    assert unused_messages(running.wait()) == []


def test_the_message_comes_after_a_retry_as_well(supervise: Place) -> None:
    script = "[ $SUPERVISE_ATTEMPT = 2 ] && exit 3; exit 75"
    ended = supervise("--retries", "3", *AT_ONCE, "--", "sh", "-c", script)
    assert (ended.code, len(ended.report["attempts"]), len(unused_messages(ended))) == (3, 2, 1)


@pytest.mark.parametrize("script", ["exit 22", "exit 75", "kill -SEGV $$", "sleep 30"])
def test_retry_on_any_retries_each_failure(supervise: Place, script: str) -> None:
    ended = supervise("-t", "0.3", "--retries", "1", *AT_ONCE, "--retry-on", "any", "--", "sh", "-c", script)
    assert len(ended.report["attempts"]) == 2


def test_retry_on_any_does_not_retry_success(supervise: Place) -> None:
    ended = supervise("--retries", "1", "--retry-on", "any", "--", "true")
    assert len(ended.report["attempts"]) == 1


def test_a_file_as_stdin_is_read_anew_by_each_attempt(supervise: Place) -> None:
    path = supervise.file("rows")
    path.write_text("head\na\nb\nc\n")
    with path.open("rb") as file:
        os.lseek(file.fileno(), 5, os.SEEK_SET)
        ended = supervise("--retries", "1", *AT_ONCE, "--", "sh", "-c", COUNT_ROWS, stdin=file.fileno())
    assert ended.out == b"rows 3\nrows 3\n"
    assert not [message for message in ended.messages if "stdin" in message]


def stdin_warnings(ended: Ended) -> int:
    """Return the number of warnings about an stdin that was read."""
    return len([message for message in ended.messages if message.startswith("stdin is a ")])


def test_a_pipe_that_was_read_gives_one_warning(supervise: Place) -> None:
    script = "wc -l; [ $SUPERVISE_ATTEMPT = 3 ] || exit 75"
    ended = supervise("--retries", "2", *AT_ONCE, "--", "sh", "-c", script, stdin=b"a\nb\nc\n")
    assert ended.out.split() == [b"3", b"0", b"0"]
    assert stdin_warnings(ended) == 1


def test_a_socket_that_was_read_gives_a_warning(supervise: Place) -> None:
    ours, theirs = socket.socketpair()
    ours.send(b"a\nb\n")
    script = 'read row; echo "$row"; [ $SUPERVISE_ATTEMPT = 2 ] || exit 75'
    with ours, theirs:
        ended = supervise("--retries", "1", *AT_ONCE, "--", "sh", "-c", script, stdin=theirs.fileno())
    assert ended.out == b"a\nb\n"
    assert stdin_warnings(ended) == 1


def test_an_unread_pipe_gives_no_warning(supervise: Place) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"a\nb\n")
    try:
        ended = supervise("--retries", "1", *AT_ONCE, "--", "sh", "-c", "exit 75", stdin=ours)
    finally:
        os.close(ours)
        os.close(theirs)
    assert stdin_warnings(ended) == 0


# --- --retry-output last

SHOW_LAST = ("--retries", "3", *AT_ONCE, "--retry-output", "last", "--streams", "apart")


def test_retry_output_last_shows_the_last_attempt_alone(supervise: Place) -> None:
    script = "echo try $SUPERVISE_ATTEMPT; echo err $SUPERVISE_ATTEMPT >&2; [ $SUPERVISE_ATTEMPT = 2 ] || exit 75"
    ended = supervise(*SHOW_LAST, "-q", "--", "sh", "-c", script)
    assert (ended.code, ended.out, ended.err) == (0, b"try 2\n", b"err 2\n")
    recorded = supervise.popen([str(supervise.program), "logs", "--stdout", "-"]).wait()
    assert recorded.out == b"try 1\ntry 2\n"


def test_retry_output_last_shows_the_last_of_failed_attempts(supervise: Place) -> None:
    ended = supervise(*SHOW_LAST, "--", "sh", "-c", "echo try $SUPERVISE_ATTEMPT; exit 75")
    assert (ended.code, ended.out) == (75, b"try 4\n")


def test_retry_output_last_shows_much_output_whole(supervise: Place) -> None:
    ended = supervise(*SHOW_LAST, "--", "sh", "-c", "seq 300000")
    assert ended.out == b"".join(b"%d\n" % number for number in range(1, 300001))


def test_retry_output_last_shows_output_after_a_timeout_or_cancellation(supervise: Place) -> None:
    ended = supervise(*SHOW_LAST, "-t", "3", "--", "sh", "-c", "echo up; sleep 30")
    assert (ended.code, ended.out) == (124, b"up\n")
    running = supervise.start(*SHOW_LAST, "--retry-delay", "60", "--", "sh", "-c", "echo one; exit 75")
    running.wait_for_err(b"attempt 2 of 4")
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert (ended.code, ended.out) == (143, b"one\n")


def test_retry_output_last_fails_where_its_output_cannot_be_written(supervise: Place) -> None:
    with open("/dev/full", "wb") as full:
        ended = supervise(*SHOW_LAST, "--", "sh", "-c", "echo one", stdout=full.fileno())
    assert ended.code == 125
    assert "not whole" in ended.report["reason"]
