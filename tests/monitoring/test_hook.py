"""Hooks (`--hook`) in each kind of run: each event once, in order, and nothing that a hook does is in the run's way."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.deaths import kill, kill_both, recover
from tests.support.harness import Place, child, is_alive, validator, wait_for_file, wait_until

EVENTS = ("started", "access", "warned", "extended", "verdict", "settled", "retrying", "lost")
TO_LOG = tuple(word for event in EVENTS for word in ("--hook", f"{event}=cat >> told.jsonl"))
FEW_SECONDS = 5.0
"""Half of what a hook that hangs has."""


def told(place: Place) -> list[Any]:
    """Return the events of which hooks were told so far, each valid by the schema."""
    path = place.file("told.jsonl")
    events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for event in events:
        validator("event").validate(event)
    return events


def names_told(place: Place, last: str = "settled") -> list[str]:
    """Wait for the last event, and for the end of the messenger; return the names of all events told."""
    wait_until(lambda: any(event["event"] == last for event in told(place)))
    wait_until(lambda: not place.alive())
    return [event["event"] for event in told(place)]


@pytest.mark.parametrize("more", [[], ["--no-record"], ["--pty"], ["--quiet-unless-failed"]])
def test_a_short_run_tells_of_its_start_and_its_end(supervise: Place, more: list[str]) -> None:
    assert supervise(*TO_LOG, *more, "--", "sh", "-c", "exit 3").code == 3
    assert names_told(supervise) == ["started", "settled"]
    end = told(supervise)[-1]
    assert (end["outcome"], end["exit_code"]) == ("failed", 3)


def test_a_stopped_run_tells_of_each_step(supervise: Place) -> None:
    limits = ("-a", "5", "-t", "2.5", "--warn-at", "1")
    assert supervise(*TO_LOG, *limits, "--", "sh", "-c", "echo up; exec sleep 60").code == 124
    assert names_told(supervise) == ["started", "access", "warned", "verdict", "settled"]


@pytest.mark.parametrize(
    ("words", "outcome", "code"),
    [(("/none/command",), "not_found", 127), (("/etc/passwd",), "not_executable", 126)],
)
def test_a_command_that_cannot_be_started(supervise: Place, words: tuple[str, ...], outcome: str, code: int) -> None:
    assert supervise(*TO_LOG, "--", *words).code == code
    assert names_told(supervise) == ["settled"]
    assert told(supervise)[0]["outcome"] == outcome


def test_a_refused_run_tells_so(supervise: Place) -> None:
    assert supervise(*TO_LOG, "--log", "none/log", "--", "true").code == 125
    assert names_told(supervise) == ["settled"]
    assert told(supervise)[0]["outcome"] == "error"


def test_a_busy_run_tells_so(supervise: Place) -> None:
    lock = str(supervise.file("lock"))
    holder = supervise.start("--lock", lock, "--", *child(f"mark={supervise.file('up')}", "stay"))
    wait_for_file(supervise.file("up"))
    assert supervise(*TO_LOG, "--lock", lock, "--if-busy", "skip", "--", "true").code == 0
    wait_until(lambda: told(supervise))
    holder.send(signal.SIGTERM)
    holder.wait()
    wait_until(lambda: not supervise.alive())
    assert [event["outcome"] for event in told(supervise)] == ["busy"]


def test_a_detached_run_tells_of_its_end(supervise: Place) -> None:
    supervise("--detach", *TO_LOG, "--", "sleep", "0.1")
    assert names_told(supervise) == ["started", "settled"]


@pytest.mark.parametrize("more", [[], ["--no-record"]])
def test_a_killed_supervisor_is_lost(supervise: Place, more: list[str]) -> None:
    running = supervise.start(*TO_LOG, "-k", "0.3", *more, "--", *child(f"mark={supervise.file('up')}", "stay"))
    wait_for_file(supervise.file("up"))
    wait_until(lambda: told(supervise))
    kill(supervise, running)
    assert names_told(supervise, "lost") == ["started", "lost"]


def test_a_run_that_is_killed_with_its_guardian_is_lost(supervise: Place) -> None:
    up = supervise.file("up")
    running = supervise.start(*TO_LOG, "-k", "0.3", "--", *child(f"mark={up}", "stay"))
    pid = wait_for_file(up)
    wait_until(lambda: told(supervise))
    kill_both(running)
    wait_until(lambda: len(told(supervise)) == 2)
    os.kill(pid, signal.SIGKILL)
    assert names_told(supervise, "lost") == ["started", "lost"]
    assert told(supervise)[-1]["t"] > told(supervise)[0]["t"]


@pytest.mark.parametrize("words", [("-t", "4"), ("--stragglers", "kill")])
def test_hooks_go_on_after_the_death_of_the_guardian(supervise: Place, words: tuple[str, ...]) -> None:
    """The supervisor then has the messenger and the command among its children, and stops the command alone."""
    up, hook, go = (supervise.file(name) for name in ("up", "hook", "go"))
    last = "sleep 600" if "-t" in words else wait_in_sh(go)
    script = f"trap '' TERM; (setsid sleep 600 &); echo $$ > {up}; {last}"
    slow = ("--hook", f"access=echo $$ > {hook}; trap '' TERM; sleep 2; echo done >> {hook}")
    running = supervise.start(*TO_LOG, *slow, "-a", "9", "-k", "0.3", *words, "--", "sh", "-c", f"echo; {script}")
    wait_for_file(up)
    wait_for_file(hook)
    guardian = running.guardian()
    os.kill(guardian, signal.SIGKILL)
    wait_until(lambda: not is_alive(guardian))
    go.write_text("go")
    ended = running.wait()
    assert ended.code == (124 if "-t" in words else 0)
    verdict = ["verdict"] if "-t" in words else []
    assert names_told(supervise) == ["started", "access", *verdict, "settled"]
    assert hook.read_text().split()[1:] == ["done"]


def test_an_attempt_waits_for_the_hook_before_it(supervise: Place) -> None:
    again = ("--retries", "1", "--retry-on", "failed", "--retry-delay", "0")
    order = ("--hook", "retrying=sleep 0.5; echo hook >> order")
    assert supervise(*TO_LOG, *order, *again, "--", "sh", "-c", "echo command >> order; exit 3").code == 3
    assert names_told(supervise) == ["started", "retrying", "started", "settled"]
    assert supervise.file("order").read_text().split() == ["command", "hook", "command"]


def test_a_cancellation_ends_the_wait_for_a_hook(supervise: Place) -> None:
    up = supervise.file("up")
    again = ("--retries", "1", "--retry-on", "failed", "--retry-delay", "0")
    hook = ("--hook", f"retrying=echo $$ > {up}; exec sleep 60")
    running = supervise.start(*hook, *again, "--", "false")
    pid = wait_for_file(up)
    began = time.monotonic()
    running.send(signal.SIGTERM)
    assert running.wait().code == 143
    assert time.monotonic() - began < FEW_SECONDS
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not supervise.alive())


HANGING = (
    "exec sleep 600",
    "trap '' TERM HUP; while :; do sleep 1; done",
    "(setsid sleep 600 &) ; (sleep 600 &) ; exec sleep 600",
    "yes",
    "yes >&2 < /dev/null",
)


def test_hooks_that_hang_are_in_nobodys_way_and_leave_nothing(supervise: Place) -> None:
    """The whole call ends at once though a hook has ten seconds, and its reader gets the end of the output."""
    up = supervise.file("up")
    hanging = [word for hook in HANGING for word in ("--hook", f"started=echo $$ >> {up}; {hook}")]
    began = time.monotonic()
    ended = supervise(*hanging, *TO_LOG, "--", "sh", "-c", f"{wait_in_sh(up)}; echo out")
    assert time.monotonic() - began < FEW_SECONDS
    assert (ended.code, ended.out) == (0, b"out\n")
    wait_until(lambda: not supervise.alive())
    assert [event["event"] for event in told(supervise)] == ["started", "settled"]
    assert len(up.read_text().split()) == len(HANGING)


def wait_in_sh(path: Path) -> str:
    return f"while ! [ -s {path} ]; do sleep 0.01; done"


def test_what_a_hook_leaves_running_is_killed_with_it(supervise: Place) -> None:
    pids = supervise.file("pids")
    script = f"(setsid sh -c 'trap \"\" TERM; echo $$ > {pids}; exec sleep 600' &); {wait_in_sh(pids)}"
    began = time.monotonic()
    supervise("--hook", f"started={script}", "--", "sh", "-c", wait_in_sh(pids))
    wait_until(lambda: not supervise.alive())
    assert time.monotonic() - began < FEW_SECONDS


def test_the_first_process_of_a_container_waits_for_its_last_hooks(supervise: Place) -> None:
    """With PID 1 the kernel kills all others."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no pid namespace can be made here")
    hook = "settled=sleep 1; touch done"
    ended = supervise.popen([*unshare, str(supervise.program), "--hook", hook, "--", "sh", "-c", "exit 3"]).wait()
    assert ended.code == 3
    assert supervise.file("done").exists()


