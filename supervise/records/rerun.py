"""Runs a run on record again: its command, in its folder, with its options and its kept environment."""

import os
import sys

from supervise import EXIT_TRY_AGAIN
from supervise.options.misspelt_variables import VARIABLES_OF_RUN
from supervise.options.table import OPTIONS, RECOVERED_FROM, BadValueError
from supervise.options.values import read
from supervise.records.recovery import RerunError
from supervise.text.stderr import PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervise.options.table import Option
    from supervise.records.reader import Record

START_WAIT_SECONDS = 60.0
"""Seconds that the new run may take until its command has started."""


def rerun(record: "Record", times: int) -> str:
    """Run that run again, detached, as its recovery number `times`; return the id of the new run.

    Raises RerunError.
    """
    import subprocess

    folder = record.cwd
    if not os.path.isdir(folder):
        raise RerunError(f"not run again: there is no folder {folder!r} now", is_final=False)
    real = record.real_words()
    if real is None:
        raise RerunError("not run again: its secrets were not kept")
    command, said, kept = real
    words = [*program(), "run", *_options(said), "--", *command]
    environ = environment(kept, os.environ) | {RECOVERED_FROM: f"{record.run_id} {times}"}
    pipe = subprocess.PIPE
    try:
        caller = subprocess.Popen(words, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except (OSError, ValueError) as error:
        raise RerunError(f"not run again: {error}") from None
    try:
        out, err = caller.communicate(timeout=START_WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        # The new run is not killed: it may wait for its `--lock`, and gives up by itself when this process ends.
        raise RerunError(f"run again, but its command has not started within {START_WAIT_SECONDS:.0f} s") from None
    if caller.returncode:
        why = os.fsdecode(err).strip().splitlines() or [f"exit {caller.returncode}"]
        is_busy = caller.returncode == EXIT_TRY_AGAIN
        raise RerunError(f"not run again: {why[-1].removeprefix(PREFIX)}", is_final=not is_busy)
    return out.decode().strip()


def program() -> "list[str]":
    """Return the words that started this interpreter and supervise, without the arguments."""
    words = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv[1:])]
    return [sys.executable, *words[1:]]


def environment(kept: "Mapping[str, str]", own: "Mapping[str, str]") -> "dict[str, str]":
    """Return the environment `own` without the variables that steer a single run, and with the `kept` variables."""
    of_options = {name for option in OPTIONS for name in option.variables}
    left_out = {*of_options, *VARIABLES_OF_RUN}
    return {name: word for name, word in own.items() if name not in left_out} | {**kept}


def _options(said: "Mapping[str, list[str]]") -> "list[str]":
    """Return the options of the run as words, with an empty configuration: today's configuration must not apply."""
    words = ["--detach", f"--config={os.devnull}"]
    for option in OPTIONS:
        if option.name not in ("detach", "config", "profile"):
            for word in said.get(option.name, ()):
                words += _words(option, word)
    return words


def _words(option: "Option", word: str) -> "list[str]":
    try:
        value = read(option, word)
    except BadValueError as error:
        raise RerunError(f"not run again: --{option.name}: {error}") from None
    if option.is_flag:
        return [f"--{option.name}"] if value else []
    return [f"--{option.name}={word}"]
