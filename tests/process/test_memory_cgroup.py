"""The memory cgroup of version 2, on an imitation of its files: few machines of today's tests have version 1 and 2."""

import os
from pathlib import Path

import pytest

from supervise.process import memory_cgroup, tree

LIMIT = 50 << 20
FILES = {
    "cgroup.procs": "",
    "cgroup.controllers": "cpu memory\n",
    "cgroup.subtree_control": "",
    "cgroup.type": "domain\n",
    "memory.max": "max\n",
    "memory.current": "4096\n",
    "memory.swap.max": "max\n",
    "memory.oom.group": "0\n",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\n",
    "memory.events.local": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\n",
}


class Hierarchy:
    """A tree of cgroups in a folder, in which this process seems to be in user.slice/session.scope."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.make("")
        (top / "cgroup.type").unlink()
        self.slice = self.make("user.slice")
        self.home = self.make("user.slice/session.scope")
        (self.slice / "cgroup.subtree_control").write_text("cpu memory\n")

    def make(self, path: str) -> Path:
        folder = self.top / path
        folder.mkdir(exist_ok=True)
        self.fill(folder)
        return folder

    @staticmethod
    def fill(folder: Path) -> None:
        for name, text in FILES.items():
            (folder / name).write_text(text)


@pytest.fixture
def hierarchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hierarchy:
    made = Hierarchy(tmp_path)
    real, make = tree.read, os.mkdir

    def read(path: str) -> bytes:
        return b"0::/user.slice/session.scope\n" if path.startswith("/proc/") else real(path)

    def mkdir(path: str) -> None:
        make(path)
        Hierarchy.fill(Path(path))

    monkeypatch.setattr(memory_cgroup, "mounts", lambda version, _: [(b"/", bytes(tmp_path))] if version == 2 else [])
    monkeypatch.setattr(memory_cgroup.tree, "read", read)
    monkeypatch.setattr(os, "mkdir", mkdir)
    return made


def test_the_cgroup_is_made_beside_that_of_the_supervisor(hierarchy: Hierarchy) -> None:
    made = memory_cgroup.create("run", LIMIT)
    assert made
    folder = hierarchy.slice / "supervise-run"
    assert made.folder == str(folder)
    assert (folder / "memory.max").read_text().startswith(str(LIMIT))
    assert (folder / "memory.swap.max").read_text().startswith("0")
    assert (folder / "memory.oom.group").read_text().startswith("1")
    assert (made.kills(), made.used()) == (1, 4096)


def test_the_guardian_visits_it_and_goes_back(hierarchy: Hierarchy) -> None:
    made = memory_cgroup.create("run", LIMIT)
    assert made
    assert memory_cgroup.visit(made.folder) == str(hierarchy.home)
    assert Path(made.folder, "cgroup.procs").read_text() == str(os.getpid())


@pytest.mark.parametrize("name", ["memory.max", "memory.high", "cpu.max", "pids.max"])
def test_no_command_escapes_from_a_limit_of_the_supervisor(hierarchy: Hierarchy, name: str) -> None:
    (hierarchy.home / name).write_text("1000 100000\n")
    assert memory_cgroup.create("run", LIMIT) is None


def test_no_cgroup_where_the_controller_is_not_handed_down(hierarchy: Hierarchy) -> None:
    (hierarchy.slice / "cgroup.subtree_control").write_text("cpu\n")
    assert memory_cgroup.create("run", LIMIT) is None
    assert not (hierarchy.slice / "supervise-run").exists()


def test_counters_of_a_cgroup_above_where_the_own_one_has_none(hierarchy: Hierarchy) -> None:
    (hierarchy.home / "cgroup.controllers").write_text("cpu\n")
    (hierarchy.slice / "memory.max").write_text(f"{LIMIT}\n")
    place = memory_cgroup.find()
    assert place
    assert (place.folder, place.path, place.is_own) == (str(hierarchy.slice), "/user.slice", False)
    assert place.limit() == LIMIT
    assert memory_cgroup.create("run", LIMIT) is None


def test_the_limit_of_a_cgroup_that_the_log_names(hierarchy: Hierarchy) -> None:
    (hierarchy.slice / "memory.max").write_text(f"{LIMIT}\n")
    assert memory_cgroup.limit_of("/user.slice") == LIMIT
    assert memory_cgroup.limit_of("/gone") is None
