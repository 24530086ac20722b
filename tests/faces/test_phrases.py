"""Values in the words of messages."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervise.core.events import Activity, Process, ProcessCpu, ProcessSnapshot, Socket
from supervise.core.outcome import Exit
from supervise.faces import phrases
from supervise.faces.report_items import LastLine
from supervise.options.values import duration as read_duration
from supervise.text import byte_count
from tests.support.examples import (
    COMPILER,
    EPOCH,
    SLEEP,
    SUDO,
    activity,
    last_line,
    process,
    process_snapshot,
    text,
    time,
    unhurried,
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (90, "1m30s"),
        (7200, "2h"),
        (240, "4m"),
        (0.5, "0.5s"),
        (3600, "1h"),
        (3603, "1h0m3s"),
        (0, "0s"),
        (-1, "0s"),
        (0.0004, "0s"),
        (0.05, "0.05s"),
        (1.25, "1.25s"),
        (59.9996, "1m"),
        (90.5, "1m30.5s"),
        (86400, "1d"),
        (86700, "1d0h5m"),
        (90000, "1d1h"),
    ],
)
def test_a_duration(seconds: float, expected: str) -> None:
    assert phrases.duration(seconds) == expected


@unhurried
@given(st.floats(0, 3e9))
def test_a_duration_can_be_read_again(seconds: float) -> None:
    assert read_duration(phrases.duration(seconds)) == pytest.approx(seconds, abs=0.00051)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0412, "0.04s"), (9.9987, "10s"), (9.94, "9.9s"), (59.96, "1m"), (3603.4, "1h0m3s"), (0.0, "0s")],
)
def test_a_measured_duration(seconds: float, expected: str) -> None:
    assert phrases.measured(seconds) == expected


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (0, "14:07:00+01:00"),
        (-0.4, "14:07:00+01:00"),
        (0.6, "14:07:01+01:00"),
        (9 * 3600, "23:07:00+01:00"),
        (10 * 3600, "2026-11-23 00:07:00+01:00"),
        (365 * 86400, "2027-11-22 14:07:00+01:00"),
    ],
)
def test_a_local_time(ahead: float, expected: str) -> None:
    assert phrases.local_time(EPOCH + ahead, EPOCH) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (9_960_000, "10 MB"),
        (12_345_678, "12 MB"),
        (999_600, "1.0 MB"),
        (10**12, "1.0 TB"),
        (10**18, "1000 PB"),
        (10**20, "100000 PB"),
    ],
)
def test_a_size(count: int, expected: str) -> None:
    assert byte_count.size(count) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (COMPILER, "cpu 97% (pid 812 cc1plus), 1.2 MB on 2 sockets"),
        (Activity(frozenset({"cpu"}), 97.4), "cpu 97% (processes that came and went)"),
        (Activity(frozenset({"cpu"}), 0.52), "cpu 0.5% (processes that came and went)"),
        (Activity(frozenset({"cpu"}), 250.0), "cpu 250% (processes that came and went)"),
        (Activity(frozenset({"socket"}), 97.4, sockets=1, socket_bytes=10), "10 B on 1 socket"),
        (Activity(frozenset({"connection"}), connections=1), "1 open connection"),
        (Activity(frozenset({"connection"}), connections=2), "2 open connections"),
        (
            Activity(frozenset({"output", "io"}), io_bytes=5_000_000, socket_bytes=5),
            "5.0 MB read or written, output",
        ),
        (
            Activity(frozenset({"cpu"}), 50.0, ProcessCpu(7, 1, "a\x1b[2J\nb\udcff", 1.0)),
            r"cpu 50% (pid 7 a\x1b[2J\nb\xff)",
        ),
    ],
)
def test_an_activity(seen: Activity, expected: str) -> None:
    assert phrases.activity(seen) == expected


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (SUDO, "pid 812 sudo (uid 0, state S, waits in do_wait)"),
        (SLEEP, "pid 813 sleep (uid 1000, state S)"),
        (Process(814, "x\ty"), r"pid 814 x\ty"),
    ],
)
def test_a_process(one: Process, expected: str) -> None:
    assert phrases.process(one) == expected


def test_a_process_of_a_diagnosis() -> None:
    one = ProcessSnapshot(7, 1, 0, "x", "D", "folio_wait", 0.0, 1)
    assert phrases.process_snapshot(one) == "pid 7 x: in uninterruptible sleep in folio_wait, cpu 0%"
    assert phrases.process_snapshot(replace(one, state="P", waits_in="")) == "pid 7 x: state P, cpu 0%"
    assert phrases.process_snapshot(replace(one, depth=100)).index("pid") == 2 * phrases.GENERATIONS_INDENTED
    many = replace(one, sockets=(Socket("a:1", "", "LISTEN", 0, 0),) * 4)
    assert phrases.process_snapshot(many).endswith(
        "; tcp a:1 LISTEN; tcp a:1 LISTEN; tcp a:1 LISTEN; and 1 more socket"
    )


@pytest.mark.parametrize(
    ("exit", "expected"),
    [
        (Exit(0), "exit 0"),
        (Exit(3), "exit 3"),
        (Exit(None, 15), "killed by TERM"),
        (Exit(None, 11, True), "killed by SEGV (core dumped)"),
        (Exit(None, 40), "killed by RTMIN+6"),
        (Exit(None, 33), "killed by 33"),
        (Exit(None), "unknown"),
        (None, "unknown"),
    ],
)
def test_an_end(exit: Exit | None, expected: str) -> None:
    assert phrases.end(exit) == expected


@unhurried
@given(text)
def test_cleaned_text_prints_and_stays_as_it_is(anything: str) -> None:
    cleaned = phrases.clean(anything)
    assert cleaned.isprintable()
    assert phrases.clean(cleaned) == cleaned
    if anything.isprintable():
        assert cleaned == anything


def test_direction_overrides_and_line_separators_do_not_print() -> None:
    assert phrases.clean("a\u202eb\u2028c\x85d\x7f") == r"a\u202eb\u2028c\x85d\x7f"


@unhurried
@given(activity, process)
def test_names_are_cleaned(seen: Activity, one: Process) -> None:
    assert phrases.activity(seen).isprintable()
    assert phrases.process(one).isprintable()


@unhurried
@given(process_snapshot, last_line, time)
def test_text_of_a_diagnosis_is_cleaned(one: ProcessSnapshot, line: LastLine, t: float) -> None:
    assert phrases.process_snapshot(one).isprintable()
    assert phrases.last_line(line, t).isprintable()
