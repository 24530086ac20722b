"""Two ordinary users beside root, for tests of what one user can do to another.

The users are uids without an account, so that no test has to make an account. A test asks for them by the fixture
`users`, which skips the test where it does not run as root.
"""

import atexit
import grp
import os
import pickle
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from tests.support.harness import HANG_SECONDS

T = TypeVar("T")

LOADED = grp, pwd
"""Modules that a process of `as_user` may be unable to load: the folder of the test's Python may be closed to it."""

ROOT, ALICE, BOB = 0, 1_000_000 + 4 * os.getpid(), 1_000_001 + 4 * os.getpid()
"""The uids. Each process of pytest has others: at the end of a test all processes of its two users are killed."""
ROOTS_HOME = Path("/root")
"""The home of root's account."""
NEEDED = ("click", "rich", "trio", "tomli_w")
"""The distributions that the program imports; they are copied with all that they require."""


@dataclass
class Users:
    """A supervise that every user can execute, and a folder that every user can enter."""

    program: Path
    python: Path
    """An interpreter that every user can execute."""
    folder: Path
    """The folder of the test, of mode 755 and root's."""

    def home(self, uid: int) -> Path:
        """Return the home of that user, of mode 700."""
        path = self.folder / f"home-{uid}"
        if not path.exists():
            path.mkdir(0o700)
            os.chown(path, uid, uid)
        return path

    def shared(self, name: str = "shared", mode: int = 0o1777, owner: int = ROOT) -> Path:
        """Make a folder that every user may write, as /tmp is, and return it."""
        path = self.folder / name
        path.mkdir()
        os.chown(path, owner, owner)
        path.chmod(mode)
        return path

    def environ(self, uid: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the whole environment of that user."""
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.home(uid)), "LANG": "C.UTF-8", **(extra or {})}

    def popen(
        self, uid: int, *words: str, env: Mapping[str, str] | None = None, **manner: Any
    ) -> "subprocess.Popen[bytes]":
        """Start these words as that user, in a session of their own."""
        manner = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **manner}
        return subprocess.Popen(
            words,
            user=uid,
            group=uid,
            extra_groups=[],
            env=self.environ(uid, env),
            cwd=manner.pop("cwd", "/"),
            start_new_session=True,
            **manner,
        )

    def run(
        self, uid: int, *words: str, env: Mapping[str, str] | None = None, **manner: Any
    ) -> "subprocess.CompletedProcess[str]":
        """Run these words as that user, to their end."""
        with self.popen(uid, *words, env=env, **manner) as process:
            try:
                out, err = process.communicate(timeout=HANG_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(words, process.returncode, out.decode(), err.decode())

    def supervise(
        self, uid: int, *words: str, env: Mapping[str, str] | None = None, **manner: Any
    ) -> "subprocess.CompletedProcess[str]":
        """Run `supervise` with these words as that user, to its end."""
        return self.run(uid, str(self.program), *words, env=env, **manner)

    def shell(self, uid: int, script: str, *arguments: str, **manner: Any) -> str:
        """Run a script as that user, check that it succeeds, and return its stdout; the arguments are `$@`."""
        done = self.run(uid, "/bin/sh", "-c", script, "sh", *arguments, **manner)
        assert done.returncode == 0, done.stderr
        return done.stdout


def as_user(uid: int, function: Callable[..., T], *arguments: object, groups: tuple[int, ...] = ()) -> T:
    """Call the function in a process of that user, and return what it returns; an exception is raised here."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            try:
                answer: tuple[bool, object] = True, function(*arguments)
            except BaseException as error:
                answer = False, error
            os.write(write, pickle.dumps(answer))
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    is_done, value = pickle.loads(data)
    if not is_done:
        raise value
    return value  # type: ignore[no-any-return]


@contextmanager
def users(program: Path) -> Iterator[Users]:
    """Yield the users; at the end kill their processes, remove their files, and fail where a process was left."""
    with tempfile.TemporaryDirectory(prefix="supervise-users-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        python = Path(sys.executable)
        if not _can_run(program):
            python, program = _copy()
        try:
            yield Users(program, python, folder)
        finally:
            left = _kill_all()
            for uid in (ALICE, BOB):
                for parent in ("/run/lock", "/tmp"):
                    for path in Path(parent).glob(f"supervise-{uid}*"):
                        shutil.rmtree(path, ignore_errors=True)
    assert not left, f"left alive: {left}"


@contextmanager
def roots_records() -> Iterator[None]:
    """Remove at the end the records that root has made meanwhile in the home of its account."""
    state = ROOTS_HOME / ".local/state/supervise"
    missing = [path for path in (state, state.parent, state.parent.parent) if not path.exists()]
    before = {*os.listdir(state / "runs")} if (state / "runs").exists() else set()
    try:
        yield
    finally:
        for name in {*os.listdir(state / "runs")} - before if (state / "runs").exists() else ():
            if (state / "runs" / name / "end.json").exists():
                shutil.rmtree(state / "runs" / name, ignore_errors=True)
        for path in missing:
            if path == state:
                shutil.rmtree(path, ignore_errors=True)
            elif path.exists() and not os.listdir(path):
                path.rmdir()


def why_not() -> str:
    """Return why there can be no test with two users here; empty where there can."""
    if os.geteuid() != 0:
        return "needs root, who can become two ordinary users"
    if os.read(fd := os.open("/proc/self/uid_map", os.O_RDONLY), 100).split() != [b"0", b"0", b"4294967295"]:
        os.close(fd)
        return "needs uids of its own, which this user namespace may not have"
    os.close(fd)
    if not _can_run(Path(sys.executable).with_name("supervise")) and not _can_run(Path("/usr/bin/python3")):
        return "needs a Python that ordinary users can execute"
    return ""


@cache
def _can_run(program: Path) -> bool:
    words = [program, "-c", "pass"] if program.name.startswith("python") else [program, "--version"]
    try:
        done = subprocess.run(words, user=BOB, group=BOB, extra_groups=[], env={}, cwd="/", capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


@cache
def _copy() -> tuple[Path, Path]:
    """Return a Python that ordinary users can execute, and a supervise for that Python.

    The supervise is a copy of the package with all that it requires; it exists until this process ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="supervise-copy-", dir="/tmp"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = folder / "library"
    library.mkdir()
    for name in _closure(NEEDED):
        spec = find_spec(name)
        if spec and spec.submodule_search_locations:
            shutil.copytree(next(iter(spec.submodule_search_locations)), library / name)
        elif spec and spec.origin:
            shutil.copy(spec.origin, library)
    package = find_spec("supervise")
    assert package
    assert package.submodule_search_locations
    shutil.copytree(next(iter(package.submodule_search_locations)), library / "supervise")
    program = folder / "supervise"
    program.write_text(
        f"#!/usr/bin/python3\nimport sys\nsys.path[0] = {str(library)!r}\n"
        "from supervise.__main__ import main\nmain()\n"
    )  # fmt: skip
    program.chmod(0o755)
    subprocess.run(["chmod", "-R", "a+rX", library], check=True)
    return Path("/usr/bin/python3"), program


def _closure(names: tuple[str, ...]) -> set[str]:
    """Return the top modules of these distributions and of all installed ones that they require."""
    modules: set[str] = set()
    seen: set[str] = set()
    left = [*names]
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except Exception:
            continue
        files = found.files or []
        modules |= {file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"} - {".."}
        requirements = [line for line in found.requires or [] if "extra ==" not in line]
        left += ["".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0] for line in requirements]
    return {name for name in modules if name.isidentifier()}


def alive() -> dict[int, bytes]:
    """Return the pids and command lines of the two users' processes, zombies left out."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if os.stat(f"/proc/{name}").st_uid in (ALICE, BOB):
                    command = Path(f"/proc/{name}/cmdline").read_bytes()
                    found |= {int(name): command} if command else {}
            except OSError:
                continue
    return found


def _kill_all() -> list[str]:
    """Kill the processes of the two users; return them with their command lines."""
    left = alive()
    for pid in left:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    return [f"{pid} {command!r}" for pid, command in left.items()]
