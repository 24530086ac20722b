"""Whose signal it was."""

import os
import subprocess
import sys

from supervise.process import signal_origin, tree


def test_of_the_command_and_of_its_descendants() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 100 & echo $!; wait"], stdout=subprocess.PIPE) as command:
        assert command.stdout
        inner = int(command.stdout.readline())
        try:
            for sender in (command.pid, inner):
                assert signal_origin.is_of_command(sender, tree.ancestry(sender), command.pid, os.getpid())
            # By the pid alone: it is gone.
            assert signal_origin.is_of_command(command.pid, [], command.pid, os.getpid())
            assert not signal_origin.is_of_command(inner, [], command.pid, os.getpid())
        finally:
            os.kill(inner, 9)


def test_of_somebody_else() -> None:
    parent = os.getppid()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as command:
        assert not signal_origin.is_of_command(parent, tree.ancestry(parent), command.pid, command.pid)
        assert command.stdin
        command.stdin.close()


def test_from_outside_of_the_namespace_while_the_command_is_not_known_yet() -> None:
    """Both numbers are 0 then, and it is a cancellation all the same."""
    assert not signal_origin.is_of_command(0, [], 0, os.getpid())
    assert not signal_origin.is_of_command(0, [], 4711, os.getpid())
