"""The topics of `supervise help` and the examples of the overview, whose command lines are run as they stand there."""

import re
from pathlib import Path

import pytest

from supervise.commands import overview
from supervise.commands.subcommands import SUBCOMMANDS
from supervise.commands.topics import TOPICS, text_of
from supervise.options.table import OPTIONS, option_names
from tests.support.access import free_port
from tests.support.clients import command
from tests.support.harness import Place

SERVER = """#!/usr/bin/env python3
import os, socket, time
server = socket.create_server(("", int(os.environ["PORT"])))
open("up", "w").close()
print("ready", flush=True)
time.sleep(float(os.environ["SERVE"]))
"""
PROGRAMS = ("make", "job", "fuzz", "fetch-feed", "report", "update")
GOES_ON = ("supervise wait web",)
"""How lines begin that exit with 121: the run goes on."""
WITH_TESTS_OF_THEIR_OWN = ("agents", "batch")
"""Topics whose lines `test_agents.py` and `tests/batch` run."""
OF_ENGINES = ("--image",)
"""Words of --engine-option."""
MOST_LINES = 60
CRON_TIME = re.compile(r"(?:@reboot|(?:[*/0-9]+ ){5}) *")


def code_of(topic: str) -> list[str]:
    return [line[4:] for line in text_of(topic).splitlines() if line.startswith("    ")]


def command_lines(topic: str) -> list[str]:
    """Return each line of code that a shell can run: also that of a crontab, and of a step in YAML."""
    lines = [CRON_TIME.sub("", re.sub(r"^[ -]*(run|command): |^ +- ", "", line)) for line in code_of(topic)]
    return [line for line in lines if re.match(r"(exec |[A-Z_]+=\S+ |lost=\$\()*supervise ", line)]


@pytest.fixture
def folder(supervise: Place) -> Place:
    """A folder with the programs and files of the examples, and with the runs that they name."""
    programs = dict.fromkeys(PROGRAMS, "#!/bin/sh\necho done\n") | {"server": SERVER}
    for name, text in programs.items():
        supervise.file(name).write_text(text)
        supervise.file(name).chmod(0o755)
    supervise.file("notes.txt").write_text("none\n")
    return supervise


def run_lines(place: Place, lines: list[str]) -> None:
    """Run each line, with a port that is free and short waits, and check that it does not fail."""
    port = str(free_port())
    for line in lines:
        short = line.replace("8080", port).replace("--start-jitter 30m", "--start-jitter 0.1")
        serve = "60" if " -d " in line else "0.5"
        ended = place.shell(f"PATH=.:$PATH; {short}", env={"PORT": port, "SERVE": serve})
        assert ended.code == (121 if line.startswith(GOES_ON) else 0), (line, ended.err)


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic not in WITH_TESTS_OF_THEIR_OWN])
def test_the_command_lines_of_a_topic_do_not_fail(folder: Place, topic: str) -> None:
    lines = command_lines(topic)
    assert lines
    if any(" build" in line for line in lines):
        for _ in range(3):
            assert folder("--name", "build", "--", "true").code == 0
        assert command(folder, "run", "-d", "--name", "build", "-t", "1h", "sleep", "60").code == 0
    if any(" report" in line for line in lines):
        assert folder("--name", "report", "--", "./report").code == 0
    run_lines(folder, lines)
    if any(" build" in line for line in lines):
        assert command(folder, "stop", "build").code == 0


def test_the_examples_of_the_overview_do_not_fail(folder: Place) -> None:
    run_lines(folder, [*overview.EXAMPLES])
    assert folder.file("run.json").exists()


def test_the_file_of_the_topic_is_a_configuration(supervise: Place) -> None:
    lines = [line for line in code_of("configuration") if not line.startswith("supervise ")]
    supervise.file("it.toml").write_text("\n".join(lines))
    assert command(supervise, "config", "check", "--config", "it.toml").code == 0
    shown = command(supervise, "config", "show", "--config", "it.toml", "--profile", "ci").out.decode()
    assert re.search(r"timeout +1h", shown)


def test_the_lines_of_the_crontab_are_those_of_the_manual() -> None:
    page = (
        (Path(__file__).parents[2] / "man" / "man7" / "supervise-cron.7").read_text().replace("\\-", "-").splitlines()
    )
    lines = [line for line in code_of("cron") if CRON_TIME.match(line) or "=" in line.split()[0]]
    assert len(lines) == 6
    assert {*lines} <= {*page}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_short_and_knows_its_options(topic: str) -> None:
    text = text_of(topic)
    assert text.isascii()
    assert len(text.splitlines()) <= MOST_LINES
    rows = (*OPTIONS, *(option for row in SUBCOMMANDS for option in row.options))
    ours = " ".join(line.split(" -- ")[0] for line in text.splitlines())
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours)) <= {*option_names(rows), "--help", *OF_ENGINES}