def test_the_stop_of_an_outer_run_leaves_the_inner_one_its_hooks(supervise: Place) -> None:
    inner = (str(supervise.program), "run", *TO_LOG, "--", *child(f"mark={supervise.file('up')}", "stay"))
    running = supervise.start("--", *inner)
    wait_for_file(supervise.file("up"))
    wait_until(lambda: told(supervise))
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert (ended.code, ended.left) == (143, [])
    assert names_told(supervise) == ["started", "verdict", "settled"]
    assert told(supervise)[-1]["outcome"] == "cancelled"


def test_a_hook_that_fails_is_named_without_its_command(supervise: Place) -> None:
    hooks = ("--hook", "started=exit 7 # pa55", "--hook", "started=true", "--hook", "started=kill -9 $$")
    go = supervise.file("go")
    running = supervise.start(*hooks, "--", "sh", "-c", wait_in_sh(go), events=True)
    running.wait_for_err(b"hook 3 of 3")
    go.write_text("go")
    ended = running.wait()
    wait_until(lambda: not supervise.alive())
    assert ended.code == 0
    assert "--hook: started, hook 1 of 3: exit 7" in ended.messages
    assert "--hook: started, hook 3 of 3: killed by signal KILL" in ended.messages
    assert len(ended.events_named("trouble")) == 2
    assert b"pa55" not in ended.err


