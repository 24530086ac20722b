"""The table of what `supervise doctor` looks at: what the system gives to a run, and what is used where it does not.

Each check tries the thing itself, as a run would, and leaves nothing behind.
"""

import os
import sys
from collections.abc import Callable
from time import monotonic

from supervise.process import cgroup, kernel_log, memory_cgroup, system, tree
from supervise.text.stderr import reason_of

LEAST_PYTHON = (3, 11)
LIBRARIES = ("click", "rich", "trio", "tomli_w", *(("psutil", "platformdirs") if sys.platform != "linux" else ()))
TRIAL_SECONDS = 20.0
"""Seconds that a run of `true` may take, on a busy machine."""
TRIAL_BYTES = 1 << 30
"""A limit of memory for a cgroup that stays empty."""
NAMESPACES = {"pid": 0xEFFFFFFC, "net": 0, "user": 0xEFFFFFFD, "cgroup": 0xEFFFFFFB}
"""The namespaces that matter to a run, each with the inode of the one that the kernel begins with (linux/proc_ns.h);
that of the network has no fixed one."""
ENGINES = {"sbatch": "Slurm", "condor_submit": "HTCondor", "kubectl": "Kubernetes"}
"""The programs by which `submit --on` reaches other machines."""

Finding = tuple[bool, str]
"""Whether the thing is there, and what was found."""


class Check:
    """One row: its name, what looks, what a run has of it, and what is used instead."""

    __slots__ = ("instead", "is_essential", "look", "name")

    def __init__(
        self, name: str, look: Callable[[], Finding], instead: str = "", *, is_essential: bool = False
    ) -> None:
        self.name = name
        self.look = look
        self.instead = instead
        self.is_essential = is_essential
        """Whether no run can do without it."""


def look(check: Check) -> Finding:
    """Return what the check finds; an error of the system is what was found, too."""
    try:
        return check.look()
    except (OSError, ImportError, ValueError) as error:
        return False, reason_of(error, with_path=True)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return sys.version_info[:2] >= LEAST_PYTHON, f"{version}, {sys.executable or 'unknown path'}"


def _start() -> Finding:
    # The native start and the Debian package have set this before the first line of supervise.
    is_isolated = bool(sys.flags.isolated)
    return is_isolated, "variables for Python reach the command alone" if is_isolated else "a script, not isolated"


def _libraries() -> Finding:
    from importlib import import_module
    from importlib.metadata import PackageNotFoundError, version

    found, missing = [], []
    for name in LIBRARIES:
        try:
            import_module(name)
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(name)
        except ImportError:
            missing.append(name)
    return not missing, f"missing: {', '.join(missing)}" if missing else ", ".join(found)


