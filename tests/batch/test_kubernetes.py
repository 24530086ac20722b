"""Batches on Kubernetes: the objects, the words with kubectl, and the answers about pods; no cluster runs here.

`tests/support/kubectl` stands for kubectl and its cluster. `test_kubernetes_pods.py` runs the pods for real.
"""

import json
import os
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from supervise.batch import json_objects, manifest
from tests.support import batches
from tests.support.batches import collect, outcomes, submit, words_of
from tests.support.clients import command
from tests.support.harness import Ended, Place

ON = ("--on", "kubernetes", "--engine-option=--image=img")
ANSWERS = Path(__file__).with_name("kubernetes")
VERSIONS = ("1.28", "1.29", "1.30", "1.31", "1.32", "1.33")
LABEL_CHARACTERS, OBJECT_BYTES, ANNOTATION_BYTES = 63, 1 << 20, 256 << 10
"""Bounds of Kubernetes: a label and the host name of a pod, the data of a ConfigMap, all annotations of an object."""


@pytest.fixture
def place(supervise: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place whose kubectl is the stand-in."""
    folder = tmp_path_factory.mktemp("kubectl")
    (folder / "kubectl").symlink_to(Path(batches.__file__).with_name("kubectl"))
    cluster = tmp_path_factory.mktemp("cluster")
    supervise.environ.update(PATH=f"{folder}:{supervise.environ.get('PATH', os.environ['PATH'])}", CLUSTER=str(cluster))
    return supervise


def objects_of(place: Place, *words: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the ConfigMaps and the Job of a batch that is only shown."""
    ended = submit(place, "--dry-run", *ON, *words)
    assert (ended.code, ended.messages) == (0, []), ended.err
    *maps, job = json.loads(ended.out)["items"]
    assert [one["kind"] for one in (*maps, job)] == ["ConfigMap"] * len(maps) + ["Job"]
    return maps, job


def created(place: Place) -> list[dict[str, Any]]:
    """Return the objects that the cluster has."""
    folder = Path(place.environ["CLUSTER"])
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def refusal(ended: Ended) -> str:
    """Return the one line of a refusal."""
    (line,) = ended.messages
    assert (ended.code, ended.out) == (125, b"")
    return line


def faults(maps: list[dict[str, Any]], job: dict[str, Any], longest: float, kill_after: float) -> list[str]:
    """Return what a cluster would refuse or take in another way, beyond the schemas."""
    spec = job["spec"]
    template = spec["template"]
    pod, marks = template["spec"], template["metadata"].get("annotations", {})
    rules, task = spec["podFailurePolicy"]["rules"], pod["containers"][0]
    on_codes = [rule for rule in rules if "onExitCodes" in rule]
    actions = {code: rule["action"] for rule in reversed(on_codes) for code in codes_of(rule)}
    told = int(marks.get("supervise/active-deadline", 0))
    names = [one["metadata"]["name"] for one in (*maps, job)]
    volumes = {one["name"]: one["configMap"]["name"] for one in pod["volumes"] if "configMap" in one}
    holds = {
        "disruptions come first, and are ignored": rules[0]
        == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        "75 counts": actions[75] == "Count",
        "a limit fails its index": {actions[code] for code in (122, 123, 124)} == {"FailIndex"},
        "a command that cannot start fails the Job": {actions[code] for code in (125, 126, 127)} == {"FailJob"},
        "other ends fail their index": {actions[code] for code in (1, 3, 121, 137, 139, 143)} == {"FailIndex"},
        "no rule has 0 or is unordered": all(
            values == sorted({*values}) and values[0] > 0
            for values in (rule["onExitCodes"]["values"] for rule in on_codes)
        ),
        "rules name a container": {rule["onExitCodes"]["containerName"] for rule in on_codes} == {task["name"]},
        "FailIndex has its bound": spec["backoffLimitPerIndex"] >= 0,
        "the Job is indexed": spec["completionMode"] == "Indexed" and 0 < spec["parallelism"] <= spec["completions"],
        "a pod is not started again": pod["restartPolicy"] == "Never",
        "the deadline is behind the run's own": pod["activeDeadlineSeconds"] >= told >= longest + kill_after + 5,
        "supervise can stop": pod["terminationGracePeriodSeconds"] > kill_after,
        "the report is the message": task["terminationMessagePath"] == "/dev/termination-log",
        "a host name is no longer than allowed": len(f"{names[-1]}-{spec['completions'] - 1}") <= LABEL_CHARACTERS,
        "names are names": all(one == one.strip("-") and {*one} <= {*manifest.CHARACTERS} for one in names),
        "labels are no longer than allowed": all(
            len(value) <= LABEL_CHARACTERS
            for one in (*maps, job, template)
            for value in one["metadata"]["labels"].values()
        ),
        "annotations fit": len(json.dumps(marks)) < ANNOTATION_BYTES,
        "ConfigMaps fit": all(sum(map(len, data_of(one).values())) < OBJECT_BYTES for one in maps),
        "the template is small": len(json.dumps(job)) < 20_000,
        "all ConfigMaps are mounted": [*volumes.values()] == names[:-1]
        and [mount["name"] for mount in task["volumeMounts"]] == [*volumes],
        "a variable has a value": all(("value" in one) != ("valueFrom" in one) for one in task.get("env", [])),
    }
    return [name for name, is_so in holds.items() if not is_so]


def codes_of(rule: dict[str, Any]) -> list[int]:
    """Return the exit codes for which that rule holds."""
    on = rule["onExitCodes"]
    return on["values"] if on["operator"] == "In" else [code for code in range(1, 256) if code not in on["values"]]


def data_of(one: dict[str, Any]) -> dict[str, bytes]:
    return {name: b64decode(data, validate=True) for name, data in one["binaryData"].items()}


def test_the_ten_tasks_are_valid_for_each_version(place: Place) -> None:
    maps, job = objects_of(place, "--name", "ten", *batches.OPTIONS, *batches.command(), ":::", *batches.ITEMS)
    for version in VERSIONS:
        for one in (*maps, job):
            kubernetes_validate.validate(one, version, strict=True)
    assert faults(maps, job, longest=9, kill_after=1) == []
    assert job["spec"]["completions"] == 10
    assert job["spec"]["backoffLimitPerIndex"] == 2


def test_the_checks_find_what_they_are_for(place: Place) -> None:
    """The checks fail where a part of the objects is other than it has to be."""
    maps, job = objects_of(place, "--name", "b", "-t", "60", "--", "true", ":::", "a")
    assert faults(maps, job, longest=60, kill_after=10) == []
    job["spec"]["podFailurePolicy"]["rules"].reverse()
    job["spec"]["template"]["spec"]["activeDeadlineSeconds"] = 70
    job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    found = faults(maps, job, longest=60, kill_after=10)
    assert {one.split()[0] for one in found} == {"disruptions", "a", "the"}, found


@pytest.mark.parametrize(
    ("words", "longest"),
    [
        (("-t", "60"), 60),
        (("-a", "30", "-t", "60", "-x", "100"), 190),
        (("-t", "60", "--retries", "2", "--retry-on", "failed", "--retry-delay", "4"), 3 * 60 + 4 + 8 + 2 * 10),
        (("-t", "60", "--retries", "2"), 60),
        (("-t", "60", "--retries", "5", "--retry-on", "failed", "--total-timeout", "100"), 100),
        (("--total-timeout", "90", "--lock", "x", "--lock-wait", "10", "--start-jitter", "5"), 105),
    ],
)
def test_the_deadline_of_a_pod_is_that_of_its_run_and_more(
    place: Place, words: tuple[str, ...], longest: float
) -> None:
    maps, job = objects_of(place, *words, "--", "true", ":::", "a")
    assert faults(maps, job, longest, kill_after=10) == []
    template = job["spec"]["template"]
    told = int(template["metadata"]["annotations"]["supervise/active-deadline"])
    assert told == ceil(longest + 10 + manifest.OWN_SECONDS)
    assert template["spec"]["activeDeadlineSeconds"] == told + manifest.START_SECONDS
    (variable,) = [
        one for one in template["spec"]["containers"][0]["env"] if one["name"] == "SUPERVISE_ACTIVE_DEADLINE"
    ]
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.annotations['supervise/active-deadline']"


@pytest.mark.parametrize("words", [(), ("-i", "5"), ("-t", "60", "--lock", "x", "--lock-wait", "100y")])
def test_a_run_without_a_bound_has_no_deadline(place: Place, words: tuple[str, ...]) -> None:
    if "100y" in words:
        words = (
            (*words[:-1], "infinity")
            if submit(place, "--dry-run", *ON, *words, "--", "true", ":::", "a").code
            else words
        )
    _, job = objects_of(place, *words, "--", "true", ":::", "a")
    assert "activeDeadlineSeconds" not in job["spec"]["template"]["spec"]
    assert "SUPERVISE_ACTIVE_DEADLINE" not in json.dumps(job)


def test_the_script_runs_the_words_as_they_are(place: Place, tmp_path: Path) -> None:
    """The script runs in a folder instead of a pod, with a supervise that prints its words."""
    odd = "it's {{} {#}\n$n \"\\' *\udcff"
    maps, _ = objects_of(
        place, "--name", "b", "-k", "7", "--", "p", odd, "{}{}-{#}", "", ":::", "", batches.ODD, "'\n'"
    )
    folder, report = tmp_path / "tasks", tmp_path / "supervise"
    for number, one in enumerate(maps):
        (folder / f"{number:02}").mkdir(parents=True)
        for name, data in data_of(one).items():
            (folder / f"{number:02}" / name).write_bytes(data.replace(b"/run/supervise-tasks", os.fsencode(folder)))
    report.write_text('#!/bin/sh\nprintf "%s\\0" "$SUPERVISE_RESTARTED" "$@"\n')
    report.chmod(0o755)

    def run(index: int, failures: str = "", disruptions: str = "") -> list[str]:
        variables = {"JOB_COMPLETION_INDEX": str(index), "failures": failures, "disruptions": disruptions}
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["/bin/sh", folder / "00/task"], env=variables | path, capture_output=True, check=True)
        return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]

    for index, item in enumerate(["", batches.ODD, "'\n'"]):
        number = str(index + 1)
        words = ["p", odd.replace("{}", item).replace("{#}", number), f"{item}{item}-{number}", ""]
        if "{#}" in item:
            # What stands in an item is never replaced.
            words[1] = item.join(part.replace("{#}", number) for part in odd.split("{}"))
        own = ["run", "--kill-after=7", f"--name=b.{number}", "--report=/dev/termination-log", "--"]
        assert run(index) == ["", *own, *words]
    assert [run(0, *counts)[0] for counts in (("0", ""), ("2", "0"), ("0", "1"), ("1", "2"))] == [
        "", "2 resumable", "1 lost", "3 unknown",
    ]  # fmt: skip


