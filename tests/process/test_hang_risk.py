"""Which paths can be looked at without a process that may be left behind."""

import os
from pathlib import Path

import pytest

from supervise.process import hang_risk, system
from tests.support import mounts


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if system.open_at_hand("/") < 0:
        pytest.skip("this kernel has no openat2(2) with RESOLVE_CACHED")


def test_a_regular_or_missing_file_of_a_local_file_system_answers_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("file").touch()
    monkeypatch.chdir(tmp_path)
    for path in ("file", "missing", "./file", f"{tmp_path}/file", f"{tmp_path}/missing"):
        assert hang_risk.answers_at_once(path), path


def test_any_other_file_may_wait_for_somebody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    tmp_path.joinpath("folder").mkdir()
    for name, target in (("link", "file"), ("dangling", "nowhere"), ("up", "..")):
        tmp_path.joinpath(name).symlink_to(target)
    for name in ("fifo", "folder", "folder/", "link", "dangling", "up/", ".", "missing/file", "a\0b"):
        assert not hang_risk.answers_at_once(f"{tmp_path}/{name}"), name
    for path in ("/proc/self/status", "/", "", "/proc/1/root/x"):
        assert not hang_risk.answers_at_once(path), path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file")
def test_what_is_mounted_over_a_file_may_wait_for_somebody(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with mounts.read_only(path):
        assert not hang_risk.answers_at_once(str(path))
    assert hang_risk.answers_at_once(str(path))


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for name in ("file", "a/b", ""):
        hang_risk.answers_at_once(f"{tmp_path}/{name}")
    assert os.listdir("/proc/self/fd") == before
