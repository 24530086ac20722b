"""Stdout and stderr arrive byte for byte, at any size and with any reader; stdin is untouched."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.harness import Place, child, wait_for_file, wait_until

PAYLOADS = {
    "nothing": b"",
    "no newline at the end": b"first\nlast",
    "one newline": b"\n",
    "NULs": b"a\0b\0\0c\n",
    "not UTF-8": b"\xff\xfe\x80abc\xc3(\n\xed\xa0\x80",
    "every byte": bytes(range(256)),
    "carriage returns": b"10%\r20%\r\r\n",
    "escapes": b"\x1b[31mred\x1b[0m\x07\x1b]0;title\x07",
    "looks like ours": b"supervise: hello\n",
}
with_and_without_report = pytest.mark.parametrize("report", [True, False], ids=["report", "fast"])


@with_and_without_report
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_streams_arrive_byte_for_byte(supervise: Place, payload: bytes, report: bool) -> None:
    words = (f"bytes={payload.hex()}", f"bytes_err={payload[::-1].hex()}", "exit=3")
    ended = supervise.start("-i", "30", "--", *child(*words), report=report).wait()
    assert ended.code == 3
    assert ended.out == payload
    assert ended.err == payload[::-1]
    if report:
        assert ended.report["usage"]["stdout_bytes"] == ended.report["usage"]["stderr_bytes"] == len(payload)


def test_streams_of_a_long_run_arrive_byte_for_byte(supervise: Place) -> None:
    """The pieces come before, while and after the libraries are loaded."""
    pieces = [os.urandom(100) for _ in range(20)]
    words = [word for piece in pieces for word in (f"bytes={piece.hex()}", f"bytes_err={piece.hex()}", "sleep=0.04")]
    ended = supervise("--", *child(*words))
    assert ended.out == ended.err == b"".join(pieces)


@with_and_without_report
def test_megabytes_arrive_whole(supervise: Place, report: bool) -> None:
    path = supervise.file("random")
    path.write_bytes(os.urandom(20_000_000))
    ended = supervise.start("--", "cat", str(path), report=report).wait()
    assert ended.code == 0
    assert hashlib.sha256(ended.out).digest() == hashlib.sha256(path.read_bytes()).digest()


def test_megabytes_on_both_streams_arrive_whole(supervise: Place) -> None:
    path = supervise.file("random")
    path.write_bytes(os.urandom(5_000_000))
    ended = supervise("--", "sh", "-c", f"cat {path} & cat {path} >&2; wait")
    assert ended.out == ended.err == path.read_bytes()


def test_lines_arrive_in_order(supervise: Place) -> None:
    ended = supervise("--", "seq", "300000")
    assert ended.out == "".join(f"{number}\n" for number in range(1, 300_001)).encode()


def test_memory_does_not_grow_with_the_output(supervise: Place) -> None:
    """The output is one line of two hundred megabytes; a slow test has a gigabyte."""
    check_flow(supervise, 200_000_000)


def check_flow(supervise: Place, count: int) -> None:
    """Check that so many bytes arrive, and that no process of supervise was ever large."""
    done, go = supervise.file("done"), supervise.file("go")
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as reader:
        words = (f"flood={count}", f"mark={done}", f"wait_for={go}", "exit=3")
        running = supervise.start("-i", "30", "--", *child(*words), stdout=theirs)
        os.close(theirs)
        guardian = running.guardian()
        arrived, buffer = 0, bytearray(1 << 20)
        while arrived < count:
            arrived += reader.readinto(buffer) or 0
        wait_for_file(done)
        for pid in (running.pid, guardian):
            status = Path(f"/proc/{pid}/status").read_text()
            peak = int(status.split("VmHWM:")[1].split()[0])
            assert peak < 64_000, f"{peak} kB at most in {pid}"
        go.touch()
        assert not reader.read()
        ended = running.wait()
    assert ended.code == 3
    assert arrived == count == ended.report["usage"]["stdout_bytes"]


# --- readers


@with_and_without_report
def test_a_command_gets_sigpipe_when_the_reader_leaves(supervise: Place, report: bool) -> None:
    """There is no message about a failure."""
    words = ("run", "--report", "report.json", "--", "yes") if report else ("--", "yes")
    ended = supervise.shell('"$@" | head -1; echo ${PIPESTATUS[*]}', "supervise", *words)
    assert ended.out.split() == [b"y", b"141", b"0"]
    assert [message for message in ended.messages if "killed by PIPE" not in message] == []
    assert b"Traceback" not in ended.err


def test_a_command_that_ignores_sigpipe_gets_epipe(supervise: Place) -> None:
    broken = supervise.file("broken")
    script = '"$@" | head -1; echo ${PIPESTATUS[0]}'
    ended = supervise.shell(script, "supervise", "--", *child(f"flood_until_broken={broken}", "exit=3"))
    assert ended.out.split()[1] == b"3"
    assert ended.err == b""
    assert broken.exists()


def test_a_silent_command_sees_that_the_reader_has_left(supervise: Place) -> None:
    """The command sees it at once, without another byte."""
    broken = supervise.file("broken")
    script = '"$@" | head -1; echo ${PIPESTATUS[0]}'
    words = ("ready", f"wait_until_broken={broken}", "exit=3")
    ended = supervise.shell(script, "supervise", "-t", "30", "--", *child(*words))
    assert ended.out == b"ready\n3\n"
    assert ended.err == b""


def test_stdout_goes_on_when_the_reader_of_stderr_leaves(supervise: Place) -> None:
    script = '{ "$@" 2>&1 >&3 | head -c 5 >/dev/null; } 3>&1; echo ${PIPESTATUS[0]}'
    words = ("say_err=one", "sleep=0.2", "say_err=two", "say_err=three", "say=still", "exit=3")
    ended = supervise.shell(script, "supervise", "--", *child(*words))
    assert b"Traceback" not in ended.err + ended.out


def test_a_closed_stdout_gets_no_bytes(supervise: Place) -> None:
    """No other file that got the number of stdout is written to."""
    ended = supervise.shell('supervise "$@" >&-; echo $?', "-t", "30", "--report", "report.json", "--", "true")
    assert ended.out == b"0\n"
    assert b"Traceback" not in ended.err


def test_a_full_disk_under_stdout_is_an_error(supervise: Place) -> None:
    """Lost output is reported."""
    ended = supervise.shell(
        '"$@" > /dev/full', "supervise", "-t", "30", "--", *child("say=hello", "sleep=0.5", "exit=0")
    )
    assert any("no space left" in message.lower() for message in ended.messages)


def test_both_streams_into_one_pipe_arrive_whole(supervise: Place) -> None:
    ended = supervise.shell('"$@" 2>&1', "supervise", "--", "sh", "-c", "seq 1000; seq 1000 >&2")
    lines = ended.out.split()
    assert sorted(lines, key=int) == sorted([str(n).encode() for n in range(1, 1001)] * 2, key=int)


def test_messages_of_supervise_have_lines_of_their_own(supervise: Place) -> None:
    ended = supervise("-t", "2", "--warn-at", "0.5s", "--", *child("bytes_err=7061727469616c", "stay"))
    lines = ended.err.decode().splitlines()
    assert lines[0] == "partial"
    assert all(line.startswith("supervise: ") for line in lines[1:])
    assert len(ended.report["warnings"]) == 1


def test_stdout_is_not_made_non_blocking(supervise: Place) -> None:
    """Other processes share the open file description."""
    ours, theirs = os.pipe()
    try:
        assert supervise("--", *child("ready", "sleep=0.5"), stdout=theirs).code == 0
        assert os.get_blocking(theirs)
        assert os.read(ours, 100) == b"ready\n"
    finally:
        os.close(ours)
        os.close(theirs)


# --- stdin, and other files


def test_stdin_arrives_whole(supervise: Place) -> None:
    data = os.urandom(300_000)
    assert supervise("--", *child("cat"), stdin=data).out == data


def test_supervise_does_not_read_stdin(supervise: Place) -> None:
    """Bytes that the command leaves are there for the next command."""
    ended = supervise.shell("supervise -- head -c 2; supervise -- true; cat", stdin=b"abcdef")
    assert ended.out == b"abcdef"


def test_a_closed_stdin_changes_nothing(supervise: Place) -> None:
    ended = supervise.shell('"$@" <&-', "supervise", "-t", "30", "--", *child("ready", "exit=3"))
    assert (ended.code, ended.out) == (3, b"ready\n")


def test_open_files_are_inherited(supervise: Place) -> None:
    supervise.file("data").write_text("from three\n")
    ended = supervise.shell("supervise -- cat /dev/fd/3 3< data")
    assert ended.out == b"from three\n"


def test_no_file_of_supervise_is_inherited(supervise: Place) -> None:
    ended = supervise("--", *child("fds"), events=True)
    assert ended.out == b"0 1 2\n"
    assert supervise.start("--", *child("fds"), report=False).wait().out == b"0 1 2\n"


@pytest.mark.needs("make")
@pytest.mark.parametrize("style", ["pipe", "fifo"])
def test_the_job_server_of_make_works(supervise: Place, style: str) -> None:
    help_text = subprocess.run(["make", "--version"], capture_output=True, text=True, check=True).stdout
    if style == "fifo" and not any(f"Make {version}" in help_text for version in ("4.4", "4.5", "4.6")):
        pytest.skip("this make knows pipes alone")
    rules = "all:\n\t+supervise -- $(MAKE) -f Makefile inner\ninner: a b\na b:\n\t@echo made $@\n"
    supervise.file("Makefile").write_text(rules)
    options = [f"--jobserver-style={style}"] if "4.4" in help_text else []
    ended = supervise.popen(["make", "-j2", *options]).wait()
    assert ended.code == 0
    assert b"jobserver unavailable" not in ended.err
    assert ended.out.count(b"made") == 2


def test_a_command_without_a_terminal_has_a_session_of_its_own(supervise: Place) -> None:
    ended = supervise("--", *child("group"))
    _, pid, _, group, _, session = ended.out.split()
    assert pid == group == session


def test_a_late_reader_gets_all_output(supervise: Place) -> None:
    """The command has ended before its output is read."""
    ours, theirs = os.pipe()
    try:
        running = supervise.start("--", *child("flood=300000", "exit=3"), stdout=theirs)
        os.close(theirs)
        theirs = -1
        pid = int(wait_until(lambda: next((pid for pid in supervise.alive() if pid not in (running.pid,)), 0)))
        assert pid
        with open(ours, "rb", closefd=False) as reader:
            assert len(reader.read()) == 300_000
        assert running.wait().code == 3
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
