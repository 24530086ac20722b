"""A pool of HTCondor on this machine, of one ordinary user: condor_submit refuses root."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.access import free_port
from tests.support.harness import Place, Running, wait_until
from tests.support.programs import needed

START_SECONDS = 60.0
ACCOUNT = "tester"
"""The account of the pool where the tests run as root; `tests/batch/trixie/run` makes it."""
CONF = """
LOCAL_DIR={folder}
LOG={folder}/log
SPOOL={folder}/spool
EXECUTE={folder}/execute
LOCK={folder}/lock
RUN={folder}/run
RELEASE_DIR=/usr
BIN=/usr/bin
SBIN=/usr/sbin
LIBEXEC=/usr/libexec/condor
LIB=/usr/lib/condor
CONDOR_HOST=127.0.0.1
COLLECTOR_HOST=127.0.0.1:{port}
NETWORK_INTERFACE=127.0.0.1
DAEMON_LIST=MASTER,COLLECTOR,NEGOTIATOR,SCHEDD,STARTD
use SECURITY : HOST_BASED
ALLOW_READ=*
ALLOW_WRITE=*
ALLOW_ADMINISTRATOR=*
ALLOW_NEGOTIATOR=*
ALLOW_DAEMON=*
NUM_CPUS=4
MEMORY=2048
NEGOTIATOR_INTERVAL=2
NEGOTIATOR_CYCLE_DELAY=1
NEGOTIATOR_MIN_INTERVAL=1
SCHEDD_INTERVAL=2
UPDATE_INTERVAL=5
MASTER_BACKOFF_CONSTANT=1
START=TRUE
SUSPEND=FALSE
PREEMPT=FALSE
KILL=FALSE
RUNBENCHMARKS=FALSE
CGROUP_V1_PATH=
BASE_CGROUP=
DISCARD_SESSION_KEYRING_ON_STARTUP=False
MOUNT_UNDER_SCRATCH=
GLIDEIN_ToDie={retirement}
STARTD_ATTRS=GLIDEIN_ToDie
"""
LIFE_SECONDS = 3600
"""Seconds until the machine retires, as a pilot of GlideinWMS does."""


class Pool:
    """The pool, and the user that it belongs to."""

    def __init__(self, folder: Path, user: pwd.struct_passwd) -> None:
        self.folder = folder
        self.retirement = int(time.time()) + LIFE_SECONDS
        self.environ = {"CONDOR_CONFIG": str(folder / "condor_config")}
        self.manner: dict[str, Any] = {}
        if os.geteuid() == 0:
            self.manner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.environ_of_user = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            **self.environ,
        }

    def ask(self, *words: str) -> str:
        """Run a program of HTCondor and return what it prints."""
        done = subprocess.run(
            words, env=self.environ_of_user, cwd=self.folder, capture_output=True, text=True, timeout=30, check=False,
            **self.manner,
        )  # fmt: skip
        return done.stdout

    def is_up(self) -> bool:
        return bool(self.ask("condor_status", "-af", "Name").strip()) and "Total" in self.ask("condor_q")

    def own(self, folder: Path) -> None:
        """Give the folder with all in it to the user of the pool."""
        if self.manner:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self.manner["user"], self.manner["group"])

    def pids(self, name: str) -> list[int]:
        """Return the pids of the pool's processes of that name."""
        found = []
        for one in Path("/proc").iterdir():
            try:
                is_ours = self.environ["CONDOR_CONFIG"].encode() in (one / "environ").read_bytes()
                if one.name.isdigit() and is_ours and (one / "comm").read_text().strip() == name:
                    found.append(int(one.name))
            except OSError:
                continue
        return found


class PoolPlace(Place):
    """A place whose programs are run by the user of the pool."""

    pool: Pool

    def popen(self, command: list[str], *words: Any, **manner: Any) -> Running:
        return super().popen(command, *words, **{**self.pool.manner, **manner})


@contextmanager
def pool(more: str = "") -> Iterator[Pool]:
    """Start a pool with `more` lines in its configuration, and wait until it is up."""
    needed("condor_master")
    try:
        user = pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    except KeyError:
        pytest.skip(f"condor_submit refuses root, and there is no account {ACCOUNT}")
    folder = Path(tempfile.mkdtemp(prefix="supervise-condor-", dir="/tmp"))
    found = Pool(folder, user)
    for name in ("log", "spool", "execute", "lock", "run"):
        (folder / name).mkdir()
    conf = CONF.format(folder=folder, port=free_port(), retirement=found.retirement)
    (folder / "condor_config").write_text(conf + more)
    folder.chmod(0o755)
    found.own(folder)
    with open(folder / "out", "wb") as out:
        master = subprocess.Popen(
            [needed("condor_master"), "-f"], env=found.environ_of_user, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=out, stderr=out, **found.manner,
        )  # fmt: skip
    try:
        wait_until(found.is_up, START_SECONDS)
        yield found
    finally:
        master.send_signal(signal.SIGQUIT)
        try:
            master.wait(30)
        except subprocess.TimeoutExpired:
            master.kill()
            master.wait()
        shutil.rmtree(folder, ignore_errors=True)