def test_a_hook_that_stops_the_messenger_delays_nothing_and_leaves_nothing(supervise: Place) -> None:
    up = supervise.file("up")
    words = ("--hook", f"started=kill -STOP $PPID; echo $$ > {up}", *TO_LOG)
    began = time.monotonic()
    assert supervise(*words, "--", "sh", "-c", wait_in_sh(up)).code == 0
    assert time.monotonic() - began < FEW_SECONDS
    assert names_told(supervise) == ["started", "settled"]


def test_no_hook_is_on_record(supervise: Place) -> None:
    supervise("--hook", "settled=echo 8a7f6c > /dev/null", "--keep-env", "HOME", "--", "sleep", "0.1")
    wait_until(lambda: not supervise.alive())
    found = [path for path in Path(supervise.state).rglob("*") if path.is_file() and b"8a7f6c" in path.read_bytes()]
    assert found == []


@pytest.mark.parametrize(("more", "again"), [([], []), (["--keep-secrets"], ["started", "settled"])])
def test_a_run_that_is_run_again_has_the_hooks_that_were_kept(
    supervise: Place, more: list[str], again: list[str]
) -> None:
    up, ended = supervise.file("up"), supervise.file("ended")
    script = f"[ -e {up} ] && exec touch {ended}; echo $$ > {up}; exec sleep 600"
    words = ("--on-interrupt", "rerun", "-k", "0.3", *TO_LOG, *more, "--", "sh", "-c", script)
    running = supervise.start(*words, report=False)
    wait_for_file(up)
    wait_until(lambda: told(supervise))
    kill(supervise, running)
    assert names_told(supervise, "lost") == ["started", "lost"]
    assert b"run again: " in recover(supervise).out
    wait_until(lambda: ended.exists() and not supervise.alive())
    assert [event["event"] for event in told(supervise)] == ["started", "lost", *again]


