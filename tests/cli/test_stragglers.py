"""Stragglers, the processes that outlive a command which ended by itself, and the pipes that they hold."""

import os
from pathlib import Path

import pytest

from tests.support.harness import Ended, Place, child, is_alive, wait_for_file, wait_until

LEAVES_ONE = ("double_fork", "ignore=HUP", "close_pipes", "mark={}", "stay", "end", "wait_for={}", "ready", "exit=3")


def leave_one(supervise: Place) -> tuple[tuple[str, ...], str]:
    """Return a command that exits with 3 and leaves a process behind, and the name of the file with its pid."""
    path = str(supervise.file("left"))
    return child(*(word.format(path) for word in LEAVES_ONE)), path


def test_stragglers_are_reported_and_left_alone_by_default(supervise: Place) -> None:
    command, path = leave_one(supervise)
    ended = supervise("-t", "30", "--", *command)
    pid = wait_for_file(supervise.file(path))
    assert ended.code == 3
    assert ended.report["outcome"] == "failed"
    assert [left["pid"] for left in ended.report["stragglers"]] == [pid]
    assert any(message.startswith(f"left running: pid {pid} ") for message in ended.messages)
    assert is_alive(pid)
    supervise.sweep()


def test_stragglers_kill_kills_them(supervise: Place) -> None:
    command, path = leave_one(supervise)
    ended = supervise("--stragglers", "kill", "--", *command)
    assert ended.code == 3
    assert ended.left == []
    assert not is_alive(wait_for_file(supervise.file(path)))
    assert ended.report["stragglers"] == []


def test_stragglers_kill_kills_deep_trees(supervise: Place) -> None:
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


def test_stragglers_wait_waits_for_the_last_one(supervise: Place) -> None:
    """The run has the exit code of the command."""
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


def test_stragglers_wait_ends_at_the_completion_limit(supervise: Place) -> None:
    """The outcome is a completion timeout, whatever the code of the command."""
    ended = supervise(
        "--stragglers", "wait", "-t", "1", "--", *child("double_fork", "close_pipes", "stay", "end", "exit=0")
    )
    assert ended.code == 124
    assert ended.report["outcome"] == "completion_timeout"
    assert ended.report["command_exit"]["code"] == 0
    assert ended.left == []


@pytest.mark.parametrize("stragglers", ["report", "kill", "wait"])
def test_a_run_without_stragglers_reports_none(supervise: Place, stragglers: str) -> None:
    ended = supervise("--stragglers", stragglers, "--", *child("ready", "exit=3"))
    assert ended.code == 3
    assert ended.report["stragglers"] == []
    assert ended.err == b""


def test_a_shell_pipeline_is_no_straggler(supervise: Place) -> None:
    """Its processes may end a moment after the shell."""
    ended = supervise("--", "bash", "-c", "seq 1000 | cat | cat > >(cat)")
    assert ended.code == 0
    assert ended.out == "".join(f"{number}\n" for number in range(1, 1001)).encode()
    assert ended.report["stragglers"] == []


# --- held pipes


def check_outlived(ended: Ended, pid: int) -> None:
    """Check that supervise has ended and the holder of the pipe has not, and kill the holder."""
    assert ended.code == 3
    assert is_alive(pid)


@pytest.mark.parametrize("drain", [(), ("--drain", "0"), ("--drain", "0.5")])
def test_a_held_pipe_is_drained_for_a_bounded_time(supervise: Place, drain: tuple[str, ...]) -> None:
    path = supervise.file("left")
    words = ("double_fork", f"mark={path}", "stay", "end", "ready", f"wait_for={path}", "exit=3")
    ended = supervise(*drain, "--", *child(*words))
    check_outlived(ended, wait_for_file(path))
    assert ended.out == b"ready\n"
    supervise.sweep()


def test_a_held_pipe_is_drained_without_a_report(supervise: Place) -> None:
    path = supervise.file("left")
    words = ("double_fork", f"mark={path}", "stay", "end", "ready", f"wait_for={path}", "exit=3")
    ended = supervise.start("--drain", "0.3", "--", *child(*words), report=False).wait()
    check_outlived(ended, wait_for_file(path))
    supervise.sweep()


