"""`--detach-after` and `--detach-after-idle`: the caller gets control back, and the run goes on alone."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.clients import command, newest, stop
from tests.support.harness import Place, child, is_alive, state_of, validator, wait_for_file, wait_until
from tests.support.screens import CTRL_C, SHELLS, screen, shell, words
from tests.support.terminals import named

AFTER = ("--detach-after", "1")
STILL = "still running after "
AT_ONCE = 8
"""Runs at once, each of which sleeps most of the time."""


def run_of(message: str) -> str:
    """The id in the line with which control was given back."""
    return message.partition("goes on as ")[2].partition(":")[0]


def events(place: Place, run_id: str) -> list[str]:
    """The names of the events on record."""
    (path,) = Path(place.environ["HOME"]).rglob(f"{run_id}/events.jsonl")
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


def events_of(place: Place, name: str) -> list[Path]:
    """The event files of the runs of that name."""
    # A record that is being made has another name, until it is complete.
    runs = Path(place.state).glob("runs/2*/run.toml")
    return [path.with_name("events.jsonl") for path in runs if f'name = "{name}"' in path.read_text()]


def logged(place: Place, run_id: str) -> bytes:
    """All output on record."""
    return bytes(command(place, "logs", run_id).out)


def test_a_run_that_ends_before_gives_its_own_code(supervise: Place) -> None:
    ended = supervise("--detach-after", "1h", "--", *child("say=one", "say_err=two", "exit=3"))
    assert (ended.code, ended.out, ended.left) == (3, b"one\n", [])
    assert ended.messages == []


def test_the_caller_gets_control_back_and_the_run_goes_on(supervise: Place) -> None:
    """The pipes of the caller end with the front, so no process of the run holds them."""
    pid_file, go = supervise.file("pid"), supervise.file("go")
    did = ("say=before", "say_err=also before", f"mark={pid_file}", f"wait_for={go}", "say=after", "exit=3")
    ended = supervise("--detach-after", "3", "--streams", "together", "--", *child(*did))
    assert (ended.code, ended.out) == (121, b"before\nalso before\n")
    (message,) = ended.messages
    run_id = run_of(message)
    assert message.startswith(STILL)
    assert message.endswith(f"; goes on as {run_id}: supervise wait {run_id} --for 5m")
    assert is_alive(wait_for_file(pid_file))
    # The front may exit before the event is on record.
    wait_until(lambda: "handed_back" in events(supervise, run_id))
    go.touch()
    assert command(supervise, "wait", run_id).code == 3
    assert logged(supervise, run_id) == b"before\nalso before\nafter\n"


def test_silence_gives_control_back_with_one_object(supervise: Place) -> None:
    ended = supervise("--detach-after-idle", "3", "--json", "--", *child("say=once", "stay"))
    line, answer = ended.out.decode().splitlines()
    found = json.loads(answer)
    validator("answer").validate(found)
    assert (ended.code, line, ended.err, found["reason"]) == (121, "once", b"", "idle")
    assert stop(supervise, found["run_id"])["outcome"] == "cancelled"


def test_output_holds_off_the_hand_back_of_silence(supervise: Place) -> None:
    ended = supervise("--detach-after-idle", "1", "--", "sh", "-c", "for i in 1 2 3 4 5 6; do sleep 0.3; echo $i; done")
    assert (ended.code, ended.out) == (0, b"1\n2\n3\n4\n5\n6\n")


def test_output_of_an_earlier_attempt_holds_off_the_hand_back_too(supervise: Place) -> None:
    """Three seconds after the start, the second attempt runs and has printed nothing."""
    script = "[ $SUPERVISE_ATTEMPT = 1 ] && { sleep 2; echo one; exit 75; }; sleep 1.5; exit 3"
    options = ("--detach-after-idle", "3", "--retries", "1", "--retry-delay", "0")
    ended = supervise(*options, "--", "sh", "-c", script)
    assert (ended.code, ended.out) == (3, b"one\n")


def test_a_reader_that_stands_still_gets_control_back(supervise: Place) -> None:
    """The flood fills the pipe of the caller, which reads only when supervise has exited."""
    flood = "import os, time\nfor i in range(300000): os.write(1, b'%09d\\n' % i)\n"
    running = subprocess.Popen(
        ["supervise", "run", "--detach-after", "3", "--", sys.executable, "-S", "-c", flood],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=supervise.environ, cwd=supervise.folder,
    )  # fmt: skip
    assert running.wait(40) == 121
    out, err = running.communicate()
    run_id = run_of(err.decode())
    assert command(supervise, "wait", run_id).code == 0
    whole = b"".join(b"%09d\n" % number for number in range(300000))
    assert logged(supervise, run_id) == whole
    assert 0 < len(out) < len(whole)
    assert whole.startswith(out)


def test_stdin_ends_with_the_hand_back(supervise: Place) -> None:
    """Also for the caller, which writes more than the command reads."""
    code = "import sys; first = sys.stdin.readline(); print(first, end='', flush=True); print(len(sys.stdin.read()))"
    running = subprocess.Popen(
        ["supervise", "run", "--detach-after", "3", "--", sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=supervise.environ, cwd=supervise.folder,
    )  # fmt: skip
    assert running.stdin
    running.stdin.write(b"first\nrest\n")
    running.stdin.flush()
    assert running.wait(40) == 121
    assert running.stdout
    assert running.stdout.read() == b"first\n"
    with pytest.raises(BrokenPipeError):
        os.write(running.stdin.fileno(), b"late")
    running.stderr.close()  # type: ignore[union-attr]
    running.stdout.close()
    running.stdin.close()
    run_id = newest(supervise)
    assert command(supervise, "wait", run_id).code == 0
    assert logged(supervise, run_id) == b"first\n5\n"


def test_stdin_reaches_the_command_whole(supervise: Place) -> None:
    given = b"".join(b"%08d\n" % number for number in range(100_000))
    ran = subprocess.run(
        ["supervise", "run", "--detach-after", "1h", "--", "cat"],
        input=given, capture_output=True, env=supervise.environ, cwd=supervise.folder, check=True,
    )  # fmt: skip
    assert ran.stdout == given


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_hand_back_cancels_the_run(supervise: Place, number: int) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("--detach-after", "1h", "--", *child(f"mark={pid_file}", "stay"))
    pid = wait_for_file(pid_file)
    running.process.send_signal(number)
    ended = running.wait()
    assert ended.code == (-number if number == signal.SIGINT else 128 + number)
    assert (ended.report["outcome"], ended.left, is_alive(pid)) == ("cancelled", [], False)
    assert f"from pid {os.getpid()}" in ended.err.decode()


def test_a_signal_to_the_whole_group_counts_once(supervise: Place) -> None:
    """A second one would kill at once, and the clean-up would not end."""
    pid_file = supervise.file("pid")
    tells = f"echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}"
    script = f"trap 'sleep 0.5; echo clean; exit 0' TERM; {tells}; sleep 60 & wait"
    running = supervise.start("--detach-after", "1h", "--", "sh", "-c", script)
    wait_for_file(pid_file)
    os.killpg(running.pid, signal.SIGTERM)
    ended = running.wait()
    assert (ended.code, ended.out) == (143, b"clean\n")


def test_the_death_of_the_front_cancels_the_run(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("--detach-after", "1h", "--", *child(f"mark={pid_file}", "stay"))
    pid = wait_for_file(pid_file)
    running.process.kill()
    running.process.wait()
    wait_until(lambda: not is_alive(pid))
    assert command(supervise, "wait", newest(supervise)).code == 143


def test_the_front_ends_as_a_killed_supervisor(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("--detach-after", "1h", "--", *child(f"mark={pid_file}", "stay"))
    pid = wait_for_file(pid_file)
    (supervisor,) = (int(one) for one in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split())
    os.kill(supervisor, signal.SIGKILL)
    assert running.process.wait() == -signal.SIGKILL
    # The watcher of the cgroup is the last to end.
    wait_until(lambda: not supervise.alive())
    assert not is_alive(pid)
    running.wait()


def test_a_retry_goes_on_without_the_caller(supervise: Place) -> None:
    """The next attempt begins in a session of its own, with nothing of the caller's."""
    go, second = supervise.file("go"), supervise.file("second")
    later = f"[ $SUPERVISE_ATTEMPT = 1 ] || {{ readlink /proc/$$/fd/0 >{second}; exit 4; }}"
    script = f"{later}; while [ ! -e {go} ]; do sleep 0.02; done; exit 75"
    ended = supervise(*AFTER, "--retries", "1", "--retry-delay", "0.1", "--", "sh", "-c", script)
    assert ended.code == 121
    go.touch()
    assert command(supervise, "wait", run_of(ended.messages[-1])).code == 4
    assert second.exists()


