"""The engine `slurm`: each task, or each bundle of --bundle tasks, is a task of a job array (sbatch(1)).

A task that ends with 75 is queued again by `scontrol requeue`, at most --retries times by SLURM_RESTART_COUNT, and by
Slurm itself where its node has failed. All of a batch that is larger than the MaxArraySize of the cluster goes into
several arrays.

The record has each array before sbatch gets it, and its id afterwards. The comment of the array has its tag, by which
the array is found where this process was killed in between. The lock of the batch is held by this process and by
sbatch, so that nobody looks for an array while it is submitted.
"""

import json
import os

from supervise.batch import bundle_script, bundles, collection, engine_clients, job_script, journal
from supervise.batch.batch_record import Batch
from supervise.batch.engines import State, States
from supervise.files import user_files
from supervise.options.table import BadValueError
from supervise.records import store
from supervise.records.rerun import environment
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from supervise.batch.engines import Word

POLL_SECONDS = 5.0
JOBS_FILE = "jobs"
"""The file of the record with the arrays: the tag and the id of each, what is added to its indices, its tasks, and how
many of them a bundle has, where that is not one."""
COMMENT = "--comment"
"""The option of sbatch in which the tag stands."""
LARGEST_ARRAY = 1001
"""MaxArraySize where the cluster does not say it (slurm.conf(5))."""
REST_OF_ARRAY = 0xFFFFFFFE
"""The index of the record of all tasks that have none of their own: those that were cancelled before their start."""
WORDS: "dict[str, Word]" = {
    "PENDING": "pending", "REQUEUED": "pending", "REQUEUE_FED": "pending", "REQUEUE_HOLD": "pending",
    "SPECIAL_EXIT": "pending", "CONFIGURING": "pending", "RESV_DEL_HOLD": "pending",
    "RUNNING": "running", "COMPLETING": "running", "SUSPENDED": "running", "STOPPED": "running",
    "SIGNALING": "running", "STAGE_OUT": "running", "RESIZING": "running",
    "NODE_FAIL": "node_fail", "BOOT_FAIL": "node_fail",
    "PREEMPTED": "evicted", "REVOKED": "evicted",
    "CANCELLED": "cancelled",
}  # fmt: skip
"""What the states of a job mean (squeue(1), JOB STATE CODES); all others are ends."""
FORGOTTEN = "Invalid job id"
"""What squeue and scontrol say of a job that they do not know."""
REASONS = ("TIMEOUT", "DEADLINE", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "NODE_FAIL", "BOOT_FAIL")
"""The states that say why Slurm has ended a job."""
RESTARTS = '"${SLURM_RESTART_COUNT:-0}"'
REQUEUE = 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"'
AGAIN = f"{REQUEUE} && exec sleep 60"
"""Slurm kills what is left of the task when it queues the task again."""


def render(batch: Batch) -> "Iterator[bytes]":
    """Yield the call of sbatch for each array with its script, and the lines of the tasks."""
    numbers = [*batch.numbers]
    for position, (offset, part) in enumerate(_arrays(bundles.elements(numbers, batch.bundle), _largest_array())):
        words = _sbatch(batch, offset, part, _tag(batch, position))
        yield os.fsencode(" ".join(map(job_script.quoted, words))) + b" <<'END'\n"
        yield _script(batch, offset) + b"END\n"
    if batch.bundle > 1:
        yield b"# " + os.fsencode(f"{batch.results}/{bundle_script.BUNDLES_FILE}") + b":\n"
        yield from bundle_script.bundle_lines(bundles.split(numbers, batch.bundle))
    yield b"# " + os.fsencode(f"{batch.results}/{job_script.TASKS_FILE}") + b":\n"
    yield from job_script.task_lines(batch)


