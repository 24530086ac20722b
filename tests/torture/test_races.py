"""Questions to a run at the very moment at which it ends, is lost or is pruned: each gets a true answer."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from supervise.control.sockets import SOCKET_SUFFIX, UNNAMED_SUFFIX
from tests.support.harness import Place, child, wait_until

COUNT = int(os.environ.get("RACES", "12"))
"""Trials of each kind, each with three questions."""
SEED = int(os.environ.get("RACES_SEED", str(random.randrange(10**9))))
SPREAD_SECONDS = 0.2
"""Seconds within which the questions and the end of the run fall."""
EXIT_CODE = 7
QUESTIONS: dict[str, tuple[list[str], tuple[int, ...]]] = {
    "ps": (["ps", "--json", "--all"], (0,)),
    "show": (["show", "one"], (0,)),
    "show --json": (["show", "--json", "one"], (0,)),
    "logs -f": (["logs", "-f", "one"], (0,)),
    "wait": (["wait", "one"], (EXIT_CODE, 125)),
    "extend": (["extend", "one", "1m"], (0, 125)),
    "attach": (["attach", "one"], (EXIT_CODE, 125)),
    "stop": (["stop", "one"], (0, 125)),
}


def left_sockets(supervise: Place) -> list[Path]:
    """Return the control sockets of all runs, also those that have no name yet."""
    return [path for path in supervise.runtime.rglob("*") if path.suffix in (SOCKET_SUFFIX, UNNAMED_SUFFIX)]


def left_sockets_after_a_question(supervise: Place) -> list[Path]:
    """Ask each dead run that has left a control socket, and return the sockets that are still there.

    One that has no name stays until it is a second old.
    """
    for path in left_sockets(supervise):
        assert supervise.popen([str(supervise.program), "extend", path.stem, "1m"]).wait().code == 125
    return left_sockets(supervise)


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["ends", "is lost", "is pruned"])
def test_questions_at_the_end_of_a_run_get_a_true_answer(supervise: Place, manner: str) -> None:
    chance = random.Random(SEED)
    names = [name for name in QUESTIONS if name != "stop" or manner == "ends"]
    for number in range(COUNT):
        go = supervise.file(f"go{number}")
        words = ["--name", "one", "-t", "1h", "--", *child("say=here", f"wait_for={go}", f"exit={EXIT_CODE}")]
        running = supervise.start(*words, report=False)
        running.wait_for_out(b"here")
        guardian = running.guardian()
        asked = chance.sample(names, 3)
        moments = sorted((chance.uniform(0, SPREAD_SECONDS), name) for name in [*asked, "the end"])
        if manner == "is lost":
            # Output is on record a moment after it is shown; a supervisor killed in between has not written it.
            newest = sorted(Path(supervise.state, "runs").iterdir())[-1]
            wait_until(lambda folder=newest: b"here" in b"".join(one.read_bytes() for one in folder.glob("output*")))
            if number % 2:
                # Every second run has a socket when it is killed.
                wait_until(lambda folder=newest: [*supervise.runtime.rglob(f"{folder.name}.sock")])
        clients, pruner = {}, None
        began = time.monotonic()
        for moment, name in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            if name != "the end":
                clients[name] = supervise.popen([str(supervise.program), *QUESTIONS[name][0]])
            elif manner == "is lost":
                for pid in (running.pid, guardian):
                    os.kill(pid, signal.SIGKILL)
                go.touch()
            else:
                go.touch()
                if manner == "is pruned":
                    running.process.wait(20)
                    pruner = supervise.popen([str(supervise.program), "prune", "--keep", "0"])
        if pruner:
            pruned = pruner.wait()
            assert (pruned.code, pruned.out) == (0, b"1 run removed\n"), pruned
        for name, running_client in clients.items():
            ended = running_client.wait()
            where = f"RACES_SEED={SEED}, try {number}: {moments}: {name}: {ended}"
            codes = {*QUESTIONS[name][1], *([125] if pruner and name != "ps" else [])}
            if "stop" in asked and name in ("wait", "attach"):
                # A stopped run has this code.
                codes.add(128 + signal.SIGTERM)
            assert ended.code in codes, where
            assert b"Traceback" not in ended.err, where
            assert ended.err.count(b"\n") <= 3, where
            if ended.code == 125 and name != "wait":
                # The client has printed the output from before the removal of the record.
                assert ended.err.startswith(b"supervise: "), where
                continue
            if name in ("ps", "show", "show --json"):
                assert ended.out.strip(), where
            if name == "logs -f":
                assert ended.out == b"here\n", where
        code = running.process.wait(20)
        if manner == "is lost":
            assert code == -signal.SIGKILL
        elif "stop" not in asked:
            assert code == EXIT_CODE
        wait_until(lambda: not supervise.alive())
    if manner == "is lost":
        # With the supervisor and its guardian killed, a socket stays until a client misses its run, and removes it.
        wait_until(lambda: not left_sockets_after_a_question(supervise))
