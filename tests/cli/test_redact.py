"""Secrets in the words of a command: the command has them, and supervise shows them nowhere."""

import json
import os
import signal
from pathlib import Path

import pytest

from supervise.records import reader
from tests.support.harness import Ended, Place, wait_for_file, wait_until

SECRET = "hunter2-is-long"


def recorded_text(place: Place) -> str:
    """Return the text of all files of the records but the output."""
    files = [path for path in Path(place.state).rglob("*") if path.is_file() and not path.name.startswith("output")]
    return "\n".join(path.read_text(errors="replace") for path in files)


def reported_text(place: Place, ended: Ended) -> str:
    """Return the text of messages, report, events, and of all commands that show runs."""
    texts = [json.dumps(ended.report), json.dumps(ended.events), ended.err.decode(), recorded_text(place)]
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
def test_the_command_has_the_secrets_and_nothing_shows_them(supervise: Place, words: list[str]) -> None:
    ended = supervise("-v", "-t", "1", "--", *words, events=True)
    assert ended.code == 124
    assert SECRET in supervise.file("got").read_text()
    text = reported_text(supervise, ended)
    assert SECRET not in text
    assert "***" in text
    assert any("started" in message and "***" in message for message in ended.messages)


def test_a_pattern_masks_its_matches_everywhere(supervise: Place) -> None:
    ended = supervise(
        "-v", "--redact", "hunter2[a-z-]*", "--access-on", f"command=false {SECRET}", "-a", "1", "--",
        "sh", "-c", 'echo "$0" >got; sleep 9', SECRET, events=True,
    )  # fmt: skip
    assert ended.code == 122
    assert supervise.file("got").read_text() == SECRET + "\n"
    assert SECRET not in reported_text(supervise, ended)


def test_last_line_and_process_name_of_a_snapshot_are_masked(supervise: Place) -> None:
    program = supervise.file("run-" + SECRET)
    program.symlink_to("/bin/sh")
    script = f'echo "connecting with {SECRET}"; while :; do sleep 0.1; done'
    words = ("-t", "1", "--", str(program), "-c", script, "--password", SECRET)
    # On a busy machine the time for the snapshot of one run may be over before anything is seen.
    for _ in range(3):
        ended = supervise(*words, events=True)
        # `show` prints the last lines of the output unchanged.
        for text in (json.dumps(ended.report), json.dumps(ended.events), *ended.messages, recorded_text(supervise)):
            assert SECRET[:8] not in text, "the kernel has cut the name of the process"
        if lines := [message for message in ended.messages if message.startswith("last line")]:
            break
    [line] = lines
    assert line.endswith("connecting with ***")


def test_an_error_shows_no_secret(supervise: Place) -> None:
    ended = supervise("--", f"./PASSWORD={SECRET}", events=True)
    assert ended.code == 127
    assert ended.messages == ["./PASSWORD=***: not found"]
    assert SECRET not in reported_text(supervise, ended)


@pytest.mark.parametrize("words", [["mysql", "--password", SECRET], ["-t", "1", "mysql", f"--password={SECRET}"]])
def test_a_hint_shows_no_secret(supervise: Place, words: list[str]) -> None:
    ended = supervise.popen([str(supervise.program), *words]).wait()
    assert ended.code == 125
    assert SECRET not in ended.err.decode()
    assert "***" in ended.err.decode()


def test_an_invalid_pattern_is_refused_before_the_start(supervise: Place) -> None:
    ended = supervise("--redact", "a(b", "--", "touch", "started")
    assert ended.code == 125
    [message] = ended.messages
    assert message.startswith("--redact: got 'a(b', takes a regular expression")
    assert not supervise.file("started").exists()


