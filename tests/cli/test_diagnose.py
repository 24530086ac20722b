"""The snapshot of the tree at a limit (`--diagnose`), and the dump that the command prints before (`--dump-signal`)."""

import re
import signal
import socket
import sys
from datetime import datetime
from typing import Any

import pytest

from tests.support.clients import command
from tests.support.harness import Ended, Place, child

HINT = "the CPU is busy but nothing is printed: its output may be held back by block buffering; try --pty"
DUMP_NOTICE = b"asking for a dump"
AFTER_ACCESS = ("-a", "30", "-t", "1")
"""A limit of one second that begins at the first byte, however long the command takes to start."""
TRIALS = 20
LISTED_PROCESSES = 300
"""Processes that a report lists at most."""


def python(code: str) -> tuple[str, ...]:
    """Return a Python program whose output into a pipe is held back in blocks, as is usual."""
    return (sys.executable, "-S", "-c", code)


def snapshot(ended: Ended) -> list[str]:
    """Return the message lines that show processes."""
    return [line.removeprefix("  ") for line in ended.messages if line.startswith("  ")]


def processes(ended: Ended) -> list[dict[str, Any]]:
    """Return the processes of the snapshot in the report."""
    return list(ended.report["diagnosis"]["processes"])


def at_limit(supervise: Place, *words: str, count: int = 1, **manner: Any) -> Ended:
    """Run to a limit, again where a busy machine had no time for a whole snapshot of so many processes."""
    for _ in range(TRIALS):
        ended = supervise(*words, **manner)
        diagnosis = ended.report["diagnosis"]
        if diagnosis["complete"] and diagnosis["cpu_span"] and len(diagnosis["processes"]) == count:
            return ended
    pytest.fail(f"never whole: {diagnosis}")


# --- when a snapshot is taken


@pytest.mark.parametrize(("limit", "words"), [("-a", ()), ("-i", ("ready",)), ("-t", ("ready",))])
def test_each_limit_shows_a_snapshot(supervise: Place, limit: str, words: tuple[str, ...]) -> None:
    ended = at_limit(supervise, limit, "1", "--", *child("fork", "stay", "end", *words, "stay"), count=2, events=True)
    verdict, header, first, second, *rest = ended.messages
    assert "timeout" in verdict
    # The snapshot begins SNAPSHOT_LEAD_SECONDS (0.2) before the limit, and its measure is over by then.
    assert re.fullmatch(r"what the processes were doing, .*and their CPU use over the last 0\.[012]\d?s:", header)
    assert re.fullmatch(r"  pid \d+ python\S*: sleeping in \w+nanosleep, cpu [\d.]+%", first)
    assert re.fullmatch(r"    pid \d+ python\S*: sleeping in \w+nanosleep, cpu [\d.]+%", second)
    assert len(rest) == 1 + len(words), "the last line, if there was one, and the final message"
    assert [one["depth"] for one in processes(ended)] == [0, 1]
    assert processes(ended)[0]["pid"] == processes(ended)[1]["parent"] == ended.report["attempts"][0]["pid"]
    assert not ended.left
    names = [event["event"] for event in ended.events]
    assert names.index("verdict") + 1 == names.index("diagnosis")
    event = ended.events_named("diagnosis")[0]
    assert event["processes"] == processes(ended)


def test_a_cancellation_or_an_ordinary_end_shows_no_snapshot(supervise: Place) -> None:
    running = supervise.start("-t", "30", "--dump-signal", "QUIT", "--", *child("print_signals", "ready", "stay"))
    running.wait_for_out(b"ready")
    for name in (signal.SIGTERM, signal.SIGINT):
        running.send(name)
    ended = running.wait()
    assert ended.report["diagnosis"] is None
    assert b"QUIT" not in ended.out
    assert "what the processes were doing" not in ended.err.decode()
    assert supervise("-t", "30", "--", *child("exit=3")).report["diagnosis"] is None


