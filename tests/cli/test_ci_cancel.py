"""A job that is cancelled: GitHub's runner sends INT, after 7.5 s TERM, after 2.5 s more KILL, to the step's process.

The times are those of actions/runner, src/Runner.Sdk/ProcessInvoker.cs.  The tree ignores INT and TERM.
"""

import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.composite import Action
from tests.support.deaths import checked
from tests.support.harness import Place, Running, child, wait_for_file, wait_until
from tests.support.records import only

FOLDER = Path(__file__).parents[2] / ".github/actions/supervise"
SIGNALS = ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 0.0))
"""What the runner sends, each with the seconds that it waits after that."""
DEAF = ("ignore=INT", "ignore=TERM")


def step_of(supervise: Place, kill_after: str) -> tuple[Action, Running]:
    """Start the step of the action with a stubborn tree; return both once the command runs."""
    stubborn = child("fork", *DEAF, "stay", "end", "double_fork", *DEAF, "stay", "end", *DEAF, "mark=pid", "stay")
    report = str(supervise.file("report.json"))
    inputs = {"command": f"trap '' INT TERM\n{shlex.join(stubborn)}", "kill-after": kill_after, "report": report}
    action = Action(FOLDER, supervise, inputs, {})
    action.assume("install", program=str(supervise.program))
    running = action.start("run")
    wait_for_file(supervise.file("pid"))
    # A supervise that is stopped before this could not tell of the command.
    wait_until(lambda: [*only(supervise).events()])
    return action, running


def cancel(running: Running, scale: float = 1.0) -> tuple[signal.Signals, float]:
    """Cancel the step as the runner does; return the last signal that was sent, and the seconds until the end."""
    began = time.monotonic()
    for number, seconds in SIGNALS:
        running.send(number)
        try:
            running.process.wait(seconds * scale or None)
            break
        except subprocess.TimeoutExpired:
            continue
    return number, time.monotonic() - began


def check_end(supervise: Place, action: Action, running: Running, outcome: str, code: str) -> None:
    """Check that all that tells of the run's end is complete, and that no process is left."""
    action.finish("run", running)
    assert (action.outputs["outcome"], action.outputs["exit_code"]) == (outcome, code)
    assert f"| outcome | {outcome} |" in action.summary
    assert action.summary.rstrip().endswith("```")
    assert checked(only(supervise))["outcome"] == outcome
    assert f'"outcome":"{outcome}"' in supervise.file("report.json").read_text().replace(" ", "")


@pytest.mark.slow
@pytest.mark.parametrize(("kill_after", "last", "most"), [("4s", signal.SIGINT, 7.0), ("10s", signal.SIGTERM, 10.0)])
def test_a_cancelled_step_is_complete_when_the_runner_goes_on(
    supervise: Place, kill_after: str, last: signal.Signals, most: float
) -> None:
    action, running = step_of(supervise, kill_after)
    sent, seconds = cancel(running)
    assert sent == last
    assert seconds < most
    check_end(supervise, action, running, "cancelled", "130")


def test_the_guardian_completes_a_step_that_the_runner_kills(supervise: Place) -> None:
    action, running = step_of(supervise, "0.5s")
    # A supervise that no signal but KILL reaches.
    running.send(signal.SIGSTOP)
    assert cancel(running, scale=0.02)[0] == signal.SIGKILL
    wait_until(lambda: not supervise.alive())
    check_end(supervise, action, running, "lost", "")


def test_a_supervise_that_is_killed_while_it_stops_the_tree(supervise: Place) -> None:
    action, running = step_of(supervise, "4s")
    running.send(signal.SIGINT)
    wait_until(lambda: b"cancelled" in running.out)
    running.send(signal.SIGKILL)
    wait_until(lambda: not supervise.alive())
    check_end(supervise, action, running, "lost", "")
