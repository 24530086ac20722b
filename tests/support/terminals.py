"""Scripts in a terminal of their own, and the processes of a test by name."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.harness import Place, name_of, wait_until
from tests.support.screens import Shell, shell


@contextmanager
def script(supervise: Place, line: str) -> Iterator[Shell]:
    """Run that line in a script and check that the terminal's modes are the same afterwards.

    An interactive shell would not do: it restores the modes after each command.
    """
    supervise.file("text").write_text("".join(f"{number}\n" for number in range(1, 1001)))
    supervise.file("script").write_text(
        f"stty -a >before\n{line}\necho code $?\nstty -a >after\ncmp before after && echo same\n"
    )
    with shell(supervise) as sh:
        sh.start("sh script")
        yield sh
        sh.wait_for_prompt()
        assert sh.has_line("same"), sh.screen.text


def named(supervise: Place, name: str) -> list[int]:
    """Return the pids of the test's living processes of that name (proc(5), comm)."""
    return [pid for pid in supervise.alive() if name_of(pid) == name]


def supervisor(supervise: Place) -> int:
    """Wait until the test has only one supervisor, and return its pid.

    A child that the supervisor has spawned has the name of the supervisor until it executes its program.
    """

    def only() -> list[int]:
        found = named(supervise, "supervise")
        return found if len(found) == 1 else []

    (pid,) = wait_until(only)
    return pid
