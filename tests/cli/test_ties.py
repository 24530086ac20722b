"""`--with-parent` and `--stop-on-eof`: a run that must not outlive its parent, or its stdin."""

import os
import signal
import socket
import subprocess
import time

import pytest

from tests.support.harness import Ended, Place, Running, child, is_alive, wait_for_file, wait_until
from tests.support.parents import PARENTS
from tests.support.ssh_servers import ssh_server

END_SECONDS = 10.0
"""Seconds within which a run ends, many times what it takes: the tests share a busy machine."""


def is_tied_end(ended: Ended, reason: str) -> bool:
    report = ended.report
    return (ended.code, report["outcome"], report["reason"], report["exit_code"]) == (143, "cancelled", reason, 143)


# --- --with-parent


@pytest.mark.parametrize("script", PARENTS.values(), ids=PARENTS)
def test_a_run_ends_with_a_parent_that_is_killed(supervise: Place, script: str) -> None:
    report, stays = supervise.file("report.json"), child("ignore=HUP", "mark=root", "stay")
    words = "supervise", "run", "--with-parent", "-q", "--report", str(report), "--", *stays
    running = supervise.popen(["bash", "-c", script, "bash", *words])
    root = wait_for_file(supervise.file("root"))
    # The report is there only at the end: the run has to be a long one before.
    parent = int(wait_until(supervise.file("parent").read_text))
    os.kill(parent, signal.SIGKILL)
    wait_until(lambda: not is_alive(root), END_SECONDS)
    wait_until(report.exists, END_SECONDS)
    running.process.wait()
    wait_until(lambda: not supervise.alive(), END_SECONDS)
    text = report.read_text()
    assert '"outcome": "cancelled"' in text
    assert '"reason": "parent_gone"' in text


def adopted(supervise: Place, *words: str, ppid: int) -> Running:
    """Start supervise with getppid() saying that pid: as where the parent of that pid is gone."""
    code = f"import os, posix; os.getppid = posix.getppid = lambda: {ppid}; from supervise.__main__ import main; main()"
    return supervise.popen(["python3", "-c", code, "run", *words])


def test_process_1_is_no_parent(supervise: Place) -> None:
    ended = adopted(supervise, "--with-parent", "--", "touch", "started", ppid=1).wait()
    assert ended.code == 125
    assert [message.partition(": either")[0] for message in ended.messages] == [
        "--with-parent: the parent is process 1"
    ]
    assert not supervise.file("started").exists()


def test_a_parent_that_is_gone_before_it_can_be_watched_ends_the_run(supervise: Place) -> None:
    """Its pid is no process any more, or another process by now."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    ended = adopted(supervise, "--with-parent", "--", "touch", "started", ppid=gone.pid).wait()
    assert ended.code == 143
    assert ended.messages == [
        f"cancelled by the end of its parent (pid {gone.pid}) before the command was started (exit 143)"
    ]
    code = (
        "import os, posix, sys; answers = iter((os.getpid(), 1)); os.getppid = posix.getppid = lambda: next(answers)\n"
        "from supervise.__main__ import main; main()"
    )
    words = "run", "--report", str(supervise.report_path(1)), "--with-parent", "--", "touch", "started"
    ended = supervise.popen(["python3", "-c", code, *words]).wait()
    assert is_tied_end(ended, "parent_gone")
    assert not supervise.file("started").exists()


def test_a_parent_that_stays_costs_nothing(supervise: Place) -> None:
    ended = supervise("--with-parent", "--", *child("exit=3"))
    assert (ended.code, ended.report["outcome"]) == (3, "failed")
    ended = supervise("--with-parent", "--", *child("ready", "sleep=0.5", "exit=4"))
    assert (ended.code, ended.report["outcome"]) == (4, "failed")


def test_the_end_of_the_parent_ends_the_wait_for_a_lock(supervise: Place, lock_name: str) -> None:
    holder = supervise.start("--lock", lock_name, "--", *child("ready", "stay"))
    holder.wait_for_out(b"ready")
    options = ("--with-parent", "--lock", lock_name, "--lock-wait", "1h", "--report", "waits.json")
    words = (*options, "--", "touch", "started")
    running = supervise.popen(["sh", "-c", '"$@"; true', "sh", "supervise", "run", *words])
    running.wait_for_err(b"waiting for the lock")
    running.send(signal.SIGKILL)
    report = supervise.file("waits.json")
    wait_until(report.exists, END_SECONDS)
    running.wait()
    assert '"reason": "parent_gone"' in report.read_text()
    assert not supervise.file("started").exists()
    holder.send(signal.SIGTERM)
    holder.wait()


def test_no_attempt_follows_the_end_of_the_parent(supervise: Place) -> None:
    """The parent ends while a command that has gone silent is being stopped, or between two attempts."""
    for delay, words in (("0", ("ignore=TERM", "stay")), ("1h", ("exit=1",))):
        report = supervise.file("report.json")
        retries = ("--retries", "5", "--retry-on", "any", "--retry-delay", delay)
        options = ("--with-parent", *retries, "-i", "2s", "-k", "4", "--report", str(report))
        call = "supervise", "run", *options, "--", *child(*words)
        running = supervise.popen(["sh", "-c", '"$@"; true', "sh", *call])
        running.wait_for_err(b"stopping with" if delay == "0" else b"attempt 2 of 6")
        running.send(signal.SIGKILL)
        wait_until(report.exists)
        running.wait()
        assert report.read_text().count('"number": ') == 1
        report.unlink()


def test_a_signal_after_the_end_of_the_parent_leaves_the_grace(supervise: Place) -> None:
    """A window that closes ends the shell, and sends HUP."""
    stays = child("last_words=TERM", "ready", "stay")
    running = supervise.popen(
        ["sh", "-c", '"$@" & echo $! >pid; wait', "sh", "supervise", "--with-parent", "--", *stays]
    )
    running.wait_for_out(b"ready")
    pid = int(wait_until(supervise.file("pid").read_text))
    running.send(signal.SIGKILL)
    running.wait_for_err(b"stopping with TERM")
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        pass
    running.wait()
    assert b"second request" not in running.err


# --- --stop-on-eof


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_run_ends_with_its_stdin(supervise: Place, kind: str) -> None:
    ours, theirs = os.pipe()[::-1] if kind == "pipe" else (one.detach() for one in socket.socketpair())
    running = supervise.start("--stop-on-eof", "--", *child("ready", "stay"), stdin=theirs)
    os.close(theirs)
    running.wait_for_out(b"ready")
    wait_until(lambda: len(os.listdir(f"/proc/{running.pid}/task")) > 1)
    time.sleep(0.7)
    assert running.process.poll() is None
    os.close(ours)
    ended = running.wait(END_SECONDS)
    assert is_tied_end(ended, "stdin_ended")
    assert ended.messages[0].startswith("cancelled by the end of stdin; stopping with TERM")


def test_half_a_socket_is_the_end_of_stdin(supervise: Place) -> None:
    """A peer that closes its writing half still reads, as ssh's server does."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        running = supervise.start("--stop-on-eof", "--", *child("ready", "stay"), stdin=theirs.fileno())
        running.wait_for_out(b"ready")
        ours.shutdown(socket.SHUT_WR)
        assert is_tied_end(running.wait(END_SECONDS), "stdin_ended")


