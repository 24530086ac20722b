"""Retention of records: bounds in age, number and size, and the order of removal."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from supervise.faces import report_shape
from supervise.records import reader, retention, store
from tests.support.harness import Place, child, wait_until
from tests.support.listed_runs import DAY, ask, lines

NOW_SECONDS = time.time()


def add(state: str, ago: float, *, name: str | None = None, outcome: str = "completed", size: int = 0) -> str:
    """Make the record of a run that ended so many seconds ago, and return its id."""
    started = NOW_SECONDS - ago
    run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(started))}-{int(started % 1 * 1e6):06}{os.urandom(2).hex()}"
    facts = {"run_id": run_id, "name": name, "command": ["true"], "started_at": report_shape.time(started)}
    record = store.create(state, run_id, facts)
    Path(record.folder, "output").write_bytes(b"x" * size)
    store.finish(state, run_id, {"run_id": run_id, "outcome": outcome, "exit_code": 0, "duration": 1.0})
    os.utime(f"{record.folder}/end.json", (started, started))
    os.close(record.events)
    os.close(record._lock)
    return run_id


def prune(state: str, **bounds: Any) -> set[str]:
    """Prune with these bounds, and return the ids that are left."""
    retention.prune(state, retention.Bounds(**bounds))
    return {*reader.ids(state)}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a state folder that is empty."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return str(tmp_path / "state/supervise")


def test_a_flood_of_one_name_removes_no_run_of_another(state: str) -> None:
    night = add(state, 9000, name="night", outcome="failed")
    week = [add(state, 8000 - n, name="week") for n in range(7)]
    flood = [add(state, 1000 - n, name="minute") for n in range(30)]
    assert prune(state, number=20) == {night, *week[-5:], *flood[-14:]}


def test_failures_outlive_a_flood_of_successes_of_any_name(state: str) -> None:
    failures = [add(state, 9000 - n, outcome=one) for n, one in enumerate(("failed", "lost", "idle_timeout", "error"))]
    flood = [add(state, 1000 - n, name=f"job-{n}") for n in range(30)]
    assert prune(state, number=10) == {*failures, *flood[-6:]}


def test_a_flood_of_failures_removes_no_newest_run_of_a_name(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RESERVED_FAILURES", 10)
    night = add(state, 9000, name="night")
    flood = [add(state, 1000 - n, outcome="failed") for n in range(30)]
    assert prune(state, number=12) == {night, *flood[-11:]}


def test_the_bounds_hold_for_reserved_runs_too(state: str) -> None:
    runs = [add(state, 1000 - n, name="x", outcome="failed") for n in range(8)]
    assert prune(state, number=3) == {*runs[-3:]}
    assert prune(state, number=0) == set()


def test_the_bound_in_size_keeps_reserved_runs_longest(state: str) -> None:
    old = add(state, 9000, name="old", outcome="failed", size=300_000)
    flood = [add(state, 1000 - n, size=300_000) for n in range(10)]
    left = prune(state, size=1 << 20)
    assert left == {old, *flood[-2:]}
    used = sum(path.stat().st_blocks * 512 for one in left for path in Path(state, "runs", one).iterdir())
    assert used <= 1 << 20


def test_the_bound_in_age_holds_for_reserved_runs_too(state: str) -> None:
    add(state, 3 * DAY, name="x", outcome="failed")
    fresh = add(state, DAY)
    assert prune(state, age=2 * DAY) == {fresh}
    assert prune(state, age=None) == {fresh}


def test_no_reserved_run_is_removed_where_time_is_short(state: str) -> None:
    """A record that was not read yet may be the better one to remove."""
    night = add(state, 9000, name="night", outcome="failed")
    flood = [add(state, 1000 - n) for n in range(5)]
    removed, is_done = retention.prune(state, retention.Bounds(number=2), until=0.0)
    assert (removed, is_done) == ([], False)
    assert prune(state, number=2) == {night, flood[-1]}


def test_known_records_are_not_read_again(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        add(state, 1000 - n, name="x")
    prune(state)
    monkeypatch.setattr(retention, "_facts_of", lambda *_: pytest.fail("it was known"))
    assert len(prune(state, number=3)) == 3


@pytest.mark.parametrize("content", [b"", b"\xff\x00\n" * 50, b"x 1e999 9 1 y\n", b"{}\n"])
def test_a_damaged_file_of_known_records_is_ignored(state: str, content: bytes) -> None:
    runs = [add(state, 1000 - n) for n in range(4)]
    Path(state, "pruned").write_bytes(content + b"".join(f"{one} 1e400 -1 1 \n".encode() for one in runs))
    assert prune(state, number=2) == {*runs[-2:]}


def test_neither_a_link_nor_its_target_is_removed(state: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "end.json").write_text("{}")
    run_id = add(state, 1000)
    (Path(state) / "runs" / f"{run_id[:-4]}ffff").symlink_to(outside)
    prune(state, number=0, age=0.001)
    assert (outside / "end.json").exists()


def test_simultaneous_prunes_remove_no_more_than_one(state: str) -> None:
    night = add(state, 9000, name="night", outcome="failed")
    flood = [add(state, 1000 - n) for n in range(60)]
    children = []
    for _ in range(6):
        if (pid := os.fork()) == 0:
            try:
                prune(state, number=20)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 6
    assert {*reader.ids(state)} == {night, *flood[-19:]}


# --- the program


def test_prune_obeys_the_configuration(supervise: Place) -> None:
    for n in range(12):
        add(supervise.state, 1000 - n)
    configuration = Path(supervise.environ["HOME"], ".config/supervise/config.toml")
    configuration.parent.mkdir(parents=True, mode=0o700)
    configuration.write_text('records-number = 6\nrecords-max = "1MiB"\nrecords-age = "2d"\n')
    assert lines(ask(supervise, "prune")) == ["6 runs removed"]
    # The run that prunes at its end counts, too.
    (Path(supervise.state) / "pruned").unlink()
    assert ask(supervise, "--", "true").code == 0
    assert len(reader.ids(supervise.state)) == 6
    assert lines(ask(supervise, "prune", "--keep", "4")) == ["2 runs removed"]
    assert lines(ask(supervise, "prune", SUPERVISE_RECORDS_NUMBER="3")) == ["1 run removed"]
    configuration.write_text('records-max = "much"\n')
    refused = ask(supervise, "prune")
    assert refused.code == 125
    assert "records-max" in refused.messages[0]


def test_prune_max_size_removes_by_size(supervise: Place) -> None:
    for n in range(4):
        add(supervise.state, 1000 - n, size=100_000)
    assert lines(ask(supervise, "prune", "--max-size", "256KiB")) == ["2 runs removed"]


@pytest.mark.parametrize("word", ["off", "infinity"])
def test_a_bound_of_off_overrides_the_environment(supervise: Place, word: str) -> None:
    for n in range(4):
        add(supervise.state, 1000 - n, size=100_000)
    assert lines(ask(supervise, "prune", "--max-size", word, SUPERVISE_RECORDS_MAX="64KiB")) == ["0 runs removed"]
    assert lines(ask(supervise, "prune", SUPERVISE_RECORDS_MAX=word)) == ["0 runs removed"]
    assert lines(ask(supervise, "prune", "--max-size", "0")) == ["4 runs removed"]


def test_prune_never_removes_a_running_run(supervise: Place) -> None:
    running = supervise.start("--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    [run_id] = reader.ids(supervise.state)
    assert lines(ask(supervise, "prune", "--keep", "0", "--max-size", "0", "--older-than", "0")) == ["0 runs removed"]
    assert reader.ids(supervise.state) == [run_id]
    assert ask(supervise, "stop", run_id).code == 0
    running.wait()
    wait_until(lambda: lines(ask(supervise, "prune", "--keep", "0")) == ["1 run removed"])


def test_a_run_with_very_much_output_prunes_at_once(supervise: Place) -> None:
    words = ("--records-max", "6MiB", "--", "head", "-c", "5000000", "/dev/zero")
    for _ in range(3):
        assert supervise.start(*words, report=False, stdout=subprocess.DEVNULL).wait().code == 0
    assert len(reader.ids(supervise.state)) == 1
