"""The engine `htcondor`: each task is a job of a cluster of HTCondor (condor_submit(1)).

HTCondor runs a job again that ends with 75 (max_retries, retry_until), and by itself one whose machine has failed or
was taken away. `job.ad` tells the task how often it was started. Each job has the tag of its batch and the number of
its task as attributes, by which condor_q and condor_history find the jobs: the record needs no ids, and a `submit` that
was killed leaves none that cannot be found. condor_submit puts all jobs of a description into the queue, or none.
"""

import os
import re

from supervise.batch import collection, engine_clients, job_script, journal
from supervise.batch.batch_record import Batch
from supervise.batch.engines import State, States
from supervise.files import user_files
from supervise.options.table import BadValueError
from supervise.records.rerun import environment
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from supervise.batch.engines import Word

POLL_SECONDS = 2.0
SCRIPT_FILE = ".job"
"""The file of the results with the script of all tasks."""
START = f'[ -r "$0" ] || exit {job_script.NO_RESULTS}; . "$0"'
"""Runs the script, with the number of the task; a machine that does not see it ends as one without the results."""
HISTORY_MARGIN_SECONDS = 3600
"""Seconds before the submission at which the search of the history ends: the clocks of two machines may differ."""
LARGEST_CLUSTER = 20_000
"""MAX_JOBS_PER_SUBMISSION where the configuration does not say it."""
WORDS: "dict[str, Word]" = {
    "1": "pending", "2": "running", "3": "cancelled", "4": "ended", "5": "pending", "6": "running", "7": "running",
}  # fmt: skip
"""What the JobStatus of a job means (condor-manual, "Job ClassAd Attributes"): idle, running, removed, completed, held,
transferring output, suspended."""
GOING_ON = ("pending", "running")
REASONS = {"5": "held", "7": "suspended"}
"""The states that want somebody to do something, or tell why nothing moves."""
ATTRIBUTES = ("SuperviseTask", "ClusterId", "JobStatus", "ExitCode", "ExitSignal")
STARTS = r"""$(LC_ALL=C sed -n 's/^NumJobStarts = \([0-9][0-9]*\)$/\1/p' "$_CONDOR_JOB_AD" | grep . || echo 0)"""
"""Expands to how often the job was started before: the ad of the job is as old as its start."""
OPTION = re.compile(r"\+?[A-Za-z_][\w.]*\s*=[^\0-\x08\x0a-\x1f]*")
"""A line of a submit description that sets something; `queue` is ours."""


def render(batch: Batch) -> "Iterator[bytes]":
    """Yield the submit descriptions, the script, and the lines of the tasks."""
    for numbers in _clusters([*batch.numbers], LARGEST_CLUSTER):
        yield b"condor_submit -terse - <<'END'\n" + _description(batch, numbers) + b"END\n"
    yield b"# " + os.fsencode(f"{batch.results}/{SCRIPT_FILE}") + b":\n" + _script(batch)
    yield b"# " + os.fsencode(f"{batch.results}/{job_script.TASKS_FILE}") + b":\n"
    yield from job_script.task_lines(batch)


def hand_over(batch: Batch, *, is_quiet: bool, is_resumed: bool) -> int:
    """Submit the jobs; return 0. Where a cluster is refused, those before it are removed.

    Raises BadValueError.
    """
    if batch.halt != "never":
        raise BadValueError("--halt: the tasks of HTCondor do not know of each other")
    lock = engine_clients.lock(batch)
    numbers = [*batch.numbers]
    if is_resumed:
        found = _asked(batch, is_held=False)
        if found.is_active:
            raise BadValueError(f"the batch {batch.name} is being run")
        numbers = collection.unfinished(batch, found)
    descriptions = [_description(batch, part) for part in _clusters(numbers, _largest_cluster())]
    _write_files(batch, numbers if is_resumed else [])
    ids: list[str] = []
    try:
        for description in descriptions:
            # The tasks are not a part of the run in which this process may be.
            said = _call(["condor_submit", "-terse", "-"], description, environment({}, os.environ), lock)
            ids.append(said.partition(b".")[0].decode("ascii", "replace").strip())
    except BadValueError:
        if ids:
            _call(["condor_rm", *ids])
        raise
    os.close(lock)
    if not is_quiet:
        what = f"{collection.number_of_tasks(len(numbers))} in cluster {', '.join(ids)} of HTCondor"
        stderr.say(f"batch {batch.name}: {what}; results in {batch.results}")
    return 0


