"""The engine `kubernetes`: each task is a pod of an Indexed Job (`manifest.py`), and `kubectl` talks to the cluster.

The report of a task is the termination message of its pod. A pod does not outlive its Job, so `collect` writes each
report that it sees into the folder of the results. The output stays in the logs of the pods.
"""

import json
import os
import tempfile
from contextlib import suppress

from supervise.batch import collection, engine_clients, json_objects, manifest, pods
from supervise.batch.batch_record import Batch
from supervise.batch.engines import State, States
from supervise.core.exit_codes import ExitCode
from supervise.files import whole_file
from supervise.options.table import BadValueError
from supervise.records import store
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO, Any

    from supervise.batch.pods import Seen, SeenJob

POLL_SECONDS = 10.0
CLIENT = "kubectl"
CLIENT_SECONDS = 120.0
"""Seconds that kubectl may take."""
JOBS_FILE, CANCELLED_FILE = "jobs", "cancelled"
"""The files of the record: each Job with its tasks, in the order of their indices; and whether `stop` was called."""


def render(batch: Batch) -> "Iterator[bytes]":
    """Yield the objects as kubectl gets them."""
    yield from _list(manifest.objects(batch, _job_name(batch, 0), [*batch.numbers]))


def hand_over(batch: Batch, *, is_quiet: bool, is_resumed: bool) -> int:
    """Create the objects, and return 0.

    Where the cluster refuses one, those before it are deleted, and BadValueError is raised.
    """
    jobs, numbers = _jobs(batch), [*batch.numbers]
    if is_resumed:
        found = states(batch)
        if found.is_active:
            raise BadValueError(f"the batch {batch.name} is being run")
        numbers = collection.unfinished(batch, found)
        if not numbers:
            stderr.say(f"batch {batch.name}: no task is left")
            return 0
    job = _job_name(batch, len(jobs))
    options = manifest.EngineOptions(batch.engine_options)
    data = b"".join(_list(manifest.objects(batch, job, numbers)))
    for number in numbers if is_resumed else ():
        store.unlink(batch.report_path(number))
    try:
        # The record knows of the Job before the cluster does: supervise may be killed in between.
        store.write_whole(f"{batch.folder}/{JOBS_FILE}", _record([*jobs, {"name": job, "numbers": numbers}]))
        store.unlink(f"{batch.folder}/{CANCELLED_FILE}")
    except OSError as error:
        raise BadValueError(stderr.reason_of(error, with_path=True)) from None
    try:
        if options.manifest:
            if why := whole_file.write_bytes(options.manifest, f".supervise-{job}", data):
                raise BadValueError(f"--engine-option: --manifest: {why}")
        else:
            _create(options.client, data)
    except BadValueError:
        with suppress(OSError):
            store.write_whole(f"{batch.folder}/{JOBS_FILE}", _record(jobs))
        raise
    if not is_quiet:
        where = f"; hand over {options.manifest}" if options.manifest else " of Kubernetes"
        what = f"{collection.number_of_tasks(len(numbers))} in the Job {job}{where}"
        stderr.say(f"batch {batch.name}: {what}; results in {batch.results}")
    return 0


def states(batch: Batch) -> States:
    """Return what the cluster says.

    Raises BadValueError where it cannot be asked, and not all tasks have left their reports.
    """
    return engine_clients.asked_or_reported(batch, lambda: _asked(batch))


def _asked(batch: Batch) -> States:
    options = manifest.EngineOptions(batch.engine_options)
    if options.manifest:
        raise BadValueError(
            f"the batch {batch.name} was written to {options.manifest}; supervise collect --from FILE reads the "
            "answer of what runs it"
        )
    with tempfile.TemporaryFile() as answer:
        label = f"--selector={manifest.BATCH_LABEL}={manifest.object_name(batch.name)}"
        _call(["get", "jobs,pods", label, "--output=json", *options.client], answer=answer)
        answer.seek(0)
        return _states(batch, json_objects.objects(answer.read), CLIENT)


def states_of(batch: Batch, file: "IO[bytes]", name: str) -> States:
    """Return what a file says: the answer of `kubectl get pods -o json`, of `podman inspect` or `podman pod inspect`.

    Raises BadValueError where the file is no such answer, or has no pod of the batch.
    """
    return _states(batch, json_objects.objects(file.read), name, is_file=True)


def cancel(batch: Batch, number: int) -> None:
    """Delete the objects; the kubelet sends TERM to what runs, so that the number is not used.

    Raises BadValueError where nothing goes on.
    """
    # The reports of the tasks that have ended are deleted with their pods.
    if not states(batch).is_active:
        raise BadValueError(f"the batch {batch.name} has ended")
    options = manifest.EngineOptions(batch.engine_options)
    label = f"--selector={manifest.BATCH_LABEL}={manifest.object_name(batch.name)}"
    _call(["delete", "jobs,configmaps", label, "--wait=false", *options.client])
    store.write_whole(f"{batch.folder}/{CANCELLED_FILE}", b"")


