"""Twenty thousand records and configurations of garbage: each gives an answer or one line, and no memory grows."""

import math
import os
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from supervise.commands import past_attempts, ps, show, wait
from supervise.core import learned_limits
from supervise.options import config
from supervise.options.table import BadValueError
from supervise.records import named_runs, reader, recovery, retention
from tests.support.harness import Place
from tests.support.subcommands import defaults

COUNT = int(os.environ.get("FUZZ_COUNT", "20000"))
WARM_UP_COUNT = COUNT // 10
SEED = int(os.environ.get("FUZZ_SEED", str(random.randrange(10**9))))
GROWTH_LIMIT_KB = 4096
INPUT_SECONDS = 5.0
"""Seconds of CPU time that one input may take."""
RUN_ID = "20261124-200139-123456abcd"
SEEDS = {
    "run.toml": b'schema = 1\nrun_id = "20261124-200139-123456abcd"\nname = "x"\ncommand = ["sleep", "1"]\npid = 12\n'
    b'pid_started = 3\nstarted_at = "2026-11-24T20:01:39.123Z"\nhost = "h"\nboot_id = "b"\n[options]\ntimeout = "9"\n',
    "end.json": b'{"schema": 1, "outcome": "failed", "exit_code": 3, "duration": 1.5, "started_at": '
    b'"2026-11-24T20:01:39.623Z", "ended_at": "2026-11-24T20:01:41.123Z", '
    b'"usage": {"cpu_seconds": 0.1, "max_rss_bytes": 5, "stdout_bytes": 1, '
    b'"stderr_bytes": 2}, '
    b'"attempts": [{"outcome": "failed", "started_at": "2026-11-24T20:01:39.7Z", '
    b'"ended_at": "2026-11-24T20:01:41.1Z", "access": {"at": "2026-11-24T20:01:40.5Z", "how": "output"}}], '
    b'"command_exit": {"code": 3, "signal": null}}\n',
    "events.jsonl": b'{"schema": 1, "at": "x", "t": 0.1, "event": "started", "pid": 7}\n{"t": 0.5, "event": "warned", '
    b'"limit": "idle", "left": 3}\n{"t": 0.9, "event": "extended", "evidence": {"cpu_percent": 3}, "by": 1}\n',
    "samples": b"0.5 0.1 3 4\n1.5 0.2 30 40\n",
    "output": b"\xf5SV1o\0\0\0\x05\0\0\0" + bytes(16) + b"hello",
}
CONFIGURATION = (
    b'idle-timeout = "15m"\nwarn-at = ["5m", "1m"]\nretries = 3\n[profiles.ci]\ntimeout = 9.5\naccess-on = ["listen"]\n'
)
WORDS = (
    *(b"[]", b"{}", b'""', b"null", b"1e999", b"-1", b"nan", b"9" * 400, b"9" * 5000, b"\0", b"\xff\xfe", b"\x1b[2J"),
    *(b"\n", b"[" * 3000, b"{" * 3000, b"true", b"2026-01-01", b'"\\ud800"', b'["started"]', b'{"a": 1}', b"'''", b"="),
)


def changed(chance: random.Random, data: bytes) -> bytes:
    """Return the data with a few bytes removed, doubled or replaced."""
    for _ in range(chance.randrange(4)):
        at, length = chance.randrange(len(data) + 1), chance.randrange(12)
        word = chance.choice(WORDS) if chance.random() < 0.7 else chance.randbytes(length)
        if chance.random() < 0.5 and (colon := data.find(b": ", at)) >= 0:
            # The bytes take the place of a value.
            end = min((one for one in (data.find(b",", colon), data.find(b"}", colon)) if one > 0), default=len(data))
            data = data[: colon + 2] + word + data[end:]
        else:
            data = data[:at] + word + data[at + length :]
    return data


def resident() -> int:
    """Return the private memory of this process in KiB."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))


def fuzz(step: Callable[[random.Random], None]) -> None:
    """Call the step with so many seeds; check that no input takes too long and the memory does not grow."""
    chance = random.Random(SEED)
    before, slowest = 0, 0.0
    for number in range(COUNT):
        if number == WARM_UP_COUNT:
            before = resident()
        began = time.process_time()
        try:
            why = ""
            try:
                step(chance)
            except BadValueError as refusal:
                why = str(refusal)
            assert "\n" not in why, why
        except Exception as error:
            raise AssertionError(f"FUZZ_SEED={SEED}, input {number}") from error
        slowest = max(slowest, time.process_time() - began)
    assert slowest < INPUT_SECONDS, f"FUZZ_SEED={SEED}"
    assert resident() - before < GROWTH_LIMIT_KB, f"FUZZ_SEED={SEED}"


@pytest.fixture(autouse=True)
def no_cores() -> None:
    """Keep programs that crash from writing core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@pytest.mark.slow
