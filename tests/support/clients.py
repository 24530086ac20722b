"""Clients of a run: connections to its control socket, and the commands that ask about it and steer it."""

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

from supervise.records import reader
from tests.support.harness import HANG_SECONDS, Ended, Place, Running, state_of, wait_until

RUNS_OF_ROOT = "" if os.geteuid() == 0 else reader.RUNS_OF_ROOT
"""The end of what an ordinary user reads of a run that is not on record."""


def socket_of(supervise: Place, number: int = 0) -> Path:
    """Wait for the control socket of a run, and return its path."""
    folder = supervise.runtime / "supervise"
    return wait_until(lambda: sorted(folder.glob("*.sock"))[number : number + 1])[0]


def newest(supervise: Place) -> str:
    """Return the id of this test's newest run.

    `-` would not do: it may stand for a run of another test, in the folder that all tests share.
    """
    return wait_until(lambda: reader.ids(supervise.state)[:1])[0]


def bind(path: Path) -> socket.socket:
    """Return a socket that is bound to that path, as a run has it."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if path.suffix == ".notify" else socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_RDONLY)
    # A socket address has no room for the whole path.
    one.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)
    return one


def connect(path: Path) -> socket.socket:
    """Return a connection to that control socket.

    Raises OSError.
    """
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(HANG_SECONDS)
    # A socket address has no room for a long path (108 bytes, unix(7)).
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        one.connect(f"/proc/self/fd/{fd}/{path.name}")
    except OSError:
        one.close()
        raise
    finally:
        os.close(fd)
    return one


def is_waiting(pid: int, on: str = r"socket:|.*/lock$") -> bool:
    """Return whether a client sleeps in its wait for a run: for an answer, or for the lock of the run's record.

    `on` matches the descriptor. It is looked for first, since a client that still loads Python sleeps as well.
    """
    try:
        links = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return any(re.match(on, one) for one in links) and state_of(pid) == "S"


def ask(path: Path, **request: Any) -> Any:
    """Send the run one request, and return its answer."""
    with connect(path) as one, one.makefile("rw") as file:
        file.write(json.dumps(request) + "\n")
        file.flush()
        return json.loads(file.readline())


def steered(supervise: Place, *words: str, **manner: Any) -> tuple[Running, str]:
    """Start a run, wait for its control socket, and return the run and its id."""
    running = supervise.start(*words, **manner)
    return running, socket_of(supervise).stem


def command(supervise: Place, *words: str, **manner: Any) -> Any:
    """Run `supervise WORDS`, to its end."""
    return supervise.popen([str(supervise.program), *words], **manner).wait()


def attach(supervise: Place, *said: str, **manner: object) -> Running:
    """Start `supervise attach WORDS`."""
    return supervise.popen([str(supervise.program), "attach", *said], **manner)  # type: ignore[arg-type]


def stop(supervise: Place, run_id: str) -> dict[str, object]:
    """Stop a run by `supervise stop`, and return its report."""
    ended = command(supervise, "stop", run_id)
    assert ended.code == 0, ended.err
    return report_of(supervise)


def report_of(supervise: Place) -> dict[str, object]:
    """Wait for the report of the first run and for the end of all processes, and return the report."""
    path = supervise.report_path(0)
    wait_until(path.exists)
    report: dict[str, object] = json.loads(path.read_bytes())
    wait_until(lambda: not supervise.alive())
    return report


def detached(supervise: Place, *words: str, options: tuple[str, ...] = ()) -> tuple[str, Ended]:
    """Run `supervise --detach`; return the id that it prints, and how the call itself ended."""
    ended = supervise("--detach", *options, "--", *words)
    assert ended.code == 0
    assert ended.err == b""
    return ended.out.decode().strip(), ended