def test_the_command_gets_stdin_whole_and_ends_by_itself(supervise: Place) -> None:
    data = os.urandom(300_000)
    ended = supervise("--stop-on-eof", "--", "cat", stdin=data)
    assert (ended.code, ended.out, ended.report["outcome"]) == (0, data, "completed")
    # The rest of the bytes waits in the pipe for longer than an end of stdin is looked at.
    ended = supervise("--stop-on-eof", "--", "sh", "-c", "sleep 1.5; wc -c", stdin=data[:60_000])
    assert (ended.code, ended.out.split(), ended.report["outcome"]) == (0, [b"60000"], "completed")


def test_a_short_command_ends_by_itself(supervise: Place) -> None:
    ended = supervise("--stop-on-eof", "--", "sh", "-c", "exit 5", stdin=b"")
    assert (ended.code, ended.report["outcome"]) == (5, "failed")


@pytest.mark.parametrize(
    ("redirection", "what"),
    [
        ("</dev/null", "/dev/null, closed, or no stream"),
        ("<&-", "/dev/null, closed, or no stream"),
        ("<report", "a file"),
    ],
)
def test_a_stdin_whose_end_cannot_be_seen_is_refused(supervise: Place, redirection: str, what: str) -> None:
    ended = supervise.shell(f"touch report; supervise --stop-on-eof -- touch started {redirection}")
    assert ended.code == 125
    assert ended.messages == [f"--stop-on-eof: stdin is {what}; only the end of a pipe or a socket can be seen"]
    assert not supervise.file("started").exists()


@pytest.mark.parametrize("option", ["--with-parent", "--stop-on-eof"])
def test_a_detached_run_is_tied_to_nothing(supervise: Place, option: str) -> None:
    ended = supervise("-d", option, "--", "touch", "started")
    assert ended.code == 125
    assert ended.messages[0].startswith(f"{option}: a detached run ")
    assert not supervise.file("started").exists()


def test_the_far_end_of_ssh_ends_with_the_connection(supervise: Place) -> None:
    """The client is killed, so nothing is said at its end."""
    root = supervise.file("root")
    far = f"cd {supervise.folder} && exec supervise --stop-on-eof -- sh -c 'echo $$ >root; exec sleep 100'"
    with ssh_server(supervise) as ssh:
        ours, theirs = os.pipe()
        client = supervise.popen([*ssh.split(), far], stdin=ours)
        os.close(ours)
        pid = wait_for_file(root)
        time.sleep(0.5)
        assert is_alive(pid)
        client.send(signal.SIGKILL)
        client.wait()
        os.close(theirs)
        wait_until(lambda: not is_alive(pid), END_SECONDS)
        wait_until(lambda: not supervise.alive(), END_SECONDS)
