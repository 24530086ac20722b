"""The command's cgroup: which cgroup the supervisor is in, and whether another can be made below it.

The rest is shown on the installed program (torture/test_both_killed.py).
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from supervise.process import cgroup, cgroup_files, tree

V2 = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup rw"
HYBRID = """31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:2 - cgroup2 cgroup2 rw"""
CONTAINER = "41 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw"

SetFiles = Callable[[dict[str, str]], None]


@pytest.fixture
def set_files(monkeypatch: pytest.MonkeyPatch) -> SetFiles:
    """Returns a function that sets the content of files in /proc/self."""
    return lambda files: monkeypatch.setattr(
        tree, "read", lambda path: files.get(path.removeprefix("/proc/self/"), "").encode()
    )


@pytest.mark.parametrize(
    ("membership", "mounts", "home"),
    [
        ("0::/", V2, "/sys/fs/cgroup"),
        ("0::/user.slice/a.service", V2, "/sys/fs/cgroup/user.slice/a.service"),
        ("1:cpu:/other\n0::/a", HYBRID, "/sys/fs/cgroup/unified/a"),
        ("0::/docker/abc", CONTAINER, "/sys/fs/cgroup"),
        ("0::/docker/abc/d", CONTAINER, "/sys/fs/cgroup/d"),
        # The path is not below the root of the mount.
        ("0::/docker/abcd", CONTAINER, ""),
        ("0::/", CONTAINER, ""),
        ("0::/../other", V2, ""),
        # There is version 1 alone, or no cgroup at all.
        ("1:cpu:/a", HYBRID, ""),
        ("0::/a", HYBRID.replace("cgroup2", "tmpfs"), ""),
        ("", "", ""),
        ("0::/", V2.replace("/sys/fs/cgroup", "/sys/fs/c\\040group"), ""),
    ],
)
def test_own_folder_is_found_by_membership_and_mounts(
    set_files: SetFiles, membership: str, mounts: str, home: str
) -> None:
    set_files({"cgroup": f"{membership}\n", "mountinfo": f"{mounts}\n"})
    assert cgroup._own_folder() == home


@pytest.mark.parametrize(
    ("name", "text", "is_limited"),
    [
        ("memory.max", "max\n", False),
        ("memory.max", "1073741824\n", True),
        ("cpu.max", "max 100000\n", False),
        ("cpu.max", "200000 100000\n", True),
        ("other", "1", False),
    ],
)
def test_a_limit_of_memory_or_cpu_is_seen(tmp_path: Path, name: str, text: str, is_limited: bool) -> None:
    (tmp_path / name).write_text(text)
    assert cgroup_files.is_limited(str(tmp_path), cgroup.LIMIT_FILES) is is_limited


def test_a_cgroup_that_cannot_be_made_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is no cgroup has no `cgroup.kill` in it."""
    monkeypatch.setattr(cgroup, "_own_folder", lambda: str(tmp_path))
    assert cgroup.create("20000101-000000-123456abcd") is None
    assert list(tmp_path.iterdir()) == []
