"""Whether a signal came from inside the command's tree."""

import os
import subprocess
import sys

from supervise.process import signal_origin, tree


def test_the_command_and_its_descendants_are_inside() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 100 & echo $!; wait"], stdout=subprocess.PIPE) as command:
        assert command.stdout
        inner = int(command.stdout.readline())
        try:
            for sender in (command.pid, inner):
                assert signal_origin.is_of_command(sender, tree.ancestry(sender), command.pid, os.getpid())
            # By the pid alone: the sender is gone.
            assert signal_origin.is_of_command(command.pid, [], command.pid, os.getpid())
            assert not signal_origin.is_of_command(inner, [], command.pid, os.getpid())
        finally:
            os.kill(inner, 9)


def test_a_process_outside_of_the_tree_is_outside() -> None:
    parent = os.getppid()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as command:
        assert not signal_origin.is_of_command(parent, tree.ancestry(parent), command.pid, command.pid)
        assert command.stdin
        command.stdin.close()


def test_a_sender_outside_of_the_pid_namespace_is_outside() -> None:
    """Both pids are 0 then, and still the signal is not the command's."""
    assert not signal_origin.is_of_command(0, [], 0, os.getpid())
    assert not signal_origin.is_of_command(0, [], 4711, os.getpid())
