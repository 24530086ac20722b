"""The rules that hold for all commands beside `run`."""

import importlib
import os
import subprocess

import pytest

from supervise.commands import app, invocation
from supervise.commands.subcommands import SUBCOMMANDS
from tests.support.refusals import refusal

HANG_SECONDS = 60.0
FILLED = {"RUN": "20261124-1", "DURATION": "5s", "KEY": "timeout", "VALUE": "5m"}


def words_of(row):
    """Return a valid call of the command in that row."""
    return [*row.name.split(), *(FILLED.get(word.strip("[]"), "x") for word in row.operands.split())]


def plain(call):
    """Return a Call as plain data."""
    return call and (call.row, call.values, call.operands)


@pytest.fixture
def call(program, tmp_path):
    """Return a function that runs the program with these words and variables in an empty folder."""

    def call(*words, **environ):
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "COLUMNS": "100", **environ}
        return subprocess.run(
            [program, *words],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
            check=False,
        )

    return call


@pytest.mark.parametrize("row", SUBCOMMANDS, ids=lambda row: row.name)
class TestEach:
    """Rules that hold for each command of the table."""

    def test_the_module_has_a_main(self, row):
        assert callable(importlib.import_module(row.module).main)

    def test_the_fast_reader_and_click_agree(self, row):
        words = words_of(row)
        assert plain(invocation.read(words)) == plain(app.main(words, {}))

    def test_too_many_operands_are_refused(self, row):
        if row.runs_command:
            # Its operands are the words of a command, of which there may be any number.
            return
        words = [*words_of(row), "x"]
        assert invocation.read(words) is None
        code, text = refusal(words, {})
        assert code == 125
        assert text == f"supervise: {row.name}: unexpected operand 'x'; usage: supervise {row.usage}\n"

    def test_too_few_operands_are_refused(self, row):
        if row.min_operands:
            words = words_of(row)[: len(row.name.split()) + row.min_operands - 1]
            assert invocation.read(words) is None
            code, text = refusal(words, {})
            assert code == 125
            assert text == f"supervise: {row.name}: an operand is missing; usage: supervise {row.usage}\n"

    def test_the_help_names_all_options(self, row, call):
        ended = call(*row.name.split(), "--help")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert f"Usage: supervise {row.usage}\n" in ended.stdout
        assert all(f"--{option.name}" in ended.stdout for option in row.options)

    def test_an_unknown_option_is_refused(self, row):
        code, text = refusal([*row.name.split(), "--xyzzy"], {})
        assert code == 125
        assert text == f"supervise: no such option --xyzzy; see supervise {row.name} --help\n"


def test_an_unknown_command_gets_a_hint(call):
    ended = call("slep", "1")
    assert ended.returncode == 125
    assert ended.stderr == "supervise: no such command 'slep'; did you mean: supervise sleep 1\n"


def test_the_refusal_of_a_bad_operand_says_what_the_command_takes(call):
    ended = call("sleep", "5x")
    assert ended.returncode == 125
    assert ended.stderr.startswith("supervise: sleep: got '5x', takes a duration (")


def test_a_sleep_within_the_time_of_the_run_ends_with_0(call):
    ended = call("sleep", "0.01")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_sleep_that_would_outlast_the_run_is_refused_with_75(call):
    ended = call("sleep", "1h", SUPERVISE_DEADLINE="1000000000")
    assert (ended.returncode, ended.stdout) == (75, "")
    assert ended.stderr.startswith("supervise: not sleeping 1h: the run ends ")
