"""The programs of an engine (sbatch, condor_submit), run with a bound, and the lock of a batch that is submitted."""

import fcntl

from supervise.batch import journal
from supervise.batch.batch_record import Batch
from supervise.batch.engines import State, States
from supervise.options.table import BadValueError
from supervise.records import store
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLIENT_SECONDS = 60.0
"""Seconds that a program may take: the server that it asks may be slow."""


class RefusedError(BadValueError):
    """The program has failed; `said` are the lines that it has printed."""

    def __init__(self, text: str, said: "list[str]") -> None:
        super().__init__(text)
        self.said = said


def call(
    engine: str,
    words: "list[str]",
    data: bytes = b"",
    environ: "Mapping[str, str] | None" = None,
    lock: "int | None" = None,
) -> bytes:
    """Return what a program of that engine prints; `lock` is a descriptor that the program has, too.

    Raises BadValueError where it is missing or takes longer than CLIENT_SECONDS, and RefusedError where it fails.
    """
    import subprocess

    kept = () if lock is None else (lock,)
    try:
        done = subprocess.run(
            words, input=data, capture_output=True, env=environ, timeout=CLIENT_SECONDS, check=False, pass_fds=kept
        )
    except FileNotFoundError:
        raise BadValueError(f"there is no {words[0]} on this machine, which {engine} needs") from None
    except subprocess.TimeoutExpired:
        raise BadValueError(f"{words[0]} has not answered within {CLIENT_SECONDS:.0f}s") from None
    except OSError as error:
        raise BadValueError(f"{words[0]}: {stderr.reason_of(error)}") from None
    if done.returncode:
        said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        last = (said or [f"exit {done.returncode}"])[-1].strip().removeprefix(f"{words[0]}: ")
        raise RefusedError(f"{words[0]}: {last.removeprefix('ERROR: ')}", said)
    return done.stdout


def asked_or_reported(batch: Batch, ask: "Callable[[], States]") -> States:
    """Return what `ask` returns, or where the engine cannot be asked, that all tasks have ended: their reports say how.

    The reports outlive what the engine knows of the jobs. Raises BadValueError where a report is missing.
    """
    try:
        return ask()
    except BadValueError:
        if not all(map(batch.report_of, batch.numbers)):
            raise
        return States({number: State("ended") for number in batch.numbers}, is_active=False)


def lock(batch: Batch) -> int:
    """Return a descriptor of the lock of the batch.

    Raises BadValueError where another process has it.
    """
    try:
        found = store.open_own(f"{batch.folder}/{journal.LOCK_FILE}", journal.OPEN_FLAGS)
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadValueError(f"the batch {batch.name} is being submitted") from None
    except OSError as error:
        raise BadValueError(stderr.reason_of(error, with_path=True)) from None
    return found
