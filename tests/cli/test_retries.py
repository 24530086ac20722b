"""Several attempts, the total timeout, and runs within runs, with the installed program."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.support.harness import Ended, Place, child, is_alive, wait_for_file, wait_until

RESUMABLE_SCRIPT = 'echo "try $SUPERVISE_ATTEMPT"; exit 75'
AT_ONCE = ("--retry-delay", "0")


def script(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


def outcomes(ended: Ended) -> list[str]:
    """Return the outcomes of all attempts in the report."""
    return [one["outcome"] for one in ended.report["attempts"]]


# --- one after the other


def test_each_attempt_is_reported_and_the_last_one_decides(supervise: Place) -> None:
    text = 'echo "try $SUPERVISE_ATTEMPT after ${SUPERVISE_PREVIOUS_OUTCOME-nothing}"; echo err >&2; '
    text += "[ $SUPERVISE_ATTEMPT = 3 ] && exit 3; exit 75"
    ended = supervise("--retries", "5", "--retry-delay", "0.2", "--", *script(text), events=True)
    assert ended.code == 3
    assert ended.out == b"try 1 after nothing\ntry 2 after resumable\ntry 3 after resumable\n"
    assert outcomes(ended) == ["resumable", "resumable", "failed"]
    assert [one["command_exit"]["code"] for one in ended.report["attempts"]] == [75, 75, 3]
    assert len({one["pid"] for one in ended.report["attempts"]}) == 3
    assert [one["number"] for one in ended.report["attempts"]] == [1, 2, 3]
    assert ended.report["outcome"] == "failed"
    assert ended.report["usage"]["stdout_bytes"] == len(ended.out)
    assert ended.report["usage"]["stderr_bytes"] == 3 * len(b"err\n")
    assert len(ended.events_named("started")) == 3
    retries = ended.events_named("retrying")
    assert [(one["attempt"], one["most"], one["outcome"]) for one in retries] == [
        (2, 6, "resumable"),
        (3, 6, "resumable"),
    ]
    *retrying, unused = ended.messages
    assert [message.partition(" in ")[0] for message in retrying] == ["attempt 2 of 6", "attempt 3 of 6"]
    assert all(message.endswith(": exit 75") for message in retrying)
    assert unused.startswith("not tried again: exit 3 is not in --retry-on")
    assert not ended.left


def test_a_retry_that_succeeds_ends_the_run(supervise: Place) -> None:
    ended = supervise("--retries", "3", *AT_ONCE, "-q", "--", *script("[ $SUPERVISE_ATTEMPT = 2 ] || exit 75"))
    assert (ended.code, ended.err, outcomes(ended)) == (0, b"", ["resumable", "completed"])


def test_a_run_without_retries_has_one_attempt(supervise: Place) -> None:
    ended = supervise("--", *script(RESUMABLE_SCRIPT))
    assert (ended.code, ended.out, ended.report["outcome"]) == (75, b"try 1\n", "resumable")


def test_delays_double_up_to_their_maximum(supervise: Place) -> None:
    options = ("--retries", "4", "--retry-delay", "0.2", "--retry-delay-max", "0.5")
    ended = supervise(*options, "--", *script("exit 75"), events=True)
    delays = [one["delay"] for one in ended.events_named("retrying")]
    for delay, most in zip(delays, [0.2, 0.4, 0.5, 0.5], strict=True):
        assert 0.74 * most <= delay <= most
    ends = [one["t"] for one in ended.events_named("retrying")]
    starts = [one["t"] for one in ended.events_named("started")][1:]
    for end, start, delay in zip(ends, starts, delays, strict=True):
        assert start - end >= delay - 0.002


@pytest.mark.parametrize(
    ("retry_on", "text", "attempts"),
    [
        ("code=3", "exit 3", 2),
        ("code=3,code=4", "exit 4", 2),
        ("code=3", "exit 75", 1),
        ("failed", "exit 3", 2),
        ("failed", "exit 75", 1),
        ("failed", "kill -SEGV $$", 1),
        ("signaled", "kill -SEGV $$", 2),
        ("access,idle,completion,failed,signaled,resumable", "exit 0", 1),
    ],
)
def test_retry_on_chooses_the_outcomes(supervise: Place, retry_on: str, text: str, attempts: int) -> None:
    ended = supervise("--retries", "1", *AT_ONCE, "--retry-on", retry_on, "--", *script(text))
    assert len(ended.report["attempts"]) == attempts


@pytest.mark.parametrize("limit", ["access", "idle", "completion"])
def test_retry_on_names_a_limit(supervise: Place, limit: str) -> None:
    option, code = {"access": ("-a", 122), "idle": ("-i", 123), "completion": ("-t", 124)}[limit]
    ended = supervise(option, "1", "--retries", "1", *AT_ONCE, "--retry-on", limit, "--", *child("stay"))
    assert ended.code == code
    assert outcomes(ended) == [f"{limit}_timeout"] * 2
    assert len(ended.finals) == 1
    assert not ended.left


@pytest.mark.parametrize("command", ["nosuch-command", "/"])
def test_a_failed_start_is_not_retried(supervise: Place, command: str) -> None:
    ended = supervise("--retries", "3", "--retry-on", "failed,code=126,code=127", "--", command)
    assert ended.code in (126, 127)
    assert len(ended.report["attempts"]) == 1


@pytest.mark.parametrize(("words", "attempts"), [((), 2), (("bytes=00",), 1), (("bytes_err=0a",), 1)])
def test_retry_if_silent_retries_a_silent_command_alone(
    supervise: Place, words: tuple[str, ...], attempts: int
) -> None:
    ended = supervise(
        "--idle-timeout", "2", "--retries", "1", "--retry-if-silent", "--", *child(*words, "tcp_silent", "stay")
    )
    assert ended.code == 123
    assert outcomes(ended) == ["idle_timeout"] * attempts
    assert len(ended.finals) == 1


@pytest.mark.parametrize("option", [("--retry-on", "code=0"), ("--retry-on", "idle,no"), ("--retries", "-1")])
def test_an_invalid_retry_option_is_refused(supervise: Place, option: tuple[str, str]) -> None:
    ended = supervise(*option, "--", "true")
    assert ended.code == 125
    assert ended.messages[0].startswith(option[0])


# --- stragglers of the attempt before


def test_stragglers_are_dead_and_silent_before_the_next_attempt(supervise: Place) -> None:
    pid = supervise.file("pid")
    text = f"""
        if [ $SUPERVISE_ATTEMPT = 2 ]; then
            kill -0 $(cat {pid}) && exit 9
            for n in 1 2 3 4 5; do echo new; sleep 0.05; done
            exit 0
        fi
        (trap '' TERM; echo old; : > up; while :; do echo old; sleep 0.01; done) & echo $! > {pid}
        until [ -e up ]; do sleep 0.01; done
        exit 75
    """
    ended = supervise("--retries", "1", *AT_ONCE, "--drain", "0.3", "--", *script(text))
    assert ended.code == 0
    old, _, new = ended.out.partition(b"new\n")
    assert b"old" in old
    assert new == 4 * b"new\n"
    assert not ended.left


def test_stragglers_of_the_last_attempt_are_left(supervise: Place) -> None:
    # A child that has not executed its program yet is named like the shell.
    text = 'sleep 60 >/dev/null 2>&1 & until [ "$(cat /proc/$!/comm)" = sleep ]; do sleep 0.01; done; exit 3'
    ended = supervise("--retries", "1", *AT_ONCE, "--", *script(text))
    assert ended.code == 3
    assert [one["name"] for one in ended.report["stragglers"]] == ["sleep"]
    supervise.sweep()


# --- cancelled


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, 143)])
def test_a_signal_cancels_a_retry_delay(supervise: Place, number: int, code: int) -> None:
    running = supervise.start("--retries", "3", "--retry-delay", "60", "--", *script(RESUMABLE_SCRIPT))
    running.wait_for_err(b"attempt 2 of 4 in ")
    running.send(number)
    ended = running.wait()
    assert ended.code == code
    assert ended.out == b"try 1\n"
    assert ended.report["outcome"] == "cancelled"
    assert outcomes(ended) == ["resumable"]
    assert len(ended.finals) == 1
    assert ended.finals[0].startswith("cancelled by signal ")
    assert ended.report["duration"] < 50


def test_a_cancelled_attempt_is_not_retried(supervise: Place) -> None:
    running = supervise.start(
        "--retries", "3", "--retry-on", "failed,signaled,code=7", "--", *child("exit_on=TERM,7", "ready", "stay")
    )
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert (ended.code, outcomes(ended)) == (143, ["cancelled"])


def test_a_run_in_its_retry_delay_answers_and_stops(supervise: Place) -> None:
    running = supervise.start(
        "--name", "waiting", "-t", "100", "--retries", "3", "--retry-delay", "60", "--", *script(RESUMABLE_SCRIPT)
    )
    running.wait_for_err(b"attempt 2 of 4 in ")
    extended = supervise.popen([str(supervise.program), "extend", "waiting", "1m"]).wait()
    assert extended.code == 0, extended.err
    stopped = supervise.popen([str(supervise.program), "stop", "waiting"]).wait()
    assert stopped.code == 0, stopped.err
    ended = running.wait()
    assert (ended.code, ended.report["outcome"], outcomes(ended)) == (143, "cancelled", ["resumable"])
    assert [(one["limit"], one["by"]) for one in ended.report["extensions"]] == [("completion", 60)]


# --- the total timeout


def check_total_timeout(ended: Ended, seconds: float) -> None:
    """Check that the total timeout ended the run after so many seconds."""
    assert ended.code == 124
    assert ended.report["outcome"] == "completion_timeout"
    assert ended.report["timeout_cause"] == "completion"
    assert (ended.report["limit"], ended.report["limit_seconds"]) == ("total", seconds)
    assert seconds <= ended.report["duration"] < seconds + 8
    assert len(ended.finals) == 1
    assert not ended.left


def test_the_total_timeout_ends_an_attempt(supervise: Place) -> None:
    ended = supervise("-i", "2", "--retries", "9", *AT_ONCE, "--total-timeout", "3.5", "--", *child("stay"))
    check_total_timeout(ended, 3.5)
    assert outcomes(ended)[-1] == "completion_timeout"
    assert set(outcomes(ended)[:-1]) == {"idle_timeout"}


def test_the_total_timeout_ends_a_retry_delay(supervise: Place) -> None:
    ended = supervise(
        "--retries", "9", "--retry-delay", "60", "--total-timeout", "1.5", "--", *script(RESUMABLE_SCRIPT)
    )
    check_total_timeout(ended, 1.5)
    assert outcomes(ended) == ["resumable"]
    assert ended.out == b"try 1\n"


def test_the_total_timeout_ends_a_single_attempt(supervise: Place) -> None:
    ended = supervise("--total-timeout", "1", "--", *child("stay"))
    check_total_timeout(ended, 1)


# --- deaths


def test_a_supervisor_killed_in_the_second_attempt_leaves_no_process(supervise: Place) -> None:
    pid = supervise.file("pid")
    text = f"[ $SUPERVISE_ATTEMPT = 1 ] && exit 75; echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 60"
    running = supervise.start("--retries", "1", *AT_ONCE, "--", *script(text))
    command = wait_for_file(pid)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not is_alive(command) and not supervise.alive())
    ended = running.wait()
    assert ended.code == -9


@pytest.mark.parametrize("is_in_back_off", [True, False])
def test_retries_go_on_after_the_guardian_was_killed(supervise: Place, is_in_back_off: bool) -> None:
    mark = supervise.file("mark")
    text = f"echo try $SUPERVISE_ATTEMPT; [ $SUPERVISE_ATTEMPT = 2 ] && echo 1 > {mark} && sleep 1; exit 75"
    running = supervise.start("--retries", "2", "--retry-delay", "3", "--", *script(text))
    guardian = running.guardian()
    if is_in_back_off:
        running.wait_for_err(b"attempt 2 of 3 in ")
    else:
        wait_for_file(mark)
    os.kill(guardian, signal.SIGKILL)
    ended = running.wait()
    assert ended.out == b"try 1\ntry 2\ntry 3\n", (ended.code, ended.err)
    assert (ended.code, len(ended.report["attempts"])) == (75, 3)
    assert not ended.left


# --- terminals, and many attempts


def test_each_attempt_has_a_terminal_of_its_own(supervise: Place) -> None:
    text = "test -t 1 && echo try $SUPERVISE_ATTEMPT; exit 75"
    ended = supervise("--pty", "--retries", "2", *AT_ONCE, "--", *script(text))
    assert ended.code == 75
    assert ended.out == b"try 1\r\ntry 2\r\ntry 3\r\n"


def test_each_attempt_sees_the_end_of_stdin_on_its_terminal(supervise: Place) -> None:
    ended = supervise("--pty", "--retries", "1", *AT_ONCE, "--", *script("cat; echo end $SUPERVISE_ATTEMPT; exit 75"))
    assert ended.code == 75
    assert [line for line in ended.out.splitlines() if line.startswith(b"end")] == [b"end 1", b"end 2"]


@pytest.mark.parametrize("options", [(), ("--pty",)])
def test_fifty_attempts_use_no_more_descriptors_than_twenty(supervise: Place, options: tuple[str, ...]) -> None:
    text = """
        supervise=$(cut -d' ' -f4 /proc/$PPID/stat)
        echo $(ls /proc/$supervise/fd | wc -l) $(ls /proc/$PPID/fd | wc -l) \
             $(sed -n 's/VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$supervise/status)
        exit 75
    """
    # After two seconds the record opens one more descriptor.
    ended = supervise(*options, "-q", "--no-record", "--retries", "49", *AT_ONCE, "--", *script(text))
    rows = [[int(word) for word in line.split()] for line in ended.out.splitlines()]
    assert len(rows) == 50
    early, late = rows[15:25], rows[40:]
    # An attempt that has ended closes its descriptors a moment later.
    assert min(row[0] for row in late) <= max(row[0] for row in early)
    assert min(row[1] for row in late) <= max(row[1] for row in early)
    assert late[-1][2] - early[-1][2] < 3000


def test_much_output_of_several_attempts_arrives_in_order(supervise: Place) -> None:
    text = "head -c 3000000 /dev/zero | tr '\\0' $SUPERVISE_ATTEMPT; exit 75"
    ended = supervise("--retries", "2", *AT_ONCE, "-q", "--", *script(text))
    assert ended.out == b"1" * 3_000_000 + b"2" * 3_000_000 + b"3" * 3_000_000


# --- variables, and runs within runs


def variables(supervise: Place, *options: str, **manner: Any) -> dict[str, str]:
    """Return the SUPERVISE_ variables of a command, but the id of the run."""
    ended = supervise(*options, "--", "env", **manner)
    pairs = dict(line.split("=", 1) for line in ended.out.decode().splitlines())
    return {name: pairs[name] for name in pairs if name.startswith("SUPERVISE_") and name != "SUPERVISE_RUN_ID"}


def test_a_command_has_variables_of_its_run(supervise: Place) -> None:
    assert variables(supervise) == {"SUPERVISE_ATTEMPT": "1"}
    assert variables(supervise, "-a", "5", "-i", "5") == {"SUPERVISE_ATTEMPT": "1"}
    inherited = {"SUPERVISE_ATTEMPT": "4", "SUPERVISE_PREVIOUS_OUTCOME": "failed", "SUPERVISE_DEADLINE": "12"}
    assert variables(supervise, env=inherited) == {"SUPERVISE_ATTEMPT": "1"}


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (("-t", "100"), 100),
        (("-a", "10", "-t", "100", "-x", "1000"), 1110),
        (("-t", "100", "-x", "1000", "--total-timeout", "500"), 500),
        (("--total-timeout", "500"), 500),
    ],
)
def test_the_deadline_variable_is_the_latest_instant_of_the_run(
    supervise: Place, options: tuple[str, ...], seconds: float
) -> None:
    before = time.time()
    latest = float(variables(supervise, *options)["SUPERVISE_DEADLINE"])
    assert before + seconds - 0.1 <= latest <= time.time() + seconds


def test_an_inner_run_gets_a_part_of_the_time_of_the_outer_one(supervise: Place) -> None:
    outer = time.time() + 100
    known = variables(supervise, env={"SUPERVISE_DEADLINE": str(outer)})
    assert float(known["SUPERVISE_DEADLINE"]) == pytest.approx(outer - 11, abs=0.2)
    known = variables(supervise, "-t", "5", env={"SUPERVISE_DEADLINE": str(outer)})
    assert float(known["SUPERVISE_DEADLINE"]) < outer - 80
    # The inner run gives up half of the time that is left at its start, at most.
    before = time.time()
    known = variables(supervise, env={"SUPERVISE_DEADLINE": str(before + 10)})
    assert before + 5 - 0.1 <= float(known["SUPERVISE_DEADLINE"]) <= before + 5 + (time.time() - before) / 2 + 0.1


@pytest.mark.parametrize("word", ["", "soon", "nan", "inf", "-inf", "1e999", "-5", "0", "12"])
def test_an_invalid_deadline_variable_is_ignored(supervise: Place, word: str) -> None:
    ended = supervise("-t", "20", "--", "true", env={"SUPERVISE_DEADLINE": word})
    assert (ended.code, ended.err) == (0, b"")


def inner_run(supervise: Place, *options: str) -> tuple[Path, tuple[str, ...]]:
    """Return the report and the command line of a run inside another one."""
    report = supervise.file("inner.json")
    return report, (str(supervise.program), "run", "--report", str(report), *options, "--", *child("stay"))


@pytest.mark.parametrize(
    "options", [("-k", "1"), ("-k", "1", "-t", "60"), ("-k", "1", "-a", "60", "--total-timeout", "60")]
)
def test_an_inner_run_ends_before_the_outer_one_and_can_be_resumed(supervise: Place, options: tuple[str, ...]) -> None:
    path, command = inner_run(supervise, *options)
    ended = supervise("-t", "6", "--", *command)
    assert ended.code == 75
    assert ended.report["outcome"] == "resumable"
    report = json.loads(path.read_text())
    assert (report["outcome"], report["exit_code"], report["reason"]) == ("resumable", 75, "outer_deadline")
    assert report["limit"] == "outer"
    assert report["timeout_cause"] is None
    assert ended.report["duration"] < 6
    assert b"outer deadline: the run around this one leaves no more time" in ended.err


def test_an_inner_run_keeps_its_own_shorter_limit(supervise: Place) -> None:
    path, command = inner_run(supervise, "-t", "1")
    ended = supervise("-t", "60", "--", *command)
    assert (ended.code, ended.report["outcome"]) == (124, "failed")
    assert b'"completion_timeout"' in path.read_bytes()


def test_an_extension_of_an_inner_run_stays_within_the_time_of_the_outer_one(supervise: Place) -> None:
    path, command = inner_run(supervise, "-k", "1", "-t", "2", "-x", "60", "--extend-by", "30", "--extend-on", "output")
    busy = (*command[: -len(child("stay"))], *child("tick=0.1,1000"))
    ended = supervise("-t", "10", "--", *busy)
    report = json.loads(path.read_text())
    assert (ended.code, report["reason"]) == (75, "outer_deadline")
    assert report["extensions"]
    assert ended.report["duration"] < 10
    assert report["extensions"][-1]["deadline"] <= report["ended_at"]


def test_an_outer_run_retries_a_resumable_inner_run(supervise: Place) -> None:
    text = "supervise run -q -- sh -c 'exit 75'; exit $?"
    ended = supervise("--retries", "1", *AT_ONCE, "--", *script(text))
    assert (ended.code, outcomes(ended)) == (75, ["resumable", "resumable"])


def test_a_refused_sleep_makes_the_run_retry(supervise: Place) -> None:
    text = "echo work; supervise sleep 20m || exit $?; echo more"
    ended = supervise("-t", "10m", "--retries", "1", *AT_ONCE, "--", *script(text))
    assert (ended.code, ended.out) == (75, b"work\nwork\n")
    assert outcomes(ended) == ["resumable", "resumable"]
    assert ended.report["duration"] < 30


def on_terminal(supervise: Place, *options: str) -> "pexpect.spawn[bytes]":
    """Start a run with `--pty` on a terminal, whose command reads a line and asks for a retry."""
    command = ["run", "--pty", *options, "--", *script("read x; echo got $x; exit 75")]
    return pexpect.spawn(str(supervise.program), command, env=supervise.environ, cwd=str(supervise.folder), timeout=40)


def test_ctrl_c_cancels_in_a_retry_delay(supervise: Place) -> None:
    screen = on_terminal(supervise, "--retries", "3", "--retry-delay", "60")
    screen.sendline("one")
    screen.expect(b"got one")
    screen.expect(b"attempt 2 of 4 in [^\n]*\n")
    screen.sendintr()
    screen.expect(pexpect.EOF)
    screen.close()
    assert screen.signalstatus == signal.SIGINT


def test_keys_go_to_each_attempt_in_turn(supervise: Place) -> None:
    screen = on_terminal(supervise, "--retries", "1", *AT_ONCE)
    screen.sendline("one")
    screen.expect(b"got one")
    screen.expect(b"attempt 2 of 2 in [^\n]*\n")
    screen.sendline("two")
    screen.expect(b"got two")
    screen.expect(pexpect.EOF)
    screen.close()
    assert screen.exitstatus == 75
