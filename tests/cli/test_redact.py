"""Secrets among the words of a command: the command has them, and nothing else shows them."""

import json
import os
import signal
from pathlib import Path

import pytest

from supervise.records import reader
from tests.support.harness import Ended, Place, wait_for_file, wait_until

SECRET = "hunter2-is-long"


def recorded(place: Place) -> str:
    """All that stands in the records but the output."""
    files = [path for path in Path(place.state).rglob("*") if path.is_file() and not path.name.startswith("output")]
    return "\n".join(path.read_text(errors="replace") for path in files)


def told(place: Place, ended: Ended) -> str:
    """All that is told of the runs, by every way in which it is."""
    texts = [json.dumps(ended.report), json.dumps(ended.events), ended.err.decode(), recorded(place)]
    for words in (["ps", "-a"], ["ps", "-a", "--json"], ["show", "-"], ["show", "-", "--json"]):
        asked = place.popen([str(place.program), *words]).wait()
        assert asked.code == 0
        texts.append(asked.out.decode())
    return "\n".join(texts)


@pytest.mark.parametrize(
    "words",
    [
        ["sh", "-c", 'echo "$1" >got; sleep 9', "--password", SECRET],
        ["sh", "-c", 'echo "$0" >got; sleep 9', f"--api-key={SECRET}", f"--token={SECRET}"],
        ["env", f"DB_PASSWORD={SECRET}", "sh", "-c", 'echo "$DB_PASSWORD" >got; sleep 9'],
        ["sh", "-c", f"PASSWORD={SECRET}; echo $PASSWORD >got; sleep 9"],
        ["sh", "-c", 'echo "$0" >got; sleep 9', f"https://me:{SECRET}@host/x"],
    ],
)
def test_the_command_has_them_and_nothing_shows_them(supervise: Place, words: list[str]) -> None:
    ended = supervise("-v", "-t", "1", "--", *words, events=True)
    assert ended.code == 124
    assert SECRET in supervise.file("got").read_text()
    text = told(supervise, ended)
    assert SECRET not in text
    assert "***" in text
    assert any("started" in message and "***" in message for message in ended.messages)


def test_a_pattern_masks_what_it_finds_everywhere(supervise: Place) -> None:
    ended = supervise(
        "-v", "--redact", "hunter2[a-z-]*", "--access-on", f"command=false {SECRET}", "-a", "1", "--",
        "sh", "-c", 'echo "$0" >got; sleep 9', SECRET, events=True,
    )  # fmt: skip
    assert ended.code == 122
    assert supervise.file("got").read_text() == SECRET + "\n"
    assert SECRET not in told(supervise, ended)


def test_what_the_command_prints_last_and_the_name_of_its_process(supervise: Place) -> None:
    program = supervise.file("run-" + SECRET)
    program.symlink_to("/bin/sh")
    script = f'echo "connecting with {SECRET}"; while :; do sleep 0.1; done'
    ended = supervise("-t", "1", "--", str(program), "-c", script, "--password", SECRET, events=True)
    [line] = [message for message in ended.messages if message.startswith("last line")]
    assert line.endswith("connecting with ***")
    # Of what was printed, `show` repeats the last lines as they were.
    for text in (json.dumps(ended.report), json.dumps(ended.events), *ended.messages, recorded(supervise)):
        assert SECRET[:8] not in text, "the kernel has cut the name of the process"


def test_an_error_names_no_secret(supervise: Place) -> None:
    ended = supervise("--", f"./PASSWORD={SECRET}", events=True)
    assert ended.code == 127
    assert ended.messages == ["./PASSWORD=***: not found"]
    assert SECRET not in told(supervise, ended)


@pytest.mark.parametrize("words", [["mysql", "--password", SECRET], ["-t", "1", "mysql", f"--password={SECRET}"]])
def test_a_hint_repeats_no_secret(supervise: Place, words: list[str]) -> None:
    ended = supervise.popen([str(supervise.program), *words]).wait()
    assert ended.code == 125
    assert SECRET not in ended.err.decode()
    assert "***" in ended.err.decode()


def test_a_pattern_that_is_none_is_refused_before_the_start(supervise: Place) -> None:
    ended = supervise("--redact", "a(b", "--", "touch", "started")
    assert ended.code == 125
    [message] = ended.messages
    assert message.startswith("--redact: got 'a(b', takes a regular expression")
    assert not supervise.file("started").exists()