def _trial() -> Finding:
    """Run `true` under supervise, as a user would, with a limit and without a record."""
    import subprocess

    import supervise

    folder = os.path.dirname(os.path.abspath(supervise.__path__[0]))
    code = f"import sys; sys.path.append({folder!r}); from supervise.__main__ import main; main()"
    words = [sys.executable, "-I", "-c", code, "--config", "/dev/null", "--no-record", "-t", "10s", "--", "true"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SUPERVISE_")}
    try:
        ended = subprocess.run(
            words, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"true did not end within {TRIAL_SECONDS:.0f} s"
    said = ended.stderr.decode(errors="replace").strip().splitlines()
    return ended.returncode == 0, "true ended with 0" if ended.returncode == 0 else "; ".join(
        [f"true ended with {ended.returncode}", *said[:1]]
    )


def _configuration() -> Finding:
    from supervise.options import config, config_location
    from supervise.options.table import BadValueError

    try:
        path, notice = config_location.find({}, os.environ)
        if not path:
            return True, notice or "none"
        configuration = config.load(path, is_named=bool(os.environ.get("SUPERVISE_CONFIG")))
        errors = configuration.located(configuration.problems())
    except BadValueError as error:
        return False, str(error)
    return not errors, errors[0] if errors else path


def _state() -> Finding:
    from supervise.files import private_files
    from supervise.records import reader

    try:
        state, notice = reader.own_state()
    except reader.NotFoundError as error:
        return False, str(error)
    there = state
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    # Access rights do not tell everything: root may write to /proc, and make no folder there.
    trial = f"{there}/.supervise-{_trial_id()}"
    os.mkdir(trial, 0o700)
    os.rmdir(trial)
    room = os.statvfs(there)
    if os.path.isdir(state):
        private_files.check_folder(state)
    return True, notice or f"{state}, {room.f_bavail * room.f_frsize >> 20} MiB free"


def _sockets() -> Finding:
    from supervise.control import runtime_folders

    return _first_folder(runtime_folders.for_sockets())


def _locks() -> Finding:
    from supervise.control import runtime_folders

    return _first_folder(runtime_folders.for_locks())


def _first_folder(choices: "list[FolderChoice]") -> Finding:
    """Return the first of the folders that can be used; it is made, as a run would make it."""
    why = ""
    for choice in choices:
        try:
            folder = choice.open()
        except OSError as error:
            why = reason_of(error, with_path=True)
            continue
        path = folder.path
        folder.close()
        return True, path
    return False, why


def _proc() -> Finding:
    if tree.HAS_OWN_PROC:
        return True, "it shows the processes by the pids that they have here"
    return False, "it is of another pid namespace" if os.path.isdir("/proc/1") else "not mounted"


def _children() -> Finding:
    return tree.has_children_file(), "/proc/PID/task/TID/children"


def _pidfd() -> Finding:
    if not hasattr(os, "pidfd_open"):
        return False, "Python was built without it"
    os.close(os.pidfd_open(os.getpid()))
    return True, "a signal reaches the process that was meant"


def _subreaper() -> Finding:
    return system.become_subreaper(), "orphans of the command become children of supervise"


def _sock_diag() -> Finding:
    from supervise.activity import sock_diag

    found = sock_diag.dump()
    return True, "bytes of TCP sockets" + (f", {len(found)} open now" if found is not None else "")


def _cgroup() -> Finding:
    made = cgroup.create(_trial_id())
    if made is None:
        return False, "none can be made here" if os.path.isdir("/sys/fs/cgroup") else "not mounted"
    os.close(made.watcher_pipe)
    made.remove()
    return True, "the kernel kills the tree if supervise and its guardian are killed"


def _memory() -> Finding:
    made = memory_cgroup.create(_trial_id(), TRIAL_BYTES)
    if made is None:
        return False, "no cgroup with a limit can be made here"
    made.clear()
    return True, f"version {made.version}, --memory-max is held by the kernel"


def _trial_id() -> str:
    """Return the id of a run that does not exist, in the form of one, for a cgroup that is removed at once."""
    from time import gmtime, strftime

    return strftime("%Y%m%d-%H%M%S", gmtime()) + f"-{os.urandom(5).hex()}"


def _kernel_log() -> Finding:
    found = kernel_log.kills(monotonic())
    return found is not None, "/dev/kmsg, names what the OOM killer has killed" if found is not None else "not readable"


def _namespaces() -> Finding:
    """Return in which namespaces this process is; those of a container are its own."""
    found = []
    for name, first in NAMESPACES.items():
        number = os.stat(f"/proc/self/ns/{name}").st_ino
        found.append(name + ("" if not first else " of the system" if number == first else " of its own"))
    return True, ", ".join(found)


def _terminal() -> Finding:
    from supervise.commands.formats import terminal_width

    where = [name for fd, name in enumerate(("stdin", "stdout", "stderr")) if os.isatty(fd)]
    width = terminal_width()
    size = f", {width} columns" if width else ""
    return bool(where), f"{', '.join(where)}{size}, TERM={os.environ.get('TERM', '')}" if where else "none"


def _pty() -> Finding:
    for fd in os.openpty():
        os.close(fd)
    return True, "the command can have a terminal of its own"


def _manual() -> Finding:
    from shutil import which

    from supervise.commands import shared_files

    path = shared_files.manual_page("man1/supervise.1")
    return bool(path), f"{path or 'not installed'}, man(1): {which('man') or 'none'}"


def _engines() -> Finding:
    from shutil import which

    found = [name for program, name in ENGINES.items() if which(program)]
    return bool(found), ", ".join(found) or "none of " + ", ".join(ENGINES)


CHECKS = (
    Check("Python", _python, is_essential=True),
    Check("start", _start, "PYTHONHOME and the like can end supervise; a C compiler at the installation prevents that"),
    Check("libraries", _libraries, is_essential=True),
    Check("a run", _trial, is_essential=True),
    Check("configuration", _configuration, "each run is refused until it is mended", is_essential=True),
    Check("state folder", _state, "runs leave no record; --detach is refused"),
    Check("runtime folder", _sockets, "runs cannot be steered"),
    Check("lock folder", _locks, "--lock NAME is refused"),
    Check("/proc", _proc, "only the command and its process group are stopped; no evidence of activity"),
    Check("children file", _children, "all of /proc is searched for descendants"),
    Check("pidfd", _pidfd, "the start time is compared before each signal"),
    Check("subreaper", _subreaper, "orphans are found by their process groups alone"),
    Check("sock_diag", _sock_diag, "bytes on sockets are no evidence of activity"),
    Check("cgroup", _cgroup, "if supervise and its guardian are killed at once, supervise recover stops the tree"),
    Check("memory cgroup", _memory, "--memory-max is held by samples"),
    Check("kernel log", _kernel_log, "an OOM kill is known by the counter of the cgroup alone"),
    Check("namespaces", _namespaces, "unknown"),
    Check("pty", _pty, "--pty is refused"),
    Check("terminal", _terminal, "plain lines, and no live line"),
    Check("manual", _manual, "supervise help"),
    Check("batch engines", _engines, "submit --on local"),
)
"""All checks, in the order in which they are printed."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.control.runtime_folders import FolderChoice
