"""The recovery of records of any content: no crash, and no process of another run is killed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervise.options import serializer
from supervise.process import kill, orphans
from supervise.records import liveness, reader, recovery, store
from tests.support.harness import validator
from tests.support.users import BOB

RUN_ID = "20261124-200139-123456abcd"
SOUND: dict[str, Any] = {
    "schema": 1,
    "run_id": RUN_ID,
    "name": "night",
    "command": ["make", "all"],
    "cwd": "/",
    "host": os.uname().nodename,
    "boot_id": "",
    "pid": 4_000_000,
    "pid_started": 1,
    "guardian": 4_000_001,
    "guardian_started": 2,
    "started_at": "2026-11-24T20:01:39.123Z",
    "recoveries": 0,
    "options": {"on-interrupt": "rerun", "kill-after": "0", "access-timeout": "5"},
    "environment": {"A": "b"},
}
STARTED = {"schema": 1, "run_id": RUN_ID, "at": "2026-11-24T20:01:39.124Z", "t": 0.001, "event": "started", "pid": 7}


class Clock:
    """A clock that advances by each sleep: the recovery waits half a second for the command of a run just lost."""

    def __init__(self) -> None:
        self._now = 1.0

    def read(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "it would turn round and round"
        self._now += seconds


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide all processes but those that a test invents; a signal to any process fails the test."""
    monkeypatch.setattr(orphans.tree, "scan", dict)
    clock = Clock()
    monkeypatch.setattr(orphans, "monotonic", clock.read)
    monkeypatch.setattr(orphans, "sleep", clock.sleep)
    monkeypatch.setattr(kill, "send", lambda *_: pytest.fail("a process was signalled"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made(tmp_path)
    return tmp_path


def made(state: Path, run_id: str = RUN_ID, toml: str | bytes = serializer.toml(SOUND)) -> Path:
    folder = state / "runs" / run_id
    folder.mkdir(parents=True)
    (state / "live").mkdir(exist_ok=True)
    (state / "live" / run_id).touch()
    (folder / "lock").touch()
    (folder / "run.toml").write_bytes(toml if isinstance(toml, bytes) else toml.encode())
    (folder / "events.jsonl").write_text(json.dumps(STARTED) + "\n")
    return folder


def again(seen: list[str]) -> "recovery.Rerun":
    def rerun(record: reader.Record, times: int) -> str:
        seen.append(f"{record.run_id} {times}")
        return "new"

    return rerun


def refuse(record: reader.Record, times: int) -> str:
    raise recovery.RerunError("not run again: no")


def test_a_sound_record_is_recovered(state: Path) -> None:
    seen: list[str] = []
    [lost] = recovery.recover(str(state), again(seen))
    assert (lost.rerun, seen) == ("new", [f"{RUN_ID} 1"])
    end = reader.Record(str(state), RUN_ID).end()
    validator("report").validate(end)
    assert end is not None
    assert (end["name"], end["command"], end["access"]) == ("night", ["make", "all"], None)
    assert [one["pid"] for one in end["attempts"]] == [7]
    assert recovery.recover(str(state), again(seen)) == []


def test_a_lost_run_without_its_entry_in_live_is_recovered(state: Path) -> None:
    """A user has removed the folder `live`."""
    shutil.rmtree(state / "live")
    [lost] = recovery.recover(str(state), again([]))
    assert lost.record.has_end
    assert lost.rerun is None


def test_a_refused_rerun_is_not_tried_again(state: Path) -> None:
    [lost] = recovery.recover(str(state), refuse)
    assert (lost.rerun, lost.trouble) == (None, "not run again: no")
    assert recovery.recover(str(state), refuse) == []


def foreign(folder: Path, name: str) -> Iterator[str]:
    """Put a file of each foreign kind in the place of a record's file; yield its kind."""
    path = folder / name
    path.unlink(missing_ok=True)
    yield "nothing"
    path.mkdir()
    yield "no file"
    path.rmdir()
    os.mkfifo(path)
    yield "no file"
    path.unlink()
    path.symlink_to("/dev/zero")
    yield "no file"
    path.unlink()
    path.symlink_to(name)
    yield "no file"
    path.unlink()
    path.write_bytes(b"")
    yield "another file"
    path.write_bytes(b"\xff\0" * 5000)
    yield "another file"


@pytest.mark.parametrize("name", ["run.toml", "events.jsonl", "roots", "lock", "output"])
def test_a_record_with_a_foreign_file_is_left_alone(tmp_path: Path, name: str) -> None:
    """A file of a kind that no run writes, or a damaged run.toml, keeps the record from recovery; others are done."""
    state = tmp_path / "0"
    folder = made(state)
    for kind in foreign(folder, name):
        seen: list[str] = []
        [lost] = recovery.recover(str(state), again(seen))
        assert lost.reason == liveness.CRASH
        if kind == "no file" or name == "run.toml":
            assert name in lost.flaw
            assert (lost.record.has_end, lost.stopped, seen) == (False, [], [])
            continue
        assert lost.flaw == ""
        end = reader.Record(str(state), RUN_ID).end()
        validator("report").validate(end)
        (folder / store.END_FILE).unlink()
        (state / "live" / RUN_ID).touch()


def test_a_record_with_the_facts_of_another_run_is_left_alone(tmp_path: Path) -> None:
    made(tmp_path, toml=serializer.toml({**SOUND, "run_id": "20261124-200139-00000000ff"}))
    seen: list[str] = []
    [lost] = recovery.recover(str(tmp_path), again(seen))
    assert lost.flaw.endswith("run.toml is of another run")
    assert (lost.record.has_end, seen) == (False, [])
    [lost] = recovery.preview(str(tmp_path))
    assert (lost.stopped, lost.is_to_rerun) == ([], False)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to another user")
@pytest.mark.parametrize("part", [".", "run.toml", "roots", "../../live"])
def test_a_record_that_another_user_owns_in_part_is_left_alone(tmp_path: Path, part: str) -> None:
    folder = made(tmp_path)
    (folder / "roots").touch()
    path = folder / part / RUN_ID if part == "../../live" else folder / part
    os.chown(path, BOB, BOB)
    seen: list[str] = []
    [lost] = recovery.recover(str(tmp_path), again(seen))
    assert "belongs to another user" in lost.flaw
    assert (lost.record.has_end, seen) == (False, [])
    os.chown(path, 0, 0)
    path.chmod(0o722)
    [lost] = recovery.recover(str(tmp_path), again(seen))
    assert "other users may write" in lost.flaw


def test_a_record_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    folder = made(tmp_path)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    [lost] = recovery.recover(str(tmp_path), again([]))
    assert "is of a kind that no run makes there" in lost.flaw
    store.remove(str(tmp_path), RUN_ID)
    assert (tmp_path / "elsewhere" / "run.toml").exists(), "what a link leads to is not removed"


def test_a_claim_that_fails_leaves_the_run_lost(state: Path) -> None:
    (state / "runs" / RUN_ID / recovery.CLAIM_FILE).mkdir()
    [lost] = recovery.recover(str(state), again([]))
    assert lost.flaw.endswith(f"{recovery.CLAIM_FILE} is of a kind that no run makes there")
    assert not lost.record.has_end


def test_names_that_are_no_run_ids_are_ignored(state: Path) -> None:
    for name in ("x", ".hidden", "20261124", RUN_ID + "0"):
        (state / "runs" / name).mkdir()
        (state / "live" / name).touch()
    (state / "runs" / "20261124-200139-000000abcd").write_text("no folder")
    (state / "live" / "20261124-200140-000000abcd").touch()
    assert [lost.record.run_id for lost in recovery.recover(str(state), again([]))] == [RUN_ID]


def test_a_damaged_end_is_an_end(state: Path) -> None:
    """The run has ended, though its report cannot be read."""
    (state / "runs" / RUN_ID / store.END_FILE).write_text("{")
    assert recovery.recover(str(state), again([])) == []
    assert reader.unfinished(str(state)) == []


def test_a_process_with_the_pid_alone_is_not_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start time must match as well; that a match counts is shown by tests/cli/test_recover.py."""
    ours = orphans.tree.stat(os.getpid())
    assert ours is not None
    monkeypatch.setattr(orphans, "own_ancestry", set)
    monkeypatch.setattr(orphans.tree, "scan", lambda: {ours.pid: ours})
    folder = made(tmp_path, toml=serializer.toml({**SOUND, "guardian": ours.pid}))
    (folder / "roots").write_text(f"{ours.pid} {ours.starttime + 1}\n{ours.pid}\n{ours.pid} x\n\n-1 -1\n")
    [lost] = recovery.recover(str(tmp_path), again([]))
    assert lost.stopped == []


WORDS = st.text(max_size=20) | st.sampled_from(["", "\0", "a=b", "\x7f", "nan", "-1", "1e999", "rerun"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
KEPT = st.dictionaries(st.sampled_from([*SOUND, "command_hex", "cwd_hex", "environment_hex"]), VALUES, max_size=4)
OPTIONS = st.dictionaries(
    st.sampled_from(["on-interrupt", "kill-after", "signal", "max-recoveries", "timeout", "quiet", "name"]), VALUES
)
LINES = st.lists(
    st.binary(max_size=40)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.sampled_from(["event", "at", "t", "pid", "how", "signal", "kill_after", "dump_signal", "command_exit"]),
        st.sampled_from(["started", "access", "exited", "verdict", "killing", "warned", "lost"]) | VALUES,
    ).map(lambda value: json.dumps(value).encode()),
    max_size=6,
)


def toml_of(values: dict[str, Any]) -> bytes:
    import tomli_w

    def fit(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fit(one) for key, one in value.items() if one is not None}
        if isinstance(value, list):
            return [fit(one) for one in value if one is not None]
        return value

    return tomli_w.dumps(fit(values)).encode(errors="surrogatepass")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(KEPT, OPTIONS, LINES, st.binary(max_size=60), st.integers(0, 400))
def test_fuzzed_files(
    changed: dict[str, Any], options: dict[str, Any], lines: list[bytes], roots: bytes, cut: int
) -> None:
    """Each record of this host with a readable run id gets a readable end; all other records are left alone."""
    with tempfile.TemporaryDirectory() as place:
        text = toml_of({**SOUND, "options": options, **changed})
        folder = made(Path(place), toml=text[: len(text) - cut] if cut < 100 else text)
        (folder / "events.jsonl").write_bytes(b"\n".join(lines))
        (folder / "roots").write_bytes(roots)
        recovery.preview(place)
        if reader.Record(place, RUN_ID).is_elsewhere:
            assert recovery.recover(place, again([])) == []
            assert [one.run_id for one in recovery.left_alone(place)] == [RUN_ID]
            return
        seen: list[str] = []
        [lost] = recovery.recover(place, again(seen))
        if lost.flaw:
            assert lost.record.facts.get("run_id") != RUN_ID
            assert (lost.record.has_end, seen) == (False, [])
            return
        assert lost.record.has_end
        assert lost.record.end() is not None, "it can be read"
        assert reader.state_of(lost.record) == "lost"
        assert recovery.recover(place, again([])) == []
