"""Clients of a run: its control socket, and the commands that ask and steer it."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from supervise.records import reader
from tests.support.harness import BOUND, Ended, Place, Running, wait_until


def socket_of(supervise: Place, number: int = 0) -> Path:
    """The control socket of a run, as soon as there is one."""
    folder = supervise.runtime / "supervise"
    return wait_until(lambda: sorted(folder.glob("*.sock"))[number : number + 1])[0]


def newest(supervise: Place) -> str:
    """The id of this test's newest run.  `-` may be a run of another test, in the folder that all tests share."""
    return wait_until(lambda: reader.ids(supervise.state)[:1])[0]


def connect(path: Path) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(BOUND)
    # The address has no room for a long path.
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        one.connect(f"/proc/self/fd/{fd}/{path.name}")
    except OSError:
        one.close()
        raise
    finally:
        os.close(fd)
    return one


def ask(path: Path, **request: Any) -> Any:
    """The run's answer to one request."""
    with connect(path) as one, one.makefile("rw") as file:
        file.write(json.dumps(request) + "\n")
        file.flush()
        return json.loads(file.readline())


def steered(supervise: Place, *words: str, **manner: Any) -> tuple[Running, str]:
    """A run that can be steered, and its id."""
    running = supervise.start(*words, **manner)
    return running, socket_of(supervise).stem


def command(supervise: Place, *words: str, **manner: Any) -> Any:
    return supervise.popen([str(supervise.program), *words], **manner).wait()


def attach(supervise: Place, *said: str, **manner: object) -> Running:
    return supervise.popen([str(supervise.program), "attach", *said], **manner)  # type: ignore[arg-type]


def stop(supervise: Place, run_id: str) -> dict[str, object]:
    """End a run, and read its report as soon as it is there."""
    ended = command(supervise, "stop", run_id)
    assert ended.code == 0, ended.err
    return report_of(supervise)


def report_of(supervise: Place) -> dict[str, object]:
    path = supervise.report_path(0)
    wait_until(path.exists)
    report: dict[str, object] = json.loads(path.read_bytes())
    wait_until(lambda: not supervise.alive())
    return report


def detached(supervise: Place, *words: str, options: tuple[str, ...] = ()) -> tuple[str, Ended]:
    """The id that came back, and how the call itself ended."""
    ended = supervise("--detach", *options, "--", *words)
    assert ended.code == 0
    assert ended.err == b""
    return ended.out.decode().strip(), ended
