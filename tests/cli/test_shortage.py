"""Shortage of descriptors, processes, memory and room: a clear message, and never a command without supervision."""

import json
import os
import resource
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.harness import PYTHON, Place, child, wait_until
from tests.torture.arena import as_ordinary_user

MANY_FILES = min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100)
FEW_DESCRIPTORS_SHORT_RUN = range(5, 16)
"""Numbers of descriptors, from hardly enough for Python to enough for a short run."""
FEW_DESCRIPTORS_LONG_RUN = range(16, 25)
"""Numbers of descriptors, enough for the start of a long run and for more and more of its other work."""
FEW_PROCESSES = range(10)
LINES = 40_000
FLOOD_BYTES = 64 << 20


def opening(count: int, then: list[str]) -> list[str]:
    """Return the command line of a process that opens so many files and then executes the program."""
    code = (
        "import os, resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({count + 100}, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        f"null = os.open(os.devnull, os.O_RDWR)\n"
        f"os.set_inheritable(null, True)\n"
        f"for _ in range({count} - 1): os.set_inheritable(os.dup(null), True)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    return [*PYTHON, "-c", code, *then]


def test_very_many_open_files_reach_the_command(supervise: Place) -> None:
    """The command inherits them as without supervise."""
    count = [*PYTHON, "-c", "import os; print(len(os.listdir('/proc/self/fd')) - 1)"]
    ended = supervise.popen(opening(MANY_FILES, [str(supervise.program), "run", "-t", "30", "--", *count])).wait()
    assert (ended.code, ended.out, ended.err) == (0, b"%d\n" % (MANY_FILES + 3), b"")
    words = ["run", "-t", "1", "-k", "0.2", "--", *child("fork", "ready", "stay", "end", "ready", "stay")]
    ended = supervise.popen(opening(MANY_FILES, [str(supervise.program), *words])).wait()
    assert ended.code == 124
    assert ended.left == []
    assert ended.out == b"ready\nready\n"


@pytest.mark.parametrize("report", [False, True])
def test_a_short_run_without_descriptors_is_whole_or_says_so(supervise: Place, report: bool) -> None:
    """One line says what supervise lacks."""
    enough = 0
    for limit in FEW_DESCRIPTORS_SHORT_RUN:
        words = [str(supervise.program), "run", *(["--report", "r"] if report else []), "--", "/bin/echo", "hello"]
        ended = supervise.popen(["prlimit", f"--nofile={limit}", *words]).wait()
        if b"Python runtime" in ended.err or b"shared libraries" in ended.err or b"Error processing line" in ended.err:
            # Python itself did not start.
            continue
        assert b"Traceback" not in ended.err, (limit, ended.err)
        if ended.code == 0:
            enough += 1
            assert ended.out == b"hello\n"
        else:
            assert ended.code == 125, (limit, ended.err)
            assert "too many open files" in ended.messages[-1], (limit, ended.err)
        assert ended.left == []
    assert enough


@pytest.mark.parametrize("options", [(), ("--retries", "1", "--retry-on", "completion", "--retry-delay", "0")])
def test_a_long_run_without_descriptors_goes_on_or_says_so(supervise: Place, options: tuple[str, ...]) -> None:
    """The run does without features that it can do without."""
    codes = set()
    for limit in FEW_DESCRIPTORS_LONG_RUN:
        words = [str(supervise.program), "run", "-t", "0.3", *options, "--", *child("stay")]
        ended = supervise.popen(["prlimit", f"--nofile={limit}", *words]).wait()
        codes.add(ended.code)
        assert ended.code in (124, 125), (limit, ended.err)
        assert all(line.startswith("supervise: ") for line in ended.err.decode().splitlines()), (limit, ended.err)
        assert b"internal error" not in ended.err, (limit, ended.err)
        if ended.code == 125:
            assert "too many open files" in ended.messages[-1], (limit, ended.err)
        assert ended.left == [], (limit, ended.err)
    assert 124 in codes


def test_a_flood_without_descriptors_arrives_whole(supervise: Place) -> None:
    """The flood is handed over with fewer pipes, or without any."""
    codes = set()
    for limit in FEW_DESCRIPTORS_LONG_RUN:
        words = [str(supervise.program), "run", "--log-max", "1G", "--", "head", "-c", "30000000", "/dev/zero"]
        ended = supervise.popen(["prlimit", f"--nofile={limit}", *words]).wait()
        codes.add(ended.code)
        assert b"could not be written" not in ended.err, (limit, ended.err)
        # The command was stopped where not even the loop could be loaded.
        assert ended.code == 0 or "cannot go on: too many open files" in ended.messages[-1], (limit, ended.err)
        assert ended.code != 0 or len(ended.out) == 30_000_000, (limit, ended.err)
    assert 0 in codes


def test_a_run_without_processes_is_whole_or_says_so(supervise: Place) -> None:
    """RLIMIT_NPROC, which counts threads, ends the room at each point of the start and of a stop."""
    # One of its own: what other tests run as an ordinary user would be counted too.
    number = 100_000 + os.getpid()
    user = as_ordinary_user(str(supervise.program), number)
    if not user:
        pytest.skip("only root can become an ordinary user whose processes are counted")
    stays = child("ignore=TERM", "ready", "stay")
    codes = set()
    for limit in FEW_PROCESSES:
        few = [*user, "prlimit", f"--nproc={limit}", "env", str(supervise.program), "run"]
        for words, code in ((["--", "/bin/echo", "hello"], 0), (["-t", "1", "-k", "0.2", "--", *stays], 124)):
            since = time.monotonic()
            ended = supervise.popen([*few, *words], cwd="/").wait()
            codes.add(ended.code)
            # The run did not wait for messages that had come before, which took 15 seconds once.
            assert time.monotonic() - since < 10, (limit, ended.err)
            assert ended.code in (code, 125) or b"Resource temporarily unavailable" in ended.err, (limit, ended.err)
            assert b"Traceback" not in ended.err, (limit, ended.err)
            assert b"internal error" not in ended.err, (limit, ended.err)
            if ended.code == 125:
                assert "cannot start" in ended.messages[-1], (limit, ended.err)
            assert ended.left == [], (limit, ended.err)
    assert codes >= {0, 125}
    # The folder of the sockets belongs to this user alone, and is empty.
    for parent in ("/run/lock", "/tmp"):
        for path in Path(parent).glob(f"supervise-{number}*"):
            path.rmdir()


def test_no_run_is_taken_for_lost_under_a_file_size_limit(supervise: Place) -> None:
    """Under RLIMIT_FSIZE either a message says that there is no record, or the record has an end."""
    for bound in (0, 1, 1000, 1024, 2048, 4095, 4096, 5000):

        def limit(bound: int = bound) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))

        ended = supervise.start("--", "sh", "-c", "sleep 0.1; exit 3", report=False, preexec_fn=limit).wait()
        assert ended.code == 3
        said = b"this run is not recorded: file too large" in ended.err
        shown = supervise.shell("supervise ps --all -q").out.split()
        assert said != bool(shown)
        assert supervise.shell("supervise ps -q; supervise prune --keep 0").out.splitlines()[:-1] == []


