"""The escape artists by name, and the run of an artist under a supervisor and a keeper.

This is no test: test_escape.py and the bench of survivors both use it.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ARTISTS = HERE / "artists"
KEEPER = (sys.executable, "-S", "-E", str(HERE / "keeper.py"))
HANG_SECONDS = 180.0
"""Seconds after which a keeper is taken to hang: all its own waits are shorter."""
NOT_ALLOWED = 77
"""The exit code of an artist that the system does not allow its trick."""
ORDINARY_UID = 65534
"""The uid of the user `nobody`."""
BUSY_LOOPS = 3


@dataclass(frozen=True)
class Artist:
    """A program with one trick to escape."""

    name: str
    what: str
    language: str = "c"
    is_storm: bool = False
    """Whether the artist loads the machine while it lives: only one storm runs at a time."""


SIMPLE = (
    Artist("setsid", "a session of its own", "python"),
    Artist("double-fork", "a daemon whose session leader stays", "python"),
    Artist("double-fork-leader-gone", "a daemon whose session leader has gone", "python"),
    Artist("own-group", "a process group of its own", "python"),
    Artist("ignored-signals", "every signal ignored", "python"),
    Artist("blocked-signals", "every signal blocked", "python"),
    Artist("stopped", "stopped by SIGSTOP, in a session of its own", "python"),
    Artist("pipe-holder", "holds stdout and stderr open and writes on", "python"),
    Artist("closed-descriptors", "no open descriptor, no working directory", "python"),
    Artist("emptied-environment", "no environment, no arguments, a name to break readers of /proc", "python"),
    Artist("stops-its-parent", "SIGSTOP to whoever started it", "python"),
    Artist("shell-jobs", "nohup, subshells, setsid and pipelines in the background", "sh"),
    Artist("nested-subreaper", "orphans that fall to a subreaper inside the tree"),
    Artist("pid-namespace", "a pid namespace with an init of its own"),
    Artist("user-namespace", "a user namespace"),
    Artist("non-dumpable", "PR_SET_DUMPABLE 0: its /proc belongs to root"),
    Artist("fork-on-term", "forks when it is asked to stop, and so does the copy"),
    Artist("vfork", "a parent that sleeps in the kernel in vfork"),
    Artist("thread-forks", "a child of a thread that is not the first"),
    Artist("clone-parent", "CLONE_PARENT: a sibling, not a child"),
    Artist("clone-without-sigchld", "a child that tells its parent nothing"),
    Artist("leader-thread-gone", "its first thread has exited: shown as a zombie, alive"),
    Artist("traced", "stopped under ptrace by its own parent"),
    Artist("zombies", "fifty dead that nobody waits for"),
)
STORMS = (
    Artist("exec-loop", "another program every millisecond, in the same process", is_storm=True),
    Artist("chain-50ms", "forks and leaves every 50 ms", is_storm=True),
    Artist("chain-50ms-setsid", "the same, each in a new session", is_storm=True),
    Artist("chain-1ms", "forks and leaves every millisecond", is_storm=True),
    Artist("chain-1ms-setsid", "the same, each in a new session", is_storm=True),
    Artist("chain-0ms", "forks and leaves as fast as it can", is_storm=True),
    Artist("chain-0ms-setsid", "the same, each in a new session", is_storm=True),
    Artist("pair", "two that fork each other anew when one dies", is_storm=True),
    Artist("bomb-300", "three hundred that replace each other, up to a thousand births", is_storm=True),
    Artist("wide-1000", "a thousand children, half of them in sessions of their own", is_storm=True),
    Artist("deep-100", "a hundred generations, each in a session of its own", is_storm=True),
    Artist("orphans-1000", "a thousand orphans in sessions of their own", is_storm=True),
)
ALL = (*SIMPLE, *STORMS)
CHAINS = tuple(artist for artist in ALL if artist.name.startswith("chain-"))
ROOT_OWNED = Artist("root-owned", "set-user-id root, all its user ids root's, under an ordinary user")


@dataclass(frozen=True)
class Result:
    """The findings of the keeper (keeper.py), and the output of the program."""

    cgroup: str
    """The cgroup of the guardian before anything was done to it; empty where there is none."""
    stood: bool
    has_acted: bool
    has_ended: bool
    status: int | None
    lasted: float
    ended_after: float
    emptied_after: float | None
    survivors: list[str]
    out: str = field(repr=False)
    err: str


class NoCompilerError(Exception):
    """There is no compiler for the artists that are written in C."""


@cache
def _built() -> Path:
    """Compile the C artists into a folder that every user may read, and that is removed at the end of this process."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise NoCompilerError("no gcc and no cc to build the artists in C with")
    program = folder() / "artist"
    source = str(ARTISTS / "artist.c")
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-pthread", "-o", str(program), source], check=True)
    return program


@cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    kept = tempfile.TemporaryDirectory(prefix="escape-", ignore_cleanup_errors=True)
    os.chmod(kept.name, 0o755)
    return kept


def folder() -> Path:
    """Return the folder for all that is built once."""
    return Path(_folder().name)


