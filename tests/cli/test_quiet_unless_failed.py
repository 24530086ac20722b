"""`--quiet-unless-failed`: not one byte of a run that succeeds, and all of one that does not."""

import errno
import os
import signal
from collections.abc import Callable

import pytest

from supervise.options.table import OPTIONS
from supervise.output.outlet import Outlet
from supervise.output.spool import Spool, SpooledOutlet
from tests.support.deaths import kill
from tests.support.harness import Ended, Place, state_of, wait_for_file, wait_until
from tests.support.locks import hold

QUIET = "--quiet-unless-failed"


def lines(ended: Ended) -> list[str]:
    return ended.err.decode().splitlines()


@pytest.mark.parametrize(
    "words",
    [
        ("--", "true"),
        ("--", "sh", "-c", "echo out; echo err >&2"),
        ("--warn-at", "2s", "-t", "2.3s", "--", "sh", "-c", "echo out; sleep 1"),
        ("--retries", "1", "--retry-delay", "0", "--", "sh", "-c", "echo x; [ $SUPERVISE_ATTEMPT = 2 ] || exit 75"),
        ("--success-codes", "3", "--", "sh", "-c", "echo x; exit 3"),
        ("-v", "--", "sh", "-c", "sleep 0.5; echo x"),
    ],
)
def test_a_run_that_succeeds_prints_nothing(supervise: Place, words: tuple[str, ...]) -> None:
    for report in (False, True):
        ended = supervise.start("run", QUIET, *words, report=False) if not report else supervise.start(QUIET, *words)
        assert ended.wait().code == 0
        assert (ended.wait().out, ended.wait().err) == (b"", b"")


def test_a_straggler_of_a_run_that_succeeds_is_not_named(supervise: Place) -> None:
    os.mkfifo(supervise.file("pipe"))
    left = "sh -c 'echo $$ >pid; exec cat pipe >/dev/null 2>&1' & while [ ! -s pid ]; do sleep 0.02; done"
    ended = supervise(QUIET, "--", "sh", "-c", left)
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")
    pid = wait_for_file(supervise.file("pid"))
    with open(supervise.file("pipe"), "wb"):
        pass
    wait_until(lambda: state_of(pid) in "XZ")


def test_a_warning_about_the_home_is_shown_on_failure_alone(supervise: Place) -> None:
    environ = {"HOME": "/nowhere/at/all", "XDG_STATE_HOME": "/proc/1/nowhere"}
    assert supervise(QUIET, "--", "true", env=environ).err == b""
    ended = supervise(QUIET, "--", "false", env=environ)
    assert lines(ended)[0].startswith("supervise: the command failed after ")
    assert any("not recorded" in line for line in lines(ended)[2:])


@pytest.mark.parametrize(
    "script", ["exit 3", "echo out; echo err >&2; exit 3", "echo out; sleep 0.5; echo err >&2; exit 3"]
)
def test_a_failure_shows_the_verdict_first_then_the_command_and_the_output(supervise: Place, script: str) -> None:
    ended = supervise(QUIET, "--", "sh", "-c", script)
    assert ended.code == 3
    assert ended.out == (b"out\n" if "out" in script else b"")
    assert lines(ended)[0].startswith("supervise: the command failed after ")
    assert lines(ended)[0].endswith(" (exit 3)")
    assert lines(ended)[1].startswith("supervise: it ran: sh -c ")
    assert lines(ended)[2:] == (["err"] if "err" in script else [])


def test_the_command_line_under_the_verdict_is_no_command_of_a_ci_runner(supervise: Place) -> None:
    ended = supervise(QUIET, "--", "sh", "-c", "exit 3", "##[error]x", "a ::warning:: b")
    assert lines(ended)[1].startswith("supervise: it ran: sh -c 'exit 3' ")
    assert b"##[" not in ended.err
    assert b"::" not in ended.err


def test_one_pipe_for_both_streams_keeps_the_order_under_the_verdict(supervise: Place) -> None:
    script = "supervise --quiet-unless-failed -- sh -c 'echo 1; echo 2 >&2; echo 3; exit 9' 2>&1"
    assert supervise.shell(script).out.decode().splitlines()[2:] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("send", "code", "words"), [(None, 124, "completion timeout"), (signal.SIGTERM, 143, "cancelled")]
)
def test_a_stopped_run_shows_its_verdict_once_and_first(
    supervise: Place, send: "signal.Signals | None", code: int, words: str
) -> None:
    running = supervise.start(
        QUIET, "-t", "1s" if send is None else "60s", "--", "sh", "-c", "echo up; : >up; sleep 60"
    )
    if send:
        wait_until(supervise.file("up").exists)
        running.send(send)
    ended = running.wait()
    assert (ended.code, ended.out) == (code, b"up\n")
    assert words in lines(ended)[0]
    assert f"(exit {code}" in lines(ended)[0]
    assert sum(f"(exit {code}" in line for line in lines(ended)) == 1


