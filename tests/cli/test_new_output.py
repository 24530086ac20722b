"""`--new` of `supervise logs` and `supervise wait`: each byte of the output is printed once for each cursor."""

import json
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import command, detached, newest
from tests.support.harness import Place, child, validator, wait_until
from tests.support.users import ALICE, ROOT, Users

COUNT = """
import os, sys, time
for one in range(int(sys.argv[1])):
    os.write(1, b"%d\\n" % one)
    if one % 50 == 0:
        time.sleep(0.01)
"""
"""A program that prints numbers, each in a line."""


def new(supervise: Place, *words: str) -> bytes:
    """Return what `supervise logs --new WORDS` prints for the newest run."""
    ended = command(supervise, "logs", "--new", newest(supervise), *words)
    assert (ended.code, ended.err) == (0, b"")
    out: bytes = ended.out
    return out


def record_of(supervise: Place) -> Path:
    return Path(supervise.state) / "runs" / newest(supervise)


def test_new_prints_only_what_it_has_not_printed(supervise: Place) -> None:
    one, two = supervise.file("one"), supervise.file("two")
    running = supervise.start("--", *child("say=first", f"wait_for={one}", "say=second", f"wait_for={two}", "exit=4"))
    running.wait_for_out(b"first")
    wait_until(lambda: b"first" in command(supervise, "logs", newest(supervise)).out)
    assert new(supervise) == b"first\n"
    assert new(supervise) == b""
    one.touch()
    ended = command(supervise, "wait", newest(supervise), "--new", "--until", "match=second")
    assert (ended.code, ended.out, ended.err) == (121, b"second\n", b"")
    # The wait has searched new output alone: the line that was printed before does not match again.
    ended = command(supervise, "wait", newest(supervise), "--new", "--until", "match=second", "--for", "0.2")
    assert (ended.code, ended.out) == (121, b"")
    two.touch()
    assert command(supervise, "wait", newest(supervise), "--new").code == 4
    assert new(supervise, "--cursor", "other") == b"first\nsecond\n"
    assert new(supervise, "--cursor", "other") == b""
    running.wait()
    assert (record_of(supervise) / "cursor.other").stat().st_mode & 0o777 == 0o600


def test_new_with_lines_and_timestamps(supervise: Place) -> None:
    supervise("--", *child("say=one", "say=two", "say=three", "exit=0"))
    assert new(supervise, "--lines", "1") == b"three\n"
    assert new(supervise) == b""
    lines = new(supervise, "--cursor", "x", "--timestamps").splitlines()
    assert [line.split(b" ", 1)[1] for line in lines] == [b"stdout one", b"stdout two", b"stdout three"]


@pytest.mark.parametrize("option", ["--follow", "--stdout", "--stderr"])
def test_new_refuses_what_would_print_a_part(supervise: Place, option: str) -> None:
    ended = command(supervise, "logs", "--new", option, "-")
    assert (ended.code, ended.messages) == (125, [f"logs: --new: not with {option}"])


@pytest.mark.parametrize("name", ["logs", "wait"])
def test_a_cursor_needs_new(supervise: Place, name: str) -> None:
    ended = command(supervise, name, "-", "--cursor", "x")
    assert (ended.code, ended.messages) == (125, [f"{name}: --cursor: needs --new"])


def test_callers_at_once_get_each_byte_once(supervise: Place) -> None:
    """Four callers at a time share one cursor while the run prints; together they print the whole output."""
    lines = 3000
    run_id, _ = detached(supervise, "python3", "-c", COUNT, str(lines))
    out: list[bytes] = []
    while True:
        callers = [
            supervise.popen([str(supervise.program), "wait", run_id, "--new", "--for", "0.05"]) for _ in range(4)
        ]
        ended = [one.wait() for one in callers]
        out += [one.out for one in ended]
        assert all(one.err == b"" for one in ended)
        if all(one.code == 0 for one in ended):
            break
    printed = b"".join(out).split()
    assert sorted(map(int, printed)) == list(range(lines))


def test_a_reader_that_does_not_read_costs_the_others_nothing(supervise: Place) -> None:
    supervise("--", *child("flood=300000", "exit=0"), stdout=subprocess.DEVNULL)
    read, write = os.pipe()
    stuck = supervise.popen([str(supervise.program), "logs", "--new", newest(supervise)], stdout=write)
    os.close(write)
    # It prints only while it holds the cursor, and the pipe has no room for all.
    wait_until(lambda: select.select([read], [], [], 0)[0])
    ended = command(supervise, "wait", newest(supervise), "--new")
    busy = ["--new: another command prints with this cursor and is not read; the output is left for later"]
    assert (ended.code, ended.out, ended.messages) == (0, b"", busy)
    assert command(supervise, "logs", "--new", newest(supervise)).code == 125
    # The reader leaves: what it has not got comes again.
    os.close(read)
    stuck.wait()
    rest = new(supervise)
    assert 300000 - (1 << 20) < len(rest) <= 300000


def test_new_ends_while_the_run_prints_without_an_end(supervise: Place) -> None:
    run_id, _ = detached(supervise, "yes", options=("--log-max", "4MiB"))
    out = 0
    for _ in range(5):
        ended = command(supervise, "wait", run_id, "--new", "--for", "0.1")
        assert (ended.code, ended.err) == (121, b"")
        out += len(ended.out)
    assert 0 < out <= 5 * (5 << 20)
    assert command(supervise, "stop", run_id).code == 0


