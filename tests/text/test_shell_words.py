"""A command in words that a shell reads back."""

import shutil
import subprocess

import pytest

from supervise.text import shell_words


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["make", "-j4"], "make -j4"),
        (["sh", "-c", "exit 1; echo 'x'"], r"""sh -c 'exit 1; echo '\''x'\'''"""),
        (["", "é"], "'' 'é'"),
        (["a\nb'\\\udcff"], r"$'a\nb\'\\\xff'"),
    ],
)
def test_a_quoted_command(command: list[str], expected: str) -> None:
    assert shell_words.command_line(command) == expected


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here to ask")
def test_bash_reads_a_quoted_command_as_it_was() -> None:
    # Every byte but NUL, and letters that do not print; each before a digit that an escape must not swallow.
    command = [bytes([number, 0x31]).decode(errors="surrogateescape") for number in range(1, 256)]
    command += ["\u202e1", "\U000e00011", "$HOME 1", "'", "\\", "!x", "~", "é\udcc3"]
    script = f"printf '%s\\0' {shell_words.command_line(command)}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stdout.decode(errors="surrogateescape").split("\0")[:-1] == command
