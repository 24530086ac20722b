"""The order of stdout and stderr: one pipe for both where both are the same open file."""

import fcntl
import os
import pty
import shlex
import shutil
import sys
from itertools import zip_longest

import pytest

from tests.support.harness import HANG_SECONDS, Ended, Place, Reader, wait_until

REPETITIONS = 20
SHELL = "echo start; echo error >&2; echo end"
PYTHON = (
    "import os, sys; print('start'); sys.stdout.flush(); print('error', file=sys.stderr); sys.stderr.flush(); "
    "print('end')"
)
SCRIPTS = {
    "sh": ("sh", "-c", f"for i in $(seq {REPETITIONS}); do sh -c '{SHELL}'; done"),
    "python": (sys.executable, "-I", "-c", f"for _ in range({REPETITIONS}):\n    {PYTHON}; sys.stdout.flush()"),
}
EXPECTED = b"start\nerror\nend\n" * REPETITIONS


def ask(place: Place, *words: str) -> Ended:
    """Run `supervise` with these words, to its end."""
    return place.popen([str(place.program), *words]).wait()


def on_a_terminal(place: Place, command: tuple[str, ...]) -> bytes:
    """Return the output that a terminal gets of a command under supervise, with LF as its line ends."""
    ours, theirs = pty.openpty()
    running = place.start("--", *command, report=False, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = bytearray()
    try:
        while data := os.read(ours, 1 << 16):
            seen += data
    except OSError:
        # EIO shows that no process has the terminal open any more.
        pass
    os.close(ours)
    assert running.wait().code == 0
    return bytes(seen).replace(b"\r\n", b"\n")


@pytest.mark.parametrize("command", SCRIPTS.values(), ids=SCRIPTS)
def test_file_log_and_record_have_the_order_of_the_command(supervise: Place, command: tuple[str, ...]) -> None:
    path, log = supervise.file("both"), supervise.file("log")
    with path.open("wb") as file:
        ended = supervise("--log", str(log), "--", *command, stdout=file.fileno(), stderr=file.fileno())
    assert ended.code == 0
    assert path.read_bytes() == log.read_bytes() == ask(supervise, "logs", "-").out == EXPECTED
    assert ended.report["usage"]["both_bytes"] == len(EXPECTED)
    assert ended.report["usage"]["stdout_bytes"] == ended.report["usage"]["stderr_bytes"] == 0


def test_a_terminal_shows_the_order_of_the_command(supervise: Place) -> None:
    assert on_a_terminal(supervise, SCRIPTS["sh"]) == EXPECTED


# --- a thousand scripts of three lines in each language, in few processes

SCRIPT_COUNT = 1000
LOOP = "n=0; while [ $n -lt {} ]; do . ./three.sh; n=$((n + 1)); done"
THREE = {
    "sh": ("three.sh", "echo start $n\necho error $n >&2\necho end $n\n"),
    "bash -x": ("three.sh", "echo start $n\n: error $n\necho end $n\n"),
    "python": (
        "three.py",
        "print('start', n, flush=True)\nprint('error', n, file=sys.stderr, flush=True)\nprint('end', n, flush=True)\n",
    ),
    # make prints the whole line first, on its stdout.
    "make": ("three.mk", "%:\n\techo start $@; echo error $@ >&2; echo end $@\n"),
    "cc": ("three.mk", "%:\n\t@echo start $@\n\tcc -fsyntax-only -Wall three.c\n\t@echo end $@\n"),
}
TEN_WARNINGS = "".join(f"int f{n}(void)\n{{\n    int unused{n}; return 0;\n}}\n" for n in range(10))
COMMANDS = {
    "sh": ("sh", "-c", LOOP.format(SCRIPT_COUNT)),
    "bash -x": ("bash", "-xc", LOOP.format(SCRIPT_COUNT)),
    "python": (
        sys.executable,
        "-I",
        "-c",
        f"import sys; code = compile(open('three.py').read(), '', 'exec')\nfor n in range({SCRIPT_COUNT}): exec(code)",
    ),
    "make": ("make", "-f", "three.mk", *(f"t{n}" for n in range(SCRIPT_COUNT))),
    # Each of these prints ten warnings of three lines between two lines of make.
    "cc": ("make", "-f", "three.mk", *(f"t{n}" for n in range(SCRIPT_COUNT // 10))),
}


def misplaced(seen: bytes, expected: bytes) -> int:
    """Return the number of lines that are not at their expected place."""
    return sum(one != other for one, other in zip_longest(seen.split(b"\n"), expected.split(b"\n")))


@pytest.mark.slow
@pytest.mark.parametrize("language", COMMANDS)
def test_a_thousand_scripts_keep_their_order_everywhere(supervise: Place, language: str) -> None:
    """A file, the log, the record and a terminal get the lines in the order of a run without supervise."""
    command = COMMANDS[language]
    for program in {command[0], "cc" if language == "cc" else "sh"}:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    name, text = THREE[language]
    supervise.file(name).write_text(text)
    supervise.file("three.c").write_text(TEN_WARNINGS)
    without, path, log = supervise.file("without"), supervise.file("with"), supervise.file("log")
    with without.open("wb") as file:
        assert supervise.popen([*command], stdout=file.fileno(), stderr=file.fileno()).wait().code == 0
    expected = without.read_bytes()
    assert expected.count(b"\n") >= 3 * SCRIPT_COUNT
    with path.open("wb") as file:
        ended = supervise("--log", str(log), "--", *command, stdout=file.fileno(), stderr=file.fileno())
    assert ended.code == 0
    seen = {
        "file": path.read_bytes(),
        "log": log.read_bytes(),
        "record": ask(supervise, "logs", "-").out,
        "terminal": on_a_terminal(supervise, command),
    }
    assert {where: misplaced(data, expected) for where, data in seen.items()} == dict.fromkeys(seen, 0)


@pytest.mark.parametrize(
    "trace", ["bash -xc 'echo one; echo two'", pytest.param("make -f makefile", marks=pytest.mark.needs("make"))]
)
def test_trace_lines_stay_with_the_output_that_they_trace(supervise: Place, trace: str) -> None:
    supervise.file("makefile").write_text("all:\n\techo one\n\t@echo oops >&2\n\techo two\n")
    with_us = supervise.shell(f"for i in 1 2 3 4 5; do supervise -- {trace}; done 2>&1")
    without = supervise.shell(f"for i in 1 2 3 4 5; do {trace}; done 2>&1")
    assert with_us.out == without.out


def is_one_pipe(place: Place, redirections: str, *options: str) -> bool:
    """Return whether the command has one pipe as its stdout and stderr."""
    look = "[ /proc/self/fd/1 -ef /proc/self/fd/2 ]"
    words = " ".join(map(shlex.quote, options))
    return place.shell(f"supervise {words} -- sh -c {shlex.quote(look)} {redirections}; exit").code == 0


@pytest.mark.parametrize(
    ("redirections", "is_one"),
    [
        ("2>&1", True),
        (">file 2>&1", True),
        (">file 2>file", False),
        (">>file 2>>file", True),
        (">file 2>>file", False),
        (">one 2>two", False),
        (">/dev/null 2>&1", True),
        (">/dev/null 2>/dev/null", True),
        (">/dev/null", False),
        ("2>&1 | cat; exit ${PIPESTATUS[0]}", True),
        ("", False),
    ],
)
def test_stdout_and_stderr_that_are_one_open_file_get_one_pipe(
    supervise: Place, redirections: str, is_one: bool
) -> None:
    assert is_one_pipe(supervise, redirections) is is_one


@pytest.mark.parametrize(
    ("options", "redirections", "is_one"),
    [
        (("--streams", "apart"), "2>&1", False),
        (("--streams", "together"), ">one 2>two", True),
        (("--idle-on", "stdout"), "2>&1", False),
        (("--idle-on", "stderr", "-i", "30"), "2>&1", False),
    ],
)
def test_streams_chooses_one_pipe_or_two(
    supervise: Place, options: tuple[str, ...], redirections: str, is_one: bool
) -> None:
    assert is_one_pipe(supervise, redirections, *options) is is_one


def test_a_file_opened_twice_gets_the_same_bytes_as_without_supervise(supervise: Place) -> None:
    script = "sh -c 'echo 0123456789; until [ -s $0 ]; do sleep 0.02; done; echo abc >&2'"
    supervise.shell(f"supervise -- {script} with >with 2>with; {script} without >without 2>without")
    assert supervise.file("with").read_bytes() == supervise.file("without").read_bytes() == b"abc\n456789\n"


def test_streams_together_go_to_stdout(supervise: Place) -> None:
    ended = supervise("--streams", "together", "--", *SCRIPTS["sh"])
    assert (ended.out, ended.err) == (EXPECTED, b"")


@pytest.mark.parametrize(
    "options", [("--streams", "together", "--idle-on", "stdout"), ("--streams", "apart", "--pty"), ("--streams", "x")]
)
def test_contradicting_streams_options_are_refused(supervise: Place, options: tuple[str, ...]) -> None:
    ended = supervise(*options, "--", "true")
    assert ended.code == 125
    assert ended.messages[0].startswith("--streams: ")


def test_the_record_and_logs_mark_output_of_one_pipe(supervise: Place) -> None:
    supervise.shell(f"supervise -- sh -c '{SHELL}' >/dev/null 2>&1")
    stamped = ask(supervise, "logs", "--timestamps", "-")
    assert [line.split()[1:] for line in stamped.out.splitlines()] == [
        [b"both", b"start"],
        [b"both", b"error"],
        [b"both", b"end"],
    ]
    assert stamped.err == b""
    for option in ("--stdout", "--stderr"):
        asked = ask(supervise, "logs", option, "-")
        assert asked.out == b"start\nerror\nend\n"
        assert len(asked.messages) == 1
        assert "--streams apart" in asked.messages[0]


def test_a_detached_run_keeps_the_order(supervise: Place) -> None:
    run = ask(supervise, "run", "--detach", "--", *SCRIPTS["sh"]).out.decode().strip()
    assert ask(supervise, "wait", run).code == 0
    assert ask(supervise, "logs", run).out == EXPECTED


def test_a_byte_of_the_common_pipe_counts_for_access_and_idle_limit(supervise: Place) -> None:
    """The diagnosis does not name a stream."""
    script = "supervise -a 30 -i 1 --report r -- sh -c 'echo up >&2; sleep 30' 2>&1"
    ended = supervise.shell(script)
    assert ended.code == 123
    assert b"before: up\n" in ended.out


def test_match_searches_the_common_pipe(supervise: Place) -> None:
    script = "supervise -v -a 30 --access-on match=ready -- sh -c 'echo ready >&2; sleep 0.5' 2>&1"
    ended = supervise.shell(script)
    assert b"access after" in ended.out
    assert b"match=ready" in ended.out


@pytest.mark.alone
def test_two_pipes_keep_the_order_of_distant_lines(supervise: Place) -> None:
    """Lines that are some milliseconds apart keep their order in the record."""
    script = "for i in 1 2 3 4 5 6; do echo err$i >&2; sleep 0.03; echo out$i; sleep 0.03; done"
    expected = "".join(f"err{i}\nout{i}\n" for i in range(1, 7)).encode()

    def is_in_order() -> bool:
        supervise("--", "sh", "-c", script)
        return ask(supervise, "logs", "-").out == expected

    # One of three trials is enough: supervise may wait for a CPU while two lines come.
    assert any(is_in_order() for _ in range(3))


def test_a_stalled_reader_of_one_pipe_does_not_delay_the_other(supervise: Place) -> None:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    script = "head -c 500000 /dev/zero >&2 & head -c 3000000 /dev/zero; wait"
    running = supervise.start("--", "sh", "-c", script, report=False, stderr=theirs)
    os.close(theirs)
    try:
        wait_until(lambda: len(running.out) == 3_000_000)
    finally:
        reader = Reader(os.fdopen(ours, "rb", 0))
    assert running.wait().code == 0
    reader.join(HANG_SECONDS)
    assert len(reader.data) == 500_000
