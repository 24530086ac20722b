"""Where there is no Linux, everything imports, and `run` says in one line that it cannot keep its promise there."""

import subprocess
import sys

# A Linux that says it is a Mac, without what the standard library has on Linux alone.  The libraries come first: they
# would look for what a real Mac has.
PRETEND = """
import _signal, _socket, os, select, sys
import psutil, rich, trio, typer
for module, names in (
    (_signal, "sigwaitinfo sigtimedwait pidfd_send_signal"),
    (_socket, "MSG_CMSG_CLOEXEC MSG_NOSIGNAL AF_NETLINK SO_PEERCRED"),
    (os, "splice pidfd_open eventfd sched_getaffinity"),
    (select, "epoll"),
):
    for name in names.split():
        vars(module).pop(name, None)
sys.platform = "darwin"
"""
IMPORT_ALL = """
import importlib, pkgutil, supervise
for module in pkgutil.walk_packages(supervise.__path__, "supervise."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print("imported")
"""
RUN = "sys.argv = ['supervise', '--', 'echo', 'hi']; from supervise.__main__ import main; main()"


def test_every_module_imports_elsewhere() -> None:
    done = subprocess.run([sys.executable, "-c", PRETEND + IMPORT_ALL], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("imported\n", 0), done.stderr


def test_run_is_refused_elsewhere_with_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", PRETEND + RUN], capture_output=True, text=True, timeout=60)
    assert done.returncode == 125
    assert done.stdout == ""
    assert done.stderr.startswith("supervise: cannot run a command on darwin:")
    assert done.stderr.count("\n") == 1