def _write_files(batch: Batch, again: "list[int]") -> None:
    """Write the script and the lines of the tasks; remove the reports of those that are run again.

    Raises BadValueError.
    """
    try:
        folder = user_files.open_folder(batch.results)
        try:
            for number in again:
                job_script.unlink(f"{number}.json", folder)
            job_script.write_tasks(batch, folder)
            job_script.write_new(SCRIPT_FILE, [_script(batch)], folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise BadValueError(f"cannot write into {batch.results!r}: {stderr.reason_of(error)}") from None


def states(batch: Batch) -> States:
    """Return what condor_q says of the jobs that are in the queue, and condor_history of those that have left it.

    Raises BadValueError where HTCondor cannot be asked, and not all tasks have written their reports.
    """
    # The lock is looked at first: the last jobs may be submitted meanwhile, and are in the queue then.
    is_held = journal.is_held(batch.folder)
    return engine_clients.asked_or_reported(batch, lambda: _asked(batch, is_held=is_held))


def _asked(batch: Batch, *, is_held: bool) -> States:
    """Return what HTCondor says; `is_held`: the batch is being submitted."""
    mine = ["-constraint", f"SuperviseBatch == {_literal(_tag(batch))}"]
    # With -j, HTCondor makes the jobs of a cluster one after the other, and its factory has the rest.  The factory is
    # asked first: a job that is made meanwhile is in the queue then, and one that has ended is in the history.
    factories = _call(["condor_q", "-factory", *mine, "-af", "ClusterId"]).split()
    factory = max((int(one) for one in factories if one.isdigit()), default=0)
    listed = _read(_call(["condor_q", *mine, "-af", *ATTRIBUTES]))
    gone: dict[int, tuple[int, State]] = {}
    if len(listed) < len(batch.items):
        since = ["-since", f"EnteredCurrentStatus < {_submission(batch) - HISTORY_MARGIN_SECONDS}"]
        gone = _read(_call(["condor_history", *since, *mine, "-af", *ATTRIBUTES]))
    is_removed = any(state.word == "cancelled" for _, state in gone.values())
    is_waiting = is_held or bool(factory)
    found: dict[int, State] = {}
    for number in batch.numbers:
        cluster, state = listed.get(number) or gone.get(number) or (0, None)
        if state and (number in listed or not is_waiting or cluster == factory or batch.report_of(number)):
            found[number] = state
        elif batch.report_of(number):
            found[number] = State("ended")
        elif is_waiting or not (listed or gone):
            # Without any job the batch was not submitted.
            found[number] = State("pending")
        else:
            found[number] = State("cancelled" if is_removed else "lost")
    return States(found, is_active=is_waiting or any(state.word in GOING_ON for _, state in listed.values()))


def cancel(batch: Batch, number: int) -> None:
    """Remove all jobs by condor_rm(1), which sends signals of its own: the number is not used.

    Raises BadValueError where none goes on.
    """
    if not states(batch).is_active:
        raise BadValueError(f"the batch {batch.name} has ended")
    _call(["condor_rm", "-constraint", f"SuperviseBatch == {_literal(_tag(batch))}"])


def _clusters(numbers: "list[int]", largest: int) -> "Iterator[list[int]]":
    for begin in range(0, len(numbers), largest):
        yield numbers[begin : begin + largest]


def _tag(batch: Batch) -> str:
    """Return what tells the jobs of the batch from all others."""
    return f"supervise:{batch.name}:{batch.facts['created_at']}:{batch.facts['host']}"


def _submission(batch: Batch) -> int:
    """Return when the batch was made, in epoch seconds."""
    from datetime import datetime

    return int(datetime.fromisoformat(batch.facts["created_at"]).timestamp())


def _argument(word: str) -> str:
    """Return the word for `arguments` of a submit description (condor_submit(1))."""
    return "'" + word.replace("'", "''").replace('"', '""').replace("$", "$(DOLLAR)") + "'"


def _literal(text: str) -> str:
    """Return the text as a string of a ClassAd."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _description(batch: Batch, numbers: "list[int]") -> bytes:
    """Return the submit description. It names the script alone: the words of the tasks are in a file.

    Raises BadValueError for what such a description cannot hold.
    """
    path = f"{batch.results}/{SCRIPT_FILE}"
    if any(character < " " and character != "\t" for character in path):
        raise BadValueError(f"--results: {batch.results!r}: a submit description of HTCondor holds no end of a line")
    for line in batch.engine_options:
        if not OPTION.fullmatch(line):
            raise BadValueError(f"--engine-option: {line!r} is not NAME=VALUE, a line of a submit description")
    arguments = " ".join(map(_argument, ("-c", START, path)))
    lines = [
        "executable = /bin/sh",
        f'arguments = "{arguments} $(supervise_task)"',
        "transfer_executable = false",
        "should_transfer_files = NO",
        "initialdir = /",
        "getenv = true",
        f"batch_name = {batch.name}",
        f"My.SuperviseBatch = {_literal(_tag(batch))}",
        "My.SuperviseTask = $(supervise_task)",
        *([f"max_retries = {batch.restarts}", "retry_until = ExitCode =!= 75"] if batch.restarts else []),
        *([f"max_materialize = {batch.jobs}"] if batch.jobs else []),
        *batch.engine_options,
        "queue supervise_task from (",
        *map(str, numbers),
        ")",
    ]
    return os.fsencode("\n".join(lines)) + b"\n"


def _script(batch: Batch) -> bytes:
    # HTCondor signals the first process of a job alone, so that has to be supervise.  No shell is left that could look
    # at the disk after it: that is done before.
    return job_script.script(batch, number='"$1"', restarts=STARTS, run='check\nexec "$@"\n')


def _largest_cluster() -> int:
    """Return how many jobs one description may have.

    Raises BadValueError where there is no HTCondor.
    """
    try:
        said = _call(["condor_config_val", "MAX_JOBS_PER_SUBMISSION"]).strip()
    except engine_clients.RefusedError:
        # It is not in the configuration.
        return LARGEST_CLUSTER
    return max(1, int(said)) if said.isdigit() else LARGEST_CLUSTER


def _read(said: bytes) -> "dict[int, tuple[int, State]]":
    """Return the cluster and the state by the number of the task; of several jobs of a task the newest counts."""
    newest: dict[int, tuple[int, State]] = {}
    for line in said.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) != len(ATTRIBUTES) or not (words[0].isdigit() and words[1].isdigit()):
            continue
        number, cluster = int(words[0]), int(words[1])
        if number not in newest or newest[number][0] < cluster:
            newest[number] = cluster, _state(*words[2:])
    return newest


def _state(status: str, code: str, signal: str) -> State:
    """Return the state for a JobStatus, an ExitCode and an ExitSignal; the last two may be `undefined`."""
    word = WORDS.get(status, "lost")
    number = None
    if word == "ended":
        number = int(code) if code.isdigit() else -int(signal) if signal.isdigit() else None
    return State(word, number, REASONS.get(status) or job_script.FAILURES.get(number or 0))


def _call(
    words: "list[str]", data: bytes = b"", environ: "Mapping[str, str] | None" = None, lock: "int | None" = None
) -> bytes:
    return engine_clients.call("HTCondor", words, data, environ, lock)