def test_records_of_garbage_give_an_answer_or_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    state = tmp_path / "supervise"
    folder = state / "runs" / RUN_ID
    folder.mkdir(parents=True)
    for name in ("live", "names"):
        (state / name).mkdir()
    (folder / "lock").touch()
    (state / "live" / RUN_ID).touch()
    for path in (state, state / "runs", folder, state / "live", state / "names"):
        path.chmod(0o700)
    out = os.open("/dev/null", os.O_WRONLY)
    saved = os.dup(1)
    os.dup2(out, 1)

    def step(chance: random.Random) -> None:
        for name, data in SEEDS.items():
            (folder / name).write_bytes(changed(chance, data))
        if chance.random() < 0.3:
            (folder / "end.json").unlink()
        asked = {**defaults("ps"), "all": True, "json": chance.random() < 0.5}
        ps.main(asked, [])
        show.main({"json": True, "html": None}, [RUN_ID])
        if chance.random() < 0.05:
            show.main({"json": False, "html": None}, [RUN_ID])
            show.main({"json": False, "html": "-"}, [RUN_ID])
        attempts = past_attempts.read(reader.Record(str(state), RUN_ID), math.inf) or []
        limits = learned_limits.learn([one.course for one in attempts] * learned_limits.RUNS_NEEDED)
        assert not any(limits.stop(one.course) for one in attempts)
        named_runs.durations(str(state), {"x"}, 9, math.inf)
        assert 0 <= wait.main(defaults("wait"), [RUN_ID]) <= 255
        recovery.preview(str(state)) if chance.random() < 0.02 else None
        (state / "pruned").write_bytes(changed(chance, f"{RUN_ID} 9 9 1 x\n".encode()))
        retention.prune(str(state), retention.Bounds(None, None, None))

    try:
        fuzz(step)
    finally:
        os.dup2(saved, 1)
        os.close(out)
        os.close(saved)
    assert reader.ids(str(state)) == [RUN_ID]


@pytest.mark.slow
def test_configurations_of_garbage_are_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"

    def step(chance: random.Random) -> None:
        file.write_bytes(changed(chance, CONFIGURATION))
        found = config.load(str(file), is_named=True)
        for line in found.located(found.problems()):
            assert "\n" not in line
        found.settings("ci" if chance.random() < 0.5 else None)

    fuzz(step)


PROGRAM_COUNT = min(COUNT, 150)
"""Inputs to the installed program, of which each start takes some 50 ms."""
QUESTIONS = (
    *(["ps", "--all"], ["ps", "--json"], ["show", "-"], ["show", "--json", RUN_ID], ["logs", RUN_ID], ["wait", RUN_ID]),
    *(["recover"], ["recover", "--dry-run"], ["prune"], ["stop", RUN_ID], ["extend", RUN_ID, "1"], ["attach", RUN_ID]),
)


def check_answers(supervise: Place, words: list[str], number: int, codes: tuple[int, ...]) -> None:
    """Check that the program ends with one of these codes, and has at most one line for each fault."""
    ended = supervise.popen([str(supervise.program), *words]).wait()
    where = f"FUZZ_SEED={SEED}, input {number}: {words}: {ended}"
    assert ended.code in codes, where
    assert b"Traceback" not in ended.err, where
    assert b"internal error" not in ended.err, where
    if ended.code == 125 and words[0] != "wait":
        assert ended.err.startswith(b"supervise: "), where


@pytest.mark.slow
def test_the_program_survives_records_of_garbage(supervise: Place) -> None:
    chance = random.Random(SEED)
    for number in range(PROGRAM_COUNT):
        folder = Path(supervise.state, "runs", RUN_ID)
        for path in (folder, *(Path(supervise.state, name) for name in ("live", "names"))):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, data in SEEDS.items():
            (folder / name).write_bytes(changed(chance, data))
        (folder / "lock").touch()
        if chance.random() < 0.5:
            (folder / "end.json").unlink()
            Path(supervise.state, "live", RUN_ID).touch()
        words = chance.choice(QUESTIONS)
        check_answers(supervise, words, number, tuple(range(256)) if words[0] in ("wait", "attach") else (0, 1, 125))


@pytest.mark.slow
def test_the_program_survives_configurations_of_garbage(supervise: Place) -> None:
    chance = random.Random(SEED)
    file = supervise.file("config.toml")
    for number in range(PROGRAM_COUNT):
        file.write_bytes(changed(chance, CONFIGURATION))
        named = ["--config", str(file)]
        for words in chance.sample(
            [
                ["config", "check", *named],
                ["config", "show", *named],
                ["run", "--dry-run", *named, "--", "true"],
                ["run", "--no-record", *named, "--profile", "ci", "--", "true"],
            ],
            1,
        ):
            check_answers(supervise, words, number, (0, 125))