def test_what_a_killed_caller_has_printed_comes_again(supervise: Place) -> None:
    supervise("--", *child("flood=300000", "exit=0"), stdout=subprocess.DEVNULL)
    read, write = os.pipe()
    stuck = supervise.popen([str(supervise.program), "logs", "--new", newest(supervise)], stdout=write)
    os.close(write)
    assert os.read(read, 1) == b"x"
    stuck.send(signal.SIGKILL)
    stuck.wait()
    os.close(read)
    assert len(new(supervise)) == 300000
    assert new(supervise) == b""


def test_an_object_has_a_part_of_a_long_output(supervise: Place) -> None:
    supervise("--", *child("flood=2500000", "exit=0"), stdout=subprocess.DEVNULL)
    sizes, found = [], {"has_more": True}
    while found["has_more"]:
        ended = command(supervise, "wait", newest(supervise), "--new", "--json")
        found = json.loads(ended.out)
        validator("answer").validate(found)
        assert (ended.code, found["exit_code"], found["left_out_bytes"]) == (0, 0, 0)
        sizes.append(len(str(found["output"])))
    assert sizes == [1 << 20, 1 << 20, 2500000 - (1 << 21)]


def test_no_object_cuts_a_character(supervise: Place) -> None:
    """The program has printed the first two bytes of three when the first object is asked for."""
    go = supervise.file("go")
    script = (
        "printf '\\360\\237\\230\\200\\342\\202'; until [ -e \"$1\" ]; do sleep 0.02; done; printf '\\254\\377\\342'"
    )
    running = supervise.start("--", "sh", "-c", script, "sh", str(go))
    running.wait_for_out(b"\xe2\x82")
    wait_until(lambda: b"\xe2" in command(supervise, "logs", newest(supervise)).out)
    first = command(supervise, "wait", newest(supervise), "--new", "--json", "--for", "0.01")
    go.touch()
    second = command(supervise, "wait", newest(supervise), "--new", "--json")
    assert [json.loads(one.out)["output"] for one in (first, second)] == ["\U0001f600", "\u20ac\\xff\\xe2"]
    assert new(supervise) == b""
    running.wait()


def test_new_counts_what_the_record_has_dropped(supervise: Place) -> None:
    words = child("flood=1000000", "ready", "stay")
    running = supervise.start("--log-max", "64KiB", "--", *words, stdout=subprocess.DEVNULL)
    wait_until(lambda: b"ready" in command(supervise, "logs", newest(supervise)).out)
    ended = command(supervise, "wait", newest(supervise), "--new", "--json", "--for", "0.01")
    found = json.loads(ended.out)
    assert found["left_out_bytes"] + len(found["output"]) == 1000000 + len("ready\n")
    assert found["left_out_bytes"] > 900_000
    running.send(signal.SIGTERM)
    running.wait()


@pytest.mark.parametrize(
    "text", ["", "x", "9" * 300, "000000000 00000000000000000010 0 0\n", "5 5 5 5\n", "0 0 0 99\n"]
)
def test_a_damaged_cursor_prints_the_output_again(supervise: Place, text: str) -> None:
    supervise("--", *child("say=one", "exit=0"))
    (record_of(supervise) / "cursor").write_text(text)
    assert new(supervise) == b"one\n"
    assert new(supervise) == b""


def test_a_cursor_that_cannot_be_written_costs_neither_output_nor_code(supervise: Place) -> None:
    supervise("--", *child("say=one", "exit=3"))
    (record_of(supervise) / "cursor").symlink_to(supervise.folder / "planted")
    for _ in range(2):
        ended: Any = command(supervise, "wait", newest(supervise), "--new")
        assert (ended.code, ended.out) == (3, b"one\n")
        (message,) = ended.messages
        assert message.startswith("--new: cannot note what was printed, so it comes again: ")
    assert not (supervise.folder / "planted").exists()


def test_root_keeps_no_cursor_in_the_record_of_a_user(users: Users) -> None:
    """A user could lead root to another file; the output can be seen without --new."""
    run_id = users.supervise(ALICE, "run", "--detach", "--", "echo", "hello").stdout.strip()
    assert users.supervise(ALICE, "wait", run_id).returncode == 0
    home = users.home(ALICE)
    runs = home / ".local/state/supervise/runs"
    env = {"HOME": str(home)}
    assert users.supervise(ROOT, "logs", run_id, env=env).stdout == "hello\n"
    refused = users.supervise(ROOT, "logs", "--new", run_id, env=env)
    assert (refused.returncode, refused.stdout) == (125, "")
    assert refused.stderr.startswith(f"supervise: logs: --new: {home}: it belongs to another user (")
    assert refused.stderr.count("\n") == 1
    # The record leads to a folder of root.
    target = users.folder / "target"
    (runs / run_id).rename(target)
    os.chown(target, ROOT, ROOT)
    (runs / run_id).symlink_to(target)
    assert users.supervise(ROOT, "wait", "--new", run_id, env=env).returncode == 125
    assert not list(target.glob("cursor*"))
