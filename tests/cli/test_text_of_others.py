"""Names, words, status and output of other programs cannot steer a terminal."""

import os

import pexpect
import pytest

from tests.support.harness import Place

EVIL = "e\x1b]0;x\x07\u202e\nsupervise: forged"
HARMFUL = ("\x1b]0;", "\x07", "\u202e", "\nsupervise: forged", "\u009b")


def is_harmless(text: str) -> bool:
    """Return whether no part of the text could steer a terminal or forge a line."""
    return not any(one in text for one in HARMFUL)


def evil_program(place: Place) -> str:
    """Return a program whose process has such a name with an invalid byte in it."""
    path = os.fsencode(place.folder) + b"/\x1b]0;\x07\xe2\x80\xae\n\xff"
    os.symlink("/bin/sh", path)
    return os.fsdecode(path)


def test_names_and_words_are_escaped_in_messages_report_and_events(supervise: Place) -> None:
    script = "printf 'said \\033]0;x\\007\\342\\200\\256'; while :; do sleep 0.1; done"
    ended = supervise("-v", "-t", "3", "--", evil_program(supervise), "-c", script, EVIL, events=True)
    assert ended.code == 124
    text = ended.err.decode()
    assert is_harmless(text)
    assert all(line.startswith("supervise: ") for line in text.splitlines())
    assert "\\x1b]0;\\x07\\u202e\\n\\xff" in text


@pytest.mark.parametrize("words", [["ps", "-a"], ["show", "-"], ["recover"], ["config", "check"]])
def test_commands_about_records_escape_names_and_words(supervise: Place, words: list[str]) -> None:
    supervise("-t", "0.5", "--", evil_program(supervise), "-c", "sleep 9; :", EVIL)
    folder = supervise.file(EVIL.replace("/", ""))
    folder.mkdir()
    supervise.start("--", "true", EVIL, report=False, cwd=folder).wait()
    file = supervise.file("config\x1b]0;x\x07.toml")
    file.write_text('nonsense = "\\u001b]0;"\n')
    environ = {"SUPERVISE_CONFIG": str(file)} if words[0] == "config" else {}
    ended = supervise.popen([str(supervise.program), *words], env=environ).wait()
    assert is_harmless(ended.out.decode())
    assert is_harmless(ended.err.decode())
    assert ended.out + ended.err


@pytest.mark.parametrize("words", [["nosuch" + EVIL], ["-t" + EVIL, "--", "true"], ["--no" + EVIL], ["show", EVIL]])
def test_refusals_escape_words(supervise: Place, words: list[str]) -> None:
    ended = supervise.popen([str(supervise.program), *words]).wait()
    assert ended.code == 125
    assert is_harmless(ended.err.decode())
    assert ended.err.count(b"\n") == 1


def test_refusals_escape_the_names_of_files(supervise: Place) -> None:
    for option in ("--report", "--log", "--events", "--config"):
        ended = supervise.start(option, f"/nowhere/{EVIL}", "--", "true", report=False).wait()
        assert ended.code == 125
        assert is_harmless(ended.err.decode())


OUTPUT = b"\xc3\xbc \x1b[31mred\x1b[0m\x07\r\n\xe2\x80\xae\tend\xff\n"


@pytest.fixture
def recorded_run(supervise: Place) -> Place:
    """Run a command that prints bytes with control characters, and return the place of its record."""
    supervise.file("output").write_bytes(OUTPUT)
    supervise.start("--", "cat", "output", report=False).wait()
    return supervise


def on_terminal(place: Place, *words: str) -> bytes:
    """Return the bytes that `supervise` prints on a terminal."""
    child = pexpect.spawn(str(place.program), list(words), env=place.environ, cwd=str(place.folder), timeout=30)
    try:
        return child.read()
    finally:
        child.close()


def test_logs_into_a_pipe_prints_the_bytes_unchanged(recorded_run: Place) -> None:
    assert recorded_run.popen([str(recorded_run.program), "logs", "-"]).wait().out == OUTPUT


@pytest.mark.parametrize("words", [[], ["-f"], ["-n", "5"], ["--stdout"]])
def test_logs_on_a_terminal_escapes_control_characters(recorded_run: Place, words: list[str]) -> None:
    shown = on_terminal(recorded_run, "logs", *words, "-")
    assert shown.decode() == "ü \\x1b[31mred\\x1b[0m\\x07\r\n\\u202e" + "\tend\\xff\r\n"


def test_logs_timestamps_on_a_terminal_escapes_control_characters(recorded_run: Place) -> None:
    first, second = on_terminal(recorded_run, "logs", "--timestamps", "-").decode().splitlines()
    assert first.endswith(" stdout ü \\x1b[31mred\\x1b[0m\\x07")
    assert second.endswith("\\u202e\tend\\xff")


def test_logs_raw_on_a_terminal_prints_the_bytes_unchanged(recorded_run: Place) -> None:
    assert on_terminal(recorded_run, "logs", "--raw", "-") == OUTPUT.replace(b"\n", b"\r\n")


def test_config_path_into_a_pipe_prints_the_bytes_unchanged(supervise: Place) -> None:
    path = os.fsencode(supervise.folder) + b"/\xff\x1b.toml"
    environ = {"SUPERVISE_CONFIG": os.fsdecode(path)}
    assert supervise.popen([str(supervise.program), "config", "path"], env=environ).wait().out == path + b"\n"
    supervise.environ |= environ
    assert on_terminal(supervise, "config", "path").endswith(b"\\xff\\x1b.toml\r\n")
