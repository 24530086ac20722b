"""On a system other than Linux all modules import, and `run` refuses with one line."""

import pkgutil
import subprocess
import sys

import pytest

import supervise

# A Linux that says it is a Mac, without the calls that the standard library has on Linux alone. The libraries are
# imported first, since they would look for the calls of a real Mac.
PRETENCE = """
import _signal, _socket, fcntl, os, posix, resource, select, signal, socket, sys, time
import sysconfig; sysconfig.get_config_vars()
import click, getpass, platformdirs, psutil, rich, tomli_w, trio, urllib.request
GONE = {
    "_signal": "sigwaitinfo sigtimedwait pidfd_send_signal SIGRTMIN SIGRTMAX SIGPWR SIGSTKFLT SIGPOLL SIGCLD",
    "_socket": "AF_NETLINK MSG_CMSG_CLOEXEC MSG_NOSIGNAL SCM_CREDENTIALS SOCK_CLOEXEC SOCK_NONBLOCK SOCK_SEQPACKET"
    " SO_PASSCRED SO_PEERCRED SO_DOMAIN SO_PROTOCOL",
    "fcntl": "F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_OFD_SETLK",
    "os": "MFD_CLOEXEC O_PATH O_TMPFILE P_ALL P_PID P_PIDFD SPLICE_F_MOVE WEXITED WNOWAIT eventfd getresuid getxattr"
    " memfd_create pidfd_open pipe2 posix_fallocate sched_getaffinity setns setresgid setresuid splice unshare waitid"
    " waitid_result",
    "resource": "RUSAGE_THREAD prlimit",
    "select": "EPOLLIN EPOLLOUT epoll",
    "time": "CLOCK_BOOTTIME CLOCK_TAI",
}
for module, names in GONE.items():
    for name in names.split():
        for each in {module, module.removeprefix("_"), {"os": "posix"}.get(module, module)}:
            vars(sys.modules[each]).pop(name, None)
sys.platform = "darwin"
posix.uname = os.uname = lambda: os.uname_result(("Darwin", "mac", "23.0", "Darwin Kernel", "arm64"))
"""
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(supervise.__path__, "supervise.")
    if not module.name.endswith("__main__")
)
# Each import is in a process of its own, since a module must not rely on the imports of another. fork(2) is cheap.
IMPORT_EACH = """
import importlib, traceback
for name in {modules}:
    pid = os.fork()
    if pid == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            print(name, flush=True)
            traceback.print_exc()
        os._exit(0)
    os.waitpid(pid, 0)
"""
CALL = "sys.argv = ['supervise', *{words}]; from supervise.__main__ import main; main()"


def run_elsewhere(script: str) -> "subprocess.CompletedProcess[str]":
    """Run a script on a machine that says it is a Mac."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRETENCE + script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def call_elsewhere(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run `supervise` with these words on such a machine."""
    return run_elsewhere(CALL.format(words=list(words)))


def test_every_module_imports_elsewhere() -> None:
    assert len(MODULES) > 100
    done = run_elsewhere(IMPORT_EACH.format(modules=["supervise", *MODULES]))
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_the_pretended_mac_lacks_calls_of_linux() -> None:
    """So a module that imports such a call would fail in the test above."""
    for asked in ("os.memfd_create", "posix.waitid", "socket.SOCK_CLOEXEC", "signal.sigwaitinfo"):
        done = run_elsewhere(asked)
        assert done.returncode == 1
        assert "AttributeError" in done.stderr


def test_the_version_is_printed_elsewhere() -> None:
    done = call_elsewhere("--version")
    assert (done.stdout, done.stderr, done.returncode) == (f"supervise {supervise.__version__}\n", "", 0)


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("run", "--help"), ("ps", "--help")], ids=" ".join)
def test_help_is_printed_elsewhere(words: tuple[str, ...]) -> None:
    done = call_elsewhere(*words)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "supervise" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--", "echo", "hi"),
        ("run", "echo", "hi"),
        ("--no-record", "--", "echo", "hi"),
        ("--pty", "--", "echo", "hi"),
        ("-d", "--", "echo", "hi"),
        ("--lock", "name", "--", "echo", "hi"),
        ("--log", "log", "--events", "events", "--", "echo", "hi"),
        ("-t", "5", "--retries", "2", "--", "no-such-command"),
    ],
    ids=" ".join,
)
def test_run_is_refused_elsewhere_with_one_line(words: tuple[str, ...], tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = call_elsewhere(*words)
    assert done.returncode == 125
    assert done.stdout == ""
    assert done.stderr.startswith("supervise: cannot run a command on darwin:")
    assert done.stderr.count("\n") == 1
