"""The three limits of the installed program: alone, together, off, and from the environment."""

import signal
import time

import pytest

from tests.support.harness import Ended, Place, child, state_of, wait_until


def check_timeout(ended: Ended, limit: str, seconds: float) -> None:
    """Check that this limit ended the run, and that code, report and message agree."""
    code = {"access": 122, "idle": 123, "completion": 124}[limit]
    assert ended.code == code
    assert ended.report["exit_code"] == code
    assert ended.report["outcome"] == f"{limit}_timeout"
    assert ended.report["timeout_cause"] == ended.report["limit"] == limit
    assert ended.report["limit_seconds"] == seconds
    assert ended.report["duration"] >= seconds
    assert ended.messages[-1].startswith(f"{limit} timeout: ")
    assert len(ended.finals) == 1
    assert not ended.left


# --- alone


def test_the_completion_limit_ends_a_run(supervise: Place) -> None:
    ended = supervise("-t", "1", "--", *child("ready", "stay"))
    check_timeout(ended, "completion", 1)
    assert ended.out == b"ready\n"
    assert ended.report["command_exit"] == {"code": None, "signal": "TERM", "core": False}


def test_the_access_limit_ends_a_run(supervise: Place) -> None:
    ended = supervise("-a", "1", "--", *child("stay"))
    check_timeout(ended, "access", 1)
    assert ended.report["access"] is None


def test_the_idle_limit_ends_a_run(supervise: Place) -> None:
    ended = supervise("-i", "1", "--", *child("ready", "stay"))
    check_timeout(ended, "idle", 1)


def test_limits_hold_without_a_report(supervise: Place) -> None:
    limits = {"-a": 122, "-i": 123, "-t": 124}
    running = {limit: supervise.start(limit, "1", "--", *child("stay"), report=False) for limit in limits}
    ended = {limit: one.wait() for limit, one in running.items()}
    assert {limit: one.code for limit, one in ended.items()} == limits
    assert [len(one.finals) for one in ended.values()] == [1, 1, 1]


@pytest.mark.parametrize("limit", ["-a", "-i", "-t"])
def test_a_command_within_its_limit_keeps_its_exit_code(supervise: Place, limit: str) -> None:
    ended = supervise(limit, "20", "--", *child("ready", "exit=7"))
    assert ended.code == 7
    assert ended.report["outcome"] == "failed"
    assert ended.report["timeout_cause"] is None
    assert ended.err == b""


# --- together


FIRST_LIMITS = {
    "access": (("-a", "1", "-t", "30", "-i", "30"), ("stay",), "access", 1),
    "completion": (("-a", "30", "-t", "1", "-i", "30"), ("ready", "stay"), "completion", 1),
    "idle": (("-a", "30", "-t", "30", "-i", "1"), ("ready", "stay"), "idle", 1),
    "completion of a command that prints all the time": (
        ("-t", "1.5", "-i", "20"), ("ready", "tick=0.1,1000"), "completion", 1.5,
    ),
    "access longer than completion": (("-a", "2", "-t", "1"), ("stay",), "access", 2),
}  # fmt: skip


@pytest.mark.parametrize(("options", "words", "limit", "seconds"), FIRST_LIMITS.values(), ids=FIRST_LIMITS)
def test_the_limit_that_is_due_first_ends_the_run(
    supervise: Place, options: tuple[str, ...], words: tuple[str, ...], limit: str, seconds: float
) -> None:
    check_timeout(supervise(*options, "--", *child(*words)), limit, seconds)


# --- access


def test_the_completion_limit_counts_from_the_first_byte(supervise: Place) -> None:
    ended = supervise("-a", "20", "-t", "1", "--", *child("sleep=1.5", "ready", "stay"), events=True)
    assert ended.code == 124
    [access] = ended.events_named("access")
    [verdict] = ended.events_named("verdict")
    assert access["t"] >= 1.5
    assert verdict["t"] >= access["t"] + 0.999
    assert ended.report["access"]["at"] == access["at"]


def test_a_byte_on_stderr_gives_access(supervise: Place) -> None:
    ended = supervise("-a", "2", "-t", "20", "--", *child("ready_err", "sleep=2.5", "exit=0"))
    assert ended.code == 0
    assert ended.report["access"]["how"] == "output"


def test_the_completion_limit_does_not_run_before_access(supervise: Place) -> None:
    """The command takes three times its completion limit to come up."""
    ended = supervise("-a", "20", "-t", "0.7", "--", *child("sleep=2.1", "ready", "exit=5"))
    assert ended.code == 5


def test_later_output_does_not_move_the_completion_deadline(supervise: Place) -> None:
    ended = supervise("-a", "20", "-t", "1.5", "--", *child("ready", "tick=0.1,1000"), events=True)
    check_timeout(ended, "completion", 1.5)
    assert len(ended.events_named("access")) == 1


def test_output_after_the_access_limit_revives_no_run(supervise: Place) -> None:
    ended = supervise("-a", "1", "-t", "20", "--", *child("last_words=TERM", "stay"))
    check_timeout(ended, "access", 1)
    assert ended.report["access"] is None
    assert ended.out == b"last words\n"


def test_a_command_may_end_before_access(supervise: Place) -> None:
    ended = supervise("-a", "20", "--", "sh", "-c", "exit 3")
    assert ended.code == 3
    assert ended.report["access"] is None