def test_hooks_hold_none_of_the_callers_descriptors(supervise: Place) -> None:
    """A caller that waits for a pipe or a lock need not wait for a hook that hangs."""
    script = """
        exec 9>lock; flock 9
        echo "$(supervise run --hook "settled=ls /proc/self/fd > fds; sleep 1; touch done" -- true 3>&1 4<lock 2>&1)"
        exec 9>&-; flock -n lock test ! -e done
    """
    assert supervise.shell(script).code == 0
    wait_until(lambda: supervise.file("done").exists() and not supervise.alive())
    # The fourth is the folder that ls reads.
    assert supervise.file("fds").read_text().split() == ["0", "1", "2", "3"]


def test_hooks_from_the_environment(supervise: Place) -> None:
    """A hook is told of neither the option nor the run's id: a supervise in a hook has no hooks, and is no orphan."""
    script = 'echo "$SUPERVISE_HOOK|$SUPERVISE_RUN_ID|$SUPERVISE_DEADLINE|$HOME" > seen'
    hooks = f"started={script}\nsettled=cat > told.jsonl"
    assert supervise("-t", "60", "--", "true", env={"SUPERVISE_HOOK": hooks}).code == 0
    assert names_told(supervise) == ["settled"]
    assert supervise.file("seen").read_text() == f"|||{supervise.environ['HOME']}\n"


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("setled=mail pa55", "--hook: got 'setled', takes EVENT=COMMAND, where EVENT is started, access, warned, "),
        ("settled", "--hook: got 'settled', takes EVENT=COMMAND, "),
        ("settled= ", "--hook: got 'settled= ', takes a shell command after settled="),
        ("", "--hook: got nothing, takes EVENT=COMMAND, "),
    ],
)
def test_a_word_that_is_no_hook_is_refused(supervise: Place, word: str, shown: str) -> None:
    ended = supervise.start("run", "--hook", word, "--", "true", report=False).wait()
    assert ended.code == 125
    assert len(ended.messages) == 1
    assert ended.messages[0].startswith(shown)
    assert b"pa55" not in ended.err


def test_a_dead_messenger_costs_only_its_messages(supervise: Place) -> None:
    go = supervise.file("go")
    hook = "started=kill -9 $PPID; sleep 600; true"
    running = supervise.start("--hook", hook, "--", "sh", "-c", f"until [ -e {go} ]; do sleep 0.02; done")
    running.wait_for_err(b"--hook: no more hooks are run: ")
    go.touch()
    ended = running.wait()
    assert (ended.code, ended.left) == (0, [])


def test_a_messenger_that_dies_at_the_end_leaves_no_hook(supervise: Place) -> None:
    up = supervise.file("up")
    # The messenger runs before the end: the run waits only 0.2 s for its last hooks.
    hooks = ("--hook", f"started=echo > {up}", "--hook", "settled=kill -9 $PPID; sleep 600; true")
    ended = supervise(*hooks, "--", "sh", "-c", wait_in_sh(up))
    assert (ended.code, ended.left) == (0, [])
    assert [line for line in ended.messages if line.startswith("--hook: no more hooks are run: ")] != []
