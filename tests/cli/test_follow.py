"""`supervise logs -f`: earlier and later output of a run."""

import os
import signal
import subprocess

import pytest

from tests.support.clients import attach, newest, socket_of
from tests.support.harness import Place, Running, child, wait_until


def follow(supervise: Place, *words: str) -> Running:
    """Start `supervise logs -f` for the newest run."""
    return supervise.popen([str(supervise.program), "logs", "-f", "-", *words])


def test_logs_f_prints_all_output_to_the_end_of_the_run(supervise: Place) -> None:
    go = supervise.file("go")
    running = supervise.start("--", *child("say=one", "say_err=two", f"wait_for={go}", "say=three", "exit=3"))
    running.wait_for_err(b"two")
    following = follow(supervise)
    following.wait_for_out(b"two")
    go.touch()
    ended = following.wait()
    assert (ended.code, ended.err) == (0, b"")
    # The two streams have two pipes: either of the first two lines may come first.
    assert ended.out in (b"one\ntwo\nthree\n", b"two\none\nthree\n")
    running.wait()
    # For a run that has ended, `logs -f` prints all output and ends.
    assert follow(supervise).wait().out == ended.out


def test_logs_f_n_prints_the_last_lines_and_the_later_ones(supervise: Place) -> None:
    go = supervise.file("go")
    running = supervise.start("--", *child("say=one", "say=two", f"wait_for={go}", "say=three", "exit=0"))
    running.wait_for_out(b"two")
    # The run shows its output before it is on record.
    wait_until(lambda: b"two" in supervise.popen([str(supervise.program), "logs", "-"]).wait().out)
    following = follow(supervise, "-n", "1")
    following.wait_for_out(b"two")
    go.touch()
    assert following.wait().out == b"two\nthree\n"
    running.wait()


def test_logs_f_with_timestamps_keeps_lines_whole(supervise: Place) -> None:
    go = supervise.file("go")
    script = 'echo one; printf begun; while ! [ -e "$1" ]; do sleep 0.02; done; echo " and ended"'
    running = supervise.start("--", "sh", "-c", script, "sh", str(go))
    running.wait_for_out(b"begun")
    following = follow(supervise, "--timestamps")
    following.wait_for_out(b"stdout one\n")
    go.touch()
    lines = following.wait().out.decode().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["stdout one", "stdout begun and ended"]
    running.wait()


def test_logs_f_follows_a_run_without_a_socket(supervise: Place) -> None:
    """Such a run cannot report new output, so `logs -f` looks for it now and then."""
    go = supervise.file("go")
    running = supervise.start("--", *child("say=one", f"wait_for={go}", "say=two", "exit=0"))
    path = socket_of(supervise)
    running.wait_for_out(b"one")
    os.rename(path, path.with_suffix(".gone"))
    following = follow(supervise)
    following.wait_for_out(b"one")
    go.touch()
    assert following.wait().out == b"one\ntwo\n"
    running.wait()
    path.with_suffix(".gone").unlink()


def test_logs_f_ends_when_the_run_is_killed(supervise: Place) -> None:
    running = supervise.start("-k", "0.1", "--", *child("say=one", "stay"))
    running.wait_for_out(b"one")
    following = follow(supervise)
    following.wait_for_out(b"one")
    running.send(signal.SIGKILL)
    assert following.wait().out == b"one\n"
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    running.wait()


COUNT = """
import os, sys
line = b"%015d\\n"
def count(begin, end):
    for number in range(begin, end, 1000):
        data = b"".join(line % one for one in range(number, number + 1000))
        while data:
            data = data[os.write(1, data):]
count(0, int(sys.argv[1]))
os.write(2, b"ready\\n")
while not os.path.exists(sys.argv[3]): pass
count(int(sys.argv[1]), int(sys.argv[2]))
"""
"""A program that prints a number of lines of 16 bytes, and more of them when a file exists."""


@pytest.mark.slow
def test_attach_after_200_megabytes_prints_each_kept_line_once(supervise: Place) -> None:
    """The kept output comes first, with a line where its middle is left out, and then the new output."""
    go = supervise.file("go")
    before, after = 13_000_000, 13_250_000
    words = ("python3", "-S", "-c", COUNT, str(before), str(after), str(go))
    running = supervise.start("--log-max", "8M", "--", *words, stdout=subprocess.DEVNULL)
    running.wait_for_err(b"ready")
    watching = [attach(supervise, newest(supervise)) for _ in range(2)]
    for one in watching:
        one.wait_for_out(b"%015d\n" % (before - 1))
    go.touch()
    for one in watching:
        ended = one.wait()
        assert ended.code == 0
        assert b"left out here" in ended.err
        head, _, tail = ended.out.partition(b"%015d\n" % 130_000)
        assert len(head) == 130_000 * 16
        numbers = [int(line) for line in tail.splitlines()[-(after - before) - 1000 :]]
        assert numbers == list(range(after - len(numbers), after))
    running.wait()