def test_without_an_access_limit_access_is_at_spawn(supervise: Place) -> None:
    """The limit ends a silent command: it does not wait for a first byte."""
    ended = supervise("-t", "1", "--", *child("stay"))
    check_timeout(ended, "completion", 1)
    assert ended.report["access"]["at"] >= ended.report["started_at"]


# --- off


def test_a_limit_of_zero_or_off_is_no_limit(supervise: Place) -> None:
    words = child("sleep=0.8", "ready", "exit=4")
    for one in [
        supervise.start("-a", off, "-t", off, "-i", off, "--", *words) for off in ("0", "off", "infinity", "0s", "PT0S")
    ]:
        ended = one.wait()
        assert ended.code == 4
        assert ended.err == b""


def test_the_last_of_a_repeated_option_counts(supervise: Place) -> None:
    assert supervise("-t", "1", "-t", "off", "--", *child("sleep=1.5", "exit=4")).code == 4


def test_all_forms_of_a_duration_are_taken(supervise: Place) -> None:
    for one in [
        supervise.start(f"--timeout={duration}", "--", *child("stay"))
        for duration in ("1000ms", "1", "1s", "0.5s500ms", "PT1S", "1.0")
    ]:
        check_timeout(one.wait(), "completion", 1)


def test_completion_timeout_is_the_other_name_of_timeout(supervise: Place) -> None:
    check_timeout(supervise("--completion-timeout", "1", "--", *child("stay")), "completion", 1)


# --- from the environment


def test_variables_set_the_limits(supervise: Place) -> None:
    variables = {
        "SUPERVISE_ACCESS_TIMEOUT": 122,
        "SUPERVISE_IDLE_TIMEOUT": 123,
        "SUPERVISE_TIMEOUT": 124,
        "SUPERVISE_COMPLETION_TIMEOUT": 124,
    }
    running = {name: supervise.start("--", *child("stay"), env={name: "1s"}) for name in variables}
    assert {name: one.wait().code for name, one in running.items()} == variables


def test_the_command_line_wins_over_the_environment(supervise: Place) -> None:
    ended = supervise("-t", "off", "--", *child("sleep=1.5", "exit=6"), env={"SUPERVISE_TIMEOUT": "1"})
    assert ended.code == 6


def test_an_empty_variable_is_unset(supervise: Place) -> None:
    assert supervise("--", *child("exit=0"), env={"SUPERVISE_TIMEOUT": "", "SUPERVISE_SIGNAL": ""}).code == 0


def test_variables_of_options_do_not_reach_the_command(supervise: Place) -> None:
    ours = {"SUPERVISE_TIMEOUT": "30", "SUPERVISE_WARN_AT": "off", "SUPERVISE_IDLE_TIMEOUT": ""}
    others = {"SUPERVISED": "1", "TIMEOUT": "5"}
    seen = "env=SUPERVISE_TIMEOUT env=SUPERVISE_WARN_AT env=SUPERVISE_IDLE_TIMEOUT env=SUPERVISED env=TIMEOUT"
    ended = supervise("--", *child(*seen.split()), env={**ours, **others})
    assert ended.code == 0
    assert ended.out.decode().splitlines() == [
        "SUPERVISE_TIMEOUT=None",
        "SUPERVISE_WARN_AT=None",
        "SUPERVISE_IDLE_TIMEOUT=None",
        "SUPERVISED='1'",
        "TIMEOUT='5'",
    ]


def test_the_variables_do_not_reach_an_inner_supervise(supervise: Place) -> None:
    inner = (str(supervise.program), "--", *child("sleep=1.5", "exit=9"))
    assert supervise("-t", "30", "--", *inner, env={"SUPERVISE_IDLE_TIMEOUT": "20"}).code == 9
    ended = supervise("-t", "off", "--", *inner, env={"SUPERVISE_TIMEOUT": "1"})
    assert ended.code == 9


# --- clocks


def test_a_stopped_command_runs_out_of_time(supervise: Place) -> None:
    check_timeout(supervise("-t", "1", "--", *child("ready", "stop")), "completion", 1)


def test_a_stop_of_the_supervisor_stops_all_clocks(supervise: Place) -> None:
    """While the supervisor is stopped, and its tree with it, no time passes."""
    go_on = supervise.file("go-on")
    running = supervise.start("-t", "2", "-i", "2", "--", *child("ready", f"wait_for={go_on}", "exit=3"), events=True)
    running.wait_for_out(b"ready")
    running.send(signal.SIGTSTP)
    wait_until(lambda: state_of(running.pid) == "T")
    until = time.monotonic() + 2.5
    wait_until(lambda: time.monotonic() > until)
    go_on.touch()
    running.send(signal.SIGCONT)
    ended = running.wait()
    assert ended.code == 3
    assert [len(ended.events_named(name)) for name in ("paused", "resumed")] == [1, 1]


def test_access_after_loading_is_noticed_without_a_record(supervise: Place) -> None:
    ended = supervise("--no-record", "-a", "30", "-t", "0.5", "--", *child("sleep=1", "ready", "stay"))
    assert (ended.code, ended.report["timeout_cause"]) == (124, "completion")
    assert ended.report["access"]["how"] == "output"
