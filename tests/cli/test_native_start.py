"""The native start (supervise/start/native.c): how it finds its script and the interpreter, and what it passes on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.harness import HANG_SECONDS, Place
from tests.support.native_start import native_needed, script_of
from tests.support.programs import missing

EXIT_ERROR = 125


@pytest.fixture
def native(supervise: Place) -> Path:
    """Return a copy of the native start without a script beside it, in a folder of its own."""
    native_needed(supervise.program)
    copy = supervise.file("copy/supervise")
    copy.parent.mkdir()
    shutil.copy(supervise.program, copy)
    return copy


def with_script(native: Path, program: Path, first: str) -> Path:
    """Put the script of that program beside the native start, with these first lines in place of its own."""
    rest = script_of(program).read_text().partition("\n")[2]
    script = native.with_name("supervise-python")
    script.write_text(f"{first}\n{rest}")
    script.chmod(0o755)
    return script


def run(*words: "str | Path", env: "dict[str, str] | None" = None) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(words, capture_output=True, timeout=HANG_SECONDS, env=env, check=False)


@pytest.mark.parametrize("words", [("--version",), ("run", "--no-record", "--", "sh", "-c", "exit 7")])
@pytest.mark.parametrize(
    "lines",
    [
        "#!{python}",
        # What installers write where the path is long or has a space.
        "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''",
        # What the kernel reads in another way than the native start.
        "#!{python} -I",
    ],
)
def test_the_interpreter_is_that_of_the_first_line(
    supervise: Place, native: Path, lines: str, words: "tuple[str, ...]"
) -> None:
    with_script(native, supervise.program, lines.format(python=sys.executable))
    ended = run(native, *words)
    assert (ended.returncode, ended.stderr) == ((0, b"") if words == ("--version",) else (7, b""))


def test_the_path_of_the_interpreter_may_have_a_space(supervise: Place, native: Path) -> None:
    """As in a virtual environment whose folder has one."""
    python = supervise.file("with space/bin/python3")
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    for name in ("lib", "pyvenv.cfg"):
        supervise.file(f"with space/{name}").symlink_to(Path(sys.prefix, name))
    with_script(native, supervise.program, f"#!{python}")
    assert run(native, "--no-record", "--", "sh", "-c", "exit 7").returncode == 7


def test_a_link_to_the_program_is_the_program(supervise: Place) -> None:
    native_needed(supervise.program)
    link = supervise.file("link")
    link.symlink_to(supervise.program)
    assert run(link, "--no-record", "--", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (None, "cannot open {script}: no such file or directory"),
        ("#!/nonexistent/python3", "cannot execute /nonexistent/python3: no such file or directory"),
        ("#!/", "cannot execute /: permission denied"),
    ],
)
def test_what_is_missing_is_one_line(supervise: Place, native: Path, lines: "str | None", said: str) -> None:
    script = native.with_name("supervise-python")
    if lines:
        with_script(native, supervise.program, lines)
    ended = run(native, "--", "true")
    assert ended.returncode == EXIT_ERROR
    assert ended.stderr.decode() == f"supervise: {said.format(script=script)}\n"


def test_without_proc_the_path_of_the_call_leads_to_the_script(supervise: Place) -> None:
    native_needed(supervise.program)
    if os.geteuid():
        pytest.skip("only root may leave /proc out")
    code = 'mount -t tmpfs none /proc && exec "$0" "$@"'
    words = ["unshare", "--mount", "sh", "-c", code, str(supervise.program), "--version"]
    ended = run(*words)
    if b"unshare" in ended.stderr or b"mount" in ended.stderr:
        missing(f"no namespace of mounts: {ended.stderr.decode()}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(b"supervise ")


def test_the_name_of_the_process_is_supervise(supervise: Place) -> None:
    # The parent of the command is the guardian, whose parent is the supervisor.
    code = "read -r _ _ _ supervisor _ </proc/$PPID/stat; cat /proc/$PPID/comm /proc/$supervisor/comm"
    assert supervise("--no-record", "--", "sh", "-c", code).out == b"supervise-guard\nsupervise\n"


def test_the_words_reach_the_command_as_they_are(supervise: Place) -> None:
    odd = [b"", b" ", b"\xff\n", b"-c", b"-IS", b"x" * 100_000]
    words = [os.fsencode(supervise.program), b"--no-record", b"--", b"printf", rb"%s\0", *odd]
    ended = subprocess.run(words, capture_output=True, timeout=HANG_SECONDS, check=False)
    assert ended.returncode == 0
    assert ended.stdout.split(b"\0")[:-1] == odd


def test_bytecode_is_not_written_where_the_user_does_not_want_it(supervise: Place, native: Path) -> None:
    """The variable is about the files of the user, and an isolated interpreter does not read it."""
    checkout = supervise.file("checkout")
    shutil.copytree(Path(__file__).parents[2] / "supervise", checkout / "supervise",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    script = with_script(native, supervise.program, f"#!{sys.executable}")
    lines = script.read_text().splitlines(keepends=True)
    script.write_text(
        "".join(f"CHECKOUT = {str(checkout)!r}\n" if line.startswith("CHECKOUT") else line for line in lines)
    )
    environ = {name: word for name, word in os.environ.items() if not name.startswith("PYTHON")}
    for value, is_written in (("1", False), ("", True)):
        ended = run(native, "--no-record", "--", "true", env=environ | {"PYTHONDONTWRITEBYTECODE": value})
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert bool(list(checkout.rglob("*.pyc"))) == is_written
