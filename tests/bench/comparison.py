"""What supervise and the tools that people use today do, tried out: the table of the README.

    python -m tests.bench.comparison [TOOL...]

Each cell is an experiment: a tool runs a command that hangs, forks or fails, in each way in which the tool can be
called for that, and the cell says what was seen.  Prints the table in Markdown, and the versions.  Takes a minute.
It needs root or user namespaces for the row about PID 1, and Debian's `dpkg-query` for the row about Debian.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.access import free_port

SUPERVISE = str(Path(sys.executable).with_name("supervise"))
PYTHON = f"{sys.executable} -I -S"
BOUND_SECONDS = 12.0
"""Seconds after which an experiment is over: what has not happened by then does not happen."""
LONG = "777"
"""Seconds that a command sleeps which nobody may wait for."""
AT_ONCE = 12
"""Experiments at the same time: most of them sleep."""


@dataclass(frozen=True)
class Tool:
    """A tool and its ways: shell lines by their purpose, in which `{}` is the command, a word of `sh -c`."""

    name: str
    package: str
    """The package of Debian that has it; '' for none."""
    version: str
    """A shell line whose output has the version."""
    plain: str
    """How the tool runs a command."""
    ways: dict[str, str] = field(default_factory=dict)


SUPERVISORD = """\
[supervisord]
nodaemon = {nodaemon}
logfile = {folder}/log
pidfile = {folder}/pid
[program:it]
command = sh -c {command}
startsecs = 0
autorestart = {restart}
stopasgroup = true
killasgroup = true
stdout_logfile = /dev/stdout
stdout_logfile_maxbytes = 0
stderr_logfile = /dev/stderr
stderr_logfile_maxbytes = 0
"""
TOOLS = (
    Tool("supervise", "", f"{SUPERVISE} --version", f"{SUPERVISE} -- sh -c {{}}", {
        "limit": f"{SUPERVISE} -k 1 -t 1.5 -- sh -c {{}}",
        "silence": f"{SUPERVISE} -k 1 -i 1 -- sh -c {{}}",
        "access": f"{SUPERVISE} -k 1 -a 1.5 --access-on port={{port}} -- sh -c {{}}",
        "extension": f"{SUPERVISE} -k 1 -t 2.5 -x 10s -- sh -c {{}}",
        "lock": f"{SUPERVISE} --lock {{folder}}/lock -- sh -c {{}}",
        "mail": f"{SUPERVISE} --quiet-unless-failed -- sh -c {{}}",
        "again": f"{SUPERVISE} --retries 2 --retry-on failed --retry-delay 0.1 -- sh -c {{}}",
        "hangup": f"{SUPERVISE} run --detach -- sh -c {{}}",
    }),
    Tool("timeout", "coreutils", "timeout --version", "timeout 60 sh -c {}", {"limit": "timeout -k 1 1.5 sh -c {}"}),
    Tool("timelimit", "timelimit", "dpkg-query -W -f '${Version}' timelimit", "timelimit -q -t 60 sh -c {}", {
        "limit": "timelimit -q -t 1 -T 1 sh -c {}",
    }),
    Tool("parallel", "parallel", "parallel --version", "parallel --will-cite sh -c {} ::: x", {
        "limit": "parallel --will-cite --timeout 1.5 sh -c {} ::: x",
        "lock": "sem --will-cite --fg --id {folder}/lock sh -c {}",
        "again": "parallel --will-cite --retries 3 sh -c {} ::: x",
    }),
    Tool("chronic", "moreutils", "dpkg-query -W -f '${Version}' moreutils", "chronic sh -c {}"),
    Tool("flock", "util-linux", "flock --version", "flock {folder}/other sh -c {}", {
        "lock": "flock -n {folder}/lock sh -c {}",
    }),
    Tool("nohup", "coreutils", "nohup --version", "nohup sh -c {}"),
    Tool("tini", "tini", "tini --version", "tini -s -g -- sh -c {}"),
    Tool("dumb-init", "dumb-init", "dumb-init --version 2>&1", "dumb-init sh -c {}"),
    Tool("supervisord", "supervisor", "supervisord --version", "supervisord -c {config}", {
        "again": "supervisord -c {config:restart}",
        "hangup": "supervisord -c {config:daemon}",
    }),
)  # fmt: skip


@dataclass
class Trial:
    """One call of a tool in a folder of its own."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    token: str

    def wait(self, seconds: float = BOUND_SECONDS) -> int | None:
        """Return the exit code; None if the tool still runs after that time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def wait_for(self, name: str, seconds: float = BOUND_SECONDS) -> bool:
        """Return whether the file is there within that time."""
        return within(seconds, (self.folder / name).exists)

    def alive(self) -> list[int]:
        """Return the processes of the command that sleep for so long."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                environ, words = (path / "environ").read_bytes(), (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if self.token.encode() in environ and words[:2] == [b"sleep", LONG.encode()]:
                found.append(int(path.name))
        return found

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")


