"""`supervise help`, and the text of `supervise help agents`, whose command lines are run as they stand there."""

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

from supervise.commands.subcommands import first_words
from supervise.commands.topics import TOPICS, text_of
from tests.support.access import free_port
from tests.support.clients import command
from tests.support.harness import Ended, Place, Running, validator, wait_until

MAKE = """#!/bin/sh
echo compiled
until [ -e {go} ]; do sleep 0.05; done
exit 3
"""
MOST_LINES = 60


def code_of(topic: str) -> list[str]:
    """The lines of code in the text."""
    return [line.strip() for line in text_of(topic).splitlines() if line.startswith("    ")]


def keys_of(answer: str) -> list[str]:
    return list(json.loads(answer))


class Agent:
    """The command lines of the text, each by its words without the operands, in a place of a test."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lines = [line for line in code_of("agents") if line.startswith("supervise ")]
        self._path = f"{place.file('bin')}:{place.program.parent}:{os.environ['PATH']}"
        self.port = free_port()

    def start(self, beginning: str) -> Running:
        """Start the line that begins so, with less patience and a port that is free."""
        (line,) = [one for one in self._lines if one.startswith("supervise " + beginning)]
        self._lines.remove(line)
        line = line.replace("--detach-after 100s", "--detach-after 1s").replace("8000", str(self.port))
        line = line + f" {self.port}" if "http.server" in line else line
        return self._place.popen(shlex.split(line), env={"PATH": self._path})

    def run(self, beginning: str) -> Ended:
        return self.start(beginning).wait()

    @property
    def not_run(self) -> list[str]:
        return self._lines


def last_object(ended: Ended) -> Any:
    return json.loads(ended.out.splitlines()[-1])


def test_each_command_line_of_the_text_does_what_the_text_says(supervise: Place) -> None:
    go, programs = supervise.file("go"), supervise.file("bin")
    programs.mkdir()
    (programs / "make").write_text(MAKE.format(go=go))
    (programs / "make").chmod(0o755)
    shapes = [line for line in code_of("agents") if line.startswith("{")]
    agent = Agent(supervise)
    began = agent.run("run --name build")
    assert (began.code, began.out.splitlines()[0], began.err) == (121, b"compiled", b"")
    answer = last_object(began)
    validator("answer").validate(answer)
    assert (answer["state"], [*answer]) == ("running", keys_of(shapes[0]))
    served = agent.run("run --name web")
    assert (served.code, served.err) == (0, b"")
    web = served.out.decode().strip()
    up = agent.run("wait web")
    assert (up.code, up.out, up.err) == (121, b"", b"")
    shown = json.loads(command(supervise, "show", web, "--json").out)
    assert any(event["event"] == "access" for event in shown["events"])
    assert {run["name"]: run["state"] for run in json.loads(agent.run("ps").out)} == {
        "build": "running",
        "web": "running",
    }
    assert agent.run("extend build").code == 0
    assert agent.run("logs build --lines").out == b"compiled\n"
    matched = agent.run("wait build --for 60s")
    assert (matched.code, matched.out) == (121, b"compiled\n")
    assert agent.run("logs build --new").out == b""
    waits = agent.start("wait build")
    go.touch()
    ended = waits.wait()
    answer = last_object(ended)
    assert (ended.code, answer["state"], answer["exit_code"], [*answer]) == (3, "ended", 3, keys_of(shapes[1]))
    shown = json.loads(agent.run("show build").out)
    assert (shown["outcome"], shown["exit_code"]) == ("failed", 3)
    assert agent.run("stop web").code == 0
    assert command(supervise, "wait", "web").code == 143
    assert agent.not_run == []
    wait_until(lambda: not supervise.alive())


def test_the_objects_in_the_text_are_valid_and_of_ids_as_they_are() -> None:
    for line in code_of("agents"):
        if line.startswith("{"):
            validator("answer").validate(json.loads(line))
            assert re.fullmatch(r"\d{8}-\d{6}-\d{10}", json.loads(line)["run_id"])


def test_help_prints_a_topic_as_it_is(supervise: Place) -> None:
    for topic in TOPICS:
        printed = command(supervise, "help", topic)
        assert (printed.code, printed.out.decode(), printed.err) == (0, text_of(topic), b"")
    assert len(text_of("agents").splitlines()) <= MOST_LINES


def test_help_prints_the_help_pages(supervise: Place) -> None:
    assert command(supervise, "help").out == command(supervise, "--help").out != b""
    assert command(supervise, "help", "wait").out == command(supervise, "wait", "--help").out != b""
    assert b"Usage: supervise config SUBCOMMAND" in command(supervise, "help", "config").out
    assert command(supervise, "help", "config").out == command(supervise, "config", "--help", "x").out
    assert command(supervise, "help", "config", "set").out == command(supervise, "config", "set", "-h").out != b""


def test_no_topic_has_the_name_of_a_subcommand() -> None:
    assert not {*TOPICS} & {*first_words()}


def test_a_word_that_is_no_topic_is_refused_in_one_line(supervise: Place) -> None:
    refused = command(supervise, "help", "a\x1b[31mb")
    assert refused.code == 125
    assert refused.err.decode().splitlines() == [
        f"supervise: help: no such topic 'a\\x1b[31mb'; there are {', '.join(TOPICS)}"
    ]


def test_each_text_has_its_row_in_the_table() -> None:
    texts = {path.stem for path in Path(text_of.__code__.co_filename).parent.glob("*.md")}
    assert texts == {*TOPICS}


def test_show_gives_the_reason_that_the_text_names(supervise: Place) -> None:
    assert supervise("-t", "1d", "--success-codes", "0", "--", "sh", "-c", "exit 75").code == 75
    assert {"outcome", "exit_code", "reason"} <= set(shown(supervise))
    assert (shown(supervise)["outcome"], shown(supervise)["reason"]) == ("resumable", None)
    # The inner run begins its end two seconds before the outer one's, time enough for it on a busy machine.
    outer = ("-t", "6s", "--", str(supervise.program), "--name", "inner", "-k", "1s", "-t", "1h", "--", "sleep", "60")
    assert supervise(*outer).code == 75
    assert shown(supervise, "inner")["reason"] == "outer_deadline"


def shown(place: Place, run: str = "-") -> Any:
    """Return what `show --json` prints of that run."""
    return json.loads(command(place, "show", run, "--json").out)
