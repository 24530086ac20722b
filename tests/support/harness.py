"""The installed program, run as a user runs it, in an empty folder; and the proof that it leaves nothing behind."""

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from jsonschema import Draft202012Validator

HANG_SECONDS = 40.0
"""Seconds after which a wait fails: many times what any of them takes."""
CHILDREN = Path(__file__).with_name("children.py")
PYTHON = (sys.executable, "-I", "-S")
TOKEN = "E2E_TOKEN"
"""The environment variable by which the processes of a test are found."""
SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""

T = TypeVar("T")


def child(*words: str) -> tuple[str, ...]:
    """Return the command line of children.py for these words."""
    return (*PYTHON, str(CHILDREN), *words)


def wait_until(condition: Callable[[], T], bound: float = HANG_SECONDS) -> T:
    """Call the condition until it is true, and return its value; fail after `bound` seconds."""
    end = time.monotonic() + bound
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {bound:.0f} s"
        time.sleep(0.002)
    return answer


def wait_for_file(path: Path) -> int:
    """Wait for a file, and return the number in it: the pid that `mark` of children.py wrote."""
    return int(wait_until(lambda: path.exists() and path.read_text()))


def state_of(pid: int) -> str:
    """Return the state of a process as its letter in proc(5); X where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return "X"
    return chr(stat[stat.rindex(b")") + 2])


def is_alive(pid: int) -> bool:
    """Return whether the process is alive.

    A zombie counts while it has more threads than its first: these hold its files and locks.
    """
    state = state_of(pid)
    if state != "Z":
        return state != "X"
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def name_of(pid: int) -> str:
    """Return the name of a process (proc(5), comm); `?` where there is no such process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def is_watcher(pid: int) -> bool:
    """Return whether the process is the watcher of a cgroup (supervise/process/cgroup.py)."""
    try:
        return b"\0supervise-watcher\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def parent_of(pid: int) -> int:
    """Return the pid of the parent; 0 where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def alive_with(token: str) -> list[int]:
    """Return the living processes, but this one, that had the token in their environment when they were executed."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if token.encode() in environ and is_alive(int(name)):
                found.append(int(name))
    return found


