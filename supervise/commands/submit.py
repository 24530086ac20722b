"""`supervise submit`: run one command for many items, each as a supervised run, by an engine."""

import os
from contextlib import suppress
from time import strftime
from typing import Any

from supervise.batch import batch_record, engines, tasks
from supervise.batch.batch_record import Batch
from supervise.commands import formats, lookup
from supervise.options import argv
from supervise.options.table import OPTIONS, WORD_SEPARATOR, BadValueError
from supervise.options.values import NAME_CHARACTERS, read
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervise.options.argv import Request

OF_BATCHES = {
    "report": "each task has its report in the folder of --results",
    "metrics": "all tasks would write the same file",
    "junit": "all tasks would write the same file",
    "detach": "the engine waits for its tasks",
    "detach-after": "the engine waits for its tasks",
    "detach-after-idle": "the engine waits for its tasks",
    "json": "nothing of a task is shown here",
    "with-parent": "a task ends with its engine anyway",
    "stop-on-eof": "the stdin of a task is /dev/null",
    "on-interrupt": "submit --resume runs again what is left",
}
"""The options of `run` that a task cannot have, each with the reason."""
RETRY_ON = "resumable"
"""The default of --retry-on: a task that was stopped by a limit would most likely be stopped again."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Hand the tasks to the engine, and return the exit code of the batch, or 0 where the engine goes on alone."""
    if values["resume"]:
        return _resume(values, operands)
    command, items = tasks.split(operands)
    if not command:
        raise BadValueError("there is no COMMAND to run")
    items = _items(values, items)
    engine = engines.load(values["on"])
    request = argv.fill(values["run"], command, os.environ)
    _check(request.given)
    _check_bundle(values["bundle"], values["on"])
    restarts = _restarts(request) if engines.RESTARTING[values["on"]] else None
    name = values["name"] or _new_name()
    if len(batch_record.run_name(name, len(items))) > NAME_CHARACTERS:
        raise BadValueError(f"--name: {name} is too long for the names of {len(items)} tasks")
    facts = batch_record.facts_of(
        name=name,
        engine=values["on"],
        command=command,
        options=_options(request.given, restarts),
        restarts=restarts or 0,
        results=os.path.abspath(values["results"] or f"{name}.results"),
        jobs=values["jobs"] or 0,
        bundle=values["bundle"] or 1,
        halt=values["halt"],
        engine_options=[*values["engine_option"]],
    )
    if values["dry_run"]:
        for line in engine.render(Batch("", facts, items)):
            formats.write(line)
        return 0
    for notice in (*request.hints, *filter(None, [request.notice])):
        stderr.say(notice)
    try:
        batch = batch_record.create(lookup.own_state(), facts, items)
    except OSError as error:
        raise BadValueError(f"no record of the batch can be made: {stderr.reason_of(error, with_path=True)}") from None
    if not engines.RESTARTING[batch.engine]:
        # The tasks are run by this process.
        formats.print_line(name)
    for variable in request.withheld:
        # The words of the options have their values.
        os.environ.pop(variable, None)
    try:
        code = engine.hand_over(batch, is_quiet=request.values["quiet"], is_resumed=False)
    except BadValueError:
        with suppress(OSError):
            batch_record.discard(batch)
        raise
    if engines.RESTARTING[batch.engine]:
        formats.print_line(name)
    return code


def _resume(values: dict[str, Any], operands: list[str]) -> int:
    if operands or values["tasks"] or values["name"] or values["run"] or values["results"]:
        raise BadValueError("--resume: the command, the items and the options are those of the batch")
    batch = batch_record.find(lookup.own_state(), values["resume"])
    _check_bundle(values["bundle"], batch.engine)
    batch.jobs = values["jobs"] or batch.jobs
    batch.bundle = values["bundle"] or batch.bundle
    try:
        os.chdir(batch.cwd)
    except OSError as error:
        raise BadValueError(f"--resume: {batch.cwd!r}: {stderr.reason_of(error)}") from None
    return engines.load(batch.engine).hand_over(batch, is_quiet=False, is_resumed=True)


def _items(values: dict[str, Any], items: "list[str] | None") -> list[str]:
    """Return the items of `:::` or of the file of --tasks.

    Raises BadValueError.
    """
    if items is not None and values["tasks"]:
        raise BadValueError(f"--tasks: the items stand after {tasks.SEPARATOR} already")
    try:
        found = tasks.read_items(values["tasks"]) if values["tasks"] else items
    except OSError as error:
        raise BadValueError(f"--tasks: cannot read {values['tasks']!r}: {stderr.reason_of(error)}") from None
    if not found:
        raise BadValueError(f"there are no tasks; give {tasks.SEPARATOR} ITEM... after the command, or --tasks FILE")
    return found


def _check(given: "Mapping[str, str]") -> None:
    """Raise BadValueError for an option that a task cannot have."""
    for name, why in OF_BATCHES.items():
        if name in given:
            raise BadValueError(f"--{name}: not for a batch: {why}")


def _check_bundle(size: int | None, engine: str) -> None:
    """Raise BadValueError where the engine cannot run bundles of that size."""
    if size and size > 1 and engine not in engines.BUNDLING:
        raise BadValueError(f"--bundle: the engine {engine} runs each task by itself")


def _restarts(request: "Request") -> int:
    """Return how often an engine is to start a task again that has ended with 75."""
    causes = request.values["retry_on"] if "retry-on" in request.given else (RETRY_ON,)
    return int(request.values["retries"]) if causes == (RETRY_ON,) else 0


def _options(given: "Mapping[str, str]", restarts: int | None) -> list[str]:
    """Return the options of the tasks as words; `restarts`: the engine does that, and not the run."""
    words = []
    for option in OPTIONS:
        if restarts and option.name in ("retries", "retry-on"):
            continue
        for word in given[option.name].split(WORD_SEPARATOR) if option.name in given else ():
            if not option.is_flag:
                words.append(f"--{option.name}={word}")
            elif read(option, word):
                words.append(f"--{option.name}")
    if "retries" in given and "retry-on" not in given and not restarts:
        words.append(f"--retry-on={RETRY_ON}")
    return words


def _new_name() -> str:
    return f"batch-{strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
