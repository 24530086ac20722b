"""Exit code, report and message of a run agree on how it ended."""

import signal
from pathlib import Path

import pytest

from tests.support.harness import Place, child

with_and_without_report = pytest.mark.parametrize("report", [True, False], ids=["report", "fast"])


@with_and_without_report
@pytest.mark.parametrize("code", [0, 1, 2, 42, 122, 123, 124, 125, 126, 127, 128, 255])
def test_each_exit_code_of_the_command_is_the_code_of_the_run(supervise: Place, code: int, report: bool) -> None:
    """A code that supervise uses itself is told apart by the report."""
    ended = supervise.start("--", "sh", "-c", f"exit {code}", report=report).wait()
    assert ended.code == code
    assert ended.err == b""
    if report:
        assert ended.report["outcome"] == ("failed" if code else "completed")
        assert ended.report["command_exit"] == {"code": code, "signal": None, "core": False}
        assert ended.report["timeout_cause"] is None
        assert ended.report["stop"] is None


@with_and_without_report
def test_a_longer_run_ends_with_the_code_of_the_command(supervise: Place, report: bool) -> None:
    """The command runs for longer than the fast path serves."""
    ended = supervise.start("--", *child("ready", "sleep=0.7", "exit=42"), report=report).wait()
    assert ended.code == 42
    assert ended.err == b""


@with_and_without_report
def test_code_75_is_resumable(supervise: Place, report: bool) -> None:
    ended = supervise.start("--", "sh", "-c", "exit 75", report=report).wait()
    assert ended.code == 75
    assert ended.err == b""
    if report:
        assert ended.report["outcome"] == "resumable"


@with_and_without_report
@pytest.mark.parametrize("name", ["SEGV", "KILL", "TERM", "USR1", "ABRT", "PIPE", "INT"])
def test_a_command_that_dies_of_a_signal_gives_128_plus_its_number(supervise: Place, name: str, report: bool) -> None:
    ended = supervise.start("-t", "30", "--", *child("ready", f"kill={name}"), report=report).wait()
    assert ended.code == 128 + getattr(signal, f"SIG{name}")
    assert len(ended.messages) == len(ended.finals) == 1
    assert f"killed by {name}" in ended.messages[0]
    if report:
        assert ended.report["outcome"] == "signaled"
        assert ended.report["command_exit"] == {"code": None, "signal": name, "core": False}


@pytest.mark.parametrize(("code", "ours", "outcome"), [(0, 0, "completed"), (3, 0, "completed"), (4, 4, "failed")])
def test_success_codes_end_with_0(supervise: Place, code: int, ours: int, outcome: str) -> None:
    ended = supervise("--success-codes", "0,3", "--", "sh", "-c", f"exit {code}")
    assert ended.code == ended.report["exit_code"] == ours
    assert ended.report["outcome"] == outcome
    assert ended.report["command_exit"]["code"] == code


def test_success_codes_do_not_excuse_a_timeout(supervise: Place) -> None:
    ended = supervise("--success-codes", "0,3", "-t", "1", "--", *child("exit_on=TERM,3", "ready", "stay"))
    assert ended.code == 124


# --- a timeout never exits 0


def test_a_trap_that_exits_0_does_not_hide_a_timeout(supervise: Place) -> None:
    limits = {"-a": 122, "-i": 123, "-t": 124}
    trap = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    running = {limit: supervise.start(limit, "1", "--", *trap) for limit in limits}
    for limit, one in running.items():
        ended = one.wait()
        assert ended.code == limits[limit]
        assert ended.report["command_exit"] == {"code": 0, "signal": None, "core": False}
        assert len(ended.finals) == 1
        assert "its own status: exit 0" in ended.finals[0]


def test_preserve_status_keeps_the_code_of_the_command_after_a_timeout(supervise: Place) -> None:
    """Only here may a timeout exit with 0; the report still names the timeout."""
    codes = {"exit_on=TERM,0": 0, "exit_on=TERM,9": 9, "say=plain": 143}
    running = {
        word: supervise.start("-p", "-a", "30", "-t", "1", "--", *child(word, "ready", "stay")) for word in codes
    }
    for word, one in running.items():
        ended = one.wait()
        assert ended.code == ended.report["exit_code"] == codes[word]
        assert ended.report["outcome"] == "completion_timeout"