def test_a_megabyte_from_a_signal_handler_arrives_whole(supervise: Place) -> None:
    code = (
        "import os, signal, sys, time\n"
        "def leave(*_):\n"
        "    view = memoryview(b'x' * (1 << 20) + b'\\nlast line\\n')\n"
        "    while view: view = view[os.write(1, view):]\n"
        "    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    ended = supervise("-a", "30", "-t", "0.6", "--", *PYTHON, "-c", code)
    assert ended.code == 124
    assert ended.out == b"ready\n" + b"x" * (1 << 20) + b"\nlast line\n"


def test_a_flood_that_is_cut_arrives_as_its_beginning(supervise: Place) -> None:
    """No byte in the middle is missing, and the order is kept."""
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"for start in range(0, {FLOOD_BYTES} // 8, 8192):\n"
        "    view = memoryview(b''.join(b'%07d\\n' % n for n in range(start, start + 8192)))\n"
        "    while view: view = view[os.write(1, view):]\n"
        "while True: os.write(1, b'.')\n"
    )
    ours, theirs = os.pipe()
    slow = "import os, time\nwhile data := os.read(0, 1 << 20): os.write(1, data); time.sleep(0.02)"
    reader = subprocess.Popen([*PYTHON, "-c", slow], stdin=ours, stdout=subprocess.PIPE)
    os.close(ours)
    words = ("-a", "30", "-t", "0.5", "-k", "0.1", "-q", "--", *PYTHON, "-c", code)
    running = supervise.start(*words, stdout=theirs)
    os.close(theirs)
    out, _ = reader.communicate(timeout=60)
    ended = running.wait()
    assert ended.code == 124
    assert ended.report["usage"]["stdout_bytes"] >= len(out) > 0
    whole = b"".join(b"%07d\n" % number for number in range(min(FLOOD_BYTES, len(out)) // 8 + 1))
    numbered, dots = out[: min(FLOOD_BYTES, len(out))], out[FLOOD_BYTES:]
    assert numbered == whole[: len(numbered)]
    assert dots == b"." * len(dots)


MEMORY_LIMITS_KIB = (24_000, 32_000, 48_000, 52_000, 200_000)
"""KiB of address space, from too few for a thread to enough for all libraries."""
LONG_RUN = ["-t", "30", "--", "sh", "-c", "sleep 0.2; echo hello"]


@pytest.mark.parametrize("options", [["--no-record"], ["--report", "r", "--log", "l"]])
def test_a_run_without_memory_is_whole_or_says_so(supervise: Place, options: list[str]) -> None:
    """Under RLIMIT_AS the run has the result of the command, or one true line says why not."""
    codes = set()
    for limit in MEMORY_LIMITS_KIB:
        words = [str(supervise.program), "run", "-q", *options, *LONG_RUN]
        ended = supervise.popen(["prlimit", f"--as={limit << 10}", *words]).wait()
        if b"Python runtime" in ended.err or b"shared libraries" in ended.err or b"Fatal Python" in ended.err:
            # Python itself did not start.
            continue
        codes.add(ended.code)
        lines = ended.err.decode().splitlines()
        assert all(line.startswith("supervise: ") for line in lines), (limit, ended.err)
        assert b"internal error" not in ended.err, (limit, ended.err)
        assert ended.code in (0, 125), (limit, ended.err)
        if ended.code == 0:
            assert ended.out == b"hello\n", (limit, ended.err)
        else:
            assert "memory" in lines[-1] or "thread" in lines[-1], (limit, ended.err)
        assert ended.left == [], (limit, ended.err)
    assert codes == {0, 125}


HIDE_DEVICES = 'mount -t tmpfs none /dev && exec "$@"'
"""A shell script that hides all devices and executes its arguments."""


@pytest.mark.parametrize(
    "options", [["--no-record"], [], ["-a", "9", "--access-on", "command=true", "--report", "r"], ["--diagnose=off"]]
)
@pytest.mark.parametrize("closed", ["", "<&-"])
def test_a_run_without_dev_null_works(supervise: Place, options: list[str], closed: str) -> None:
    if os.geteuid():
        pytest.skip("only root can hide it")
    for seconds in ("0", "0.3"):
        run = [str(supervise.program), "run", *options, "--", "sh", "-c", f"sleep {seconds}; echo ran; exit 3"]
        bare = ["unshare", "-m", "sh", "-c", HIDE_DEVICES, "sh", *run]
        ended = supervise.shell(f'"$@" {closed}', *bare)
        assert ended.code == 3, ended.err
        assert ended.err == b""
        assert ended.out == b"ran\n"


def test_a_hook_without_dev_null_is_run(supervise: Place) -> None:
    if os.geteuid():
        pytest.skip("only root can hide it")
    run = [str(supervise.program), "run", "--hook", "settled=cat > told", "--", "sh", "-c", "exit 3"]
    ended = supervise.popen(["unshare", "-m", "sh", "-c", HIDE_DEVICES, "sh", *run]).wait()
    assert (ended.code, ended.err) == (3, b"")
    wait_until(lambda: supervise.file("told").exists() and not supervise.alive())
    assert json.loads(supervise.file("told").read_text())["outcome"] == "failed"


def test_a_detached_run_without_dev_null_is_refused(supervise: Place) -> None:
    """The output of a detached run goes to /dev/null. One line says that it is missing."""
    if os.geteuid():
        pytest.skip("only root can hide it")
    ended = supervise.popen(
        ["unshare", "-m", "sh", "-c", HIDE_DEVICES, "sh", str(supervise.program), "-d", "--", "true"]
    ).wait()
    assert ended.code == 125
    assert ended.messages == ["cannot go on in a process of its own: no such file or directory: /dev/null"]
    assert ended.left == []
