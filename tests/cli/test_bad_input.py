"""Wrong calls: one clear message, exit code 125, and nothing is started or written."""

import os
from pathlib import Path

import pytest

from tests.support.harness import Ended, Place, child
from tests.support.refusals import is_refused

DURATION = "a duration (90, 90s, 1.5m, 1h30m, 2d, 500ms, PT1H30M)"


def refused(supervise: Place, *words: str, **manner: object) -> Ended:
    """Run supervise with these words and a command that would make a file."""
    started = supervise.file("started")
    ended = supervise.start(*words, "--", *child(f"mark={started}"), report=False, **manner).wait()
    assert not started.exists()
    return ended


# The reader of durations has tests of its own for each form (tests/options/test_values.py).
BAD_DURATIONS = ("-1", "1x", "", "5M", "nan", "30m1h", "P1H", "infinite", "1s\n")


@pytest.mark.parametrize("word", BAD_DURATIONS)
def test_a_bad_duration_is_refused(supervise: Place, word: str) -> None:
    """The message names the option, the value, and what the option takes."""
    got = f"got {word!r}" if word else "got nothing"
    is_refused(refused(supervise, "--timeout", word), "--timeout: ", got, f"takes {DURATION}")


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--access-timeout", "x"),
        ("--completion-timeout", "x"),
        ("--kill-after", "off"),
        ("--kill-after", "-1"),
        ("--drain", "off"),
        ("--extend-by", "0"),
        ("--max-extension", "infinity"),
        ("--idle-grace", "x"),
        ("--warn-at", "10s,x"),
        ("--signal", "FOO"),
        ("--signal", "65"),
        ("--warn-signal", "-9"),
        ("--idle-on", "stdin"),
        ("--extend-on", "cpu,disk"),
        ("--stragglers", "leave"),
        ("--cpu-threshold", "0"),
        ("--success-codes", "256"),
        ("--report", ""),
        ("--events", ""),
    ],
)
def test_a_bad_value_is_refused(supervise: Place, option: str, word: str) -> None:
    is_refused(refused(supervise, f"{option}={word}"), f"{option}: got ", "takes ")


@pytest.mark.parametrize(
    "variable", ["SUPERVISE_TIMEOUT", "SUPERVISE_COMPLETION_TIMEOUT", "SUPERVISE_SIGNAL", "SUPERVISE_QUIET"]
)
def test_a_bad_variable_is_refused_by_its_name(supervise: Place, variable: str) -> None:
    is_refused(refused(supervise, "-i", "30", env={variable: "nonsense"}), f"{variable}: got 'nonsense', takes ")


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        ((), "runs a command under limits"),
        (("run",), "no COMMAND"),
        (("--",), "no COMMAND"),
        (("run", "--"), "no COMMAND"),
        (("-t", "5"), "no COMMAND"),
        (("-t", "5", "--"), "no COMMAND"),
        (("make",), "did you mean: supervise run make"),
        (("make", "-j", "4"), "did you mean: supervise run make -j 4"),
        (("rnu", "make"), "did you mean: supervise run make"),
        (("",), "no such command ''"),
        (("-t", "5", "make"), "supervise -t 5 -- make"),
        (("-t", "5", "run", "make"), "supervise run -t 5 make"),
        (("--timout", "5", "--", "make"), "did you mean --timeout"),
        (("--no-such-option-at-all", "--", "make"), "no such option"),
        (("-Z", "--", "make"), "no such option"),
        (("--quiet=1", "--", "make"), "takes no value"),
        (("-q=1", "--", "make"), "no such option"),
        (("-t",), "needs a value"),
        (("run", "--timeout"), "needs a value"),
    ],
)
def test_a_bad_command_line_is_refused(supervise: Place, words: tuple[str, ...], needle: str) -> None:
    is_refused(supervise.start(*words, report=False).wait(), needle)


@pytest.mark.parametrize("word", ["\udcff\udcfe", "a\nb\x1b[31m\u2028", "x" * 5000])
def test_a_refusal_shows_any_word_without_control_characters(supervise: Place, word: str) -> None:
    """The message is one line of bounded length."""
    for words in ((word,), ("--timeout", word), (f"--{word}",), ("-t", "5", word)):
        ended = supervise.start(*words, report=False).wait()
        is_refused(ended)
        assert len(ended.err) < 6000


def test_a_missing_value_is_refused(supervise: Place) -> None:
    is_refused(supervise.start("--report", "--", "true", report=False).wait(), "--report")


# --- files that cannot be written


@pytest.mark.parametrize("option", ["--report", "--events"])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("missing/report.json", "no such file or directory"),
        ("folder", "is a directory"),
        ("folder/", "is a directory"),
        ("file/report.json", "not a directory"),
        ("x" * 300, "too long"),
    ],
)
def test_an_unwritable_file_is_refused_before_the_start(supervise: Place, option: str, path: str, why: str) -> None:
    (supervise.folder / "folder").mkdir()
    (supervise.folder / "file").touch()
    is_refused(refused(supervise, option, path), option, why)


@pytest.mark.parametrize("option", ["--report", "--events"])
def test_a_folder_without_permission_is_refused_before_the_start(supervise: Place, option: str) -> None:
    somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    if supervise.popen([*somebody, str(supervise.program), "--", "true"]).wait().code:
        pytest.skip("the program is installed where only root may run it")
    supervise.folder.chmod(0o555)
    try:
        words = [str(supervise.program), option, "report.json", "--", "echo", "started"]
        # The other user may not enter the home of this one, and an unreadable configuration would give another message.
        home = {"HOME": "/nonexistent"} if somebody else {}
        is_refused(supervise.popen([*somebody, *words], env=home).wait(), option, "permission denied")
    finally:
        supervise.folder.chmod(0o755)


def test_a_refused_call_writes_no_report(supervise: Place) -> None:
    is_refused(supervise("--timeout", "soon", "--", "true"), "--timeout")
    assert not list(Path(supervise.folder).iterdir())


def test_the_old_report_stays_until_the_new_one_is_whole(supervise: Place) -> None:
    path = supervise.report_path(0)
    path.write_text("old")
    running = supervise.start("--", *child("ready", f"wait_for={supervise.file('go')}"))
    running.wait_for_out(b"ready")
    assert path.read_text() == "old"
    supervise.file("go").touch()
    assert running.wait().report["outcome"] == "completed"


# --- odd surroundings


def test_a_run_without_home_and_path_starts(supervise: Place) -> None:
    ended = supervise.popen(["env", "-i", str(supervise.program), "-t", "30", "--", "echo", "started"]).wait()
    assert (ended.code, ended.out, ended.err) == (0, b"started\n", b"")


def test_a_run_in_a_removed_folder_starts(supervise: Place) -> None:
    script = "mkdir gone; cd gone; rmdir ../gone; exec supervise -t 30 -- echo started"
    ended = supervise.shell(script, shell="sh")
    assert (ended.code, ended.out, ended.err) == (0, b"started\n", b"")
    script = f"mkdir gone; cd gone; rmdir ../gone; exec supervise --report {supervise.file('report')} -- echo started"
    assert supervise.shell(script, shell="sh").code == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_with_closed_stdio_starts(supervise: Place, closed: str) -> None:
    ended = supervise.shell(f"supervise -t 30 -- sh -c 'sleep 0.4; exit 3' {closed}; exit $?", shell="sh")
    assert ended.code == 3
    ended = supervise.shell(f"supervise --timeout nonsense -- true {closed}; exit $?", shell="sh")
    assert ended.code == 125
    assert b"Traceback" not in ended.err
