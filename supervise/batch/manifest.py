"""The objects that Kubernetes is handed for a batch: one Indexed Job, and the ConfigMaps with its tasks.

    ConfigMap JOB-00    task     the script that each pod runs
                        items    a line for each index: the number of the task, and the item, quoted for a POSIX shell
    ConfigMap JOB-01... items    the lines that have no room in those before
    Job JOB             pod I takes line I + 1, and becomes the supervise of that task

All of this is bytes (`binaryData`), so that each word arrives as it is; JSON could hold no byte that is not UTF-8.

The sources for the rules of a Job: "Jobs" and "Handling retriable and non-retriable pod failures with Pod failure
policy" of the documentation of Kubernetes, and the reference of its API.
"""

import hashlib
import json
from base64 import b64encode
from math import ceil

from supervise.batch import job_script, task_time
from supervise.core.exit_codes import ExitCode
from supervise.files import whole_file
from supervise.options.table import RESTARTED, BadValueError
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from supervise.batch.batch_record import Batch

CONTAINER = "task"
"""The container that runs the task; the pod may have others beside it."""
BATCH_LABEL, JOB_LABEL = "supervise/batch", "supervise/job"
DEADLINE_ANNOTATION = "supervise/active-deadline"
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-failure-count"
IGNORED_ANNOTATION = "batch.kubernetes.io/job-index-ignored-failure-count"
INDEX = "JOB_COMPLETION_INDEX"
MESSAGE_FILE = "/dev/termination-log"
"""Where the kubelet finds what is left of a container: the report."""
TASKS_FOLDER = "/run/supervise-tasks"
SCRIPT_FILE, ITEMS_FILE = "task", "items"
MAP_BYTES = 768 << 10
"""Bytes of items in one ConfigMap, which has room for 1 MiB in all."""
MOST_MAPS = 10
"""ConfigMaps of a batch: the kubelet copies each of them for each pod."""
MOST_TASKS = 100_000
"""The completions from which on the bounds of an Indexed Job are narrower (its field maxFailedIndexes)."""
PODS_AT_ONCE = 1000
"""The pods that wait or run at once without -j."""
MOST_DEADLINE_SECONDS = 2**31 - 1
OWN_SECONDS = 35.0
"""Seconds, beside the time of a task and its stop, from the first process of a pod to its last: those that the run
leaves to the job of an engine (`launch/budget.py`), and those for the start of the container and for the report."""
START_SECONDS = 600
"""Seconds from the moment at which a node takes a pod until its first process, the pull of the image included."""
GRACE_SECONDS = 15
"""Seconds beside --kill-after in which supervise ends after the TERM of the kubelet."""
NAME_CHARACTERS = 40
"""Characters of a name that is made of the batch's; with an index behind it, a Job's name may have 63."""
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"


class EngineOptions:
    """What the words of --engine-option say.

    Raises BadValueError.
    """

    def __init__(self, words: "list[str]") -> None:
        self.client: list[str] = []
        """The options for kubectl."""
        found = {"image": "", "template": "", "manifest": ""}
        for word in words:
            name, _, value = word.removeprefix("--").partition("=")
            if word.startswith("--") and name in found:
                if not value:
                    raise BadValueError(f"--engine-option: {word}: has no value; write --{name}={name.upper()}")
                found[name] = value
            else:
                self.client.append(word)
        self.image = found["image"]
        self.manifest = found["manifest"]
        """The file that gets the objects, in the place of a cluster; '' for none."""
        self._template = found["template"]

    def template(self) -> "dict[str, Any]":
        """Return the pod template of the user, whose `metadata`, `spec` and containers are objects.

        Raises BadValueError.
        """
        found: Any = {}
        if self._template:
            where = f"--engine-option: --template={self._template}"
            try:
                found = json.loads(whole_file.read(self._template))
            except OSError as error:
                raise BadValueError(f"{where}: cannot be read: {stderr.reason_of(error)}") from None
            except (ValueError, RecursionError):
                raise BadValueError(f"{where}: is no JSON; kubectl create --dry-run=client -o json makes it") from None
            if not _is_template(found):
                raise BadValueError(f"{where}: is no pod template, an object with metadata and spec alone")
        return {"metadata": {}, "spec": {}, **found}