@cache
def validator(name: str) -> Draft202012Validator:
    """Return a validator for a schema of the program: `report` or `event`."""
    schema = json.loads((files("supervise") / "schema" / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


class Reader(threading.Thread):
    """A thread that collects all bytes of a pipe, so that the writer never waits for the test."""

    def __init__(self, file: Any) -> None:
        super().__init__(daemon=True)
        self._file = file
        self._collected = bytearray()
        self.start()

    @property
    def data(self) -> bytes:
        return bytes(self._collected)

    def run(self) -> None:
        with self._file:
            while data := os.read(self._file.fileno(), 1 << 16):
                self._collected += data


def end_of(process: "subprocess.Popen[bytes]", bound: float = HANG_SECONDS) -> int:
    """Wait for the end of the program, and return its exit code at once.

    Popen.wait with a bound looks only every 50 ms: a test would take that delay for a lateness of the program.
    Raises subprocess.TimeoutExpired.
    """
    if process.returncode is not None:
        return process.returncode
    until = time.monotonic() + bound
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        # It was reaped with the orphans.
        return process.wait(bound)
    try:
        select.select([pidfd], [], [], bound)
    finally:
        os.close(pidfd)
    # A dead process that another one traces cannot be waited for yet.
    return process.wait(max(0.0, until - time.monotonic()))


@dataclass(frozen=True)
class Ended:
    """A program that has ended."""

    code: int
    """The exit code as subprocess has it: -N where signal N ended the program."""
    out: bytes
    err: bytes
    left: list[str]
    """The processes of its tree that were alive right after its end."""
    report: Any
    """The content of the report; None where there is no report."""
    events: list[Any]

    @property
    def messages(self) -> list[str]:
        """Return the messages of supervise on stderr, without the `supervise: ` at their beginning."""
        lines = self.err.decode(errors="replace").splitlines()
        return [line.removeprefix("supervise: ") for line in lines if line.startswith("supervise: ")]

    @property
    def finals(self) -> list[str]:
        """Return the messages that name the exit code of supervise."""
        return [message for message in self.messages if "(exit " in message]

    def events_named(self, name: str) -> list[Any]:
        """Return the events of that name."""
        return [event for event in self.events if event["event"] == name]


@dataclass
class Running:
    """A program that was started."""

    process: "subprocess.Popen[bytes]"
    place: "Place"
    token: str
    report_path: Path
    events_path: Path
    readers: dict[str, Reader] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> bytes:
        """Return what has come on stdout so far."""
        return self.readers["out"].data

    @property
    def err(self) -> bytes:
        return self.readers["err"].data

    def wait_for_out(self, text: bytes) -> None:
        wait_until(lambda: text in self.out or self._has_ended())
        assert text in self.out, f"it has ended: {self.err!r}"

    def wait_for_err(self, text: bytes) -> None:
        wait_until(lambda: text in self.err or self._has_ended())
        assert text in self.err, f"it has ended: {self.err!r}"

    def _has_ended(self) -> bool:
        return self.process.poll() is not None and not any(reader.is_alive() for reader in self.readers.values())

    def guardian(self) -> int:
        """Wait for the guardian, and return its pid: the child with the guardian's name."""
        return wait_until(lambda: next((pid for pid in self.children() if name_of(pid) == "supervise-guard"), 0))

    def children(self) -> list[int]:
        try:
            text = "".join(path.read_text() for path in Path(f"/proc/{self.pid}/task").glob("*/children"))
        except OSError:
            return []
        return [int(pid) for pid in text.split()]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, bound: float = HANG_SECONDS) -> Ended:
        """Wait for the end of the program, and look at once which processes of its tree are left."""
        try:
            code = end_of(self.process, bound)
        except subprocess.TimeoutExpired:
            alive = [f"{pid} {name_of(pid)} {state_of(pid)}" for pid in alive_with(self.token)]
            self.place.sweep()
            raise AssertionError(f"hangs; alive: {alive}; stderr: {self.err[-2000:]!r}") from None
        left = [f"{pid} {name_of(pid)}" for pid in alive_with(self.token)]
        for reader in self.readers.values():
            reader.join(HANG_SECONDS)
            assert not reader.is_alive(), f"a process still holds the pipe: {left}"
        report = json.loads(self.report_path.read_bytes()) if self.report_path.exists() else None
        if report is not None:
            validator("report").validate(report)
        events = []
        if self.events_path.exists():
            events = [json.loads(line) for line in self.events_path.read_bytes().splitlines()]
        for event in events:
            validator("event").validate(event)
        data = {name: reader.data for name, reader in self.readers.items()}
        return Ended(code, data.get("out", b""), data.get("err", b""), left, report, events)


class Place:
    """The folders and the environment of one test.

    A call of it runs `supervise run` with a report, and waits for the end.
    """

    def __init__(self, folder: Path, program: Path, token: str) -> None:
        self.folder = folder / "work"
        self.program = program
        self._token = token
        self._home, self._temporary, self.runtime = folder / "home", folder / "tmp", folder / "run"
        for path in (self.folder, self._home, self._temporary, self.runtime):
            path.mkdir()
        self.environ = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HOME": str(self._home),
            "TMPDIR": str(self._temporary),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "LANG": "C.UTF-8",
        }
        self.state = str(self._home / ".local/state/supervise")
        """The folder of the records."""
        self._started: list[Running] = []

    def __call__(self, *words: str, **manner: Any) -> Ended:
        """Run `supervise run --report FILE WORDS`, to its end."""
        return self.start(*words, **manner).wait()

    def start(self, *words: str, report: bool = True, events: bool = False, **manner: Any) -> Running:
        """Start `supervise run` with a report and events as asked for; with neither, the bare `supervise WORDS`."""
        number = len(self._started)
        options = ["--report", str(self.report_path(number))] if report else []
        options += ["--events", str(self.events_path(number))] if events else []
        return self.popen([str(self.program), *(["run"] if options else []), *options, *words], **manner)

    def shell(self, script: str, *arguments: str, shell: str = "bash", **manner: Any) -> Ended:
        """Run a script, to its end; its arguments are `$@`, and `supervise` is on its PATH."""
        return self.popen([shell, "-c", script, shell, *arguments], **manner).wait()

    def popen(
        self,
        command: list[str],
        env: Mapping[str, str] | None = None,
        stdin: bytes | int = subprocess.DEVNULL,
        stdout: int | None = None,
        stderr: int | None = None,
        **manner: Any,
    ) -> Running:
        """Start any program in a session of its own, so without a terminal; stdout and stderr are read by default."""
        is_text = isinstance(stdin, bytes)
        number = len(self._started)
        token = f"{self._token}-{number};"
        process = subprocess.Popen(
            command,
            cwd=manner.pop("cwd", self.folder),
            env={**self.environ, TOKEN: token, **(env or {})},
            stdin=subprocess.PIPE if is_text else stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE if stderr is None else stderr,
            start_new_session=True,
            **manner,
        )
        running = Running(process, self, token, self.report_path(number), self.events_path(number))
        self._started.append(running)
        for name, file in (("out", process.stdout), ("err", process.stderr)):
            if file is not None:
                running.readers[name] = Reader(file)
        if is_text:
            assert process.stdin is not None
            with process.stdin:
                process.stdin.write(stdin)
        return running

    def report_path(self, number: int) -> Path:
        return self.folder / f"report-{number}.json"

    def events_path(self, number: int) -> Path:
        return self.folder / f"events-{number}.jsonl"

    def file(self, name: str) -> Path:
        """Return the path of a file in the test's folder, for a child to mark."""
        return self.folder / name

    def alive(self) -> list[int]:
        """Return the pids of the test's living processes."""
        return alive_with(self._token)

    def sweep(self) -> list[str]:
        """Kill all processes of the test; return those that were alive, by pid and name.

        The sockets of the runs that are killed so go as well: no process is left that could remove them.
        """
        swept = {pid: name_of(pid) for pid in self.alive()}
        forgotten = self._forgotten_sockets()
        wait_until(lambda: not self._kill_alive())
        for running in self._started:
            running.process.wait(HANG_SECONDS)
            for reader in running.readers.values():
                reader.join(HANG_SECONDS)
        reap_orphans()
        for path in self._sockets() - forgotten:
            path.unlink(missing_ok=True)
        return [f"{pid} {name}" for pid, name in swept.items()]

    def _sockets(self) -> set[Path]:
        return {path for path in self.runtime.rglob("*") if path.is_socket()}

    def _forgotten_sockets(self) -> set[Path]:
        """Return the sockets whose run is over; the kernel has the names under which the others are bound (proc(5)).

        A run that opens its socket a moment later, before it is killed, has not forgotten it.
        """
        sockets = self._sockets()
        bound = Path("/proc/net/unix").read_text()
        return {path for path in sockets if path.stem not in bound}

    def _kill_alive(self) -> list[int]:
        alive = self.alive()
        for pid in alive:
            if is_watcher(pid):
                # The watcher ends by itself when the others are dead, and removes their cgroup.
                continue
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return alive

    def litter(self) -> list[str]:
        """Return the files that supervise should have removed."""
        sockets = [path for path in self.runtime.rglob("*") if not path.is_dir()]
        return [str(path) for path in (*self._temporary.rglob("*"), *self.folder.rglob(".supervise-*"), *sockets)]


def reap_orphans() -> None:
    """Reap the dead processes that have become children of this one."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


@contextmanager
def place(folder: Path, program: Path) -> Iterator[Place]:
    """Yield the place of one test; at the end prove that no process, no descriptor and no file is left."""
    prctl = ctypes.CDLL(None).prctl
    # A command that dies on purpose would leave a core file.
    core = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, core[1]))
    files_before = sorted(os.listdir("/proc/self/fd"))
    # An orphan becomes a child of this process, and not of an init that may be slow to reap it.
    prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    here = Place(folder, program, f"{os.getpid()}-{os.urandom(8).hex()}")
    try:
        yield here
    finally:
        swept = here.sweep()
        resource.setrlimit(resource.RLIMIT_CORE, core)
        prctl(SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert not swept, f"left alive: {swept}"
    assert not here.litter(), f"left behind: {here.litter()}"
    assert sorted(os.listdir("/proc/self/fd")) == files_before, "the test has left descriptors open"
