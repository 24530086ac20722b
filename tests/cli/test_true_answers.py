"""Files that cannot be read are reported as such; odd files in the place of a record give one line and no hang."""

import json
import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from supervise.records import reader
from tests.support.harness import Ended, Place, child, wait_until
from tests.support.listed_runs import ask, lines, listed, make
from tests.support.users import ALICE, Users

HOSTILE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "empty": lambda path: path.touch(),
    "a FIFO": os.mkfifo,
    "a folder": Path.mkdir,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to zeros": lambda path: path.symlink_to("/dev/zero"),
    "a socket": lambda path: _bind(path),
    "a device": lambda path: _make_zero(path),
    "garbage": lambda path: path.write_bytes(b"\xff\x00[[[" * 100),
    "another kind of value": lambda path: path.write_text('[["event"]]\n{"t": 1e400, "event": ["started"]}\n'),
}
FILES = ("run.toml", "lock", "end.json", "events.jsonl", "output", "socket")
COMMANDS = ("show", "logs", "wait", "stop")


def _make_zero(path: Path) -> None:
    """Make a device whose bytes never end."""
    if os.geteuid() != 0:
        pytest.skip("root alone may make a device")
    os.mknod(path, 0o600 | stat.S_IFCHR, os.stat("/dev/zero").st_rdev)


def _bind(path: Path) -> None:
    """Make a socket at a path that may be too long for a socket address."""
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def check_one_line(ended: Ended, *, may_be_silent: bool = False) -> None:
    """Check that the command has ended with its answer, or with one line that says why there is none."""
    assert b"Traceback" not in ended.err
    assert b"internal error" not in ended.err
    assert len(ended.err.splitlines()) <= 1, ended.err
    assert ended.code in (0, 1, 125), (ended.code, ended.err)
    if ended.code == 125 and not may_be_silent:
        assert ended.err.startswith(b"supervise: "), ended.err


@pytest.mark.parametrize("has_ended", [True, False])
@pytest.mark.parametrize("what", HOSTILE)
def test_any_kind_of_file_in_the_place_of_a_record_file_gives_one_line(
    supervise: Place, what: str, has_ended: bool
) -> None:
    end = {"stop": None} if has_ended else {}
    for name in FILES:
        run_id = make(supervise.state, 1.7e9, **end)
        path = Path(supervise.state, "runs", run_id, name)
        path.unlink(missing_ok=True)
        HOSTILE[what](path)
        for words in ((one, run_id) for one in COMMANDS):
            # `wait` prints nothing: its exit code says that the run is lost.
            check_one_line(ask(supervise, *words), may_be_silent=words[0] == "wait")
        for words in (["ps", "--all"], ["recover", "--dry-run"]):
            check_one_line(ask(supervise, *words))
        shutil.rmtree(path.parent)


@pytest.mark.parametrize("what", [one for one in HOSTILE if one != "nothing"])
def test_any_kind_of_file_in_the_place_of_a_record_gives_one_line(supervise: Place, what: str) -> None:
    run_id = make(supervise.state, 1.7e9, stop=None)
    folder = Path(supervise.state, "runs", run_id)
    shutil.rmtree(folder)
    HOSTILE[what](folder)
    for words in (*([one, run_id] for one in COMMANDS), ["ps", "--all"], ["recover"], ["prune"]):
        check_one_line(ask(supervise, *words), may_be_silent=words[0] == "wait")
    if what == "a folder":
        # An empty record is as old as its name, and was pruned.
        return
    [one] = listed(supervise, "--all")
    assert (one["run_id"], one["state"]) == (run_id, "lost")


# --- unreadable folders