def _is_template(found: "Any") -> bool:
    if not isinstance(found, dict) or {*found} - {"metadata", "spec"}:
        return False
    metadata, spec = found.get("metadata", {}), found.get("spec", {})
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        return False
    containers = spec.get("containers", [])
    return (
        all(isinstance(metadata.get(name, {}), dict) for name in ("labels", "annotations"))
        and isinstance(spec.get("volumes", []), list)
        and isinstance(containers, list)
        and all(isinstance(one, dict) for one in containers)
        and all(isinstance(one.get(name, []), list) for one in containers for name in ("env", "volumeMounts"))
    )


def object_name(batch: str) -> str:
    """Return the name of the objects of the batch of that name, which may have characters that they may not."""
    plain = "".join(one if one in CHARACTERS else "-" for one in batch.lower())[:NAME_CHARACTERS].strip("-")
    if plain == batch:
        return plain
    return f"{plain or 'batch'}-{hashlib.sha256(batch.encode()).hexdigest()[:8]}"


def objects(batch: "Batch", job: str, numbers: "list[int]") -> "Iterator[dict[str, Any]]":
    """Yield the ConfigMaps and the Job of that name, for these tasks.

    Raises BadValueError where they are too many, or an option is wrong.
    """
    template = _template(batch, job)
    if batch.halt == "soon":
        raise BadValueError("--halt: a Job of Kubernetes goes on (never), or ends with all its pods (now)")
    if len(numbers) > MOST_TASKS:
        raise BadValueError(f"Kubernetes takes {MOST_TASKS} tasks at most, and these are {len(numbers)}")
    parts = [*_parts(batch, numbers)]
    if len(parts) > MOST_MAPS:
        most = MOST_MAPS * MAP_BYTES
        raise BadValueError(
            f"Kubernetes takes {most} bytes of items at most; let an item be a name, or make several batches"
        )
    names = [f"{job}-{number:02}" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        files = {ITEMS_FILE: part}
        if name == names[0]:
            files[SCRIPT_FILE] = script(batch)
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": _labels(batch, job)},
            "binaryData": {file: b64encode(data).decode("ascii") for file, data in files.items()},
        }
    spec = template["spec"]
    spec["volumes"] = [
        *spec.get("volumes", []),
        *({"name": _volume(name), "configMap": {"name": name}} for name in names),
    ]
    task = spec["containers"][0]
    mounts = [{"name": _volume(name), "mountPath": f"{TASKS_FOLDER}/{name[-2:]}", "readOnly": True} for name in names]
    task["volumeMounts"] = [*task.get("volumeMounts", []), *mounts]
    yield {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job, "labels": _labels(batch, job)},
        "spec": {
            "completionMode": "Indexed",
            "completions": len(numbers),
            "parallelism": min(batch.jobs or PODS_AT_ONCE, len(numbers)),
            "backoffLimitPerIndex": batch.restarts,
            **({"maxFailedIndexes": 0} if batch.halt == "now" else {}),
            "podFailurePolicy": {"rules": RULES},
            "template": template,
        },
    }


def _on_codes(action: str, operator: str, *codes: int) -> "dict[str, Any]":
    on = {"containerName": CONTAINER, "operator": operator, "values": [*codes]}
    # The schemas before Kubernetes 1.31 want the other list, too, which may be empty.
    return {"action": action, "onExitCodes": on, "onPodConditions": []}


RULES = [
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    _on_codes("Count", "In", ExitCode.TRY_AGAIN),
    _on_codes("FailIndex", "In", ExitCode.ACCESS_TIMEOUT, ExitCode.IDLE_TIMEOUT, ExitCode.COMPLETION_TIMEOUT),
    _on_codes("FailJob", "In", ExitCode.ERROR, ExitCode.NOT_EXECUTABLE, ExitCode.NOT_FOUND),
    _on_codes("FailIndex", "NotIn", ExitCode.TRY_AGAIN),
]
"""What the end of a pod means; the first rule that fits holds. A pod that the cluster takes away is run again without
being counted; 75 is run again as often as `backoffLimitPerIndex` says; a limit of supervise is not. A command that
cannot be started fails the same way in each pod, so the Job ends. Any other failure is the command's own."""