def command_of(artist: Artist, ready: Path) -> list[str]:
    """Return the command line of the artist.

    Raises NoCompilerError.
    """
    if artist.language == "python":
        # `env` executes the program: a lookup by access(2) ignores the capabilities that `as_ordinary_user` keeps.
        return ["env", sys.executable, "-S", "-E", str(_copied("artist.py")), artist.name, str(ready)]
    if artist.language == "sh":
        return ["sh", str(_copied("artist.sh")), artist.name, str(ready)]
    words = [str(_built()), artist.name, str(ready)]
    return [*words, str(_root_owned())] if artist is ROOT_OWNED else words


@cache
def _copied(name: str) -> Path:
    """Return a copy of the file that an ordinary user may read, wherever the checkout is."""
    return Path(shutil.copy(ARTISTS / name, folder()))


@cache
def _root_owned() -> Path:
    """Return the program of the artists set-user-id root; only root can make it."""
    program = Path(shutil.copy(_built(), folder() / "root-owned"))
    program.chmod(0o4755)
    return program


def why_not_root_owned() -> str:
    """Return why no program can be made set-user-id root here; empty where one can."""
    if os.getuid():
        return "only root can make a set-user-id root program"
    if os.statvfs(folder()).f_flag & os.ST_NOSUID:
        return f"{folder()} is on a filesystem without set-user-id"
    return ""


@cache
def as_ordinary_user(program: str, user: int = ORDINARY_UID) -> tuple[str, ...]:
    """Return the words by which root becomes an ordinary user who can start that program; none where it cannot."""
    if os.getuid() or not shutil.which("setpriv"):
        return ()
    plain = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    # The interpreter may be below a closed home of root: the user keeps the right to find and read it, and no other.
    reading = (*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    for words in (plain, reading):
        # `env` looks the program up: setpriv itself still has root's rights in its own lookup.
        tried = subprocess.run([*words, "env", program, "--version"], capture_output=True, cwd="/")
        if tried.returncode == 0:
            return words
    return ()


def own_cgroup() -> Path:
    """Return the folder of this process's own cgroup of version 2.

    Raises OSError where there is none.
    """
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    points = [mount[1] for mount in mounts if mount[2] == "cgroup2"]
    if not own or not points:
        raise OSError("no cgroup of version 2 is mounted")
    return Path(points[0] + own)


def why_no_cgroup() -> str:
    """Return why there can be no cgroup with `cgroup.kill` here; empty where there can."""
    try:
        folder = own_cgroup() / f"probe-{os.getpid()}"
        folder.mkdir()
    except OSError as error:
        return str(error)
    can_be_killed = (folder / "cgroup.kill").exists()
    folder.rmdir()
    return "" if can_be_killed else "this kernel cannot kill a whole cgroup"


def cgroup_of(pid: int) -> str:
    """Return the path of the process's cgroup of version 2."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line.removeprefix("0::") for line in lines if line.startswith("0::"))


def folder_of(cgroup: str) -> Path:
    """Return the folder of that cgroup, which is below the own one."""
    return own_cgroup() / Path(cgroup).name


@contextmanager
def turn(artist: Artist) -> Iterator[None]:
    """Wait, for a storm, until no other storm runs, also in tests that run side by side."""
    with open(__file__) as file:
        if artist.is_storm:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def stage_folder() -> Iterator[Path]:
    """Yield an empty folder that every user may write; it is sticky, else supervise would put no socket below it."""
    with tempfile.TemporaryDirectory(prefix="escape-run-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o1777)
        yield Path(name)


def run(
    command: list[str],
    place: Path,
    *,
    act: str = "none",
    number: int = 0,
    after: float | None = None,
    in_cgroup: bool = False,
    linger: float = 0.0,
    gap: float = 0.0,
    patience: float = 20.0,
    settle: float = 0.0,
) -> Result:
    """Run the command in `place` under a keeper with these words; the ready file of the artist is `place / "ready"`."""
    runtime = place / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "TMPDIR": str(place),
        # The socket of a run that is killed whole stays, and is removed with the place.
        "XDG_RUNTIME_DIR": str(runtime),
        "LANG": "C.UTF-8",
    }
    wanted = {
        "command": command,
        "cwd": str(place),
        "env": environ,
        "ready": str(place / "ready"),
        "act": act,
        "signal": number,
        "after": after,
        "in_cgroup": in_cgroup,
        "linger": linger,
        "gap": gap,
        "patience": patience,
        "settle": settle,
    }
    keeper = subprocess.Popen([*KEEPER, json.dumps(wanted)], stdout=subprocess.PIPE, text=True)
    try:
        printed, _ = keeper.communicate(timeout=HANG_SECONDS)
    except BaseException:
        # The keeper kills all processes that are left before it ends.
        keeper.terminate()
        keeper.communicate()
        raise
    assert keeper.returncode == 0, f"the keeper failed: {keeper.returncode}"
    out, err = ((place / name).read_text(errors="replace") for name in ("out", "err"))
    return Result(**json.loads(printed), out=out, err=err)


@contextmanager
def busy_loops(count: int = BUSY_LOOPS) -> Iterator[None]:
    """Run so many busy loops beside the test, each for two minutes at most."""
    code = "import signal; signal.alarm(120)\nwhile True: pass"
    started = [subprocess.Popen([sys.executable, "-S", "-E", "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for one in started:
            one.send_signal(signal.SIGKILL)
        for one in started:
            one.wait()