def within(seconds: float, condition: Callable[[], object]) -> bool:
    """Return whether the condition becomes true within that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def line_of(tool: Tool, way: str, command: str, folder: Path, port: int) -> str:
    """Return the shell line that runs the command by the tool in that way."""
    line = tool.ways.get(way, tool.plain)
    word = shlex.quote(command)
    if "{config" in line:
        restart = "unexpected" if ":restart" in line else "false"
        nodaemon = "false" if ":daemon" in line else "true"
        config = folder / "supervisord.conf"
        # A percent sign begins a name in this file.
        quoted = word.replace("%", "%%")
        config.write_text(SUPERVISORD.format(folder=folder, command=quoted, restart=restart, nodaemon=nodaemon))
        return f"exec supervisord -c {config}"
    if tool.name == "parallel":
        # Its shell reads the command once more.
        word = shlex.quote(word)
    line = line.replace("{folder}", str(folder)).replace("{port}", str(port))
    return "exec " + line.replace("{}", word, 1)


@contextmanager
def trial(
    tool: Tool, way: str, command: str, folder: Path | None = None, port: int = 0, around: str = "{}"
) -> "Iterator[Trial]":
    """Start a command by the tool in that way, within the shell line `around`; at the end kill all that is left."""
    with tempfile.TemporaryDirectory(prefix="comparison-") as made:
        place = folder or Path(made)
        token = f"COMPARISON={os.getpid()}-{os.urandom(8).hex()};"
        home = place / "home"
        home.mkdir(exist_ok=True)
        name, value = token.split("=")
        environ = {"PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": str(home), "LANG": "C.UTF-8", name: value}
        line = line_of(tool, way, command, place, port)
        if around != "{}":
            line = around.replace("{}", shlex.quote(line))
        with (place / "output").open("wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", line],
                cwd=place, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        one = Trial(process, place, token)
        try:
            yield one
        finally:
            sweep(one)


def sweep(one: Trial) -> None:
    """Kill all processes of the trial."""
    while True:
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if one.token.encode() in (path / "environ").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not found:
            break
        time.sleep(0.02)
    one.process.wait()


# --- the rows


def stops_late(tool: Tool) -> bool:
    """A command that would sleep for ever is ended."""
    with trial(tool, "limit", f"sleep {LONG}") as one:
        return one.wait(5) is not None


def stops_silent(tool: Tool) -> bool:
    """A command that goes silent is ended, and one that prints for twice as long is not."""
    talks = "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.25; done; touch done"
    for way in ("silence", "limit", "plain"):
        with trial(tool, way, f"echo 1; exec sleep {LONG}") as silent, trial(tool, way, talks) as talking:
            if silent.wait(5) is not None and talking.wait_for("done"):
                return True
    return False


def stops_unready(tool: Tool) -> bool:
    """A server that never listens is ended, and one that listens works for longer than that took."""
    for way in ("access", "limit", "plain"):
        port = free_port()
        code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(3)"
        serves = f"{PYTHON} -c {shlex.quote(code)}; touch done"
        with trial(tool, way, f"sleep {LONG}", port=port) as hangs:
            if hangs.wait(4) is None:
                continue
        with trial(tool, way, serves, port=port) as works:
            if works.wait_for("done"):
                return True
    return False


def extends(tool: Tool) -> bool:
    """With one and the same limit, a command that computes is left alone, and one that sleeps is ended."""
    busy = f"{PYTHON} -c 'import time; e = time.monotonic() + 4\nwhile time.monotonic() < e: pass'; touch done"
    for way in ("extension", "limit"):
        with trial(tool, way, busy) as works, trial(tool, way, f"sleep {LONG}") as sleeps:
            if works.wait_for("done", 9) and sleeps.wait(7) is not None:
                return True
    return False


def tells_timeout(tool: Tool) -> bool:
    """The exit code of a limit is neither that of a command that fails, nor that of one that TERM or KILL ends."""
    codes = []
    for command in (f"sleep {LONG}", "exit 1", "kill -TERM $$", "kill -KILL $$"):
        with trial(tool, "limit", command) as one:
            code = one.wait(5)
            codes.append(128 - code if code is not None and code < 0 else code)
    return codes[0] is not None and codes[0] not in codes[1:]


def leaves_nothing(tool: Tool) -> bool:
    """When the tool has ended a command, by its limit or by TERM, a process with a session of its own is gone, too."""
    escape = f"setsid sh -c 'exec sleep {LONG}' & sleep 0.5; touch up; exec sleep {LONG}"
    with trial(tool, "limit", escape) as one:
        if not one.wait_for("up"):
            return False
        if "limit" not in tool.ways:
            one.process.send_signal(signal.SIGTERM)
        return one.wait(8) is not None and within(1.5, lambda: not one.alive())


def survives_kill(tool: Tool) -> bool:
    """When KILL ends the tool, its command is ended, too."""
    with trial(tool, "plain", f"touch up; sleep {LONG}; true") as one:
        if not one.wait_for("up") or not within(5, one.alive):
            return False
        one.process.kill()
        return within(4, lambda: not one.alive())


def locks(tool: Tool) -> bool:
    """A second call, while the first one goes on, does not run its command at the same time."""
    for way in ("lock", "plain"):
        with trial(tool, way, f"touch first; exec sleep {LONG}") as one:
            if not one.wait_for("first"):
                continue
            with trial(tool, way, "touch second", folder=one.folder) as other:
                if not other.wait_for("second", 5):
                    return True
    return False


def is_quiet(tool: Tool) -> bool:
    """Output is shown if the command fails, and not one byte if it succeeds."""
    for way in ("mail", "plain"):
        with trial(tool, way, "echo printed") as good, trial(tool, way, "echo printed; exit 3") as bad:
            if tool.name == "supervisord":
                within(3, lambda: "printed" in bad.output)
            if good.wait(4) is not None and bad.wait(4) is not None and not good.output and "printed" in bad.output:
                return True
    return False


def tries_again(tool: Tool) -> bool:
    """A command that fails at first is run again."""
    with trial(tool, "again", "echo x >>runs; [ $(grep -c x runs) = 2 ] && touch done") as one:
        return one.wait_for("done", 6)


def outlives_terminal(tool: Tool) -> bool:
    """The command goes on when the terminal hangs up: HUP to the tool and to its process group."""
    for way in ("hangup", "plain"):
        with trial(tool, way, f"touch up; exec sleep {LONG}") as one:
            if not one.wait_for("up") or not within(5, one.alive):
                continue
            before = one.alive()
            try:
                os.killpg(one.process.pid, signal.SIGHUP)
            except ProcessLookupError:
                pass
            if not within(2, lambda pids=before: set(one.alive()) != set(pids)):
                return True
    return False


def reaps(tool: Tool) -> bool:
    """As PID 1 it leaves no zombie of an orphan, while its command runs."""
    orphan = (
        "sh -c 'sleep 0.1 & sleep 0'; "
        "(sleep 1.5; grep -l '^State:.Z' /proc/[0-9]*/status >zombies; touch done) & exec sleep 3"
    )
    unshare = "unshare --pid --fork --mount-proc" + ("" if os.geteuid() == 0 else " --map-root-user")
    with trial(tool, "plain", orphan, around=f"exec {unshare} sh -c {{}}") as one:
        return one.wait_for("done", 8) and not (one.folder / "zombies").read_text()


def is_everywhere(tool: Tool) -> bool:
    """Its package is one that every Debian has (Essential)."""
    if not tool.package:
        return False
    words = ["dpkg-query", "-W", "-f", "${Essential}", tool.package]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout == "yes"


ROWS: dict[str, Callable[[Tool], bool]] = {
    "stops a command that runs too long": stops_late,
    "... that goes silent": stops_silent,
    "... that does not come up (a port)": stops_unready,
    "gives more time to a command that works": extends,
    "its exit code tells a timeout from other ends": tells_timeout,
    "leaves no process, not even with a session of its own": leaves_nothing,
    "the command ends, too, when the tool is killed (KILL)": survives_kill,
    "one at a time": locks,
    "output on failure alone": is_quiet,
    "runs a command that failed again": tries_again,
    "the command goes on when the terminal hangs up": outlives_terminal,
    "reaps orphans as PID 1": reaps,
    "is on every Debian": is_everywhere,
}


def version_of(tool: Tool) -> str:
    """Return the version of the tool, as its program or its package says."""
    done = subprocess.run(["sh", "-c", tool.version], capture_output=True, text=True, check=False)
    found = re.search(r"\d[\w.]*\d|\b\d{8}\b|\d", done.stdout)
    return found[0] if found else "?"


def cells(tools: tuple[Tool, ...]) -> dict[str, dict[str, bool]]:
    """Return for each row what was seen of each tool."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = {(row, tool.name): pool.submit(probe, tool) for row, probe in ROWS.items() for tool in tools}
        return {row: {tool.name: seen[row, tool.name].result() for tool in tools} for row in ROWS}


def table(found: dict[str, dict[str, bool]]) -> str:
    """Return what was seen as a table in Markdown."""
    names = list(next(iter(found.values())))
    lines = ["| | " + " | ".join(f"`{name}`" for name in names) + " |", "| --- |" + " :-: |" * len(names)]
    for row, answers in found.items():
        lines.append(f"| {row} | " + " | ".join("yes" if answers[name] else "-" for name in names) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table of the tools that are named, or of all that are installed, and their versions."""
    names = sys.argv[1:] or [tool.name for tool in TOOLS]
    tools = tuple(tool for tool in TOOLS if tool.name in names and (not tool.package or shutil.which(tool.name)))
    print(table(cells(tools)))
    print("\n" + ", ".join(f"{tool.name} {version_of(tool)}" for tool in tools))


if __name__ == "__main__":
    main()
