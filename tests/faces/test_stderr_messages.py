"""The messages to people, by verbosity."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervise.core.events import (
    Access,
    Activity,
    Emptied,
    Exited,
    Extended,
    KillOrdered,
    Paused,
    ProbeFailed,
    Process,
    ProcessSnapshot,
    PutOff,
    Refused,
    Resumed,
    RetryScheduled,
    SpawnFailed,
    Started,
    Tick,
    Verdict,
    Warned,
)
from supervise.core.outcome import Cause, Exit, Outcome
from supervise.core.policy import Policy
from supervise.faces.report_items import CommandMessage, Diagnosis, Heartbeat, Moment, ReportItem, Stragglers, Trouble
from supervise.faces.stderr_messages import StderrMessages, Verbosity
from supervise.text.stderr import PREFIX
from tests.support import examples
from tests.support.examples import COMPILER, HANGING, NOW, SLEEP, SUDO

COMMAND = ["make", "-j4"]
POLICY = Policy(access_timeout=30, timeout=3600, idle_timeout=600, max_extension=7200)

COMPLETION = Cause("completion_timeout", 600.0, "completion", 3600.0)
TOTAL = Cause("completion_timeout", 600.0, "total", 7200.0)
IDLE = Cause("idle_timeout", 600.0, "idle", 600.0)
ACCESS = Cause("access_timeout", 600.0, "access", 30.0)
INT = Cause("cancelled", 600.0, signal=2, source="signal INT")
MAKE = Cause("cancelled", 600.0, signal=15, source="signal TERM from pid 99 (make)")
STOP = Cause("cancelled", 600.0, signal=15, source="supervise stop")
UNSOURCED = Cause("cancelled", 600.0, signal=1)
NOT_FOUND = Cause("spawn_failed", 0.0, failure="not_found", reason="nosuch: not found")
FOLDER = Cause("spawn_failed", 0.0, failure="not_executable", reason="./dir: is a directory")
FULL = Cause("spawn_failed", 0.0, failure="error", reason="cannot start a process: no memory")

SEEN = "cpu 97% (pid 812 cc1plus), 1.2 MB on 2 sockets"

TCP = "tcp 10.0.0.2:4000 > 10.0.0.3:80 ESTABLISHED, sent 1.2 MB, received 0 B; tcp [::]:80 LISTEN"

NORMAL: list[tuple[ReportItem, list[str]]] = [
    # warnings
    (
        Warned("idle", 10.0, 9.998, 610.0),
        ["idle limit in 10s (14:07:10+01:00): no output for 9m50s; the command will be stopped with TERM"],
    ),
    (
        Warned("completion", 60.0, 60.0, 660.0),
        ["completion limit in 1m (14:08:00+01:00): the command will be stopped with TERM"],
    ),
    (
        Warned("completion", 60.0, 60.0, 660.0, COMPILER),
        [f"completion limit in 1m (14:08:00+01:00): an extension is likely: {SEEN}"],
    ),
    (
        Warned("completion", 10.0, 10.0, 610.0, None, 10),
        ["completion limit in 10s (14:07:10+01:00): the command will be stopped with TERM; sent USR1 to the command"],
    ),
    (
        Warned("access", 10.0, 10.0, 610.0),
        ["access limit in 10s (14:07:10+01:00): not up yet; the command will be stopped with TERM"],
    ),
    (
        Warned("completion", 60.0, 60.0, 600.0 + 86400),
        ["completion limit in 1m (2026-11-23 14:07:00+01:00): the command will be stopped with TERM"],
    ),
    # deadlines that move
    (
        Extended("completion", 120.0, 600.0, 240.0, 7200.0, COMPILER),
        ["extended by 2m to 14:07:00+01:00 (4m of 2h used): cpu 97% (pid 812 cc1plus), 1.2 MB on 2 sockets"],
    ),
    (
        Extended("idle", 300.0, 900.0, 0.0, 0.0, None),
        ["idle limit extended by 5m to 14:12:00+01:00, by hand"],
    ),
    (
        Extended("access", 1.5, 600.0, 61.5, 7200.0, None),
        ["access limit extended by 1.5s to 14:07:00+01:00 (1m2s of 2h used), as the command asks"],
    ),
    (
        PutOff(30.0, 630.0, Activity(frozenset({"cpu"}), 97.0), True),
        ["idle stop put off by 30s to 14:07:30+01:00: cpu 97% (processes that came and went)"],
    ),
    (Refused("extend", "the run is being stopped"), ["extend refused: the run is being stopped"]),
    # verdicts and the clean-up
    (Verdict(COMPLETION, 15, 10.0), ["completion timeout: ran longer than 1h; stopping with TERM, KILL in 10s"]),
    (Verdict(TOTAL, 15, 10.0), ["completion timeout: the total of 2h is used up; stopping with TERM, KILL in 10s"]),
    (Verdict(IDLE, 2, 0.5), ["idle timeout: no output for 10m; stopping with INT, KILL in 0.5s"]),
    (Verdict(ACCESS, 15, 0.0), ["access timeout: not up after 30s; stopping with TERM, KILL at once"]),
    (
        Verdict(replace(ACCESS, reason="last tried x:80: connection refused"), 15, 0.0),
        ["access timeout: not up after 30s; last tried x:80: connection refused; stopping with TERM, KILL at once"],
    ),
    (
        Verdict(replace(IDLE, limit_seconds=None, reason="the command says that it is stuck"), 15, 0.0),
        ["idle timeout: the command says that it is stuck; stopping with TERM, KILL at once"],
    ),
    (Verdict(INT, 2, 10.0), ["cancelled by signal INT; stopping with INT, KILL in 10s"]),
    (Verdict(MAKE, 9, 10.0), ["cancelled by signal TERM from pid 99 (make); stopping with KILL"]),
    (Verdict(STOP, 15, 10.0), ["cancelled by supervise stop; stopping with TERM, KILL in 10s"]),
    (Verdict(UNSOURCED, 1, 10.0), ["cancelled by signal HUP; stopping with HUP, KILL in 10s"]),
    (
        Verdict(IDLE, 15, 10.0, 3),
        ["idle timeout: no output for 10m; asking for a dump with QUIT, then stopping with TERM, KILL in 10s"],
    ),
    (
        Verdict(IDLE, 9, 0.0, 3),
        ["idle timeout: no output for 10m; asking for a dump with QUIT, then stopping with KILL"],
    ),
    (
        HANGING,
        [
            "what the processes were doing, as far as could be read in time, and their CPU use over the last 0.03s:",
            "  pid 812 sh: sleeping in do_wait, cpu 0%, waits for input from the terminal",
            rf"    pid 813 cu\xffrl: sleeping in wait_woken, cpu 0.3%, 4 threads; {TCP}",
            "  and 2 more",
            r"last line, 1m before, on stderr: ...fetching\x1b[0m",
            "the CPU is busy but nothing is printed: its output may be held back by block buffering; try --pty",
        ],
    ),
    (
        Diagnosis((ProcessSnapshot(812, 1, 0, "x", "R", "", 97.4, 1),)),
        ["what the processes were doing, and their CPU use since the start of each:", "  pid 812 x: running, cpu 97%"],
    ),
    (Diagnosis(()), []),
    (
        Heartbeat(61.2, COMPILER),
        ["no output for 1m1s, still busy: cpu 97% (pid 812 cc1plus), 1.2 MB on 2 sockets"],
    ),
    (KillOrdered("grace"), ["killing what is left with KILL"]),
    (KillOrdered("again"), ["a second request to stop: killing what is left with KILL"]),
    (
        Stragglers((SLEEP, Process(814, "x"))),
        ["left running: pid 813 sleep (uid 1000, state S)", "left running: pid 814 x"],
    ),
    (Stragglers(()), []),
]  # fmt: skip

ALWAYS: list[tuple[ReportItem, list[str]]] = [
    (Trouble("--report: cannot write 'x'"), ["--report: cannot write 'x'"]),
    (Emptied((SUDO,)), ["could not kill: pid 812 sudo (uid 0, state S, waits in do_wait)"]),
    (Emptied(), []),
    # the final message
    (
        Outcome("completion_timeout", 124, COMPLETION, Exit(None, 15)),
        ["completion timeout: the command was stopped after 10m (exit 124; its own status: killed by TERM)"],
    ),
    (
        Outcome("idle_timeout", 123, IDLE, Exit(0)),
        ["idle timeout: the command was stopped after 10m (exit 123; its own status: exit 0)"],
    ),
    (
        Outcome("access_timeout", 122, ACCESS, Exit(122)),
        ["access timeout: the command was stopped after 10m (exit 122)"],
    ),
    (
        Outcome("completion_timeout", 143, COMPLETION, Exit(None, 15)),
        ["completion timeout: the command was stopped after 10m (exit 143; its own status: killed by TERM)"],
    ),
    (
        Outcome("cancelled", 130, INT, Exit(None, 2), die_of=2),
        ["cancelled by signal INT: the command was stopped after 10m (exit 130; its own status: killed by INT)"],
    ),
    (
        Outcome("cancelled", 143, STOP, Exit(None)),
        ["cancelled by supervise stop: the command was stopped after 10m (exit 143; its own status: unknown)"],
    ),
    (
        Outcome("cancelled", 143, MAKE),
        ["cancelled by signal TERM from pid 99 (make): the command was stopped after 10m (exit 143)"],
    ),
    (Outcome("signaled", 139, None, Exit(None, 11)), ["the command was killed by SEGV (exit 139)"]),
    (
        Outcome("signaled", 134, None, Exit(None, 6, True)),
        ["the command was killed by ABRT (core dumped) (exit 134)"],
    ),
    (Outcome("not_found", 127, NOT_FOUND), ["nosuch: not found"]),
    (Outcome("not_executable", 126, FOLDER, reason="./dir: is a directory"), ["./dir: is a directory"]),
    (Outcome("error", 125, FULL), ["cannot start a process: no memory"]),
    (Outcome("error", 125), ["error"]),
]  # fmt: skip

VERBOSE: list[tuple[ReportItem, list[str]]] = [
    (Started(812), ["started: pid 812: make -j4"]),
    (Access(0.3, "output"), ["access after 0.3s: output"]),
    (
        PutOff(30.0, 630.0, Activity(frozenset({"cpu"}), 97.0), False),
        ["idle stop put off by 30s to 14:07:30+01:00: cpu 97% (processes that came and went)"],
    ),
    (ProbeFailed("port=80", "x:80: connection refused"), ["not up yet: x:80: connection refused"]),
    (CommandMessage("status", "all\nis well"), [r"the command says: status: all\nis well"]),
    (CommandMessage("stopping"), ["the command says: stopping"]),
    (Paused(), ["paused: all clocks stop"]),
    (Resumed(), ["resumed: all clocks go on"]),
    (Exited(Exit(3), 599.0), ["the command ended after 9m59s: exit 3"]),
    (Outcome("completed", 0, None, Exit(0)), ["completed (exit 0)"]),
    (Outcome("completed", 0, None, Exit(3)), ["completed (exit 0; its own status: exit 3)"]),
    (Outcome("failed", 1, None, Exit(1)), ["failed (exit 1)"]),
    (Outcome("failed", 127, None, Exit(127)), ["failed (exit 127)"]),
    (Outcome("resumable", 75, None, Exit(75)), ["resumable (exit 75)"]),
]

NEVER: list[ReportItem] = [Tick(), SpawnFailed("not_found", "nosuch: not found")]


def said(item: ReportItem, verbosity: Verbosity, policy: Policy = POLICY) -> list[str]:
    return StderrMessages(COMMAND, policy, verbosity).lines(item, NOW)


def prefixed(texts: list[str]) -> list[str]:
    return [f"supervise: {text}" for text in texts]


@pytest.mark.parametrize(("item", "texts"), ALWAYS)
def test_errors_and_the_final_message_are_always_written(item: ReportItem, texts: list[str]) -> None:
    assert said(item, "quiet") == said(item, "normal") == said(item, "verbose") == prefixed(texts)


@pytest.mark.parametrize(("item", "texts"), NORMAL)
def test_what_happens_is_written_unless_quiet(item: ReportItem, texts: list[str]) -> None:
    assert said(item, "quiet") == []
    assert said(item, "normal") == said(item, "verbose") == prefixed(texts)


@pytest.mark.parametrize(("item", "texts"), VERBOSE)
def test_verbose_writes_more(item: ReportItem, texts: list[str]) -> None:
    assert said(item, "quiet") == said(item, "normal") == []
    assert said(item, "verbose") == prefixed(texts)


@pytest.mark.parametrize("item", NEVER)
def test_an_item_that_another_message_covers_has_none(item: ReportItem) -> None:
    assert said(item, "verbose") == []


def test_a_warning_names_the_signal_of_the_policy() -> None:
    policy = Policy(timeout=3600, signal=2)
    assert said(Warned("completion", 60.0, 60.0, 660.0), "normal", policy) == prefixed(
        ["completion limit in 1m (14:08:00+01:00): the command will be stopped with INT"]
    )


def test_a_warning_under_idle_grace_does_not_name_the_silence() -> None:
    policy = Policy(idle_timeout=600, idle_grace=300)
    assert said(Warned("idle", 10.0, 10.0, 610.0), "normal", policy) == prefixed(
        ["idle limit in 10s (14:07:10+01:00): the command will be stopped with TERM"]
    )


def test_absolute_times_follow_a_clock_that_was_set() -> None:
    later = Moment(NOW.t, NOW.epoch + 3600)
    assert StderrMessages(COMMAND, POLICY, "normal").lines(Warned("completion", 60.0, 60.0, 660.0), later) == prefixed(
        ["completion limit in 1m (15:08:00+01:00): the command will be stopped with TERM"]
    )


def test_the_final_message_after_a_retry_says_how_many_attempts_the_time_is_for() -> None:
    plain = StderrMessages(COMMAND, POLICY, "normal")
    for number in (2, 3):
        plain.lines(RetryScheduled(number, 3, 1.0, Outcome("idle_timeout", 123, IDLE)), NOW)
        plain.lines(Started(9), NOW)
    assert plain.lines(Outcome("idle_timeout", 123, IDLE), NOW) == prefixed(
        ["idle timeout: the command was stopped after 10m and 3 attempts (exit 123)"]
    )


def test_a_message_names_some_of_many_processes() -> None:
    many = tuple(Process(pid, "sleep") for pid in range(1, 31))
    assert said(Stragglers(many), "normal") == prefixed(
        [*(f"left running: pid {pid} sleep" for pid in range(1, 11)), "left running: and 20 more"]
    )


def test_a_diagnosis_shows_the_beginning_of_a_large_tree() -> None:
    many = tuple(ProcessSnapshot(pid, 1, 0, "x", "S", "", 0.0, 1) for pid in range(1, 301))
    lines = said(Diagnosis(many, more=50), "normal")
    assert len(lines) == 1 + 20 + 1
    assert lines[20] == "supervise:   pid 20 x: sleeping, cpu 0%"
    assert lines[21] == "supervise:   and 330 more"


@examples.unhurried
@given(examples.item, examples.moment, st.sampled_from(["quiet", "normal", "verbose"]), st.lists(examples.some_text))
def test_every_message_is_one_printable_line(
    item: ReportItem, moment: Moment, verbosity: Verbosity, command: list[str]
) -> None:
    for line in StderrMessages(command, POLICY, verbosity).lines(item, moment):
        assert line.startswith(PREFIX)
        assert line.isprintable()


@examples.unhurried
@given(examples.outcome, examples.moment)
def test_there_is_one_final_message_or_none(outcome: Outcome, moment: Moment) -> None:
    by_itself = outcome.cause is None and outcome.name in ("completed", "failed", "resumable")
    assert len(StderrMessages(COMMAND, POLICY, "quiet").lines(outcome, moment)) == (0 if by_itself else 1)
    assert len(StderrMessages(COMMAND, POLICY, "verbose").lines(outcome, moment)) == 1


@pytest.mark.parametrize(
    ("items", "final"),
    [
        ([KillOrdered("grace"), Emptied()], "the command was stopped after 10m"),
        ([KillOrdered("grace"), Emptied((SUDO,))], "1 process could not be stopped within 10m"),
        ([Emptied((SUDO, SUDO))], "2 processes could not be stopped within 10m"),
        # No item has reported the end of the tree.
        ([KillOrdered("grace")], "the processes of the command could not be stopped within 10m"),
        # The survivor belongs to another attempt.
        ([KillOrdered("grace"), Emptied((SUDO,)), Started(9)], "the command was stopped after 10m"),
    ],
)  # fmt: skip
def test_the_final_message_never_says_that_a_surviving_command_was_stopped(items: list[ReportItem], final: str) -> None:
    plain = StderrMessages(COMMAND, POLICY, "normal")
    for item in items:
        plain.lines(item, NOW)
    (said,) = plain.lines(Outcome("completion_timeout", 124, COMPLETION), NOW)
    assert said == f"{PREFIX}completion timeout: {final} (exit 124)"
