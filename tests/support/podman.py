"""Pods that podman runs, and what the Job controller and the kubelet of a cluster do beside that."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import supervise
from tests.support.harness import wait_until
from tests.support.programs import needed

PLAY_SECONDS = 60.0
IMAGE = "localhost/task:1"
FOLDERS = ("bin", "lib", "lib64", "usr/bin", "usr/lib", "usr/lib64")
"""The folders of this machine that the image consists of."""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""
CONTAINERS = """
[containers]
cgroups = "disabled"
cgroupns = "host"
netns = "host"
log_driver = "k8s-file"
seccomp_profile = "unconfined"
apparmor_profile = "unconfined"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
"""
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"


class Podman:
    """A storage of podman's own in a folder, with one image."""

    def __init__(self, folder: Path) -> None:
        (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
        (folder / "containers.conf").write_text(CONTAINERS)
        settings = {"CONTAINERS_STORAGE_CONF": "storage.conf", "CONTAINERS_CONF": "containers.conf"}
        self._environ = os.environ | {name: str(folder / file) for name, file in settings.items()}
        self._folder = folder

    def ask(self, *words: str, data: bytes = b"") -> bytes:
        """Run podman and return what it prints."""
        done = subprocess.run(
            ["podman", *words], input=data, env=self._environ, capture_output=True, timeout=PLAY_SECONDS, check=False
        )
        assert done.returncode == 0, (words, done.stderr[-2000:])
        return done.stdout

    def make_image(self) -> None:
        """Make the image from what is installed on this machine."""
        words = ["tar", "-c", "-C", "/", "--exclude=*.a", "--exclude=usr/lib/slurm*", "--exclude=usr/lib/podman"]
        with subprocess.Popen([*words, *FOLDERS], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                ["podman", "import", "--quiet", "-", IMAGE],
                stdin=tar.stdout, env=self._environ, capture_output=True, timeout=PLAY_SECONDS, check=True,
            )  # fmt: skip
        assert tar.returncode == 0

    def play(self, pod: dict[str, Any]) -> None:
        """Start that pod."""
        self.ask("kube", "play", "-", data=json.dumps(pod).encode())

    def ended(self, name: str) -> dict[str, Any]:
        """Wait for the end of the task of that pod, and return what `podman inspect` says of it."""

        def found() -> Any:
            (container,) = json.loads(self.ask("inspect", f"{name}-task"))
            return container if container["State"]["Status"] == "exited" else None

        return dict(wait_until(found, PLAY_SECONDS))


@contextmanager
def podman(folder: Path) -> Iterator[Podman]:
    """Yield a podman, and remove its containers at the end."""
    needed("podman")
    if os.geteuid() or "SUPERVISE_ENGINES_ROOT" not in os.environ:
        pytest.skip("podman is driven as root in the root of tests/batch/trixie/run")
    found = Podman(folder)
    found.make_image()
    yield found
    found.ask("pod", "rm", "--all", "--force", "--time=0")
    found.ask("system", "reset", "--force")


def template(folder: Path) -> dict[str, Any]:
    """Return a pod template: the image has the programs of this machine, and the pods have supervise and the folder."""
    # The package is not in the environment of the program where it was installed with -e.
    shared = {"program": sys.prefix, "package": str(Path(supervise.__file__).parents[1]), "folder": str(folder)}
    return {
        "spec": {
            "hostNetwork": True,
            "containers": [
                {
                    "name": "x",
                    "imagePullPolicy": "Never",
                    "workingDir": str(folder),
                    "env": [{"name": "PATH", "value": f"{sys.prefix}/bin:/usr/bin:/bin"}],
                    "volumeMounts": [{"name": name, "mountPath": path} for name, path in shared.items()],
                }
            ],
            "volumes": [{"name": name, "hostPath": {"path": path}} for name, path in shared.items()],
        }
    }


def pod_of(job: dict[str, Any], index: int, failures: int, message: Path) -> dict[str, Any]:
    """Return the pod that the Job controller makes for that index; the kubelet gives it the file for its message."""
    message.touch()
    template = json.loads(json.dumps(job["spec"]["template"]))
    metadata, spec = template["metadata"], template["spec"]
    marks = {INDEX: str(index), FAILURES: str(failures)}
    metadata["name"] = f"{job['metadata']['name']}-{index}-{failures}"
    metadata["labels"] |= {INDEX: str(index)}
    metadata["annotations"] |= marks
    task = spec["containers"][0]
    task["env"].insert(0, {"name": "JOB_COMPLETION_INDEX", "value": str(index)})
    task["volumeMounts"].append({"name": "message", "mountPath": task["terminationMessagePath"]})
    spec["volumes"].append({"name": "message", "hostPath": {"path": str(message), "type": "File"}})
    return {"apiVersion": "v1", "kind": "Pod", **template}


def as_answer(pod: dict[str, Any], container: dict[str, Any], message: Path) -> dict[str, Any]:
    """Return the pod as an API server shows it, with what the kubelet would write into its status."""
    state = container["State"]
    ended = {
        "exitCode": state["ExitCode"],
        "reason": "Error" if state["ExitCode"] else "Completed",
        "message": message.read_text(),
    }
    assert len(ended["message"]) <= 4096
    pod["metadata"]["creationTimestamp"] = state["StartedAt"][:19] + "Z"
    status = {"name": "task", "state": {"terminated": ended}}
    phase = "Failed" if state["ExitCode"] else "Succeeded"
    return {**pod, "status": {"phase": phase, "containerStatuses": [status]}}
