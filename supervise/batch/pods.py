"""What pods say of their tasks, in the answers of `kubectl get jobs,pods`, `podman inspect` and `podman pod inspect`.

The answer may be a file of the user's, so that nothing in it is taken for granted. Its objects are read one after the
other, and of each only what `collect` needs is kept.
"""

import json

from supervise.batch.batch_record import is_report
from supervise.batch.engines import State
from supervise.batch.manifest import (
    CONTAINER,
    FAILURES_ANNOTATION,
    IGNORED_ANNOTATION,
    INDEX,
    INDEX_ANNOTATION,
    JOB_LABEL,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervise.batch.engines import Word

OF_NODES = ("DeletionByTaintManager", "DeletionByPodGC", "NodeLost", "NodeShutdown", "NodeAffinity")
"""The reasons of a disruption that say that the node has failed (Kubernetes, "Pod disruption conditions", "Node
shutdowns")."""
DISRUPTIONS = ("Evicted", "Preempting", "Terminated", "Shutdown", *OF_NODES)
"""The reasons of a pod that was taken away, where there is no condition that says so."""
PLAIN = ("", "Completed", "Error")
"""The reasons of a container's end that say no more than the exit code does."""
PASSING = ("", "ContainerCreating", "PodInitializing")
"""The reasons of a container that waits for nothing that a user could change."""
NO_NODE = "Unschedulable"
LIVING = ("created", "initialized", "configured", "running", "stopping", "paused", "degraded")
"""The states of a container or a pod of podman that has not ended."""
UNSTARTED = ("created", "initialized", "configured")


class Seen:
    """What one object says of one task."""

    __slots__ = ("_created", "failures", "job", "message", "number", "state")

    def __init__(self, job: str, index: int, state: State) -> None:
        self.job = job
        """The name of the Job."""
        self.number = index
        """The index of the task in the Job."""
        self.state = state
        self.message = ""
        """What the pod has left, as it is: 100,000 reports in pieces would take four times the memory."""
        self.failures = 0
        """How many pods of the index have ended with 75 before."""
        self._created: tuple[int, str] = (0, "")

    def came_after(self, other: "Seen") -> bool:
        """Return whether this is a later pod of the same index of the same Job."""
        return self._created >= other._created

    def note_start(self, failures: int, ignored: int, created: str) -> None:
        """Take what tells the pods of an index apart; two may have been made in one second."""
        self.failures = failures
        self._created = (failures + ignored, created)


class SeenJob:
    """What a Job says of itself."""

    def __init__(self, found: "dict[str, Any]") -> None:
        status = _dict(found.get("status"))
        self.name = _text(_dict(found.get("metadata")).get("name"))
        conditions = [_dict(one) for one in _list(status.get("conditions"))]
        self.is_over = any(_is_true(one) and one.get("type") in ("Complete", "Failed") for one in conditions)
        self.reason = next(
            (_text(one.get("reason")) or None for one in conditions if _is_true(one) and one.get("type") == "Failed"),
            None,
        )
        """Why the Job has failed: `PodFailurePolicy`."""
        self.completed = _text(status.get("completedIndexes"))
        self.failed = _text(status.get("failedIndexes"))


def job_of(found: "dict[str, Any]") -> "SeenJob | None":
    """Return what the object says of a Job; None where it is none."""
    return SeenJob(found) if found.get("kind") == "Job" else None


def seen(found: "dict[str, Any]") -> "Seen | None":
    """Return what the object says of a task; None where it is no pod of a batch."""
    if found.get("kind") == "Pod":
        return _of_pod(found)
    if "State" in found and ("Config" in found or "Containers" in found):
        return _of_podman(found)
    return None


def indices(text: str, most: int) -> "set[int]":
    """Return the indices below `most` of `1,3-5,7`, as the status of a Job has them."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _number(first), _number(last or first)
        if begin is not None and end is not None:
            found.update(range(begin, min(end + 1, most)))
    return found


def _of_pod(pod: "dict[str, Any]") -> "Seen | None":
    metadata, status = _dict(pod.get("metadata")), _dict(pod.get("status"))
    labels, annotations = _dict(metadata.get("labels")), _dict(metadata.get("annotations"))
    job, index = _text(labels.get(JOB_LABEL)), _number(annotations.get(INDEX_ANNOTATION, labels.get(INDEX_ANNOTATION)))
    if index is None:
        containers = [_dict(one) for one in _list(_dict(pod.get("spec")).get("containers"))]
        variables = [_dict(one) for container in containers for one in _list(container.get("env"))]
        index = next((_number(one.get("value")) for one in variables if one.get("name") == INDEX), None)
    if not job or index is None:
        return None
    containers = [_dict(one) for one in _list(status.get("containerStatuses"))]
    state = next((_dict(one.get("state")) for one in containers if one.get("name") == CONTAINER), {})
    ended = _dict(state.get("terminated"))
    found = Seen(job, index, _state_of_pod(status, state, ended))
    if found.state.word not in ("pending", "running"):
        found.message = _text(ended.get("message"))
    failures, ignored = (_number(annotations.get(name)) or 0 for name in (FAILURES_ANNOTATION, IGNORED_ANNOTATION))
    found.note_start(failures, ignored, _text(metadata.get("creationTimestamp")))
    return found


def _state_of_pod(status: "dict[str, Any]", state: "dict[str, Any]", ended: "dict[str, Any]") -> State:
    phase = status.get("phase")
    conditions = [_dict(one) for one in _list(status.get("conditions"))]
    if phase == "Running":
        return State("running")
    if phase not in ("Succeeded", "Failed"):
        waiting = _text(_dict(state.get("waiting")).get("reason"))
        placed = next((_text(one.get("reason")) for one in conditions if one.get("type") == "PodScheduled"), "")
        why = waiting if waiting not in PASSING else placed if placed == NO_NODE else ""
        # A pod whose phase is Unknown runs on a node that does not answer.
        return State("running" if phase == "Unknown" else "pending", None, why or None)
    code = ended.get("exitCode")
    disruption = next(
        (
            _text(one.get("reason")) or "evicted"
            for one in conditions
            if one.get("type") == "DisruptionTarget" and _is_true(one)
        ),
        "",
    )
    of_pod = _text(status.get("reason"))
    reason = disruption or of_pod or _text(ended.get("reason"))
    word: Word = "ended"
    if disruption or of_pod in DISRUPTIONS:
        word = "node_fail" if reason in OF_NODES else "evicted"
    return State(word, code if type(code) is int else None, reason if reason not in PLAIN else None)


def _of_podman(found: "dict[str, Any]") -> "Seen | None":
    """Return what a container of podman says, or a pod of podman, which knows no exit code."""
    config = _dict(found.get("Config"))
    labels = {**_dict(found.get("Labels")), **_dict(config.get("Labels"))}
    annotations = _dict(config.get("Annotations"))
    job = _text(labels.get(JOB_LABEL))
    variables = dict(_text(one).split("=", 1) for one in _list(config.get("Env")) if "=" in _text(one))
    index = _number(annotations.get(INDEX_ANNOTATION, labels.get(INDEX_ANNOTATION, variables.get(INDEX))))
    if not job or index is None:
        return None
    state = found["State"]
    if isinstance(state, str):
        living = state.lower() in LIVING
        return Seen(job, index, State(_word_of_living(state.lower()) if living else "ended"))
    state = _dict(state)
    name = _text(state.get("Status")).lower()
    if name in LIVING:
        return Seen(job, index, State(_word_of_living(name)))
    code = state.get("ExitCode")
    reason = "OOMKilled" if state.get("OOMKilled") is True else None
    return Seen(job, index, State("ended", code if type(code) is int else None, reason))


def _word_of_living(state: str) -> "Word":
    return "pending" if state in UNSTARTED else "running"


def report_of(message: str) -> "dict[str, Any] | None":
    """Return the report of a termination message; None where it is none."""
    try:
        found = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return found if is_report(found) else None


def _is_true(condition: "dict[str, Any]") -> bool:
    return condition.get("status") == "True"


def _dict(value: "Any") -> "dict[str, Any]":
    return value if isinstance(value, dict) else {}


def _list(value: "Any") -> "list[Any]":
    return value if isinstance(value, list) else []


def _text(value: "Any") -> str:
    return value if isinstance(value, str) else ""


def _number(value: "Any") -> "int | None":
    """Return a whole number of up to six digits that is written as a text; None for anything else."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 7 else None
