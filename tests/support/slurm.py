"""A cluster of Slurm on this machine: one controller, three nodes, an own key of munge; all of it in one folder."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import batches
from tests.support.access import free_port
from tests.support.harness import Place, wait_until
from tests.support.programs import needed

NODES = 3
START_SECONDS = 60.0
WAIT_SECONDS = 60.0
"""Seconds for a batch: Slurm starts a task again some seconds after its end, and finds a dead node after more."""
CONF = """
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthInfo=socket={folder}/munge.sock,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
KillWait=5
RequeueExit=75
ReturnToService=2
SlurmdTimeout=5
MaxArraySize={largest}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 State=UP
"""


NEWER = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny\n"
"""What Slurm needs from version 23 on: the daemons listen at the address of their machine alone."""


class Cluster:
    """The cluster, and its nodes, which can be killed."""

    def __init__(self, folder: Path, nodes: "list[subprocess.Popen[bytes]]") -> None:
        self.environ = {"SLURM_CONF": str(folder / "slurm.conf")}
        self.nodes = nodes

    def ask(self, *words: str) -> str:
        """Run a client of Slurm and return what it prints."""
        done = subprocess.run(
            words, env=os.environ | self.environ, capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout

    def is_up(self) -> bool:
        found = self.ask("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T")
        return found.split() == ["idle"] * NODES


def major_version() -> int:
    """Return the 24 of Slurm 24.11.5."""
    said = subprocess.run([needed("slurmctld"), "-V"], capture_output=True, text=True, timeout=30, check=True).stdout
    return int(said.split()[1].split(".")[0])


@contextmanager
def cluster(folder: Path, largest: int = 1001, more: str = "", hidden: Path | None = None) -> Iterator[Cluster]:
    """Start a cluster in that folder, and wait until it is up.

    `largest` is its MaxArraySize, and `more` is added to its configuration. The last node sees another folder than the
    others at the path `hidden`.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can run a cluster of Slurm")
    programs = {name: needed(name) for name in ("munged", "slurmctld", "slurmd", "sbatch")}
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    nodes = [f"NodeName=n{n} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=4" for n in range(NODES)]
    text = CONF.format(host=host, port=free_port(), folder=folder, largest=largest, nodes="\n".join(nodes))
    if major_version() >= 23:
        text += NEWER
        (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    (folder / "slurm.conf").write_text(text + more)
    munged = ["--force", "--foreground", f"--key-file={key}", f"--socket={folder}/munge.sock"]
    munged += [f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    with ExitStack() as stack, open(folder / "out", "wb") as out:

        def start(*words: str) -> "subprocess.Popen[bytes]":
            environ = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
            process = subprocess.Popen(words, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start(programs["munged"], *munged)
        wait_until(lambda: (folder / "munge.sock").exists())
        start(programs["slurmctld"], "-D", "-i")
        apart = [needed("unshare"), "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)]
        running = [
            start(*(apart if hidden and n == NODES - 1 else ()), programs["slurmd"], "-D", "-N", f"n{n}")
            for n in range(NODES)
        ]
        found = Cluster(folder, running)
        wait_until(found.is_up, START_SECONDS)
        yield found
        found.ask("scancel", "--user=root", "--signal=KILL")
        found.ask("scancel", "--user=root")
        end = time.monotonic() + 20
        while found.ask("squeue", "--noheader") and time.monotonic() < end:
            time.sleep(0.2)


@contextmanager
def place_on(cluster: Cluster, place: Place) -> Iterator[Place]:
    """Have the programs of the place use the cluster; at the end no job is left."""
    place.environ.update(cluster.environ)
    yield place
    cluster.ask("scancel", "--user=root")
    wait_until(lambda: not cluster.ask("squeue", "--noheader"), WAIT_SECONDS)
    wait_until(lambda: not place.alive(), WAIT_SECONDS)


def collect(place: Place, name: str, *options: str) -> tuple[int, Any]:
    """Return what `supervise collect` says, with the bound of a batch on the cluster."""
    return batches.collect(place, name, *options, bound=WAIT_SECONDS)
