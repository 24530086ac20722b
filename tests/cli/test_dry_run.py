"""`run --dry-run`: it says what would be run, with which limits, from where; and it runs nothing."""

import os
import re

import pytest

from tests.support.harness import Ended, Place


def dry(place: Place, *words: str, **manner: object) -> Ended:
    return place.popen([str(place.program), "run", "--dry-run", *words], **manner).wait()


def rows(ended: Ended) -> dict[str, tuple[str, str]]:
    """Return the value of each option, and where that comes from."""
    found = re.findall(r"^  (\S+) +(.*?) +from (.+)$", ended.out.decode(), re.MULTILINE)
    return {name: (word, source) for name, word, source in found}


def test_each_limit_is_shown_with_its_source(supervise: Place) -> None:
    file = supervise.file("it.toml")
    file.write_text('access-timeout = "1m"\n[profiles.ci]\ntotal-timeout = "2h"\n')
    env = {"SUPERVISE_IDLE_TIMEOUT": "5m", "SUPERVISE_TIMEOUT": "9m"}
    ended = dry(supervise, "--config", str(file), "--profile", "ci", "-t", "30m", "--", "touch", "ran", env=env)
    assert (ended.code, ended.err) == (0, b"")
    assert rows(ended) == {
        "access-timeout": ("1m", "the configuration, access-timeout"),
        "idle-timeout": ("5m", "SUPERVISE_IDLE_TIMEOUT"),
        "timeout": ("30m", "the command line"),
        "max-extension": ("off", "the default"),
        "total-timeout": ("2h", "the configuration, profiles.ci.total-timeout"),
    }


def test_nothing_is_run_recorded_or_written(supervise: Place) -> None:
    options = ("--report", "run.json", "--lock", "it", "--detach", "--log", "it.log", "--hook", "started=touch hooked")
    ended = dry(supervise, *options, "--", "touch", "ran")
    assert ended.code == 0
    assert rows(ended)["lock"] == ("it", "the command line")
    assert os.listdir(supervise.folder) == []
    assert not os.path.exists(supervise.state)


@pytest.mark.parametrize("words", [("--dry-run", "-t", "5"), ("-t", "5", "--dry-run", "-v")])
def test_it_may_stand_anywhere_before_the_command(supervise: Place, words: tuple[str, ...]) -> None:
    ended = supervise.popen([str(supervise.program), *words, "--", "sh", "-c", "echo ran; exit 3"]).wait()
    assert ended.code == 0
    assert ended.out.startswith(b"would run    sh -c 'echo ran; exit 3'\n")
    assert rows(ended)["timeout"] == ("5s", "the command line")


def test_an_option_of_the_command_is_its_own(supervise: Place) -> None:
    ended = supervise.popen([str(supervise.program), "run", "echo", "--dry-run"]).wait()
    assert (ended.code, ended.out) == (0, b"--dry-run\n")


def test_a_program_that_cannot_be_run_is_named_with_its_code(supervise: Place) -> None:
    supervise.file("text").write_text("x")
    missing, denied = dry(supervise, "no-such-program"), dry(supervise, "./text")
    assert (missing.code, denied.code) == (127, 126)
    assert b"no-such-program: not found (exit 127)" in missing.out
    assert b"./text: not executable (exit 126)" in denied.out


def test_bad_options_are_refused_as_in_a_run(supervise: Place) -> None:
    ended = dry(supervise, "-t", "1x", "--", "true")
    assert (ended.code, ended.out) == (125, b"")
    assert ended.messages[0].startswith("-t: ")


def test_secrets_are_not_shown(supervise: Place) -> None:
    ended = dry(supervise, "--hook", "started=curl https://a:hunter22@x", "--", "psql", "--password", "hunter22")
    assert b"hunter22" not in ended.out
    assert rows(ended)["hook"] == ("***", "the command line")


def test_the_time_of_an_outer_run_is_shown(supervise: Place) -> None:
    ended = supervise.shell("supervise -t 1h -- supervise --dry-run -t 2h -- true")
    assert re.search(rb"^  ends within +3[56]\d\ds +from SUPERVISE_DEADLINE$", ended.out, re.MULTILINE)
