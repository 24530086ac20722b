"""Two ordinary users beside root, for tests of what one user can do to another.

The users are uids without an account, so that no test has to make one.  A test that needs them asks for the fixture
`users`, which skips where the tests do not run as root.
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

from tests.support.harness import BOUND

T = TypeVar("T")

LOADED = grp, pwd
"""A process of `as_user` may be unable to load them: the test's own Python can lie where that user cannot look."""

ROOT, ALICE, BOB = 0, 1_000_000 + 4 * os.getpid(), 1_000_001 + 4 * os.getpid()
"""Others than those of another test process, which may run at the same time and kills its users' processes."""
ROOTS_HOME = Path("/root")
"""The home of root's account."""
NEEDED = ("typer", "rich", "psutil", "trio", "tomli_w", "platformdirs")
"""What the program imports; copied with all that those need in turn."""


@dataclass
class Users:
    """A supervise that every user can execute, and a folder that every user can enter."""

    program: Path
    python: Path
    """An interpreter that every user can execute."""
    folder: Path
    """Of mode 755, root's."""

    def home(self, uid: int) -> Path:
        """The home of that user, of mode 700."""
        path = self.folder / f"home-{uid}"
        if not path.exists():
            path.mkdir(0o700)
            os.chown(path, uid, uid)
        return path

    def shared(self, name: str = "shared", mode: int = 0o1777, owner: int = ROOT) -> Path:
        """A folder that all may write, as /tmp is."""
        path = self.folder / name
        path.mkdir()
        os.chown(path, owner, owner)
        path.chmod(mode)
        return path

    def environ(self, uid: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of that user."""
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
                out, err = process.communicate(timeout=BOUND)
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
        """What a script, which must succeed, prints as that user; its arguments are `$@`."""
        done = self.run(uid, "/bin/sh", "-c", script, "sh", *arguments, **manner)
        assert done.returncode == 0, done.stderr
        return done.stdout


def as_user(uid: int, function: Callable[..., T], *arguments: object, groups: tuple[int, ...] = ()) -> T:
    """What the function returns in a process of that user's; its exception is raised here."""
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
    """The users and a folder for them; at the end none of their processes and files is left."""
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
    """What root records in the home of its account meanwhile is removed again."""
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
    """Why there can be no such test here; empty where there can."""
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
    """A Python that ordinary users can execute, and a program: our package with what it needs, copied for that Python.

    It is there until this process ends.
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
    ours = find_spec("supervise")
    assert ours
    assert ours.submodule_search_locations
    shutil.copytree(next(iter(ours.submodule_search_locations)), library / "supervise")
    program = folder / "supervise"
    program.write_text(
        f"#!/usr/bin/python3\nimport sys\nsys.path[0] = {str(library)!r}\n"
        "from supervise.__main__ import main\nmain()\n"
    )  # fmt: skip
    program.chmod(0o755)
    subprocess.run(["chmod", "-R", "a+rX", library], check=True)
    return Path("/usr/bin/python3"), program


def _closure(names: tuple[str, ...]) -> set[str]:
    """The top modules of these distributions and of all that they require and that is installed."""
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
    """The processes of the two users, zombies left out, and their command lines."""
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
    """Kill what is left of the two users' processes; what that was."""
    left = alive()
    for pid in left:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    return [f"{pid} {command!r}" for pid, command in left.items()]