def test_diagnose_off_shows_no_snapshot(supervise: Place) -> None:
    ended = supervise("--diagnose", "off", *AFTER_ACCESS, "--", *child("ready", "stay"), events=True)
    assert len(ended.messages) == 2
    assert ended.report["diagnosis"] is None
    assert not ended.events_named("diagnosis")


def test_a_quiet_run_has_the_snapshot_in_its_report(supervise: Place) -> None:
    ended = at_limit(supervise, "-q", *AFTER_ACCESS, "--", *child("ready", "stay"))
    assert ended.messages == ended.finals


def test_the_snapshot_is_taken_before_the_signal(supervise: Place) -> None:
    """The snapshot of a command that exits at the signal shows it alive."""
    ended = at_limit(supervise, *AFTER_ACCESS, "--", *child("exit_on=TERM,0", "ready", "stay"))
    assert ended.report["command_exit"]["code"] == 0
    assert [one["state"] for one in processes(ended)] == ["S"]


# --- what a snapshot shows


def test_the_snapshot_shows_a_read_from_a_socket(supervise: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"""
import socket
s = socket.create_connection(("127.0.0.1", {port}))
s.sendall(b"hello")
print("sent", flush=True)
s.recv(1)
"""
        # The kernel alone accepts the connection.
        ended = at_limit(supervise, *AFTER_ACCESS, "--", *python(code))
    [one] = processes(ended)
    [connection] = one["sockets"]
    assert connection["peer"] == f"127.0.0.1:{port}"
    assert (connection["sent_bytes"], connection["received_bytes"]) == (5, 0)
    assert one["state"] == "S"
    assert f"{connection['local']} > 127.0.0.1:{port} ESTABLISHED, sent 5 B, received 0 B" in snapshot(ended)[0]
    assert f"sleeping in {one['waits_in']}" in snapshot(ended)[0]


def test_the_snapshot_shows_stopped_processes(supervise: Place) -> None:
    ended = at_limit(supervise, *AFTER_ACCESS, "--", *child("fork", "stop", "end", "ready", "stay"), count=2)
    assert [one["state"] for one in processes(ended)] == ["S", "T"]
    assert ": stopped in do_signal_stop, cpu 0%" in snapshot(ended)[1]


def test_the_cpu_of_the_snapshot_covers_the_activity_window(supervise: Place) -> None:
    ended = at_limit(supervise, "-t", "4", "-x", "1", "--extend-by", "1", "--", *child("ready", "burn_cpu=60"))
    assert len(ended.report["extensions"]) == 1
    assert ended.report["diagnosis"]["cpu_span"] > 0.5
    assert processes(ended)[0]["cpu_percent"] > 10


def test_the_snapshot_of_very_many_processes_is_cut(supervise: Place) -> None:
    code = f"""
import os, signal, time
for _ in range({LISTED_PROCESSES} + 30):
    if not os.fork():
        time.sleep(60)
        os._exit(0)
def end(*_):
    print(time.time())
    raise SystemExit
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""
    ended = supervise(*AFTER_ACCESS, "--", *python(code), events=True)
    assert ended.code == 124
    assert not ended.left
    assert len(processes(ended)) <= LISTED_PROCESSES
    if ended.report["diagnosis"]["complete"]:
        assert len(processes(ended)) + ended.report["diagnosis"]["more"] == LISTED_PROCESSES + 31
    assert len(snapshot(ended)) <= 21
    assert len(processes(ended)) <= 20 or re.fullmatch(r"and \d+ more", snapshot(ended)[-1])
    verdict = datetime.fromisoformat(ended.events_named("verdict")[0]["at"]).timestamp()
    late = float(ended.out.split()[-1]) - verdict
    print(f"{LISTED_PROCESSES + 31} processes: TERM {late * 1000:.0f} ms after the verdict")


# --- the last line


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("say=one", "say=two"), "on stdout: two"),
        (("say=one", "sleep=0.1", "say_err=two"), "on stderr: two"),
        (("bytes=6f6e650a74776f",), "on stdout: two"),
        (("bytes=0d3130250d2032302520",), "on stdout: 20%"),
        (("say=" + "long " * 100,), "on stdout: ..." + ("long " * 40)[1:].strip()),
        (("bytes=1b5b324aff0a",), r"on stdout: \x1b[2J\xff"),
    ],
    ids=["stdout", "stderr", "no end", "progress", "long", "hostile"],
)
def test_the_snapshot_has_the_last_line_of_output(supervise: Place, words: tuple[str, ...], shown: str) -> None:
    ended = supervise("-a", "30", "-i", "2", "--", *child(*words, "stay"))
    [line] = [line for line in ended.messages if line.startswith("last line")]
    assert re.fullmatch(r"last line, [\d.]+s before, ", line.removesuffix(shown))


def test_the_last_line_of_a_flood_is_shown(supervise: Place) -> None:
    """Most of the flood is handed over by splice, unread."""
    ended = supervise("-a", "30", "-i", "2", "--", *child("flood=20000000", "say=", "say=last", "stay"))
    assert len(ended.out) == 20_000_000 + 6
    assert ended.report["diagnosis"]["last_line"]["text"] == "last"


def test_the_last_line_is_of_the_moment_before_the_signal(supervise: Place) -> None:
    """The supervisor begins the snapshot ten lines before the signal."""
    code = "import time\nn = 0\nwhile True:\n    n += 1\n    print(n, flush=True)\n    time.sleep(0.02)"
    for _ in range(TRIALS):
        ended = supervise(*AFTER_ACCESS, "--", *python(code))
        missed = int(ended.out.split()[-1]) - int(ended.report["diagnosis"]["last_line"]["text"])
        if missed <= 3:
            return
    pytest.fail(f"the diagnosis shows a line {missed} lines before the last one")


def test_the_snapshot_shows_control_characters_escaped(supervise: Place) -> None:
    code = r"""
import time
with open("/proc/self/comm", "wb") as file: file.write(b"\x1b[2J)\n\xff")
print("\x1b]0;x\x07\u202e", flush=True)
time.sleep(60)
"""
    ended = at_limit(supervise, *AFTER_ACCESS, "--", *python(code))
    assert len(snapshot(ended)) == 1
    assert all(line.isprintable() for line in ended.messages)
    assert r"\x1b]0;x\x07\u202e" in ended.err.decode()


# --- the hint at block buffering


BUSY = "print('hidden')\nwhile True: pass"


def test_a_busy_silent_program_gets_a_hint_at_block_buffering(supervise: Place) -> None:
    ended = at_limit(supervise, "-t", "2", "--", *python(BUSY))
    assert ended.out == b""
    assert ended.messages[-2] == HINT
    assert ended.report["diagnosis"]["hint"] == "block_buffering"
    shown = command(supervise, "show", "-").out.decode()
    assert f"\n  {HINT}\n" in shown


def test_the_pty_that_the_hint_names_shows_the_output(supervise: Place) -> None:
    ended = at_limit(supervise, "--pty", *AFTER_ACCESS, "--", *python(BUSY))
    assert ended.out == b"hidden\r\n"
    assert ended.report["diagnosis"]["hint"] is None
    assert ended.report["diagnosis"]["last_line"]["text"] == "hidden"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("idle", "print('hidden'); up(); time.sleep(60)"),
        ("talks", "up()\nwhile True: print('here', flush=True)"),
        ("elsewhere", "os.dup2(os.open('file', os.O_WRONLY | os.O_CREAT), 1); up()\nwhile True: pass"),
    ],
    ids=lambda value: value if value.isalpha() else "",
)
def test_other_programs_get_no_hint(supervise: Place, what: str, code: str) -> None:
    up = "import os, time\ndef up(): os.write(2, b'up')\n"
    ended = at_limit(supervise, *AFTER_ACCESS, "--", *python(up + code))
    assert ended.code == 124
    assert HINT not in ended.messages
    assert ended.report["diagnosis"]["hint"] is None


# --- the dump


JVM = """
import os, signal, time
def dump(*_):
    for number in range(20):
        os.write(1, b"thread %d: waiting\\n" % number)
        time.sleep(0.015)
    os.write(1, b"end of dump\\n")
def end(*_):
    os.write(1, b"terminated\\n")
    os._exit(143)
signal.signal(signal.SIGQUIT, dump)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(60)
"""


def test_a_dump_arrives_whole_before_the_stop(supervise: Place) -> None:
    ended = at_limit(supervise, *AFTER_ACCESS, "--dump-signal", "QUIT", "--", *python(JVM), events=True)
    dump = [b"thread %d: waiting" % number for number in range(20)]
    assert ended.out.splitlines() == [b"ready", *dump, b"end of dump", b"terminated"]
    assert ended.messages[0].endswith("; asking for a dump with QUIT, then stopping with TERM, KILL in 10s")
    assert ended.report["stop"]["dump_signal"] == ended.events_named("verdict")[0]["dump_signal"] == "QUIT"
    # The snapshot is of the moment before the stop.
    assert ended.report["diagnosis"]["last_line"]["text"] == "end of dump"
    assert ended.report["command_exit"]["code"] == 143


def test_a_python_program_dumps_its_stack(supervise: Place) -> None:
    code = """
import faulthandler, signal, time
faulthandler.register(signal.SIGUSR1)
def stuck():
    time.sleep(60)
print("ready", flush=True)
stuck()
"""
    ended = supervise("-a", "30", "-i", "1", "--dump-signal", "USR1", "--", *python(code))
    assert ended.code == 123
    assert b"most recent call first" in ended.err
    assert b"in stuck" in ended.err


def test_a_command_that_dies_of_the_dump_signal_ends_the_run_at_the_limit(supervise: Place) -> None:
    ended = supervise("-t", "1", "--dump-signal", "USR1", "--", "sleep", "60")
    assert ended.code == 124
    assert ended.report["command_exit"]["signal"] == "USR1"


def test_the_tree_of_a_command_that_dies_of_the_dump_signal_is_stopped(supervise: Place) -> None:
    words = ("fork", "ignore=TERM", "stay", "end", "ready", "stay")
    ended = supervise(*AFTER_ACCESS, "-k", "0.3", "--dump-signal", "USR1", "--", *child(*words))
    assert ended.code == 124
    assert ended.report["command_exit"]["signal"] == "USR1"
    assert ended.report["stop"]["killed"]
    assert not ended.left


def test_only_the_command_itself_gets_the_dump_signal(supervise: Place) -> None:
    words = ("ignore=QUIT", "fork", "print_signals", "ready", "stay", "end", "stay")
    ended = supervise(*AFTER_ACCESS, "-k", "3", "--dump-signal", "QUIT", "--", *child(*words))
    assert b"got TERM" in ended.out
    assert b"QUIT" not in ended.out


def test_a_cancellation_cuts_the_dump_short(supervise: Place) -> None:
    words = ("print_signals", "ready", "stay")
    running = supervise.start(*AFTER_ACCESS, "-k", "1", "--dump-signal", "QUIT", "--", *child(*words))
    running.wait_for_err(DUMP_NOTICE)
    running.wait_for_out(b"got QUIT")
    running.send(signal.SIGHUP)
    ended = running.wait()
    assert ended.code == 124
    # Python handles signals that came together in the order of their numbers.
    said = sorted(line for line in ended.out.splitlines() if line != b"got CONT")
    assert said == [b"got HUP", b"got QUIT", b"got TERM", b"ready"]