def test_many_tasks_are_bounded_or_refused(place: Place) -> None:
    place.file("many").write_text("".join(f"item-{number}\n" for number in range(100_000)))
    maps, job = objects_of(place, "--name", "b", "-t", "5", "--tasks", "many", "--", "true")
    assert faults(maps, job, longest=5, kill_after=10) == []
    assert (len(maps), job["spec"]["completions"], job["spec"]["parallelism"]) == (3, 100_000, 1000)
    lines = b"".join(data_of(one)["items"] for one in maps).splitlines()
    assert (len(lines), lines[-1]) == (100_000, b"100000 'item-99999'")
    with place.file("many").open("a") as file:
        file.write("one more\n")
    ended = submit(place, *ON, "--tasks", "many", "--", "true")
    assert refusal(ended) == "submit: Kubernetes takes 100000 tasks at most, and these are 100001"
    place.file("many").write_text("".join(f"{'x' * 700_000}\n" for _ in range(11)))
    assert "bytes of items at most" in refusal(submit(place, *ON, "--tasks", "many", "--", "true"))
    place.file("many").write_text("x\n" + "x" * 800_000)
    assert "item 2 has more" in refusal(submit(place, *ON, "--tasks", "many", "--", "true"))
    assert created(place) == []
    assert not [*Path(place.state).glob("batches/*")]