def test_a_limit_holds_after_the_hand_back(supervise: Place) -> None:
    ended = supervise(*AFTER, "-t", "2", "--", *child("stay"))
    assert ended.code == 121
    assert command(supervise, "wait", newest(supervise)).code == 124


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (("--detach-after", "1s", "--no-record"), "--detach-after: the run goes on in its record, which --no-record"),
        (
            ("--detach-after-idle", "1s", "--ci", "github"),
            "--ci: github reads the output of a job, and --detach-after-idle",
        ),
        (("--json",), "--json: says when control is given back"),
        (("--detach-after", "soon"), "--detach-after: "),
    ],
)
def test_what_does_not_go_together_is_refused(supervise: Place, said: tuple[str, ...], text: str) -> None:
    ended = supervise(*said, "--", "true")
    assert ended.code == 125
    assert ended.messages[0].startswith(text)


def test_without_a_record_the_run_stays_in_the_foreground(supervise: Place) -> None:
    (supervise.folder / "file").touch()
    env = {"XDG_STATE_HOME": str(supervise.folder / "file")}
    ended = supervise("--detach-after", "0.5", "--", "sh", "-c", "sleep 1.5; exit 3", env=env)
    assert ended.code == 3
    assert any("stays in the foreground" in message for message in ended.messages)