def _states(batch: Batch, objects: "Iterable[dict[str, Any]]", source: str, *, is_file: bool = False) -> States:
    """Join what the objects say of the Jobs of the batch."""
    recorded = _jobs(batch)
    place = {job["name"]: at for at, job in enumerate(recorded)}
    newest: dict[tuple[int, int], Seen] = {}
    of_jobs: dict[int, SeenJob] = {}
    try:
        for found in objects:
            job = pods.job_of(found)
            if job and job.name in place:
                of_jobs[place[job.name]] = job
            one = pods.seen(found)
            if not one or one.job not in place or one.number >= len(recorded[place[one.job]]["numbers"]):
                continue
            key = (place[one.job], one.number)
            if key not in newest or one.came_after(newest[key]):
                newest[key] = one
    except (ValueError, RecursionError) as error:
        raise BadValueError(f"{source}: is no answer in JSON: {error}") from None
    except OSError as error:
        raise BadValueError(f"{source}: {stderr.reason_of(error)}") from None
    if is_file and not newest and not of_jobs:
        raise BadValueError(f"{source}: has no pod of the batch {batch.name}")
    is_cancelled = os.path.exists(f"{batch.folder}/{CANCELLED_FILE}")
    return _joined(batch, recorded, newest, of_jobs, is_cancelled=is_cancelled)


def _joined(
    batch: Batch,
    recorded: "list[dict[str, Any]]",
    newest: "dict[tuple[int, int], Seen]",
    of_jobs: "dict[int, SeenJob]",
    *,
    is_cancelled: bool,
) -> States:
    states: dict[int, State] = {}
    is_active = False
    for at, job in enumerate(recorded):
        status, numbers = of_jobs.get(at), job["numbers"]
        mine = {index: newest[at, index] for index in range(len(numbers)) if (at, index) in newest}
        is_alive = any(one.state.word in ("pending", "running") for one in mine.values())
        goes_on = not status.is_over if status and not is_cancelled else is_alive
        is_active = goes_on
        completed = pods.indices(status.completed, len(numbers)) if status else set()
        failed = pods.indices(status.failed, len(numbers)) if status else set()
        for index, number in enumerate(numbers):
            if one := mine.get(index):
                states[number] = _state(batch, number, one, goes_on=goes_on and status is not None and not is_cancelled)
            elif index in completed or index in failed:
                states[number] = State("ended", 0 if index in completed else None)
            elif is_cancelled:
                states[number] = State("cancelled")
            elif goes_on or (status and status.is_over):
                states[number] = State("pending", None, status.reason if status else None)
            else:
                states[number] = State("lost")
    return States(states, is_active=is_active)


def _state(batch: Batch, number: int, one: "Seen", *, goes_on: bool) -> State:
    """Return the state of a task by its newest pod; `goes_on`: its Job is known to make another one where it may."""
    state = one.state
    is_final = not (state.code == ExitCode.TRY_AGAIN and one.failures < batch.restarts)
    if goes_on and (not is_final or state.word in ("evicted", "node_fail")):
        return State("pending", None, state.reason)
    report = pods.report_of(one.message)
    if report and is_final and not os.path.lexists(batch.report_path(number)):
        data = json.dumps(report).encode("ascii") + b"\n"
        # Without a folder for it, the report is known as long as the pod is.
        if not whole_file.write_bytes(batch.report_path(number), f".supervise-{number}", data):
            return state
    state.report = None if is_final and os.path.lexists(batch.report_path(number)) else report
    return state


def _job_name(batch: Batch, before: int) -> str:
    """Return the name of the Job after so many Jobs of the batch."""
    name = manifest.object_name(batch.name)
    return f"{name}-r{before}" if before else name


def _list(objects: "Iterable[dict[str, Any]]") -> "Iterator[bytes]":
    """Yield the lines of a list of the objects, which is JSON and so YAML, too."""
    before = b'{"apiVersion": "v1", "kind": "List", "items": [\n'
    for one in objects:
        yield before + json.dumps(one, indent=1).encode("ascii")
        before = b",\n"
    yield b"\n]}\n"


def _record(jobs: "list[dict[str, Any]]") -> bytes:
    return json.dumps(jobs).encode("ascii") + b"\n"


def _jobs(batch: Batch) -> "list[dict[str, Any]]":
    try:
        with open(f"{batch.folder}/{JOBS_FILE}", "rb") as file:
            return [{"name": job["name"], "numbers": [*job["numbers"]]} for job in json.loads(file.read())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError):
        raise BadValueError(f"the record of the batch {batch.name} is damaged") from None


def _create(options: "list[str]", data: bytes) -> None:
    """Create the objects; where one is refused, delete those that were created.

    Raises BadValueError.
    """
    with tempfile.TemporaryFile() as answer:
        try:
            _call(["create", "--filename=-", "--output=name", *options], data, answer)
        except BadValueError:
            answer.seek(0)
            if names := answer.read().decode("utf-8", "replace").split():
                with suppress(BadValueError):
                    _call(["delete", "--wait=false", *options, *names])
            raise


def _call(words: "list[str]", data: bytes = b"", answer: "IO[bytes] | None" = None) -> None:
    """Run kubectl, which writes its answer into that file.

    Raises BadValueError where it is missing, takes longer than CLIENT_SECONDS, or fails.
    """
    import subprocess

    out = subprocess.DEVNULL if answer is None else answer
    try:
        done = subprocess.run(
            [CLIENT, *words], input=data, stdout=out, stderr=subprocess.PIPE, timeout=CLIENT_SECONDS, check=False
        )
    except FileNotFoundError:
        raise BadValueError(
            f"there is no {CLIENT} on this machine, which Kubernetes needs; "
            "--engine-option=--manifest=FILE writes the objects to FILE instead"
        ) from None
    except subprocess.TimeoutExpired:
        raise BadValueError(f"{CLIENT} has not answered within {CLIENT_SECONDS:.0f}s") from None
    except OSError as error:
        raise BadValueError(f"{CLIENT}: {stderr.reason_of(error)}") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise BadValueError(f"{CLIENT}: {(lines or [f'exit {done.returncode}'])[-1]}")
