"""The processes left when a supervisor has ended: each escape artist of tests/torture under supervise and other tools.

    python -m tests.bench.bench_survivors [--quick] [ARTIST...]

Prints tables and then the same as JSON; takes about ten minutes, with --quick and one artist half a minute.  Each tool
ends the way it is made for: by its own limit where it has one, by TERM where it has none (and by KILL a few seconds
later where that does not end it), unshare by KILL.  The survivors are counted a second later.

None of these tools is bad at its purpose.  `timeout` and `timelimit` promise to signal a command, not a tree; `tini`
and `dumb-init` are the first process of a container, whose end ends all others, which nothing does outside of one;
`supervisord` stops process groups.  `unshare` leaves no process, but needs root or user namespaces.
"""

import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.torture import arena
from tests.torture.arena import Artist, Result

SUPERVISE = str(Path(sys.executable).with_name("supervise"))
LIMITS = ("1.5", "6")
"""Limits in seconds for a tool; the second is for an artist that was not complete by the first."""
END_SECONDS = 3.0
SETTLE_SECONDS = 1.0
ROUNDS = 9
REACHES = {"wide-1000": "<= 1000 ms", "orphans-1000": "<= 1000 ms", "chain-1ms": "<= 50 ms"}

TERM = {"act": "signal", "number": signal.SIGTERM}
KILL = {"act": "signal", "number": signal.SIGKILL}
SUPERVISORD = """
[supervisord]
nodaemon = true
logfile = supervisord.log
pidfile = supervisord.pid
[program:artist]
command = {command}
autorestart = false
stopwaitsecs = 1
stopasgroup = true
killasgroup = true
stdout_logfile = NONE
stderr_logfile = NONE
"""


@dataclass(frozen=True)
class Tool:
    """A tool: the words before the command, and the signal that ends a tool without a `{limit}` of its own."""

    name: str
    words: tuple[str, ...]
    asked: str = "--version"
    """What makes it say which it is."""
    end: dict[str, Any] = field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        return shutil.which(self.words[0]) is not None

    def words_for(self, command: list[str], limit: str, place: Path) -> list[str]:
        words = [word.format(limit=limit) for word in self.words]
        if self.name != "supervisord":
            return [*words, *command]
        # Neither paths nor names have blanks or percent signs.
        (place / "supervisord.conf").write_text(SUPERVISORD.format(command=" ".join(command)))
        return [*words, "-c", str(place / "supervisord.conf")]


AS_ROOT_INSIDE = () if os.getuid() == 0 else ("--map-root-user",)
TOOLS = (
    Tool("supervise", (SUPERVISE, "run", "--no-record", "-t", "{limit}", "-k", "0.5", "--")),
    Tool("timeout -k", ("timeout", "-k", "0.5", "{limit}")),
    Tool("timelimit", ("timelimit", "-q", "-t", "{limit}", "-T", "0.5"), asked="--features"),
    Tool("tini -s -g", ("tini", "-s", "-g", "--"), end=TERM),
    Tool("dumb-init", ("dumb-init", "--"), end=TERM),
    Tool("supervisord", ("supervisord",), end=TERM),
    Tool(
        "unshare --pid --kill-child",
        ("unshare", *AS_ROOT_INSIDE, "--pid", "--fork", "--kill-child", "--mount-proc"),
        end=KILL,
    ),
)


def run(tool: Tool, artist: Artist) -> Result:
    """Run an artist under a tool; return the findings of the keeper."""
    for limit in LIMITS:
        with arena.turn(artist), arena.stage_folder() as place:
            command = tool.words_for(arena.command_of(artist, place / "ready"), limit, place)
            result = arena.run(command, place, patience=float(limit) + END_SECONDS, settle=SETTLE_SECONDS, **tool.end)
        if result.stood:
            break
    return result