def test_a_shell_stops_and_continues_a_run_with_a_front(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start(f"supervise --detach-after 1h -- {words('say=up', 'stay')}")
        sh.wait_for("^up$")
        sh.stop_job()
        both = [*named(supervise, "supervise-front"), *named(supervise, "supervise")]
        wait_until(lambda: [state_of(pid) for pid in both] == ["T", "T"])
        sh.start("fg")
        wait_until(lambda: all(state_of(pid) == "S" for pid in both))
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        sh.check_usable()
    assert named(supervise, "supervise") == []


@pytest.mark.parametrize("pty", ["", "--pty "])
def test_a_run_that_goes_on_outlives_the_terminal(supervise: Place, pty: str) -> None:
    pid_file = supervise.file("pid")
    with screen(supervise, SHELLS["bash"]) as on:
        report, did = supervise.report_path(0), words(f"mark={pid_file}", "stay")
        on.enter(f"supervise --detach-after 1 {pty}--report {report} -- {did}")
        on.wait_for("goes on as")
        on.wait_for_prompt(2)
        on.enter("echo $?; stty -a | grep -c -e -icanon")
        on.wait_for_prompt(3)
        pid = wait_for_file(pid_file)
        on.hang_up()
    assert is_alive(pid)
    assert stop(supervise, newest(supervise))["outcome"] == "cancelled"
    assert not is_alive(pid)


def end_at_the_moment(place: Place, number: int) -> int:
    """Run a command that ends within 200 ms of the moment; check the code, and return it."""
    code = f"import os, time; time.sleep({0.8 + number % 100 / 400}); os.write(1, b'end'); os._exit(7)"
    ran = place.start(*AFTER, "--", sys.executable, "-S", "-I", "-c", code, report=False).wait()
    if ran.code == 121:
        assert command(place, "wait", run_of(ran.messages[0])).code == 7
    else:
        assert (ran.code, ran.out) == (7, b"end")
    return ran.code


@pytest.mark.slow
@pytest.mark.alone
def test_an_end_at_the_same_moment_has_its_own_code(supervise: Place) -> None:
    """121 stands only for a run whose command lived at that moment, and whose code `wait` gives."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = {*pool.map(lambda number: end_at_the_moment(supervise, number), range(500))}
    assert seen == {7, 121}


def kill_around_the_moment(place: Place, number: int) -> bool:
    """Kill the caller's process within 250 ms of the moment; return whether the run went on, which it says itself."""
    pid_file, name = place.file(f"pid-{number}"), f"kill-{number}"
    options = (*AFTER, "--name", name)
    running = place.start(*options, "--", *child(f"mark={pid_file}", "stay"), report=False).process
    pid = wait_for_file(pid_file)
    try:
        running.wait(0.7 + number / 400)
    except subprocess.TimeoutExpired:
        running.kill()
    running.wait()

    def is_handed_back() -> bool:
        return any("handed_back" in path.read_text() for path in events_of(place, name))

    # The process may have been killed after the decision, before the event was written.
    wait_until(lambda: is_handed_back() or not is_alive(pid))
    is_on = is_handed_back()
    if is_on:
        assert is_alive(pid)
        command(place, "stop", name)
    else:
        assert running.returncode == -signal.SIGKILL
    wait_until(lambda: not is_alive(pid))
    assert command(place, "wait", name).code == 143
    return is_on


@pytest.mark.slow
@pytest.mark.alone
def test_a_front_that_is_killed_leaves_a_run_that_is_cancelled_or_goes_on(supervise: Place) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = {*pool.map(lambda number: kill_around_the_moment(supervise, number), range(200))}
    assert seen == {False, True}
