"""--ci-fence: GitHub's runner obeys no command in the command's output, and obeys again when the run is over."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.support.deaths import kill
from tests.support.github_runner import Runner, step
from tests.support.harness import Place, child, is_alive, wait_for_file, wait_until

HOSTILE = (
    "::error::a\\n  ::warning::b\\nx ##[error]c\\r::error::d\\n::stop-commands::t\\n::t::\\n"
    "::add-mask::e\\n::set-output name=outcome::completed\\n\\377\\033[31m::error::f"
)
"""What the command prints: all that the runner could obey, with no line feed at the end."""
STAY = f"printf '{HOSTILE}'; exec sleep 60"


def runner_of(output: bytes) -> Runner:
    """Return the runner that has read the output of a step; afterwards it obeys the commands of the step again."""
    runner = Runner().read(output + b"\n::notice::of the step\n")
    assert runner.obeyed.pop().name == "notice"
    return runner


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--pty", "--no-record"],
        ["-q"],
        ["--retries", "1", "--retry-delay", "1ms", "--retry-output", "last", "--retry-on", "any"],
        ["--quiet-unless-failed=2"],
        ["--quiet-unless-failed", "--log-max", "64KiB"],
        ["--timestamps", "--streams", "together"],
    ],
)
def test_only_commands_of_supervise_are_obeyed(supervise: Place, more: list[str]) -> None:
    words = ("--ci-fence", "-t", "0.9", "--warn-at", "0.4s", *more, "--", "sh", "-c", STAY)
    ended = supervise(*words, env=step(supervise), stderr=subprocess.STDOUT)
    assert ended.code == 124
    runner = runner_of(ended.out)
    *warnings, error = runner.annotations
    assert error == ("error", "completion timeout (supervise)")
    # On a busy machine the run may be over before a warning is due.
    assert {*warnings} <= ({("warning", "supervise")} if "-q" not in more else set())
    assert any("::error::f" in line for line in runner.shown)
    assert len({*runner.tokens}) == 1
    assert re.fullmatch("[0-9a-f]{32}", runner.tokens[0])


def test_a_middle_that_is_left_out_takes_no_half_of_the_fence_along(supervise: Place) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do seq 2000; echo ::error::x; sleep 0.1; done; exec sleep 60"
    # The warnings fall among the output; the limit has time for all of it.
    marks = ",".join(f"{tenth / 10}s" for tenth in range(27, 40))
    options = ("--ci-fence", "--quiet-unless-failed", "--log-max", "64KiB", "-t", "4", "--warn-at", marks)
    ended = supervise(*options, "--", "sh", "-c", script, env=step(supervise), stderr=subprocess.STDOUT)
    assert b"bytes of the output are left out here" in ended.out
    *warnings, error = runner_of(ended.out).annotations
    assert error[0] == "error"
    assert warnings in ([("warning", "supervise")] * count for count in range(4))


def test_the_fence_is_lifted_for_a_warning(supervise: Place) -> None:
    script = f"printf '{HOSTILE}'; trap \"printf '{HOSTILE}'; exit\" TERM; sleep 60 & wait"
    words = ("--ci-fence", "-t", "60", "--warn-at", "59.9s", "--", "sh", "-c", script)
    running = supervise.start(*words, env=step(supervise), stderr=subprocess.STDOUT)
    wait_until(lambda: b"::warning title" in running.out)
    running.send(signal.SIGTERM)
    ended = running.wait()
    # The last bytes of the command come after the warning.
    assert ended.out.count(b"::error::f") == 2
    assert runner_of(ended.out).annotations == [("warning", "supervise"), ("error", "cancelled (supervise)")]


@pytest.mark.parametrize(("end", "code"), [("exit 0", 0), ("exit 3", 3)])
def test_a_short_run_has_a_fence(supervise: Place, end: str, code: int) -> None:
    words = ("--ci-fence", "--no-record", "--", "sh", "-c", f"printf '{HOSTILE}'; {end}")
    ended = supervise.start(*words, report=False, env=step(supervise), stderr=subprocess.STDOUT).wait()
    assert ended.code == code
    assert runner_of(ended.out).annotations == []


def test_the_fence_begins_and_ends_at_the_start_of_a_line(supervise: Place) -> None:
    script = f"printf unfinished; supervise --ci-fence -- printf '{HOSTILE}'"
    assert runner_of(supervise.shell(f"exec 2>&1; {script}", env=step(supervise)).out).annotations == []


def test_the_fence_ends_where_the_start_is_refused(supervise: Place) -> None:
    ended = supervise("--ci-fence", "--", "./no-such-program", env=step(supervise))
    assert ended.code == 127
    runner = runner_of(ended.err)
    assert len(runner.tokens) == 1
    assert runner.annotations == [("error", "not found (supervise)")]


def test_the_guardian_ends_the_fence_of_a_killed_supervise(supervise: Place) -> None:
    script = "trap '' TERM; echo $$; echo ::error::x; exec sleep 60"
    words = ("--ci-fence", "-k", "30", "--", "sh", "-c", script)
    running = supervise.start(*words, env=step(supervise), stderr=subprocess.STDOUT)
    wait_until(lambda: b"::error::x\n" in running.out)
    pid = int(running.out.split()[1])
    running.send(signal.SIGKILL)
    # At once: the step goes on while the command has its grace.
    wait_until(lambda: not Runner().read(running.out).token)
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)
    assert runner_of(running.wait().out).annotations == []


def test_a_supervise_whose_guardian_is_killed_ends_the_fence(supervise: Place) -> None:
    running = supervise.start("--ci-fence", "--", *child("mark=pid", "stay"), env=step(supervise))
    wait_for_file(supervise.file("pid"))
    os.kill(running.guardian(), signal.SIGKILL)
    running.send(signal.SIGTERM)
    assert runner_of(running.wait().err).annotations == [("error", "cancelled (supervise)")]


def test_held_output_of_a_killed_supervise_has_no_fence(supervise: Place) -> None:
    words = ("--ci-fence", "--quiet-unless-failed", "-k", "0.1", "--", *child("mark=pid", "stay"))
    running = supervise.start(*words, env=step(supervise))
    wait_for_file(supervise.file("pid"))
    kill(supervise, running)
    assert running.wait().err == b""


def test_quiet_unless_failed_stays_quiet(supervise: Place) -> None:
    words = ("--ci-fence", "--quiet-unless-failed", "-t", "30", "--", "sh", "-c", f"printf '{HOSTILE}'")
    ended = supervise(*words, env=step(supervise))
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")


def test_a_fence_that_cannot_be_written_refuses_the_run(supervise: Place) -> None:
    source, sink = os.pipe()
    os.close(source)
    words = ("--ci-fence", "--", "touch", "started")
    ended = supervise(*words, env=step(supervise), stderr=sink)
    os.close(sink)
    assert (ended.code, ended.report["outcome"]) == (125, "error")
    assert ended.report["reason"] == "--ci-fence: cannot write to stderr: broken pipe"
    assert not supervise.file("started").exists()


@pytest.mark.parametrize("env", [{}, {"GITLAB_CI": "true"}, {"BUILDKITE": "true"}])
def test_other_services_have_no_fence(supervise: Place, env: dict[str, str]) -> None:
    ended = supervise("--ci-fence", "--", "echo", "::error::x", env=env)
    assert (ended.code, ended.out, ended.err) == (0, b"::error::x\n", b"")


def test_a_detached_run_has_no_fence(supervise: Place) -> None:
    ended = supervise.start("-d", "--ci-fence", "--", "true", report=False, env=step(supervise)).wait()
    assert (ended.code, ended.err) == (0, b"")
    wait_until(lambda: not supervise.alive())


def test_a_reader_that_stands_still_leaves_the_fence_up(supervise: Place) -> None:
    """Whatever it reads later is the command's, and no command of the runner."""
    source, sink = os.pipe()
    script = "yes ::error::x | head -c 1000000"
    words = ("--ci-fence", "-t", "0.5", "-k", "0.5", "--", "sh", "-c", f"{script}; exec sleep 60")
    running = supervise.start(*words, env=step(supervise), stdout=sink, stderr=sink)
    os.close(sink)
    assert running.process.wait(30) == 124
    with open(source, "rb") as pipe:
        runner = Runner().read(pipe.read())
    assert runner.annotations == []
    assert runner.token


@pytest.mark.slow
def test_a_reader_that_never_reads_refuses_the_run(supervise: Place) -> None:
    source, sink = os.pipe()
    os.write(sink, bytes(1 << 16))
    ended = supervise("--ci-fence", "-t", "30", "--", "touch", "started", env=step(supervise), stderr=sink)
    os.close(source)
    os.close(sink)
    assert (ended.code, supervise.file("started").exists()) == (125, False)
    assert ended.report["reason"] == "--ci-fence: cannot write to stderr: its reader does not read"


def test_the_fence_ends_after_a_fault_of_supervise(supervise: Place) -> None:
    supervise.file("trio.py").write_text("1 / 0")
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from supervise.__main__ import main; main()"
    python = [sys.executable, "-I", "-c", start, str(supervise.folder)]
    words = ["run", "--ci-fence", "-k", "0.3", "--", "sh", "-c", STAY]
    ended = supervise.popen([*python, *words], env=step(supervise), stderr=subprocess.STDOUT).wait()
    assert ended.code == 125
    runner = runner_of(ended.out)
    assert runner.annotations == []
    assert len(runner.tokens) == 1
