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

TIMES = 20
SHELL = "echo start; echo error >&2; echo end"
PYTHON = (
    "import os, sys; print('start'); sys.stdout.flush(); print('error', file=sys.stderr); sys.stderr.flush(); "
    "print('end')"
)
SCRIPTS = {
    "sh": ("sh", "-c", f"for i in $(seq {TIMES}); do sh -c '{SHELL}'; done"),
    "python": (sys.executable, "-I", "-c", f"for _ in range({TIMES}):\n    {PYTHON}; sys.stdout.flush()"),
}
EXPECTED = b"start\nerror\nend\n" * TIMES


def ask(place: Place, *words: str) -> Ended:
    return place.popen([str(place.program), *words]).wait()


def on_a_terminal(place: Place, command: tuple[str, ...]) -> bytes:
    """What a terminal shows of a command under supervise, with the line ends of a file."""
    ours, theirs = pty.openpty()
    running = place.start("--", *command, report=False, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = bytearray()
    try:
        while data := os.read(ours, 1 << 16):
            seen += data
    except OSError:
        # EIO: the last process that had the terminal open has closed it.
        pass
    os.close(ours)
    assert running.wait().code == 0
    return bytes(seen).replace(b"\r\n", b"\n")


@pytest.mark.parametrize("command", SCRIPTS.values(), ids=SCRIPTS)
def test_into_one_file_the_log_and_the_record(supervise: Place, command: tuple[str, ...]) -> None:
    path, log = supervise.file("both"), supervise.file("log")
    with path.open("wb") as file:
        ended = supervise("--log", str(log), "--", *command, stdout=file.fileno(), stderr=file.fileno())
    assert ended.code == 0
    assert path.read_bytes() == log.read_bytes() == ask(supervise, "logs", "-").out == EXPECTED
    assert ended.report["usage"]["both_bytes"] == len(EXPECTED)
    assert ended.report["usage"]["stdout_bytes"] == ended.report["usage"]["stderr_bytes"] == 0


def test_on_a_terminal(supervise: Place) -> None:
    assert on_a_terminal(supervise, SCRIPTS["sh"]) == EXPECTED


# --- a thousand scripts of three lines in each language, in few processes

THOUSAND = 1000
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
    "sh": ("sh", "-c", LOOP.format(THOUSAND)),
    "bash -x": ("bash", "-xc", LOOP.format(THOUSAND)),
    "python": (
        sys.executable,
        "-I",
        "-c",
        f"import sys; code = compile(open('three.py').read(), '', 'exec')\nfor n in range({THOUSAND}): exec(code)",
    ),
    "make": ("make", "-f", "three.mk", *(f"t{n}" for n in range(THOUSAND))),
    # Each of these prints ten warnings of three lines between two lines of make.
    "cc": ("make", "-f", "three.mk", *(f"t{n}" for n in range(THOUSAND // 10))),
}


def misplaced(seen: bytes, expected: bytes) -> int:
    """The number of lines that do not stand where they are expected."""
    return sum(one != other for one, other in zip_longest(seen.split(b"\n"), expected.split(b"\n")))


@pytest.mark.slow
@pytest.mark.parametrize("language", COMMANDS)
def test_a_thousand_scripts_are_in_order_everywhere(supervise: Place, language: str) -> None:
    """Into one file, the log, the record and a terminal comes what a run without supervise writes into one file."""
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
    assert expected.count(b"\n") >= 3 * THOUSAND
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
def test_what_traces_stands_with_what_it_belongs_to(supervise: Place, trace: str) -> None:
    supervise.file("makefile").write_text("all:\n\techo one\n\t@echo oops >&2\n\techo two\n")
    with_us = supervise.shell(f"for i in 1 2 3 4 5; do supervise -- {trace}; done 2>&1")
    without = supervise.shell(f"for i in 1 2 3 4 5; do {trace}; done 2>&1")
    assert with_us.out == without.out


def is_one_pipe(place: Place, redirections: str, *options: str) -> bool:
    """The command has the same pipe as stdout and stderr."""
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
def test_which_are_the_same_open_file(supervise: Place, redirections: str, is_one: bool) -> None:
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
def test_what_is_asked_for(supervise: Place, options: tuple[str, ...], redirections: str, is_one: bool) -> None:
    assert is_one_pipe(supervise, redirections, *options) is is_one


def test_a_file_opened_twice_is_as_it_would_be_without_us(supervise: Place) -> None:
    script = "sh -c 'echo 0123456789; sleep 0.2; echo abc >&2'"
    supervise.shell(f"supervise -- {script} >with 2>with; {script} >without 2>without")
    assert supervise.file("with").read_bytes() == supervise.file("without").read_bytes() == b"abc\n456789\n"


def test_together_goes_to_stdout(supervise: Place) -> None:
    ended = supervise("--streams", "together", "--", *SCRIPTS["sh"])
    assert (ended.out, ended.err) == (EXPECTED, b"")


@pytest.mark.parametrize(
    "options", [("--streams", "together", "--idle-on", "stdout"), ("--streams", "apart", "--pty"), ("--streams", "x")]
)
def test_what_is_refused(supervise: Place, options: tuple[str, ...]) -> None:
    ended = supervise(*options, "--", "true")
    assert ended.code == 125
    assert ended.messages[0].startswith("--streams: ")


def test_a_record_marks_it_and_logs_say_so(supervise: Place) -> None:
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


def test_a_byte_of_both_is_one_for_every_limit(supervise: Place) -> None:
    """Access and the idle clock hear it; the diagnosis does not name a stream."""
    script = "supervise -a 30 -i 1 --report r -- sh -c 'echo up >&2; sleep 30' 2>&1"
    ended = supervise.shell(script)
    assert ended.code == 123
    assert b"before: up\n" in ended.out


def test_a_pattern_is_found_in_both(supervise: Place) -> None:
    script = "supervise -v -a 30 --access-on match=ready -- sh -c 'echo ready >&2; sleep 0.5' 2>&1"
    ended = supervise.shell(script)
    assert b"access after" in ended.out
    assert b"match=ready" in ended.out


@pytest.mark.alone
def test_apart_what_was_seen_first_is_passed_on_first(supervise: Place) -> None:
    """Lines far enough from each other keep their order in the record, whichever stream begins."""
    script = "for i in 1 2 3 4 5 6; do echo err$i >&2; sleep 0.03; echo out$i; sleep 0.03; done"
    supervise("--", "sh", "-c", script)
    expected = "".join(f"err{i}\nout{i}\n" for i in range(1, 7)).encode()
    assert ask(supervise, "logs", "-").out == expected


def test_apart_a_reader_that_stands_still_does_not_hold_up_the_other_stream(supervise: Place) -> None:
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
