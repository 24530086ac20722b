"""Programs that a test drives and that a bare machine lacks.

A test whose program is missing is skipped with that reason.  Where CI is set, the test fails instead: `.ci/run`
installs every such program but those of another Debian, which `tests/batch/trixie/run` has.
"""

import os
import shutil
import socket

import pytest

MORE = "/usr/sbin:/sbin"
"""Folders of servers, which an ordinary user's PATH leaves out."""

ELSEWHERE = ("condor_master", "podman")
"""Programs that `.ci/run` does not install."""


def needed(name: str) -> str:
    """Return the path of the program; skip the test where the program is missing, or fail it where CI is set."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{MORE}")
    if found is None and name in ELSEWHERE and "SUPERVISE_ENGINES_ROOT" not in os.environ:
        pytest.skip(f"there is no {name} on this machine; tests/batch/trixie/run has a root with it")
    if found is None:
        missing(f"there is no {name} on this machine")
    assert found
    return found


def localhost_needed() -> None:
    """Skip the test where the name `localhost` has no address: a bare machine has no /etc/hosts (hosts(5))."""
    try:
        socket.getaddrinfo("localhost", None)
    except socket.gaierror:
        missing("this machine does not know localhost")


def missing(reason: str) -> None:
    """Skip the test for this reason, or fail it where CI is set."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