def hand_over(batch: Batch, *, is_quiet: bool, is_resumed: bool) -> int:
    """Submit the arrays; return 0. Where one is refused, those before it are cancelled, and BadValueError is raised."""
    if batch.halt != "never":
        raise BadValueError("--halt: the tasks of Slurm do not know of each other")
    lock = engine_clients.lock(batch)
    numbers = [*batch.numbers]
    if is_resumed:
        found = _asked(batch, is_held=False)
        if found.is_active:
            raise BadValueError(f"the batch {batch.name} is being run")
        numbers = collection.unfinished(batch, found)
    largest = _largest_array()
    try:
        folder = user_files.open_folder(batch.results)
        try:
            for number in numbers if is_resumed else ():
                job_script.unlink(f"{number}.json", folder)
                job_script.unlink(bundle_script.starts_file(number), folder)
            job_script.write_tasks(batch, folder)
            if batch.bundle > 1:
                bundle_script.write_bundles(bundles.split(numbers, batch.bundle), folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise BadValueError(f"cannot write into {batch.results!r}: {stderr.reason_of(error)}") from None
    ids = _submit(batch, numbers, largest, lock)
    os.close(lock)
    if not is_quiet:
        what = f"{collection.number_of_tasks(len(numbers))} in job {', '.join(ids)} of Slurm"
        stderr.say(f"batch {batch.name}: {what}; results in {batch.results}")
    return 0


def _submit(batch: Batch, numbers: "list[int]", largest: int, lock: int) -> "list[str]":
    """Submit the arrays, and return their ids. Where one is refused, the others are cancelled.

    Raises BadValueError.
    """
    jobs = _jobs(batch)
    ids: list[str] = []
    tags: set[str] = set()
    # The tasks are not a part of the run in which this process may be.
    environ = environment({}, os.environ)
    try:
        for offset, part in _arrays(bundles.elements(numbers, batch.bundle), largest):
            tag = _tag(batch, len(jobs))
            tags.add(tag)
            jobs.append({"id": None, "tag": tag, "offset": offset, **_tasks_on_record(batch, numbers, part)})
            _note(batch, jobs)
            said = _call(_sbatch(batch, offset, part, tag), _script(batch, offset), environ, lock)
            # The id is followed by the name of a cluster where there are several.
            ids.append(said.split(b";")[0].decode("ascii", "replace").strip())
            jobs[-1]["id"] = ids[-1]
            _note(batch, jobs)
    except (BadValueError, OSError) as error:
        why = str(error) if isinstance(error, BadValueError) else stderr.reason_of(error, with_path=True)
        try:
            # An sbatch that was given up may have submitted its array.
            ids = [job["id"] for job in _known_jobs(batch, is_held=False) if job["tag"] in tags] or ids
            if ids:
                _call(["scancel", *ids])
        except BadValueError as second:
            why = f"{why}; cancel job {', '.join(ids)}: {second}" if ids else why
        raise BadValueError(why) from None
    return ids


def _note(batch: Batch, jobs: "list[dict[str, Any]]") -> None:
    store.write_whole(f"{batch.folder}/{JOBS_FILE}", json.dumps(jobs).encode() + b"\n")


def states(batch: Batch) -> States:
    """Return what squeue, scontrol and sacct say; the first has what goes on, the others remember some ends.

    Raises BadValueError where Slurm cannot be asked, and not all tasks have written their reports.
    """
    # The lock is looked at first: the last array may be noted meanwhile, and is in the record then.
    is_held = journal.is_held(batch.folder)
    return engine_clients.asked_or_reported(batch, lambda: _asked(batch, is_held=is_held))


def _asked(batch: Batch, *, is_held: bool) -> States:
    """Return what Slurm says; `is_held`: the batch is being submitted."""
    found: dict[int, State] = {}
    bundled: set[int] = set()
    is_active = is_held
    for job in _known_jobs(batch, is_held=is_held):
        size = job.get("bundle", 1)
        tasks = bundles.by_index(_indices(job["numbers"]), job["offset"], size)
        states = _listed(job["id"])
        if rest := tasks.keys() - states.keys():
            ends = {**_accounted(job["id"], rest), **_remembered(job["id"])}
            other = ends.get(REST_OF_ARRAY, State("lost"))
            states.update({index: ends.get(index, other) for index in rest})
        is_active |= any(state.word in ("pending", "running") for state in states.values())
        # A later array has the tasks that were left of an earlier one.
        later = {number: states[index] for index, numbers in tasks.items() for number in numbers}
        found.update(later)
        bundled.difference_update(later)
        if size > 1:
            bundled.update(later)
    if bundled:
        found.update(bundles.states(batch, {number: found[number] for number in bundled}))
    for number in batch.numbers:
        if number not in found:
            # Its array was never submitted, or Slurm has forgotten the array before the record had its id.
            found[number] = State("ended" if batch.report_of(number) else "pending")
    return States(found, is_active=is_active)


def _known_jobs(batch: Batch, *, is_held: bool) -> "list[dict[str, Any]]":
    """Return the arrays with an id. Those that the record has without one are looked for, and noted where found.

    Raises BadValueError.
    """
    jobs = _jobs(batch)
    unknown = {job["tag"]: job for job in jobs if not job["id"]}
    if unknown and not is_held:
        words = ["squeue", "--noheader", f"--user={os.geteuid()}", "--states=all", "--format=%F|%k"]
        for line in _call(words).decode("utf-8", "replace").splitlines():
            job_id, _, comment = line.partition("|")
            job = unknown.get(comment.split(" ")[-1])
            if job and job_id.isdigit():
                job["id"] = job_id
        try:
            _note(batch, jobs)
        except OSError as error:
            raise BadValueError(stderr.reason_of(error, with_path=True)) from None
    return [job for job in jobs if job["id"]]


def cancel(batch: Batch, number: int) -> None:
    """Cancel all tasks by scancel(1), which sends signals of its own: the number is not used.

    Raises BadValueError where none goes on.
    """
    if not states(batch).is_active:
        raise BadValueError(f"the batch {batch.name} has ended")
    _call(["scancel", *(job["id"] for job in _jobs(batch) if job["id"])])


def _jobs(batch: Batch) -> "list[dict[str, Any]]":
    try:
        with open(f"{batch.folder}/{JOBS_FILE}", "rb") as file:
            return list(json.loads(file.read()))
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        raise BadValueError(f"the record of the batch {batch.name} is damaged") from None


def _tasks_on_record(batch: Batch, numbers: "list[int]", part: "list[int]") -> "dict[str, Any]":
    """Return the fields of the record for the tasks of an array that has this part of the elements."""
    if batch.bundle == 1:
        return {"numbers": _ranges(part)}
    return {"numbers": _ranges(bundles.tasks_of(part, numbers, batch.bundle)), "bundle": batch.bundle}


def _arrays(elements: "list[int]", largest: int) -> "Iterator[tuple[int, list[int]]]":
    """Yield, for each array, what is to be added to its indices, and the numbers of its elements."""
    begin = 0
    while begin < len(elements):
        offset = elements[begin] - 1
        part = [number for number in elements[begin : begin + largest - 1] if number - offset < largest]
        yield offset, part
        begin += len(part)


def _tag(batch: Batch, position: int) -> str:
    """Return what tells the array at that position of the record from all others."""
    return f"supervise:{batch.name}:{batch.facts['created_at']}:{batch.facts['host']}:{position}"


def _sbatch(batch: Batch, offset: int, elements: "list[int]", tag: str) -> "list[str]":
    """Return the call of sbatch. The tag is the last word of the comment, after that of the user."""
    comment = [one.removeprefix(f"{COMMENT}=") for one in batch.engine_options if one.startswith(f"{COMMENT}=")]
    indices = _ranges([number - offset for number in elements])
    at_once = f"%{batch.jobs}" if batch.jobs else ""
    return [
        "sbatch",
        "--parsable",
        f"--job-name={batch.name}",
        f"--array={indices}{at_once}",
        "--requeue",
        "--output=/dev/null",
        *batch.engine_options,
        f"{COMMENT}={' '.join([*comment[-1:], tag])}",
    ]


def _ranges(numbers: "list[int]") -> str:
    """Return `1-3,7` for these numbers, which are in order."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _indices(text: str) -> "list[int]":
    """Return the numbers of `1-3,7%2`; none where Slurm has shortened the list (`1-3,...`)."""
    found: list[int] = []
    for part in text.partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found += range(int(first), int(last or first) + 1)
    return found


def _script(batch: Batch, offset: int) -> bytes:
    number = f"$(({offset} + SLURM_ARRAY_TASK_ID))"
    if batch.bundle > 1:
        return bundle_script.script(batch, bundle=number, queued=RESTARTS, again=REQUEUE)
    return job_script.script(
        batch,
        number=number,
        restarts=RESTARTS,
        run=job_script.queued_again(batch, AGAIN),
        head=job_script.WITHOUT_TERM,
    )


def _largest_array() -> int:
    """Return the MaxArraySize of the cluster.

    Raises BadValueError where there is no cluster.
    """
    for line in _call(["scontrol", "show", "config"]).splitlines():
        name, _, value = line.partition(b"=")
        if name.strip() == b"MaxArraySize" and value.strip().isdigit():
            return max(2, int(value))
    return LARGEST_ARRAY


def _listed(job: str) -> "dict[int, State]":
    """Return the tasks that wait or run, by index."""
    try:
        lines = _call(["squeue", "--noheader", "--array", f"--jobs={job}", "--format=%K %T"]).splitlines()
    except _ForgottenError:
        return {}
    found = {}
    for line in lines:
        index, _, word = line.decode("ascii", "replace").partition(" ")
        state = _state(word, "")
        # Slurm lists ended tasks, too, for a moment.
        if index.isdigit() and state.word in ("pending", "running"):
            found[int(index)] = state
    return found


def _remembered(job: str) -> "dict[int, State]":
    """Return the ended tasks that the controller remembers (MinJobAge), by index."""
    try:
        lines = _call(["scontrol", "--oneliner", "show", "job", job]).splitlines()
    except _ForgottenError:
        return {}
    found = {}
    for line in lines:
        fields = dict(word.split("=", 1) for word in line.decode("utf-8", "replace").split() if "=" in word)
        for index in _indices(fields.get("ArrayTaskId", "")):
            found[index] = _state(fields.get("JobState", ""), fields.get("ExitCode", ""))
    return found


def _accounted(job: str, indices: "set[int]") -> "dict[int, State]":
    """Return the ended tasks that the accounting has, by index; empty where the cluster keeps none."""
    try:
        lines = _call(["sacct", "-n", "-P", "-X", "-j", job, "-o", "JobID,State,ExitCode"]).splitlines()
    except BadValueError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.decode("utf-8", "replace").partition("|")
        word, _, code = rest.partition("|")
        index = name.rpartition("_")[2]
        if index.isdigit() and int(index) in indices:
            found[int(index)] = _state(word, code)
    return found


def _state(word: str, code: str) -> State:
    """Return the state for a word such as `CANCELLED by 0`, and an exit code such as `3:0`, or `0:9` for signal 9."""
    own, _, signal = code.partition(":")
    number = -int(signal) if signal.isdigit() and int(signal) else int(own) if own.isdigit() else None
    name = (word.split() or [""])[0].rstrip("+")
    known = WORDS.get(name)
    reason = name.lower() if name in REASONS else job_script.FAILURES.get(number or 0)
    return State(known or "ended", None if known else number, reason)


class _ForgottenError(BadValueError):
    """Slurm does not know the job any more."""


def _call(
    words: "list[str]", data: bytes = b"", environ: "Mapping[str, str] | None" = None, lock: "int | None" = None
) -> bytes:
    """Return what a client of Slurm prints; `lock` is a descriptor that the client has, too.

    Raises BadValueError.
    """
    try:
        return engine_clients.call("Slurm", words, data, environ, lock)
    except engine_clients.RefusedError as error:
        if any(FORGOTTEN in line for line in error.said):
            raise _ForgottenError(str(error)) from None
        raise