def test_the_last_lines_alone_are_shown_where_a_number_is_given(supervise: Place) -> None:
    ended = supervise(f"{QUIET}=2", "--", "sh", "-c", "seq 1000; printf end; exit 1")
    assert ended.out == b"1000\nend"
    assert supervise(f"{QUIET}=5", "--", "sh", "-c", "seq 2; exit 1").out == b"1\n2\n"


def test_the_middle_of_too_much_output_is_left_out_with_a_line(supervise: Place) -> None:
    ended = supervise(QUIET, "--log-max", "1MiB", "--", "sh", "-c", "seq 1000000; exit 1")
    first, _, rest = ended.out.partition(b"supervise: ")
    number, _, last = rest.partition(b" bytes of the output are left out here\n")
    whole = b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    assert len(first.rstrip(b"\n")) in ((1 << 19) - 1, 1 << 19)
    assert whole.startswith(first[: 1 << 19])
    assert whole.endswith(last)
    assert len(last) == 1 << 19
    assert int(number) == len(whole) - (1 << 20)


def test_a_full_disk_costs_the_middle_of_the_output_alone(supervise: Place) -> None:
    """A limit on the size of files stands for the full disk."""
    script = f"(ulimit -f 1000; exec supervise {QUIET} --no-record -- sh -c 'seq 1000000; exit 3') 2>err | cat"
    shown = supervise.shell(f"{script}; exit ${{PIPESTATUS[0]}}")
    first, _, rest = shown.out.partition(b"supervise: ")
    number, _, last = rest.partition(b" bytes of the output are left out here: file too large\n")
    whole = b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    assert shown.code == 3
    assert whole.startswith(first.removesuffix(b"\n"))
    assert whole.endswith(last)
    assert 1 << 18 < len(last) < len(whole) - int(number) <= 1_024_000
    assert supervise.file("err").read_bytes().startswith(b"supervise: the command failed after ")


def test_a_log_of_no_size_leaves_the_output_of_a_silent_run_bounded(supervise: Place) -> None:
    ended = supervise.shell(f"supervise {QUIET} --log-max 0 -- sh -c 'head -c 100000000 /dev/zero; exit 1' | wc -c")
    assert 1 << 26 <= int(ended.out) < (1 << 26) + 100


def test_a_terminal_of_its_own_is_silent_until_a_failure(supervise: Place) -> None:
    assert supervise(QUIET, "--pty", "--", "sh", "-c", "echo x").out == b""
    ended = supervise(QUIET, "--pty", "--", "sh", "-c", "echo x; echo y >&2; exit 3")
    assert (ended.code, ended.out) == (3, b"x\r\ny\r\n")
    assert len(lines(ended)) == 2


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_costs_the_other_one_nothing(supervise: Place, closed: str) -> None:
    ended = supervise.shell(f"supervise {QUIET} -- sh -c 'echo out; echo err >&2; exit 3' {closed}")
    assert ended.code == 3
    assert ended.out == (b"" if closed.startswith(">") else b"out\n")
    assert lines(ended)[2:] == (["err"] if closed == ">&-" else [])


def test_a_killed_supervisor_leaves_no_file_and_a_record_with_the_output(supervise: Place) -> None:
    folder = supervise.file("held")
    folder.mkdir()
    logs = [str(supervise.program), "logs", "held"]
    words = (QUIET, "--name", "held", "-k", "0.3", "--", "sh", "-c", "echo out; exec sleep 600")
    running = supervise.start(*words, env={"TMPDIR": str(folder)})
    wait_until(lambda: supervise.popen(logs).wait().out == b"out\n")
    kill(supervise, running)
    ended = running.wait()
    assert (ended.out, ended.err) == (b"", b"")
    assert ended.report["outcome"] == "lost"
    assert list(folder.iterdir()) == []
    assert supervise.popen(logs).wait().out == b"out\n"