def test_an_endless_writer_to_a_held_pipe_runs_on_after_the_drain(supervise: Place) -> None:
    """A process reads on after the drain, and holds no descriptor of the caller."""
    path = supervise.file("broken")
    words = ("double_fork", f"flood_until_broken={path}", "end", "sleep=0.3", "exit=3")
    assert supervise("--drain", "0.5", "--", *child(*words)).code == 3
    assert supervise.alive()
    assert not path.exists()
    supervise.sweep()


@pytest.mark.parametrize("options", [(), ("--no-record",), ("--log-max", "0"), ("--streams", "together")])
def test_output_of_a_left_straggler_is_recorded(supervise: Place, options: tuple[str, ...]) -> None:
    go, done = supervise.file("go"), supervise.file("done")
    wait = f"while ! [ -e {go} ]; do sleep 0.02; done"
    script = f"({wait}; echo late; echo later >&2; echo later still; echo 1 >{done}) & echo early"
    running = supervise.start("--drain", "0", *options, "--", "sh", "-c", script, events=True)
    # The reader of stdout sees the end of the file, though the straggler lives.
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
        # The late reader, which writes the record, is no process of the tree.
        said = [b"early", b"late", b"later", b"later still"]
        words = [str(supervise.program), "logs", "-"]
        wait_until(lambda: sorted(supervise.popen(words).wait().out.splitlines()) == said)


def test_the_output_of_a_left_straggler_keeps_the_bound_of_the_record(supervise: Place) -> None:
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
    # The run alone writes the log.
    assert log.read_bytes() == b"early\n"


@pytest.mark.parametrize("stragglers", ["report", "wait", "kill"])
def test_output_of_a_pipe_holder_outside_of_the_tree_is_recorded(supervise: Place, stragglers: str) -> None:
    """The holder is no process of the run."""
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
    """Wait until the late reader has changed to the root folder, and return its pid: it is a child of this process."""
    for path in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for pid in path.read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"supervise-keeper" in words and os.readlink(f"/proc/{pid}/cwd") == "/":
                    return int(pid)
            except OSError:
                continue
    return 0


def holds_only_pipes(keeper: int) -> bool:
    """Return whether each descriptor of the late reader is a pipe or /dev/null; it may still be closing others."""
    try:
        held = {os.readlink(path) for path in Path(f"/proc/{keeper}/fd").iterdir()}
    except OSError:
        return False
    return all(one == "/dev/null" or one.startswith("pipe:") for one in held)


def test_the_late_reader_holds_no_descriptor_of_the_caller(supervise: Place) -> None:
    go = supervise.file("go")
    wait = f"while ! [ -e {go} ]; do sleep 0.02; done"
    script = f'exec 7>held; supervise --drain 0 -- sh -c "exec 7>&-; ({wait}) & echo early"'
    assert supervise.shell(script).out == b"early\n"
    keeper = wait_until(settled_keeper)
    wait_until(lambda: holds_only_pipes(keeper))
    assert os.readlink(f"/proc/{keeper}/cwd") == "/"
    go.touch()
    wait_until(lambda: not is_alive(keeper))


def test_output_within_the_drain_is_delivered(supervise: Place) -> None:
    """The end of the holder ends the drain early."""
    ended = supervise("--drain", "30", "--", *child("double_fork", "sleep=0.8", "say=late", "end", "ready", "exit=3"))
    assert ended.code == 3
    assert ended.out == b"ready\nlate\n"
    assert ended.left == []
    assert ended.report["duration"] < 30


def test_output_in_the_pipe_is_delivered_to_a_slow_reader(supervise: Place) -> None:
    """The reader takes longer than the drain."""
    script = '"$@" | { sleep 1.5; wc -c; }; echo ${PIPESTATUS[0]}'
    words = ("--drain", "0.2", "--", *child("flood=400000", "exit=3"))
    assert supervise.shell(script, "supervise", *words).out.split() == [b"400000", b"3"]