def test_a_pattern_that_needs_hours_is_refused_with_no_word_of_the_command(supervise: Place) -> None:
    """Nested repetition makes the search exponential; nothing of the search is left running."""
    secret = "a" * 40 + "b"
    ended = supervise("--redact", "(a+)+$", "--", "touch", secret)
    assert ended.code == 125
    assert ended.messages == [
        "--redact: the search for secrets in the words of the command takes too long; take a simpler pattern"
    ]
    assert ended.report["command"] == ["***", "***"]
    assert not supervise.file(secret).exists()
    assert supervise.alive() == []


def test_the_configuration_can_have_patterns(supervise: Place) -> None:
    file = supervise.file("config.toml")
    file.write_text('redact = ["hunter[0-9]", "zz+"]\n')
    ended = supervise("--config", str(file), "--", "echo", "hunter2", "zzz")
    assert ended.out == b"hunter2 zzz\n"
    assert ended.report["command"] == ["echo", "***", "***"]


def test_show_explains_the_mask(supervise: Place) -> None:
    for words in (["true"], ["true", f"--token={SECRET}"]):
        supervise("--", *words)
        shown = supervise.popen([str(supervise.program), "show", "-"]).wait().out.decode()
        assert ("*** stands for secrets" in shown) == (len(words) > 1)


def test_redact_off_shows_secrets(supervise: Place) -> None:
    ended = supervise("--redact", "off", "--", "true", "--password", SECRET)
    assert ended.report["command"] == ["true", "--password", SECRET]


def kill_run(place: Place, *words: str) -> reader.Record:
    """Start a run, kill its supervisor and guardian, and return the record."""
    running = place.start(*words, report=False)
    root = wait_for_file(place.file("root"))
    guardian = running.guardian()
    for pid in (guardian, running.pid):
        os.kill(pid, signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not Path(f"/proc/{root}").exists() or place.alive())
    return reader.Record(place.state, reader.ids(place.state)[0])


LOST_COMMAND = 'echo "$1 $KEPT_TOKEN" >>got; echo $$ >root.new; mv root.new root; exec sleep 60'


def test_recover_reruns_a_run_with_kept_secrets(supervise: Place) -> None:
    environ = {"KEPT_TOKEN": SECRET + "-too"}
    supervise.environ |= environ
    options = ("--on-interrupt", "rerun", "--keep-secrets", "--keep-env", "KEPT_TOKEN")
    record = kill_run(supervise, *options, "--", "sh", "-c", LOST_COMMAND, "sh", f"--token={SECRET}")
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


def test_recover_does_not_rerun_a_run_without_its_secrets(supervise: Place) -> None:
    record = kill_run(supervise, "--on-interrupt", "rerun", "--", "sh", "-c", LOST_COMMAND, "sh", f"--token={SECRET}")
    for words in (["recover", "--dry-run"], ["recover"]):
        ended = supervise.popen([str(supervise.program), *words]).wait()
        assert ended.code == 1
        assert "not run again: its words hold secrets" in ended.out.decode()
    assert reader.ids(supervise.state) == [record.run_id]


def test_a_run_that_recover_cannot_rerun_warns_at_its_start(supervise: Place) -> None:
    ended = supervise("--on-interrupt", "rerun", "--", "true", f"--token={SECRET}")
    assert ended.messages == [
        "recover will not run this again: its words hold secrets, which only --keep-secrets keeps"
    ]


def test_the_file_of_secrets_is_removed_at_the_end(supervise: Place) -> None:
    ended = supervise("--keep-secrets", "--", "sh", "-c", f"ls {supervise.state}/runs/*/secrets", f"--token={SECRET}")
    assert ended.code == 0
    assert not list(Path(supervise.state).rglob("secrets"))


def test_a_lost_run_shows_no_secret(supervise: Place) -> None:
    running = supervise.start("--", "sh", "-c", LOST_COMMAND, "sh", f"--token={SECRET}")
    wait_for_file(supervise.file("root"))
    os.kill(running.pid, signal.SIGKILL)
    running.process.wait()
    wait_until(running.report_path.exists)
    assert SECRET not in running.report_path.read_text()
    # The guardian exits after it has written the report.
    wait_until(lambda: not supervise.alive())
