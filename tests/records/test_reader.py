"""Records of any content: `ps`, `show`, `logs` and `wait` answer without a crash.

The recovery of such records is tested in test_recovery.py.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervise.commands import logs, ps, show, wait
from supervise.records import reader
from tests.support.subcommands import defaults

RUN_ID = "20261124-200139-123456abcd"
WORDS = st.text(max_size=8) | st.sampled_from(
    ["", "\0", "a\nb", "\x1b[31m", "2026-11-24T20:01:39.123Z", "completed", "lost"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)
FACTS = st.dictionaries(
    st.sampled_from(["run_id", "name", "command", "command_hex", "cwd", "started_at", "pid", "options"]),
    VALUES | st.dates() | st.datetimes() | st.times(),
    max_size=5,
)
ENDS = st.dictionaries(
    st.sampled_from(["outcome", "exit_code", "duration", "status", "ended_at", "started_at"]),
    VALUES | st.just("\ud800"),
    max_size=5,
)
EVENTS = st.dictionaries(
    st.sampled_from(["event", "what", "text", "pid"]), st.sampled_from(["said", "status", "started"]) | VALUES
)


def toml_of(values: dict[str, Any]) -> bytes:
    import tomli_w

    def fit(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fit(one) for key, one in value.items() if one is not None}
        return [fit(one) for one in value if one is not None] if isinstance(value, list) else value

    return tomli_w.dumps(fit(values)).encode(errors="surrogatepass")


@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    run=FACTS.map(toml_of) | st.binary(max_size=50),
    end=st.none() | ENDS.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30),
    events=st.lists(st.binary(max_size=30) | EVENTS.map(lambda value: json.dumps(value).encode()), max_size=4),
    output=st.binary(max_size=200),
    cut=st.integers(0, 40),
)
def test_fuzzed_files(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    run: bytes,
    end: bytes | None,
    events: list[bytes],
    output: bytes,
    cut: int,
) -> None:
    with tempfile.TemporaryDirectory() as place:
        monkeypatch.setenv("XDG_STATE_HOME", place)
        folder = Path(place, "supervise", "runs", RUN_ID)
        folder.mkdir(parents=True)
        live = Path(place, "supervise", "live")
        live.mkdir()
        (live / RUN_ID).touch()
        (folder / "run.toml").write_bytes(run[: len(run) - cut] if cut < 20 else run)
        (folder / "events.jsonl").write_bytes(b"\n".join(events))
        (folder / "output").write_bytes(output)
        if end is not None:
            (folder / "end.json").write_bytes(end)
        for has_all in (True, False):
            asked = {**defaults("ps"), "all": has_all}
            capfd.readouterr()
            ps.main({**asked, "json": True}, [])
            found = json.loads(capfd.readouterr().out, parse_constant=pytest.fail)
            assert [one["run_id"] for one in found] == [RUN_ID] or not (has_all or found)
            assert all(one["state"] in ("ended", "lost") for one in found)
            ps.main({**asked, "json": False}, [])
            assert len(found) == capfd.readouterr().out.count(RUN_ID)
        show.main({"json": True, "html": None}, [RUN_ID])
        assert json.loads(capfd.readouterr().out, parse_constant=pytest.fail)["run_id"] == RUN_ID
        show.main({"json": False, "html": None}, [RUN_ID])
        assert RUN_ID in capfd.readouterr().out
        show.main({"json": False, "html": "-"}, [RUN_ID])
        assert RUN_ID in capfd.readouterr().out
        assert 0 <= wait.main(defaults("wait"), [RUN_ID]) <= 255
        for has_times in (True, False):
            assert logs.main({**defaults("logs"), "timestamps": has_times}, [RUN_ID]) == 0


@pytest.mark.parametrize(("named", "own"), [("1", "2"), ("2", "1")])
def test_the_newest_run_is_that_of_all_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, own: str
) -> None:
    """Root looks into the folder that HOME names, another user's perhaps, and has its own runs elsewhere."""
    states = [str(tmp_path / "named"), str(tmp_path / "own")]
    monkeypatch.setattr(reader, "state_folders", lambda: states)
    with pytest.raises(reader.NotFoundError, match="there is no run on record"):
        reader.find("-")
    for state, minute in zip(states, (named, own), strict=True):
        Path(state, "runs", f"20261124-200{minute}00-000000abcd").mkdir(parents=True)
    assert reader.find("-").run_id == "20261124-200200-000000abcd"
