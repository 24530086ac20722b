"""The commands that work with records: `ps`, `logs`, `prune`."""

import json
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from supervise.records import reader
from tests.support.clients import bind
from tests.support.harness import Place, child, wait_until
from tests.support.listed_runs import DAY, ask, lines, listed, make

# --- ps


def test_ps_without_runs_is_empty(supervise: Place) -> None:
    assert len(lines(ask(supervise, "ps"))) == 1
    assert listed(supervise, "--all") == []
    assert not os.path.exists(supervise.state)


def test_ps_lists_running_runs(supervise: Place) -> None:
    supervise.start("--", "true", report=False).wait()
    running = supervise.start("--name", "night", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    [one] = listed(supervise)
    assert (one["state"], one["name"], one["pid"]) == ("running", "night", running.pid)
    assert one["command"] == list(child("ready", "stay"))
    assert one["outcome"] is None
    _, row = lines(ask(supervise, "ps"))
    assert one["run_id"] in row
    assert " night  running " in row
    running.send(signal.SIGTERM)
    running.wait()
    assert listed(supervise) == []


def test_ps_all_lists_the_newest_first(supervise: Place) -> None:
    for code in ("0", "3"):
        supervise.start("--", "sh", "-c", f"exit {code}", report=False).wait()
    newest, oldest = listed(supervise, "--all")
    assert (newest["outcome"], newest["exit_code"]) == ("failed", 3)
    assert (oldest["outcome"], oldest["exit_code"]) == ("completed", 0)
    assert [one["exit_code"] for one in listed(supervise, "--all", "-n", "1")] == [3]
    assert "failed (3)" in lines(ask(supervise, "ps", "-a"))[1]


def test_ps_lists_a_lost_run(supervise: Place) -> None:
    run_id = make(supervise.state, time.time() - 60)
    [one] = listed(supervise)
    assert (one["run_id"], one["state"]) == (run_id, "lost")


def test_ps_shows_a_command_with_line_breaks_on_one_line(supervise: Place) -> None:
    supervise.start("--", "echo", "a\nb", "it's", "\x1b[31m", report=False).wait()
    [_, row] = lines(ask(supervise, "ps", "--all"))
    assert row.endswith(r"echo $'a\nb' 'it'\''s' $'\x1b[31m'")


def test_foreign_files_in_the_state_folder_are_ignored(supervise: Place) -> None:
    supervise.start("--", "true", report=False).wait()
    state = Path(supervise.state)
    for folder in ("runs", "live", "names"):
        (state / folder / "foreign").mkdir()
        (state / folder / "20261124-200139-123456abc").write_text("x")
        (state / folder / "20261124-200139-123456abcd").write_text("x")
    broken = state / "runs" / "20261124-200139-123456abce"
    broken.mkdir()
    for name in ("run.toml", "end.json", "events.jsonl", "output"):
        (broken / name).write_bytes(b"\xff\x00{[")
    empty = state / "runs" / "20261124-200139-123456abcf"
    empty.mkdir()
    for name in ("run.toml", "end.json", "events.jsonl", "output", "lock"):
        (empty / name).touch()
    odd = state / "runs" / "20261124-200139-123456abd0"
    (odd / "run.toml").mkdir(parents=True)
    os.mkfifo(odd / "end.json")
    os.mkfifo(odd / "output")
    (odd / "events.jsonl").symlink_to("/dev/zero")
    found = {one["run_id"]: one["state"] for one in listed(supervise, "--all")}
    assert found[broken.name] == found[empty.name] == found[odd.name] == "ended"
    assert sorted(found.values()) == ["ended"] * 4 + ["lost"] * (len(found) - 4)
    assert len(lines(ask(supervise, "ps", "--all"))) == len(found) + 1
    for one in (broken, empty, odd):
        for command in ("logs", "wait"):
            assert b"Traceback" not in ask(supervise, command, one.name).err
    assert ask(supervise, "prune").code == 0


# --- the choice of a run


def test_an_unknown_run_is_refused(supervise: Place) -> None:
    supervise.start("--name", "night", "--", "echo", "x", report=False).wait()
    for word in ("none", "2020", "../night", "", "/"):
        ended = ask(supervise, "logs", word)
        assert ended.code == 125
        assert len(ended.messages) == 1
    for word in ("-", "night", reader.ids(supervise.state)[0][:10]):
        assert ask(supervise, "logs", word).out == b"x\n"


def test_an_ambiguous_id_is_refused(supervise: Place) -> None:
    for _ in range(2):
        supervise.start("--", "true", report=False).wait()
    ended = ask(supervise, "logs", "2")
    assert ended.code == 125
    assert "2 runs begin with '2'" in ended.messages[0]


# --- very many


@pytest.mark.slow
def test_ps_and_prune_are_right_with_ten_thousand_records(supervise: Place) -> None:
    count, now = 10_000, time.time()
    lost = {make(supervise.state, now - 60 - count), make(supervise.state, now - 60 - count / 2)}
    made = [make(supervise.state, now - 60 - index, exit_code=index % 7) for index in range(count - len(lost))]
    running = supervise.start("--name", "night", "--log-max", "0", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    newest = listed(supervise)[0]
    # Each start removes some of the runs beyond the 500 newest ones.
    removed = set(made) - {*reader.ids(supervise.state)}
    assert not removed & {*made[:499]}
    assert [(one["run_id"], one["state"]) for one in listed(supervise)] == [
        (newest["run_id"], "running"),
        *((one, "lost") for one in sorted(lost, reverse=True)),
    ]
    found = listed(supervise, "--all", "-n", "20")
    assert [(one["run_id"], one["exit_code"]) for one in found] == [
        (newest["run_id"], None),
        *((one, index % 7) for index, one in enumerate(made[:19])),
    ]
    assert ask(supervise, "wait", made[20]).code == 6
    assert ask(supervise, "stop", "night").code == 0
    assert running.wait().code == 143
    assert ask(supervise, "wait", "-").code == 143
    said = json.loads(ask(supervise, "recover", "--json").out)["lost"]
    assert {one["run_id"] for one in said} == lost
    assert listed(supervise) == []
    assert ask(supervise, "prune").code == 0
    # Lost runs ended when they were found, so they are among the last failures.
    assert reader.ids(supervise.state) == [newest["run_id"], *made[:497], *sorted(lost, reverse=True)]


# --- logs


@pytest.fixture
def printed(supervise: Place) -> Place:
    """Run a command that prints lines on both streams, and return the place of its record."""
    # The record holds the bytes of one stream before those of the other are written: a pump that waits for a CPU must
    # not change their order.
    recorded = 'until grep -qs {} "$HOME"/.local/state/supervise/runs/*/output; do sleep 0.02; done'
    script = (
        f"echo one; {recorded.format('one')}; echo two >&2; {recorded.format('two')}; "
        "printf thr; sleep 0.05; echo ee; sleep 0.05; printf end"
    )
    supervise.start("--", "sh", "-c", script, report=False).wait()
    return supervise


def test_logs_prints_the_output_unchanged(printed: Place) -> None:
    assert ask(printed, "logs", "-").out == b"one\ntwo\nthree\nend"


def test_logs_prints_one_stream(printed: Place) -> None:
    assert ask(printed, "logs", "-", "--stderr").out == b"two\n"
    assert ask(printed, "logs", "--stdout", "-").out == b"one\nthree\nend"
    assert ask(printed, "logs", "--stdout", "--stderr", "-").out == b"one\ntwo\nthree\nend"


@pytest.mark.parametrize(("number", "out"), [(0, b""), (1, b"end"), (2, b"three\nend"), (9, b"one\ntwo\nthree\nend")])
def test_logs_n_prints_the_last_lines(printed: Place, number: int, out: bytes) -> None:
    assert ask(printed, "logs", "-n", str(number), "-").out == out


def test_logs_timestamps_prints_time_and_stream(printed: Place) -> None:
    found = [line.split(" ") for line in lines(ask(printed, "logs", "--timestamps", "-"))]
    assert [words[1:] for words in found] == [
        ["stdout", "one"],
        ["stderr", "two"],
        ["stdout", "three"],
        ["stdout", "end"],
    ]
    times = [reader.epoch(words[0]) for words in found]
    assert None not in times
    # The lines are in the order in which they came; the wall clock may be set back a little meanwhile.
    moments = [float(at or 0) for at in times]
    assert all(later > earlier - 0.1 for earlier, later in pairwise(moments))
    assert abs(moments[0] - time.time()) < 60


def test_logs_names_the_left_out_middle(supervise: Place) -> None:
    supervise.start("--log-max", "64KiB", "--", "seq", "100000", report=False).wait()
    for options in ((), ("--timestamps",), ("--stderr",)):
        text = ask(supervise, "logs", "-", *options).out.decode()
        assert text.count("of output are left out here\n") == 1
    assert text.startswith("supervise: ")


def test_logs_ends_quietly_when_its_reader_leaves(supervise: Place) -> None:
    supervise.start("--", "seq", "100000", report=False).wait()
    ended = supervise.shell("supervise logs - | head -1; echo ${PIPESTATUS[0]}")
    assert ended.out == b"1\n0\n"
    assert ended.err == b""


# --- prune


def test_prune_removes_by_age(supervise: Place) -> None:
    now = time.time()
    old = make(supervise.state, now - 40 * DAY, exit_code=0)
    young = make(supervise.state, now - 20 * DAY, exit_code=0)
    lost = make(supervise.state, now - 50 * DAY)
    assert lines(ask(supervise, "prune")) == ["2 runs removed"]
    assert reader.ids(supervise.state) == [young]
    assert old != lost
    assert os.listdir(f"{supervise.state}/live") == []
    assert lines(ask(supervise, "prune", "--older-than", "10d")) == ["1 run removed"]


def test_prune_removes_by_number(supervise: Place) -> None:
    now = time.time()
    made = [make(supervise.state, now - index, exit_code=0) for index in range(10)]
    lost = make(supervise.state, now - 100)
    assert lines(ask(supervise, "prune", "--keep", "3")) == ["7 runs removed"]
    assert reader.ids(supervise.state) == [*made[:3], lost]


def test_prune_keeps_500_runs_by_default(supervise: Place) -> None:
    now = time.time()
    made = [make(supervise.state, now - index, exit_code=0) for index in range(503)]
    assert lines(ask(supervise, "prune")) == ["3 runs removed"]
    assert reader.ids(supervise.state) == made[:500]


def test_prune_keeps_a_running_run(supervise: Place) -> None:
    running = supervise.start("--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    assert lines(ask(supervise, "prune", "--keep", "0", "--older-than", "0")) == ["0 runs removed"]
    running.send(signal.SIGTERM)
    assert running.wait().code == 143
    assert len(reader.ids(supervise.state)) == 1


def test_a_run_prunes_old_records_now_and_then(supervise: Place) -> None:
    make(supervise.state, time.time() - 40 * DAY, exit_code=0)
    mark = Path(supervise.state, "pruned")
    os.utime(mark, (0, 0))
    supervise.start("--", "true", report=False).wait()
    assert len(reader.ids(supervise.state)) == 1
    assert time.time() - mark.stat().st_mtime < 600
    make(supervise.state, time.time() - 40 * DAY, exit_code=0)
    supervise.start("--", "true", report=False).wait()
    assert len(reader.ids(supervise.state)) == 3


def test_prune_removes_half_made_records(supervise: Place) -> None:
    supervise.start("--", "true", report=False).wait()
    state = Path(supervise.state)
    half = state / "runs" / ".20261124-200139-123456abcd"
    half.mkdir()
    (half / "lock").touch()
    (state / "live" / half.name[1:]).touch()
    (state / "names" / "gone").symlink_to(half.name[1:])
    assert lines(ask(supervise, "prune")) == ["0 runs removed"]
    assert half.exists()
    for path in (half, state / "live" / half.name[1:], state / "names" / "gone"):
        os.utime(path, (0, 0), follow_symlinks=False)
    ask(supervise, "prune")
    assert not half.exists()
    assert os.listdir(state / "live") == os.listdir(state / "names") == []


def test_prune_removes_the_sockets_of_dead_runs(supervise: Place) -> None:
    """One dead run had no record and no time to rename its socket; the sockets of a running run stay."""
    running = supervise.start("--no-record", "--notify", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    folder = supervise.runtime / "supervise"
    alive = {*wait_until(lambda: [*folder.glob("*.sock")])} | {*folder.glob("*.notify")}
    dead = {folder / f"20261124-200139-123456abcd.{suffix}" for suffix in ("new", "sock", "notify")}
    young = folder / "20261124-200140-123456abcd.new"
    for path in (*dead, young):
        bind(path).close()
    # A run that was stopped before it listened.
    slow = folder / "20261124-200141-123456abcd.new"
    with bind(slow):
        for path in (*dead, *alive, slow):
            os.utime(path, (0, 0))
        assert lines(ask(supervise, "prune")) == ["0 runs removed"]
    assert {*folder.iterdir()} == {young, slow, *alive}
    young.unlink()
    slow.unlink()
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


def test_ps_quiet_prints_ids_alone(supervise: Place) -> None:
    for _ in range(2):
        supervise("--", "true")
    ids = supervise.popen([str(supervise.program), "ps", "--all", "--quiet"]).wait().out.decode().split()
    assert len(ids) == 2
    assert ids == sorted(ids, reverse=True)
    assert supervise.popen([str(supervise.program), "show", ids[0]]).wait().code == 0