def test_a_template_of_the_user_is_the_pod(place: Place) -> None:
    given = {
        "metadata": {"labels": {"team": "a"}, "annotations": {"x": "y"}},
        "spec": {
            "nodeSelector": {"gpu": "yes"},
            "activeDeadlineSeconds": 900,
            "restartPolicy": "Always",
            "volumes": [{"name": "data", "emptyDir": {}}],
            "containers": [
                {"name": "main", "image": "theirs", "resources": {"limits": {"cpu": "1"}},
                 "env": [{"name": "A", "value": "b"}], "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                {"name": "beside", "image": "other"},
            ],
        },
    }  # fmt: skip
    place.file("t.json").write_text(json.dumps(given))
    ended = submit(place, "--dry-run", "--on=kubernetes", "--engine-option=--template=t.json", "--", "true", ":::", "a")
    job = json.loads(ended.out)["items"][-1]
    kubernetes_validate.validate(job, "1.33", strict=True)
    template = job["spec"]["template"]
    task, beside = template["spec"]["containers"]
    assert (task["name"], task["image"], beside) == ("task", "theirs", given["spec"]["containers"][1])  # type: ignore[index]
    assert task["resources"] == {"limits": {"cpu": "1"}}
    assert [one["name"] for one in task["volumeMounts"]] == ["data", "supervise-tasks-00"]
    assert template["metadata"]["labels"]["team"] == "a"
    assert template["spec"]["restartPolicy"] == "Never"
    assert (template["spec"]["activeDeadlineSeconds"], template["metadata"]["annotations"]) == (
        900, {"x": "y", "supervise/active-deadline": "900"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        ((), "", "--engine-option: Kubernetes needs --image=IMAGE"),
        (("--image=",), "", "--engine-option: --image=: has no value; write --image=IMAGE"),
        (("--image=i", "--template=none"), "", "--engine-option: --template=none: cannot be read"),
        (("--image=i", "--template=t"), "a: b", "--engine-option: --template=t: is no JSON"),
        (("--image=i", "--template=t"), "[]", "--engine-option: --template=t: is no pod template"),
        (("--image=i", "--template=t"), '{"spec": {"containers": [3]}}', "--engine-option: --template=t: is no pod"),
        (("--image=i", "--template=t"), '{"spec": {"activeDeadlineSeconds": "1h"}}', "--engine-option: --template: "),
        (("--image=i", "--manifest=no/m"), "", "--engine-option: --manifest: cannot write"),
    ],
)
def test_a_wrong_option_is_one_line(place: Place, words: tuple[str, ...], text: str, message: str) -> None:
    place.file("t").write_text(text)
    given = [f"--engine-option={word}" for word in words]
    ended = submit(place, "--on=kubernetes", *given, "--results", "r", "--", "true", ":::", "a")
    assert refusal(ended).startswith(f"submit: {message}"), ended.messages
    assert (created(place), place.file("r").exists()) == ([], False)
    assert not [*Path(place.state).glob("batches/*")]


def test_halt_is_what_a_job_can_do(place: Place) -> None:
    _, job = objects_of(place, "--halt", "now", "--", "true", ":::", "a")
    assert job["spec"]["maxFailedIndexes"] == 0
    assert "--halt" in refusal(submit(place, *ON, "--halt", "soon", "--", "true", ":::", "a"))


def test_without_kubectl_nothing_is_submitted(supervise: Place) -> None:
    ended = submit(supervise, *ON, "--", "true", ":::", "a", env={"PATH": "/nowhere"})
    assert "there is no kubectl on this machine" in refusal(ended)
    assert not [*Path(supervise.state).glob("batches/*")]


def test_what_the_cluster_refuses_leaves_nothing(place: Place) -> None:
    words = (*ON, "--engine-option=--namespace=jobs", "--name", "b", "--results", "r", "--", "true", ":::", "a")
    ended = submit(place, *words, env={"REFUSED": "b"})
    assert refusal(ended) == 'submit: kubectl: Error from server: job.batch/b "b" is forbidden: exceeded quota'
    assert (created(place), place.file("r").exists()) == ([], False)
    said = Path(place.environ["CLUSTER"], "words").read_text().splitlines()
    assert said[-1] == "delete --wait=false --namespace=jobs configmap/b-00"
    assert submit(place, *words).code == 0
    # The name is taken in the cluster, by another user's batch, say.
    other = submit(place, *words[:-5], "--results", "r2", *words[-4:], env={"XDG_STATE_HOME": str(place.file("s2"))})
    assert "already exists" in refusal(other)
    assert len(created(place)) == 2


def add_pod(place: Place, job: str, index: int, code: int, *, number: int = 90, **more: Any) -> None:
    """Let the cluster have a pod that has ended, with a report as its message."""
    report = json.dumps({"outcome": "completed" if code == 0 else "cancelled", "exit_code": code})
    ended = {"exitCode": code, "message": report, "reason": "Completed" if code == 0 else "Error"}
    labels = {"supervise/batch": job.removesuffix("-r1"), "supervise/job": job}
    marks = {"batch.kubernetes.io/job-completion-index": str(index)}
    status = {"phase": "Failed" if code else "Succeeded", **more}
    status["containerStatuses"] = [{"name": "task", "state": {"terminated": ended}}]
    metadata = {"name": f"{job}-{index}", "labels": labels, "annotations": marks}
    pod = {"kind": "Pod", "metadata": metadata, "status": status}
    Path(place.environ["CLUSTER"], f"{number}{index}.json").write_text(json.dumps(pod))


def end_job(place: Place, name: str) -> None:
    """Let the Job of that name be over."""
    for path in Path(place.environ["CLUSTER"]).glob("*.json"):
        one = json.loads(path.read_text())
        if one["kind"] == "Job" and one["metadata"]["name"] == name:
            one["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]}
            path.write_text(json.dumps(one))


def test_a_batch_is_collected_stopped_and_resumed(place: Place) -> None:
    ended = submit(place, *ON, "--name", "kube", "--results", "r", "--", "true", ":::", *"wxyz")
    assert (ended.code, ended.out) == (0, b"kube\n")
    assert ended.messages == [f"batch kube: 4 tasks in the Job kube of Kubernetes; results in {place.file('r')}"]
    code, found = collect(place, "kube")
    assert (code, words_of(found)) == (121, ["pending"] * 4)
    add_pod(place, "kube", 0, 0)
    assert words_of(collect(place, "kube")[1]) == ["completed", "pending", "pending", "pending"]
    refused = submit(place, "--resume", "kube")
    assert refusal(refused) == "submit: the batch kube is being run"
    add_pod(
        place,
        "kube",
        1,
        143,
        conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
    )
    # The Job makes another pod for that one.
    code, found = collect(place, "kube")
    assert (code, found["tasks"][1]["state"], found["tasks"][1]["reason"]) == (121, "pending", "PreemptionByScheduler")
    end_job(place, "kube")
    code, found = collect(place, "kube", "--wait")
    assert (code, words_of(found)) == (1, ["completed", "cancelled", "pending", "pending"])
    assert found["tasks"][1]["reason"] == "PreemptionByScheduler"
    assert found["tasks"][0]["output"] is None

    assert submit(place, "--resume", "kube").code == 0
    assert [one["metadata"]["name"] for one in created(place) if one["kind"] == "Job"] == ["kube", "kube-r1"]
    _, again = json.loads(Path(place.state, "batches/kube/jobs").read_text())
    assert again == {"name": "kube-r1", "numbers": [2, 3, 4]}
    (job,) = [one for one in created(place) if one["kind"] == "Job" and one["metadata"]["name"] == "kube-r1"]
    assert job["spec"]["completions"] == 3
    add_pod(place, "kube-r1", 2, 0, number=95)
    assert words_of(collect(place, "kube")[1]) == ["completed", "pending", "pending", "completed"]
    assert command(place, "stop", "kube").code == 0
    assert [one for one in created(place) if one["kind"] != "Pod"] == []
    for path in Path(place.environ["CLUSTER"]).glob("9*.json"):
        path.unlink()
    code, found = collect(place, "kube")
    # The reports outlive the pods.
    assert (code, words_of(found)) == (1, ["completed", "cancelled", "cancelled", "completed"])
    silent = command(place, "collect", "kube", env={"PATH": "/nowhere"})
    assert (silent.code, len(silent.messages), silent.out) == (125, 1, b"")


def test_the_lines_of_the_topic_do_what_the_text_says(place: Place) -> None:
    lines = batches.TopicLines(place)
    submitted = lines.run("submit --on kubernetes")
    assert (submitted.code, submitted.out) == (0, b"fit\n"), submitted.err
    assert created(place)[-1]["spec"]["completions"] == 2
    collected = lines.run("collect fit")
    assert (collected.code, b"2 pending" in collected.out) == (121, True)


def test_a_recorded_answer_is_joined_with_the_batch(place: Place) -> None:
    items = "abcdefghijkl"
    submit(
        place, *ON, "--engine-option=--manifest=m.json", "--name", "sim", "--retries", "1", "--", "./sim", ":::", *items
    )
    code, found = collect(place, "sim", "--from", str(ANSWERS / "pods.json"))
    assert (code, outcomes(found)[:3]) == (121, [("completed", 0), ("completed", 0), ("completion_timeout", 124)])
    assert [(task["state"], task["exit_code"], task["reason"]) for task in found["tasks"][3:]] == [
        ("evicted", 137, "EvictionByEvictionAPI"),
        ("ended", 143, "PreemptionByScheduler"),
        ("node_fail", None, "DeletionByTaintManager"),
        ("evicted", None, "Evicted"),
        ("unreported", 137, "OOMKilled"),
        ("unreported", 143, "DeadlineExceeded"),
        ("pending", None, "ImagePullBackOff"),
        ("running", None, None),
        ("pending", None, None),
    ]
    shown = command(place, "collect", "sim", "--from", str(ANSWERS / "pods.json"))
    assert "ImagePullBackOff" in shown.out.decode()
    # The reports are with the results, and the answer may come by stdin.
    assert json.loads(place.file("sim.results/3.json").read_text())["outcome"] == "completion_timeout"
    with (ANSWERS / "pods.json").open("rb") as file:
        ended = place.popen([str(place.program), "collect", "sim", "--from", "-"], stdin=file).wait()
    assert (ended.code, ended.out) == (121, shown.out)


def test_the_answers_of_podman(place: Place) -> None:
    submit(place, *ON, "--engine-option=--manifest=m.json", "--name", "b", "--", "true", ":::", *"abcd")
    label = {"supervise/job": "b", "supervise/batch": "b"}
    index = "batch.kubernetes.io/job-completion-index"
    containers = [
        {"Config": {"Labels": label, "Annotations": {index: "0"}}, "State": {"Status": "exited", "ExitCode": 124}},
        {
            "Config": {"Labels": label, "Env": ["X", "JOB_COMPLETION_INDEX=1"]},
            "State": {"Status": "running", "ExitCode": 0},
        },
        {
            "Config": {"Labels": {**label, index: "2"}},
            "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": True},
        },
        {"Config": {"Labels": {**label, "supervise/job": "other", index: "3"}}, "State": {"Status": "exited"}},
    ]
    place.file("i").write_text(json.dumps(containers))
    code, found = collect(place, "b", "--from", "i")
    assert (code, [(task["state"], task["exit_code"], task["reason"]) for task in found["tasks"]]) == (
        121,
        [("unreported", 124, None), ("running", None, None), ("unreported", 137, "OOMKilled"), ("pending", None, None)],
    )
    pods = [
        {"State": state, "Labels": {**label, index: str(at)}, "Containers": []}
        for at, state in enumerate(("Exited", "Running", "Created"))
    ]
    place.file("p").write_text("\n".join(map(json.dumps, pods)))
    assert words_of(collect(place, "b", "--from", "p")[1]) == ["unreported", "running", "pending", "pending"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "has no pod of the batch b"),
        (b"[]", "has no pod of the batch b"),
        (b"{}", "has no pod of the batch b"),
        (b"NAME READY\nb-0 1/1", "is no answer in JSON"),
        (b'{"items": [{"kind": "Pod"', "is no answer in JSON"),
        (b"[" * 100_000, "is no answer in JSON"),
        (b'[{"kind": "Pod", "metadata": [], "status": 3}, {"State": 1, "Config": []}, 5]', "has no pod of the batch b"),
    ],
)
def test_a_bad_answer_is_one_line(place: Place, text: bytes, message: str) -> None:
    submit(place, *ON, "--engine-option=--manifest=m.json", "--name", "b", "--", "true", ":::", "a")
    place.file("answer").write_bytes(text)
    ended = command(place, "collect", "b", "--from", "answer")
    assert refusal(ended).startswith(f"collect: --from: 'answer': {message}"), ended.messages