def test_by_the_configuration(supervise: Place) -> None:
    file = supervise.file("config.toml")
    file.write_text('redact = ["hunter[0-9]", "zz+"]\n')
    ended = supervise("--config", str(file), "--", "echo", "hunter2", "zzz")
    assert ended.out == b"hunter2 zzz\n"
    assert ended.report["command"] == ["echo", "***", "***"]


def test_show_says_what_stands_for_secrets(supervise: Place) -> None:
    for words in (["true"], ["true", f"--token={SECRET}"]):
        supervise("--", *words)
        shown = supervise.popen([str(supervise.program), "show", "-"]).wait().out.decode()
        assert ("*** stands for secrets" in shown) == (len(words) > 1)


def test_off_shows_them(supervise: Place) -> None:
    ended = supervise("--redact", "off", "--", "true", "--password", SECRET)
    assert ended.report["command"] == ["true", "--password", SECRET]


def killed(place: Place, *words: str) -> reader.Record:
    """A run whose supervisor and guardian were killed."""
    running = place.start(*words, report=False)
    root = wait_for_file(place.file("root"))
    guardian = running.guardian()
    for pid in (guardian, running.pid):
        os.kill(pid, signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not Path(f"/proc/{root}").exists() or place.alive())
    return reader.Record(place.state, reader.ids(place.state)[0])


LEAVE = 'echo "$1 $KEPT_TOKEN" >>got; echo $$ >root.new; mv root.new root; exec sleep 60'


def test_recover_runs_again_what_was_kept_on_purpose(supervise: Place) -> None:
    environ = {"KEPT_TOKEN": SECRET + "-too"}
    supervise.environ |= environ
    options = ("--on-interrupt", "rerun", "--keep-secrets", "--keep-env", "KEPT_TOKEN")
    record = killed(supervise, *options, "--", "sh", "-c", LEAVE, "sh", f"--token={SECRET}")
    secrets = Path(record.folder, "secrets")
    assert secrets.stat().st_mode & 0o777 == 0o600
    assert SECRET not in Path(record.folder, "run.toml").read_text()
    del supervise.environ["KEPT_TOKEN"]
    ended = supervise.popen([str(supervise.program), "recover"]).wait()
    assert ended.code == 1, ended.err
    got = supervise.file("got")
    assert wait_until(lambda: got.read_text().count("\n") == 2)
    assert got.read_text() == f"--token={SECRET} {SECRET}-too\n" * 2
    assert not secrets.exists(), "they have served"
    assert SECRET not in ended.out.decode()
    supervise.popen([str(supervise.program), "stop", "-"]).wait()
    assert not list(Path(supervise.state).rglob("secrets"))


def test_recover_does_not_run_again_what_was_not_kept(supervise: Place) -> None:
    record = killed(supervise, "--on-interrupt", "rerun", "--", "sh", "-c", LEAVE, "sh", f"--token={SECRET}")
    for words in (["recover", "--dry-run"], ["recover"]):
        ended = supervise.popen([str(supervise.program), *words]).wait()
        assert ended.code == 1
        assert "not run again: its words have secrets in them" in ended.out.decode()
    assert reader.ids(supervise.state) == [record.run_id]


def test_it_is_said_at_the_start_that_it_will_not_be_run_again(supervise: Place) -> None:
    ended = supervise("--on-interrupt", "rerun", "--", "true", f"--token={SECRET}")
    assert ended.messages == [
        "recover will not run this again: its words have secrets in them, which only --keep-secrets keeps"
    ]


def test_the_file_of_secrets_is_gone_when_the_run_is_over(supervise: Place) -> None:
    ended = supervise("--keep-secrets", "--", "sh", "-c", f"ls {supervise.state}/runs/*/secrets", f"--token={SECRET}")
    assert ended.code == 0
    assert not list(Path(supervise.state).rglob("secrets"))


def test_a_lost_run_shows_none(supervise: Place) -> None:
    running = supervise.start("--", "sh", "-c", LEAVE, "sh", f"--token={SECRET}")
    wait_for_file(supervise.file("root"))
    os.kill(running.pid, signal.SIGKILL)
    running.process.wait()
    wait_until(running.report_path.exists)
    assert SECRET not in running.report_path.read_text()
