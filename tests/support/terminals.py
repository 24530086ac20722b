"""Runs in a terminal of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.harness import Place, name_of
from tests.support.screens import Shell, shell


@contextmanager
def script(supervise: Place, line: str) -> Iterator[Shell]:
    """That line in a script, which unlike an interactive shell does not mend the terminal after each command."""
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
    return [pid for pid in supervise.alive() if name_of(pid) == name]


def supervisor(supervise: Place) -> int:
    (pid,) = named(supervise, "supervise")
    return pid