def test_retries_show_all_attempts_or_the_last(supervise: Place) -> None:
    words = ("--retries", "1", "--retry-delay", "0", "--", "sh", "-c", "echo try $SUPERVISE_ATTEMPT; exit 75")
    assert supervise(QUIET, *words).out == b"try 1\ntry 2\n"
    assert supervise(QUIET, "--retry-output", "last", *words).out == b"try 2\n"


def test_the_record_and_the_log_have_the_output_of_a_silent_run(supervise: Place) -> None:
    log = supervise.file("log")
    assert supervise(QUIET, "--log", str(log), "--", "echo", "kept").out == b""
    assert log.read_bytes() == b"kept\n"
    assert supervise.popen([str(supervise.program), "logs", "-"]).wait().out == b"kept\n"


def test_a_held_lock_and_a_refusal_are_printed(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    ended = supervise(QUIET, "--lock", lock_name, "--", "true")
    assert ended.code == 75
    assert "is held by" in lines(ended)[-1]
    holder.send(signal.SIGTERM)
    holder.wait()
    assert supervise(QUIET, "--report", "/nowhere/at/all", "--", "true").code == 125


def test_the_word_after_the_option_is_never_its_value(supervise: Place) -> None:
    assert supervise(QUIET, "sh", "-c", "exit 4").code == 4
    assert supervise(QUIET, "--log-max", "1M", "--", "true").code == 0
    ended = supervise.popen([str(supervise.program), "run", f"{QUIET}=x", "true"]).wait()
    assert (ended.code, ended.err) == (
        125,
        b"supervise: --quiet-unless-failed: got 'x', takes a number of lines from 1 on, whole or off\n",
    )


def test_no_option_takes_the_next_word_if_it_has_an_implied_one() -> None:
    assert [option.name for option in OPTIONS if option.implied and option.takes_next_word] == []


@pytest.mark.parametrize(
    ("most", "rooms"),
    [
        *((0, [100]), (0, [40]), (64, [20]), (64, [50]), (1000, [65])),
        *((0, [100, 20]), (0, [100, 80]), (1000, [90, 70, 30]), (64, [20, 10]), (0, [100, 0])),
    ],
)
def test_a_spool_on_a_full_disk_keeps_what_has_room(
    monkeypatch: pytest.MonkeyPatch, most: int, rooms: list[int]
) -> None:
    """Two streams of an outlet each, so that the pieces are many.

    For each further attempt the disk has less room: others have taken what the attempt before has set free.
    """
    reading, writing = os.pipe()
    spool, disk_write = Spool(most), os.pwrite
    disk = os.fstat(spool._fd).st_ino

    def write_within(room: int) -> Callable[..., int]:
        def write(fd: int, data: "bytes | memoryview", offset: int) -> int:
            if os.fstat(fd).st_ino == disk and offset + len(data) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return disk_write(fd, data, offset)

        return write

    monkeypatch.setattr("supervise.output.spool.MEMORY_BYTES", 60)
    held = [SpooledOutlet(spool, Outlet(writing)) for _ in range(2)]
    for room in rooms:
        monkeypatch.setattr(os, "pwrite", write_within(room))
        spool.forget()
        whole = b""
        for number in range(90):
            data = bytes([97 + number % 26]) * (1 + number % 5)
            whole += data
            held[number % 2].write(data)
    assert spool.start_showing().acquire(timeout=10)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        first, _, rest = file.read().partition(b"supervise: ")
    number, _, last = rest.partition(b" bytes of the output are left out here: no space left on device\n")
    first = first.removesuffix(b"\n")
    assert whole.startswith(first)
    assert whole.endswith(last)
    assert len(first) + int(number) + len(last) == len(whole)
    assert len(first) + len(last) >= 50


def test_a_bounded_spool_keeps_the_beginning_and_the_end_of_every_pattern() -> None:
    for most, sizes in ((64, [1] * 500), (64, [7] * 99), (64, [200]), (65, [31, 1, 64, 3, 500, 2]), (64, [10])):
        reading, writing = os.pipe()
        spool, whole = Spool(most), b""
        held = SpooledOutlet(spool, Outlet(writing))
        for number, size in enumerate(sizes):
            data = bytes([97 + number % 26]) * size
            whole += data
            held.write(data)
        assert spool.start_showing().acquire(timeout=10)
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            shown = file.read()
        if len(whole) <= most:
            assert shown == whole
        else:
            head = most // 2
            assert shown[:head] == whole[:head]
            assert shown[-(most - head) :] == whole[-(most - head) :]
