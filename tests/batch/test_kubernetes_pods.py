"""The pods of a batch, which podman runs: the test does what the Job controller and the kubelet do in a cluster."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import batches
from tests.support.batches import collect, outcomes, submit, words_of
from tests.support.harness import Place
from tests.support.podman import IMAGE, Podman, as_answer, pod_of, podman, template

pytestmark = [pytest.mark.slow, pytest.mark.needs("podman")]
LATER = batches.ITEMS.index("later")


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    with podman(tmp_path_factory.mktemp("podman")) as found:
        yield found


def manifest_of(place: Place, *words: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Submit a batch into a file; return the ConfigMaps and the Job."""
    place.file("template.json").write_text(json.dumps(template(place.folder)))
    options = [f"--image={IMAGE}", "--template=template.json", "--manifest=m.json"]
    given = [f"--engine-option={option}" for option in options]
    ended = submit(place, "--on", "kubernetes", "--results", "r", *given, *words)
    assert ended.code == 0, ended.err
    *maps, job = json.loads(place.file("m.json").read_text())["items"]
    return maps, job


def test_the_ten_tasks_end_in_pods_as_they_do_locally(supervise: Place, engine: Podman, tmp_path: Path) -> None:
    place = supervise
    maps, job = manifest_of(place, "--name", "ten", *batches.OPTIONS, *batches.command(), ":::", *batches.ITEMS)

    def start(index: int, failures: int = 0) -> tuple[dict[str, Any], Path]:
        message = tmp_path / f"message-{index}-{failures}"
        pod = pod_of(job, index, failures, message)
        engine.play({"apiVersion": "v1", "kind": "List", "items": [*maps, pod]})
        return pod, message

    running = [start(index) for index in range(len(batches.ITEMS))]
    containers = [engine.ended(pod["metadata"]["name"]) for pod, _ in running]
    codes = [container["State"]["ExitCode"] for container in containers]
    assert codes == [75 if index == LATER else code for index, (_, code) in enumerate(batches.OUTCOMES)]
    first = as_answer(*running[LATER][:1], containers[LATER], running[LATER][1])
    # 75 counts as a failure, and the controller makes another pod.
    running[LATER] = start(LATER, failures=1)
    containers[LATER] = engine.ended(running[LATER][0]["metadata"]["name"])

    place.file("inspected.json").write_text(json.dumps(containers))
    code, found = collect(place, "ten", "--from", "inspected.json")
    assert [task["exit_code"] for task in found["tasks"]] == [code for _, code in batches.OUTCOMES]
    assert (code, {*words_of(found)}) == (1, {"unreported"})

    pods = [as_answer(pod, container, message) for (pod, message), container in zip(running, containers, strict=True)]
    place.file("pods.json").write_text(json.dumps({"kind": "List", "items": [*pods, first]}))
    code, found = collect(place, "ten", "--from", "pods.json")
    assert (code, outcomes(found)) == (1, [*batches.OUTCOMES])
    assert found["tasks"][LATER]["reason"] is None
    name = pods[8]["metadata"]["name"]
    assert engine.ask("logs", f"{name}-task") == batches.ODD.encode("utf-8", "surrogateescape")