def script(batch: "Batch") -> bytes:
    """Return the script of a pod, which finds the index of its task in its environment."""
    numbered = "'\"$number\"'".join
    words = []
    for word in batch.command:
        parts = [numbered(map(_inside, part.split("{#}"))) for part in word.split("{}")]
        words.append("'" + "'\"$item\"'".join(parts) + "'")
    if not any("{}" in word for word in batch.command):
        words.append('"$item"')
    options = " ".join(map(job_script.quoted, batch.options))
    name = job_script.quoted(f"{batch.name}.")
    text = f"""\
n='
'
line=$(cat {TASKS_FOLDER}/*/{ITEMS_FILE} | LC_ALL=C sed -n "$(({INDEX} + 1)){{p;q;}}")
[ -n "$line" ] || {{ echo "supervise: the pod finds no task for its index ${INDEX}" >&2; exit 125; }}
number=${{line%% *}}
eval "item=${{line#* }}"
if [ "$((failures + disruptions))" -gt 0 ]; then
    case $failures:$disruptions in *:|*:0) last=resumable ;; :*|0:*) last=lost ;; *) last=unknown ;; esac
    export {RESTARTED}="$((failures + disruptions)) $last"
fi
unset failures disruptions
exec supervise run {options} --name={name}"$number" --report={MESSAGE_FILE} -- {" ".join(words)}
"""
    return text.encode("utf-8", "surrogateescape")


def _inside(part: str) -> str:
    """Return the part of a word as it stands between single quotes."""
    return job_script.quoted(part)[1:-1]


def _parts(batch: "Batch", numbers: "list[int]") -> "Iterator[bytes]":
    """Yield the lines of the items, as many at once as a ConfigMap holds."""
    part = bytearray()
    for number in numbers:
        line = f"{number} {job_script.quoted(batch.items[number - 1])}\n".encode("utf-8", "surrogateescape")
        if len(line) > MAP_BYTES:
            raise BadValueError(f"Kubernetes takes {MAP_BYTES} bytes of an item at most, and item {number} has more")
        if len(part) + len(line) > MAP_BYTES:
            yield bytes(part)
            part.clear()
        part += line
    yield bytes(part)


def _labels(batch: "Batch", job: str) -> "dict[str, str]":
    return {BATCH_LABEL: object_name(batch.name), JOB_LABEL: job}


def _volume(name: str) -> str:
    return f"supervise-tasks-{name[-2:]}"


def _template(batch: "Batch", job: str) -> "dict[str, Any]":
    """Return the pod template, which is that of the user with what supervise needs, but for the ConfigMaps."""
    options = EngineOptions(batch.engine_options)
    given = options.template()
    metadata, spec = given["metadata"], given["spec"]
    task, *others = spec.get("containers") or [{}]
    image = options.image or task.get("image")
    if not image:
        raise BadValueError(
            "--engine-option: Kubernetes needs --image=IMAGE, the image of the pods, with supervise and sh in it"
        )
    values = task_time.values_of(batch.options)
    deadline, told = _deadlines(values, spec.get("activeDeadlineSeconds"))
    annotations = {**metadata.get("annotations", {}), **({DEADLINE_ANNOTATION: str(told)} if told else {})}
    variables = {"failures": FAILURES_ANNOTATION, "disruptions": IGNORED_ANNOTATION}
    if told:
        variables["SUPERVISE_ACTIVE_DEADLINE"] = DEADLINE_ANNOTATION
    env = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}}
        for name, annotation in variables.items()
    ]
    own = {
        "name": CONTAINER,
        "image": image,
        "command": ["/bin/sh", f"{TASKS_FOLDER}/00/{SCRIPT_FILE}"],
        "env": [*task.get("env", []), *env],
        "terminationMessagePath": MESSAGE_FILE,
        "terminationMessagePolicy": "File",
    }
    return {
        "metadata": {
            **metadata,
            "labels": {**metadata.get("labels", {}), **_labels(batch, job)},
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": {
            "terminationGracePeriodSeconds": ceil(values["kill_after"]) + GRACE_SECONDS,
            **spec,
            "restartPolicy": "Never",
            **({"activeDeadlineSeconds": deadline} if deadline else {}),
            "containers": [{**task, **own}, *others],
        },
    }


def _deadlines(values: "dict[str, Any]", given: "Any") -> "tuple[int, int]":
    """Return the activeDeadlineSeconds of a pod, and those that its run is told; 0 and 0 where nothing bounds a task.

    `given`: those of the user's template. The kubelet counts from the moment at which it takes the pod, and the run
    from its first process on. Raises BadValueError.
    """
    if given is not None:
        if type(given) is not int or not 0 < given <= MOST_DEADLINE_SECONDS:
            raise BadValueError("--engine-option: --template: activeDeadlineSeconds is no number of seconds")
        return given, given
    longest = task_time.longest(values)
    own = max(values["kill_after"], values["runner_margin"] or 0.0) + OWN_SECONDS
    if longest + own + START_SECONDS > MOST_DEADLINE_SECONDS:
        return 0, 0
    told = ceil(longest + own)
    return told + START_SECONDS, told