def test_a_timeout_with_signal_kill_is_124(supervise: Place) -> None:
    ended = supervise("-t", "1", "-s", "KILL", "--", *child("stay"))
    assert ended.code == 124
    assert ended.report["command_exit"]["signal"] == "KILL"


# --- failed starts


def script(folder: Path, text: str, mode: int = 0o755) -> str:
    """Write a script of that mode, and return the word that calls it."""
    path = folder / "script"
    path.write_text(text)
    path.chmod(mode)
    return "./script"


@pytest.fixture
def odd_files(supervise: Place) -> None:
    """Make files that cannot be executed, each for another reason."""
    (supervise.folder / "folder").mkdir()
    (supervise.folder / "plain").write_text("echo never\n")
    (supervise.folder / "binary").write_bytes(b"\x7fELF\0\0\0\0nonsense")
    (supervise.folder / "binary").chmod(0o755)
    (supervise.folder / "no-interpreter").write_text("#!/nowhere/interpreter\n")
    (supervise.folder / "no-interpreter").chmod(0o755)
    (supervise.folder / "file").touch()


@with_and_without_report
@pytest.mark.usefixtures("odd_files")
@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("no-such-command-anywhere", 127, "not found"),
        ("./missing", 127, "not found"),
        ("missing/command", 127, "not found"),
        ("file/command", 127, "not a directory"),
        ("", 127, "not found"),
        ("x" * 300, 127, "not found"),
        ("./folder", 126, "is a directory"),
        ("./plain", 126, "permission denied"),
        ("./binary", 126, "exec format error"),
        ("./no-interpreter", 127, "interpreter '/nowhere/interpreter'"),
    ],
)
def test_a_command_that_cannot_start_has_its_code_and_message(
    supervise: Place, word: str, code: int, said: str, report: bool
) -> None:
    ended = supervise.start("-t", "30", "--", word, "argument", report=report).wait()
    assert ended.code == code
    [message] = ended.err.decode().splitlines()
    assert message.startswith("supervise: ")
    assert said in message
    assert ended.out == b""
    if report:
        assert ended.report["outcome"] == {126: "not_executable", 127: "not_found"}[code]
        assert ended.report["command_exit"] is None
        assert said in ended.report["reason"]


def test_a_quiet_run_reports_a_failed_start(supervise: Place) -> None:
    assert len(supervise("-q", "--", "./missing").messages) == 1


def test_a_script_without_an_interpreter_line_runs_under_sh(supervise: Place) -> None:
    name = script(supervise.folder, 'echo "$0 $# $2"; exit 5\n')
    ended = supervise("--", name, "a", "b c")
    assert ended.code == 5
    assert ended.out == b"./script 2 b c\n"


def test_a_script_without_an_interpreter_line_is_found_on_the_path(supervise: Place) -> None:
    script(supervise.folder, "echo found; exit 5\n")
    ended = supervise("--", "script", env={"PATH": f"{supervise.folder}:{supervise.environ['PATH']}"})
    assert (ended.code, ended.out) == (5, b"found\n")


def test_a_script_runs_under_its_interpreter_line(supervise: Place) -> None:
    name = script(supervise.folder, "#!/bin/sh -e\nfalse\necho never\n")
    assert supervise("--", name).code == 1


def test_options_after_the_command_belong_to_the_command(supervise: Place) -> None:
    for words in (("--", "echo", "-t", "1", "--", "--quiet"), ("echo", "-t", "1", "--", "--quiet")):
        assert supervise(*words).out == b"-t 1 -- --quiet\n"


def test_words_reach_the_command_unchanged(supervise: Place) -> None:
    words = ["", " ", "a\nb", "*", "$HOME", "\\", "'", '"', "é", "\udcff"]
    ended = supervise("--", "printf", r"%s\0", *words)
    assert ended.out == b"".join(word.encode(errors="surrogateescape") + b"\0" for word in words)
    assert ended.report["command"][-1] == r"\xff"


def test_python_m_supervise_runs_a_command(supervise: Place) -> None:
    python = str(supervise.program.with_name("python"))
    ended = supervise.popen([python, "-m", "supervise", "-t", "1", "--", *child("ready", "stay")]).wait()
    assert ended.code == 124
    assert ended.out == b"ready\n"
