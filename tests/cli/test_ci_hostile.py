"""Text of others in the messages of a run is no command for GitHub's runner, whatever way it comes in."""

import os
import shutil
import subprocess

import pytest

from tests.support.github_runner import Runner, outputs, step
from tests.support.harness import Place, child

WORD = "::error::a%0Ab,c:d\n::error::e\r::warning::f ##[error]g ##[error]h\x1b[31m <<EOF\n::set-output name=outcome::x"
"""What the runner would obey, at the start of a line and within one."""
BYTES = os.fsencode(WORD) + b"\xff\x80"


def runner_of(supervise: Place, *words: str | bytes, env: dict[str, str] | None = None) -> tuple[int, Runner]:
    """Run supervise in a step with one pipe for both streams; return its code and the runner that has read all."""
    command = [str(supervise.program), *words]
    ended = supervise.popen(
        command,  # type: ignore[arg-type]
        env=step(supervise, **(env or {})),
        stderr=subprocess.STDOUT,
    ).wait()
    return ended.code, Runner().read(ended.out)


def data_of(runner: Runner) -> str:
    """Return the text of the one annotation, an error, whose title and text hold no command themselves."""
    (error,) = runner.obeyed
    assert error.name == "error"
    assert error.title.endswith(" (supervise)")
    assert Runner().read(error.data.encode()).obeyed == []
    return error.data


def test_a_program_that_is_not_found(supervise: Place) -> None:
    code, runner = runner_of(supervise, "run", "--", b"./" + BYTES)
    assert code == 127
    assert ": not found" in data_of(runner)
    assert outputs(supervise.file("out"))["outcome"] == "not_found"
    assert "::" not in supervise.file("sum").read_text()


def test_the_last_line_and_the_arguments_of_a_command(supervise: Place) -> None:
    script = 'printf "x%s" "$1" >/dev/null; printf "last %s" "$2"; exec sleep 60'
    words = ("run", "-v", "-t", "0.5", "--", "sh", "-c", script, "sh", BYTES, b"##[group]::error::x")
    code, runner = runner_of(supervise, *words)
    assert code == 124
    assert [one.name for one in runner.obeyed] == ["group", "error"], "the command itself may group its lines"
    assert any("last line" in line and "::error::" not in line for line in runner.shown)


def test_the_name_of_a_process(supervise: Place) -> None:
    path = supervise.file("::error::##[a]x")
    shutil.copy("/bin/sleep", path)
    code, runner = runner_of(supervise, "run", "-v", "-t", "0.5", "--", str(path), "60")
    assert code == 124
    assert "completion timeout" in data_of(runner)


def test_the_status_of_a_command(supervise: Place) -> None:
    words = child(f"notify=STATUS={WORD.splitlines()[0]}", "stay")
    code, runner = runner_of(supervise, "run", "-v", "--notify", "-t", "0.7", "--", *words)
    assert code == 124
    data_of(runner)
    assert any("a%0Ab" in line for line in runner.shown)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "-t", WORD, "--", "true"],
        ["run", f"--{WORD}", "--", "true"],
        ["run", "--name", WORD, "--", "true"],
        ["run", "--profile", WORD, "--", "true"],
        ["run", "--lock", WORD, "--", "true"],
        ["run", "--lock", f"/nowhere/{WORD}", "--", "true"],
        ["run", "--report", f"/nowhere/{WORD}", "--", "true"],
        ["run", "--config", f"/nowhere/{WORD}", "--", "true"],
        ["run", "--access-on", f"match=[{WORD}", "-a", "1", "--", "true"],
        [WORD],
        ["show", WORD],
        ["logs", WORD],
        ["config", "check", WORD],
        ["extend", WORD, WORD],
    ],
    ids=lambda words: " ".join(word for word in words if "::" not in word),
)
def test_a_word_that_is_refused(supervise: Place, words: list[str]) -> None:
    code, runner = runner_of(supervise, *words)
    assert code != 0
    assert {one.name for one in runner.obeyed} <= {"error"}
    if runner.obeyed:
        data_of(runner)


@pytest.mark.parametrize("name", ["SUPERVISE_TIMEOUT", "SUPERVISE_TIMOUT", "SUPERVISE_PROFILE", "SUPERVISE_CI"])
def test_a_variable_that_is_refused(supervise: Place, name: str) -> None:
    code, runner = runner_of(supervise, "run", "--", "true", env={name: WORD})
    assert code in (0, 125)
    assert {one.name for one in runner.obeyed} <= {"error"}
    if runner.obeyed:
        data_of(runner)


def test_a_file_of_the_step_that_has_an_open_value(supervise: Place) -> None:
    """What another program leaves unfinished is its own fault; a value of supervise cannot end it."""
    supervise.file("out").write_text("text<<EOF\nline\n")
    assert runner_of(supervise, "run", "--", "true")[0] == 0
    found = supervise.file("out").read_text().split("text<<EOF\nline\n")[1]
    assert all("<<" not in line and line.count("=") <= 1 for line in found.splitlines())