def survivors(artists: list[Artist], tools: list[Tool]) -> list[dict[str, Any]]:
    """Return how many processes of each artist survived each tool; None where the artist was never complete."""
    rows = []
    for artist in artists:
        print(f"{artist.name} ...", file=sys.stderr)
        left: dict[str, int | None] = {}
        for tool in tools:
            result = run(tool, artist)
            left[tool.name] = len(result.survivors) if result.stood else None
        rows.append({"artist": artist.name, "what": artist.what, "left": left})
    return rows


def speed(name: str, reach: str, rounds: int) -> dict[str, Any]:
    """Measure the milliseconds from the order to kill until no process of a tree that ignores TERM is left."""
    artist = next(one for one in arena.ALL if one.name == name)
    found = []
    for _ in range(rounds):
        with arena.turn(artist), arena.stage_folder() as place:
            options = ["-a", "30", "-t", "0.3", "-k", "0.3", "--no-record", "--events", str(place / "events")]
            command = arena.command_of(artist, place / "ready")
            result = arena.run([SUPERVISE, "run", *options, "--", *command], place)
            assert not result.survivors, result
            events = [json.loads(line) for line in (place / "events").read_text().splitlines()]
            at = {event["event"]: event["t"] for event in events}
            found.append((at["emptied"] - at["killing"]) * 1000)
    median, longest = round(statistics.median(found), 1), round(max(found), 1)
    return {"artist": name, "median_ms": median, "max_ms": longest, "reach": reach}


def version(tool: Tool) -> str:
    """Return the first line of `--version`; dumb-init prints it on stderr."""
    done = subprocess.run(
        [tool.words[0], tool.asked], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout.strip().partition("\n")[0]


def machine() -> str:
    user = "root" if os.getuid() == 0 else "an ordinary user"
    return f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}, as {user}"


def summary(rows: list[dict[str, Any]], tools: list[Tool], missing: list[str]) -> str:
    """Return one line for each tool: how many artists had survivors, and which."""
    lines = ["| tool | artists with survivors | which |", "| --- | --- | --- |"]
    for tool in tools:
        names = [row["artist"] for row in rows if row["left"][tool.name]]
        seen = [row for row in rows if row["left"][tool.name] is not None]
        others = [row["artist"] for row in seen if row["artist"] not in names]
        which = f"all but {', '.join(others)}" if len(others) < len(names) else ", ".join(names)
        which = which if others else "all"
        lines.append(f"| {tool.name} | {len(names)} of {len(seen)} | {which} |")
    return "\n".join([*lines, *(f"| {name} | not found here | |" for name in missing)])


def details(rows: list[dict[str, Any]], tools: list[Tool]) -> str:
    """Return one line for each artist: how many processes survived; `?` where the artist could not run there."""
    lines = [f"| artist | what | {' | '.join(tool.name for tool in tools)} |", "| --- " * (len(tools) + 2) + "|"]
    for row in rows:
        cells = ("?" if row["left"][tool.name] is None else str(row["left"][tool.name]) for tool in tools)
        lines.append(f"| {row['artist']} | {row['what']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(words: list[str]) -> None:
    """Measure with the named artists, or all."""
    rounds = 1 if "--quick" in words else ROUNDS
    names = [word for word in words if word != "--quick"]
    artists = [artist for artist in arena.ALL if not names or artist.name in names]
    tools = [tool for tool in TOOLS if tool.is_there]
    missing = [tool.name for tool in TOOLS if not tool.is_there]
    rows = survivors(artists, tools)
    speeds = [speed(name, reach, rounds) for name, reach in REACHES.items()]
    print(summary(rows, tools, missing), "", details(rows, tools), "", sep="\n")
    print("| from the order to kill until no process is left | median | longest | reach |")
    print("| --- | --- | --- | --- |")
    for one in speeds:
        print(f"| {one['artist']} | {one['median_ms']} ms | {one['max_ms']} ms | {one['reach']} |")
    versions = {tool.name: version(tool) for tool in tools}
    found = {"machine": machine(), "tools": versions, "not_found": missing, "rows": rows, "kill_phase": speeds}
    print("", json.dumps(found, indent=2), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