def test_a_file_is_read_for_the_engine_of_the_batch_alone(place: Place) -> None:
    submit(place, "--name", "b", "--", "true", ":::", "a")
    submit(place, *ON, "--engine-option=--manifest=m.json", "--name", "k", "--", "true", ":::", "a")
    place.file("answer").touch()
    assert refusal(command(place, "collect", "b", "--from", "answer")).startswith("collect: --from: the engine local")
    assert "nothing to wait for" in refusal(command(place, "collect", "k", "--wait", "--from", "answer"))
    assert "cannot read" in refusal(command(place, "collect", "k", "--from", "none"))
    assert "--from FILE" in refusal(command(place, "collect", "k"))


def test_objects_are_read_one_after_the_other() -> None:
    """The bytes come in small parts, so that each value is cut somewhere."""
    found = [{"a": [1, {"b": "\u00e9]}"}]}, {"c": 12345.5}]
    for text in (
        json.dumps(found),
        json.dumps({"n": 123, "items": found, "kind": "List"}, indent=2),
        "{} \n" + "".join(map(json.dumps, found)),
    ):
        data = text.encode()
        for step in (1, 3, 1000):
            parts = iter([data[at : at + step] for at in range(0, len(data), step)])
            read = json_objects.objects(partial(lambda parts, _: next(parts, b""), parts))
            assert [one for one in read if one] == found