@pytest.mark.parametrize("part", ["", "runs"])
def test_an_unreadable_state_folder_is_reported(users: Users, part: str) -> None:
    assert users.supervise(ALICE, "--name", "mine", "--", "true").returncode == 0
    folder = users.home(ALICE) / ".local/state/supervise" / part
    folder.chmod(0)
    try:
        asking = ("show mine", "logs mine", "wait mine", "suggest mine", "suggest --list")
        for words in ("ps --all", "ps --all --json", *asking, "recover", "prune"):
            ended = users.supervise(ALICE, *words.split())
            assert (ended.returncode, ended.stdout) == (125, ""), words
            assert len(ended.stderr.splitlines()) == 1, (words, ended.stderr)
            assert "permission denied" in ended.stderr, (words, ended.stderr)
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("part", [".config", ".config/supervise"])
def test_a_configuration_in_a_closed_folder_is_reported(users: Users, part: str) -> None:
    home = users.home(ALICE)
    assert users.supervise(ALICE, "config", "set", "retries", "3").returncode == 0
    file, folder = home / ".config/supervise/config.toml", home / part
    folder.chmod(0)
    try:
        for words in ("config check", "config show", "config show --json"):
            ended = users.supervise(ALICE, *words.split())
            expected = f"supervise: {words.removesuffix(' --json')}: {file}: cannot read it: permission denied\n"
            assert (ended.returncode, ended.stdout, ended.stderr) == (125, "", expected), words
        left_alone = f"supervise: the configuration {file} is left alone: permission denied"
        ended = users.supervise(ALICE, "config", "path")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{file}\n", left_alone + "\n")
        ended = users.supervise(ALICE, "config", "set", "retries", "4")
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (125, "", 1)
        assert left_alone.partition(" ")[2] in ended.stderr
        for words in (["--no-record", "--", "echo", "ran"], ["--pty", "--", "echo", "ran"]):
            ended = users.supervise(ALICE, *words)
            assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "ran", left_alone + "\n")
        assert users.supervise(ALICE, "-q", "--", "true").stderr == ""
        ended = users.supervise(ALICE, "--profile", "ci", "--", "true")
        assert (ended.returncode, ended.stderr.count("\n")) == (125, 1)
        assert "permission denied" in ended.stderr
        # A named configuration is not looked for there.
        named = users.supervise(ALICE, "--config", "/dev/null", "--", "true")
        assert (named.returncode, named.stderr) == (0, "")
    finally:
        folder.chmod(0o700)


def test_an_unreadable_record_is_reported(users: Users) -> None:
    assert users.supervise(ALICE, "--name", "mine", "--", "true").returncode == 0
    [folder] = (users.home(ALICE) / ".local/state/supervise/runs").iterdir()
    folder.chmod(0)
    try:
        assert " unknown " in users.supervise(ALICE, "ps", "--all").stdout
        for command in ("show", "logs", "wait"):
            ended = users.supervise(ALICE, command, folder.name)
            assert (ended.returncode, ended.stdout) == (125, "")
            assert "permission denied" in ended.stderr
    finally:
        folder.chmod(0o700)


# --- the rows of ps


def test_ps_counts_the_rows_that_it_leaves_out(supervise: Place) -> None:
    for second in range(23):
        make(supervise.state, 1.7e9 + second, stop=None)
    ended = ask(supervise, "ps", "--all")
    assert len(lines(ended)) == 21
    assert ended.messages == ["3 older runs are left out; -n N shows the newest N"]
    assert len(listed(supervise, "--all")) == 23
    assert len(listed(supervise, "--all", "-n", "5")) == 5
    assert ask(supervise, "ps", "--all", "-n", "22", "-q").messages == [
        "1 older run is left out; -n N shows the newest N"
    ]
    assert ask(supervise, "ps", "--all", "-n", "23").messages == []
    assert ask(supervise, "ps").messages == []


# --- the choice of a run


def test_a_run_is_found_by_beginning_or_end_of_its_id(supervise: Place) -> None:
    first = make(supervise.state, 1.7e9, stop=None)
    second = make(supervise.state, 1.7e9 + 86400, stop=None)
    for word, run_id in ((first[:8], first), (first[-5:], first), (second[-10:], second), (second, second)):
        assert json.loads(ask(supervise, "show", word, "--json").out)["run_id"] == run_id
    refused = ask(supervise, "show", "20231")
    assert refused.code == 125
    assert "2 runs begin with '20231'" in refused.messages[0]
    with pytest.raises(reader.NotFoundError, match="begin or end with"):
        raise reader.NotFoundError(reader.several("9", ["9a", "b9"]))


def test_a_run_without_a_record_is_found_by_the_end_of_its_id(supervise: Place) -> None:
    running = supervise.start("--no-record", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    socket_of = wait_until(lambda: next(iter(supervise.runtime.rglob("*.sock")), None))
    assert socket_of
    assert ask(supervise, "stop", socket_of.stem[-6:]).code == 0
    assert running.wait().code == 143
