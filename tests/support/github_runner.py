"""GitHub's runner as far as a step's output concerns it, written from actions/runner.

The parsers are those of src/Runner.Common/ActionCommand.cs, the rules of `stop-commands` those of
src/Runner.Worker/ActionCommandManager.cs, and the files those of src/Runner.Worker/FileCommandManager.cs.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.harness import Place

COMMANDS = {
    *("add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice"),
    *("remove-matcher", "save-state", "set-env", "set-output", "stop-commands", "warning"),
}
DATA = (("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))
PROPERTY = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))
LINE_END = re.compile("\r\n|\r|\n")
"""What ends a line for .NET's StreamReader."""
OLD = (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%"))


@dataclass(frozen=True)
class Command:
    name: str
    data: str
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.properties["title"]


def step(place: Place, **more: str) -> dict[str, str]:
    """Return the variables of a step, whose files for outputs and summary are `out` and `sum`; `more` are added."""
    files = {"GITHUB_OUTPUT": str(place.file("out")), "GITHUB_STEP_SUMMARY": str(place.file("sum"))}
    return {"GITHUB_ACTIONS": "true", **files, **more}


class Runner:
    """Reads the lines of one step, of one stream or of several in turn."""

    def __init__(self) -> None:
        self.obeyed: list[Command] = []
        self.shown: list[str] = []
        """The lines of the job's log."""
        self.token = ""
        """The token that ends the stop of commands; '' where commands are obeyed."""
        self.tokens: list[str] = []

    @property
    def annotations(self) -> list[tuple[str, str]]:
        """Return the name and the title of each command that was obeyed."""
        return [(one.name, one.properties.get("title", "")) for one in self.obeyed]

    def read(self, output: bytes) -> "Runner":
        for line in LINE_END.split(output.decode(errors="replace")):
            self._read_line(line)
        return self

    def _read_line(self, line: str) -> None:
        known = {*COMMANDS, *([self.token] if self.token else [])}
        command = parsed(line, known) or parsed_old(line, known)
        if command is None:
            self.shown.append(line)
        elif self.token:
            self.shown.append(line)
            if command.name == self.token:
                self.token = ""
        elif command.name == "stop-commands":
            self.shown.append(line)
            assert command.data.lower() not in {*COMMANDS, "", "pause-logging"}, "the runner refuses this token"
            self.token = command.data
            self.tokens.append(self.token)
        else:
            self.obeyed.append(command)


def parsed(line: str, known: set[str]) -> Command | None:
    """Return the command `::name key=value,key=value::data` at the start of a line (TryParseV2)."""
    line = line.lstrip()
    end = line.find("::", 2)
    if not line.startswith("::") or end < 0:
        return None
    return _command(line[2:end], line[end + 2 :], known, ",", PROPERTY, DATA)


def parsed_old(line: str, known: set[str]) -> Command | None:
    """Return the command `##[name key=value;key=value]data` anywhere in a line (TryParse)."""
    begin = line.find("##[")
    end = line.find("]", begin)
    if begin < 0 or end < 0:
        return None
    return _command(line[begin + 3 : end], line[end + 1 :], known, ";", OLD, OLD)


def _command(
    info: str,
    data: str,
    known: set[str],
    separator: str,
    of_property: tuple[tuple[str, str], ...],
    of_data: tuple[tuple[str, str], ...],
) -> Command | None:
    name, _, rest = info.partition(" ")
    if name.lower() not in {one.lower() for one in known}:
        return None
    pairs = (one.split("=", 1) for one in rest.strip().split(separator) if one)
    properties = {pair[0]: _unescaped(pair[1], of_property) for pair in pairs if len(pair) == 2 and all(pair)}
    return Command(name.lower(), _unescaped(data, of_data), properties)


def _unescaped(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for escape, letter in pairs:
        text = text.replace(escape, letter)
    return text


def outputs(path: Path) -> dict[str, str]:
    """Return the outputs in a file of GITHUB_OUTPUT: lines `NAME=VALUE`, and `NAME<<DELIMITER` with lines up to it."""
    lines = iter(LINE_END.split(path.read_text(encoding="utf-8-sig")))
    found = {}
    for line in lines:
        equals, heredoc = line.find("="), line.find("<<")
        if not line:
            continue
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            name, value = line.split("=", 1)
        else:
            assert heredoc > 0, f"invalid format {line!r}"
            name, delimiter = line.split("<<", 1)
            assert delimiter
            value = "\n".join(iter(lambda: next(lines), delimiter))
        found[name] = value
    return found
