"""Processes that outlive a command that ended by itself, and the pipe that they hold."""

import os
from pathlib import Path

import pytest

from tests.support.harness import Ended, Place, child, is_alive, wait_for_file, wait_until

LEAVES_ONE = ("double_fork", "ignore=HUP", "close_pipes", "mark={}", "stay", "end", "wait_for={}", "ready", "exit=3")


def leaving_one(supervise: Place) -> tuple[tuple[str, ...], str]:
    """A command that ends with 3 and leaves a process behind, and the file with its pid."""
    path = str(supervise.file("left"))
    return child(*(word.format(path) for word in LEAVES_ONE)), path


def test_reported_and_left_alone(supervise: Place) -> None:
    command, path = leaving_one(supervise)
    ended = supervise("-t", "30", "--", *command)
    pid = wait_for_file(supervise.file(path))
    assert ended.code == 3
    assert ended.report["outcome"] == "failed"
    assert [left["pid"] for left in ended.report["stragglers"]] == [pid]
    assert any(message.startswith(f"left running: pid {pid} ") for message in ended.messages)
    assert is_alive(pid)
    supervise.sweep()


def test_killed(supervise: Place) -> None:
    command, path = leaving_one(supervise)
    ended = supervise("--stragglers", "kill", "--", *command)
    assert ended.code == 3
    assert ended.left == []
    assert not is_alive(wait_for_file(supervise.file(path)))
    assert ended.report["stragglers"] == []


def test_killed_however_deep(supervise: Place) -> None:
    words = (
        "double_fork",
        "ignore=TERM",
        "double_fork",
        "ignore=TERM",
        "ready",
        "stay",
        "end",
        "stay",
        "end",
        "sleep=0.3",
        "exit=0",
    )
    ended = supervise("--stragglers", "kill", "--drain", "0.2", "--", *child(*words))
    assert ended.code == 0
    assert ended.left == []


def test_waited_for(supervise: Place) -> None:
    """The run goes on until the last of them is gone; the code is the command's own."""
    go = supervise.file("go")
    words = ("double_fork", f"wait_for={go}", "say=the last", "end", "ready", "exit=3")
    running = supervise.start("--stragglers", "wait", "--", *child(*words), events=True)
    running.wait_for_out(b"ready")
    wait_until(lambda: b'"exited"' in running.events_path.read_bytes())
    assert running.process.poll() is None
    go.touch()
    ended = running.wait()
    assert ended.code == 3
    assert ended.out == b"ready\nthe last\n"
    assert ended.left == []


def test_waited_for_until_the_limit(supervise: Place) -> None:
    """Then it is a completion timeout, whatever the command's own code."""
    ended = supervise(
        "--stragglers", "wait", "-t", "1", "--", *child("double_fork", "close_pipes", "stay", "end", "exit=0")
    )
    assert ended.code == 124
    assert ended.report["outcome"] == "completion_timeout"
    assert ended.report["command_exit"]["code"] == 0
    assert ended.left == []


@pytest.mark.parametrize("stragglers", ["report", "kill", "wait"])
def test_nobody_left(supervise: Place, stragglers: str) -> None:
    ended = supervise("--stragglers", stragglers, "--", *child("ready", "exit=3"))
    assert ended.code == 3
    assert ended.report["stragglers"] == []
    assert ended.err == b""


def test_a_shell_pipeline_is_no_straggler(supervise: Place) -> None:
    """Its parts may end a moment after the shell."""
    ended = supervise("--", "bash", "-c", "seq 1000 | cat | cat > >(cat)")
    assert ended.code == 0
    assert ended.out == "".join(f"{number}\n" for number in range(1, 1001)).encode()
    assert ended.report["stragglers"] == []


# --- the pipe that they hold


def outlived(ended: Ended, pid: int) -> None:
    """We have ended, and whoever holds the pipe has not."""
    assert ended.code == 3
    assert is_alive(pid)


@pytest.mark.parametrize("drain", [(), ("--drain", "0"), ("--drain", "0.5")])
def test_a_held_pipe_does_not_make_us_hang(supervise: Place, drain: tuple[str, ...]) -> None:
    path = supervise.file("left")
    words = ("double_fork", f"mark={path}", "stay", "end", "ready", f"wait_for={path}", "exit=3")
    ended = supervise(*drain, "--", *child(*words))
    outlived(ended, wait_for_file(path))
    assert ended.out == b"ready\n"
    supervise.sweep()


def test_a_held_pipe_without_a_report(supervise: Place) -> None:
    path = supervise.file("left")
    words = ("double_fork", f"mark={path}", "stay", "end", "ready", f"wait_for={path}", "exit=3")
    ended = supervise.start("--drain", "0.3", "--", *child(*words), report=False).wait()
    outlived(ended, wait_for_file(path))
    supervise.sweep()


def test_a_held_pipe_that_is_written_to_without_end(supervise: Place) -> None:
    """It is read on after the drain, and nothing of the caller's is held for that."""
    path = supervise.file("broken")
    words = ("double_fork", f"flood_until_broken={path}", "end", "sleep=0.3", "exit=3")
    assert supervise("--drain", "0.5", "--", *child(*words)).code == 3
    assert supervise.alive()
    assert not path.exists()
    supervise.sweep()


@pytest.mark.parametrize("options", [(), ("--no-record",), ("--log-max", "0"), ("--streams", "together")])
def test_one_that_is_left_running_can_print_on(supervise: Place, options: tuple[str, ...]) -> None:
    go, done = supervise.file("go"), supervise.file("done")
    wait = f"while ! [ -e {go} ]; do sleep 0.02; done"
    script = f"({wait}; echo late; echo later >&2; echo later still; echo 1 >{done}) & echo early"
    running = supervise.start("--drain", "0", *options, "--", "sh", "-c", script, events=True)
    # To its end: the reader of our stdout hears that end, though the process that is left lives.
    ended = running.wait()
    assert (ended.code, ended.out) == (0, b"early\n")
    go.touch()
    wait_for_file(done)
    wait_until(lambda: not supervise.alive())
    what = ended.events_named("stragglers")[0]["output"]
    assert ended.report["straggler_output"] == what
    is_recorded = "--no-record" not in options and "--log-max" not in options
    assert what == ("record" if is_recorded else "dropped")
    assert any("the processes left running" in message for message in ended.messages)
    if is_recorded:
        kept = supervise.popen([str(supervise.program), "logs", "-"])
        assert sorted(kept.wait().out.splitlines()) == [b"early", b"late", b"later", b"later still"]


def test_of_a_flood_that_is_left_the_record_keeps_its_bound(supervise: Place) -> None:
    most, last = 1 << 16, 300_000
    go = supervise.file("go")
    script = f"(while ! [ -e {go} ]; do sleep 0.02; done; seq {last}) & echo early"
    log = supervise.file("log")
    ended = supervise("--drain", "0", "--log-max", str(most), "--log", str(log), "--", "sh", "-c", script)
    assert ended.report["straggler_output"] == "record"
    go.touch()
    wait_until(lambda: not supervise.alive())
    record = Path(supervise.state) / "runs" / ended.report["run_id"]
    wait_until(lambda: not settled_keeper())
    kept = supervise.popen([str(supervise.program), "logs", "-"]).wait().out
    assert kept.startswith(b"early\n")
    assert kept.endswith(b"\n%d\n" % last)
    assert most // 2 < sum(path.stat().st_size for path in record.glob("output*")) <= most
    # The log is written by the run alone.
    assert log.read_bytes() == b"early\n"


@pytest.mark.parametrize("stragglers", ["report", "wait", "kill"])
def test_a_pipe_that_is_held_from_outside_the_tree_is_read_on(supervise: Place, stragglers: str) -> None:
    """Its holder is no process of the run: the run ends, and what the holder prints later is recorded."""
    go, pid_file = supervise.file("go"), supervise.file("pid")
    script = f"echo $$ >{pid_file}; echo early; while ! [ -e {go} ]; do sleep 0.02; done; exit 3"
    running = supervise.start("--stragglers", stragglers, "--drain", "0.2", "--", "sh", "-c", script)
    running.wait_for_out(b"early\n")
    held = os.open(f"/proc/{wait_for_file(pid_file)}/fd/1", os.O_WRONLY)
    try:
        go.touch()
        ended = running.wait()
        assert (ended.code, ended.out) == (3, b"early\n")
        assert ended.report["outcome"] == "failed"
        assert ended.report["stragglers"] == []
        assert os.write(held, b"late\n") == 5
    finally:
        os.close(held)
    wait_until(lambda: supervise.popen([str(supervise.program), "logs", "-"]).wait().out == b"early\nlate\n")


def settled_keeper() -> int:
    """The process that reads on, of this test's own children, as soon as it has gone to the root folder."""
    for path in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for pid in path.read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"supervise-keeper" in words and os.readlink(f"/proc/{pid}/cwd") == "/":
                    return int(pid)
            except OSError:
                continue
    return 0


def test_what_reads_on_holds_nothing_of_the_callers(supervise: Place) -> None:
    go = supervise.file("go")
    wait = f"while ! [ -e {go} ]; do sleep 0.02; done"
    script = f'exec 7>held; supervise --drain 0 -- sh -c "exec 7>&-; ({wait}) & echo early"'
    assert supervise.shell(script).out == b"early\n"
    keeper = wait_until(settled_keeper)
    held = {os.readlink(path) for path in Path(f"/proc/{keeper}/fd").iterdir()}
    assert all(one == "/dev/null" or one.startswith("pipe:") for one in held)
    assert os.readlink(f"/proc/{keeper}/cwd") == "/"
    go.touch()
    wait_until(lambda: not is_alive(keeper))


def test_what_comes_within_the_drain_is_delivered(supervise: Place) -> None:
    """And the end of the holder ends the wait, long before the drain is over."""
    ended = supervise("--drain", "30", "--", *child("double_fork", "sleep=0.8", "say=late", "end", "ready", "exit=3"))
    assert ended.code == 3
    assert ended.out == b"ready\nlate\n"
    assert ended.left == []
    assert ended.report["duration"] < 30


def test_what_is_in_the_pipe_is_delivered_however_slow_the_reader(supervise: Place) -> None:
    """More than the drain later, and after the command has gone."""
    script = '"$@" | { sleep 1.5; wc -c; }; echo ${PIPESTATUS[0]}'
    words = ("--drain", "0.2", "--", *child("flood=400000", "exit=3"))
    assert supervise.shell(script, "supervise", *words).out.split() == [b"400000", b"3"]
