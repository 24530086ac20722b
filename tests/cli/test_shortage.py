"""Where there is too little or too much: descriptors, processes, room. A clear message, and the command never alone."""

import os
import resource
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.harness import PYTHON, Place, child
from tests.torture.arena import as_ordinary_user

MANY = min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100)
TOO_FEW = range(5, 16)
"""Descriptors: from what Python itself can hardly start with to what is enough."""
FEW = range(16, 25)
"""Descriptors: enough for the start of a long run, and more and more of what it would do besides."""
FEW_PROCESSES = range(10)
LINES = 40_000
FLOOD = 64 << 20


def opening(count: int, then: list[str]) -> list[str]:
    """The words that open so many files for a program, and become it."""
    code = (
        "import os, resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({count + 100}, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        f"null = os.open(os.devnull, os.O_RDWR)\n"
        f"os.set_inheritable(null, True)\n"
        f"for _ in range({count} - 1): os.set_inheritable(os.dup(null), True)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    return [*PYTHON, "-c", code, *then]


def test_very_many_open_files(supervise: Place) -> None:
    """They are the command's, as without us; and they are in nobody's way."""
    count = [*PYTHON, "-c", "import os; print(len(os.listdir('/proc/self/fd')) - 1)"]
    ended = supervise.popen(opening(MANY, [str(supervise.program), "run", "-t", "30", "--", *count])).wait()
    assert (ended.code, ended.out, ended.err) == (0, b"%d\n" % (MANY + 3), b"")
    words = ["run", "-t", "1", "-k", "0.2", "--", *child("fork", "ready", "stay", "end", "ready", "stay")]
    ended = supervise.popen(opening(MANY, [str(supervise.program), *words])).wait()
    assert ended.code == 124
    assert ended.left == []
    assert ended.out == b"ready\nready\n"


@pytest.mark.parametrize("report", [False, True])
def test_too_few_descriptors(supervise: Place, report: bool) -> None:
    """The command's output is whole, or supervise says in one line what it lacks."""
    enough = 0
    for limit in TOO_FEW:
        words = [str(supervise.program), "run", *(["--report", "r"] if report else []), "--", "/bin/echo", "hello"]
        ended = supervise.popen(["prlimit", f"--nofile={limit}", *words]).wait()
        if b"Python runtime" in ended.err or b"shared libraries" in ended.err or b"Error processing line" in ended.err:
            # The interpreter itself did not come up.
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
def test_too_few_descriptors_for_all_of_a_long_run(supervise: Place, options: tuple[str, ...]) -> None:
    """What can be done without is done without; else it is said what is lacking."""
    codes = set()
    for limit in FEW:
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


def test_too_few_descriptors_for_a_flood(supervise: Place) -> None:
    """It is handed over with fewer pipes, or none, and arrives whole."""
    codes = set()
    for limit in FEW:
        words = [str(supervise.program), "run", "--log-max", "1G", "--", "head", "-c", "30000000", "/dev/zero"]
        ended = supervise.popen(["prlimit", f"--nofile={limit}", *words]).wait()
        codes.add(ended.code)
        assert b"could not be written" not in ended.err, (limit, ended.err)
        # Where not even the loop can be loaded the command was stopped for that.
        assert ended.code == 0 or "cannot go on: too many open files" in ended.messages[-1], (limit, ended.err)
        assert ended.code != 0 or len(ended.out) == 30_000_000, (limit, ended.err)
    assert 0 in codes


def test_too_few_processes(supervise: Place) -> None:
    """RLIMIT_NPROC, threads included, at every point of the start and of a stop."""
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
            # No wait for what was told before: that took 15 seconds.
            assert time.monotonic() - since < 10, (limit, ended.err)
            assert ended.code in (code, 125) or b"Resource temporarily unavailable" in ended.err, (limit, ended.err)
            assert b"Traceback" not in ended.err, (limit, ended.err)
            assert b"internal error" not in ended.err, (limit, ended.err)
            if ended.code == 125:
                assert "cannot start" in ended.messages[-1], (limit, ended.err)
            assert ended.left == [], (limit, ended.err)
    assert codes >= {0, 125}
    # Its folder for sockets is nobody else's, and empty.
    for parent in ("/run/lock", "/tmp"):
        for path in Path(parent).glob(f"supervise-{number}*"):
            path.rmdir()


def test_where_files_may_be_small_alone_no_run_is_taken_for_lost(supervise: Place) -> None:
    """RLIMIT_FSIZE: either there is no record, which is said, or its end is on it."""
    for bound in (0, 1, 1000, 1024, 2048, 4095, 4096, 5000):

        def limit(bound: int = bound) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))

        ended = supervise.start("--", "sh", "-c", "sleep 0.1; exit 3", report=False, preexec_fn=limit).wait()
        assert ended.code == 3
        said = b"this run is not recorded: file too large" in ended.err
        shown = supervise.shell("supervise ps --all -q").out.split()
        assert said != bool(shown)
        assert supervise.shell("supervise ps -q; supervise prune --keep 0").out.splitlines()[:-1] == []


def test_a_megabyte_in_a_handler_is_streamed_whole(supervise: Place) -> None:
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


def test_a_flood_that_is_cut_is_cut_at_a_byte(supervise: Place) -> None:
    """What arrived is the beginning of what was written: nothing torn out, nothing in another order."""
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"for start in range(0, {FLOOD} // 8, 8192):\n"
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
    whole = b"".join(b"%07d\n" % number for number in range(min(FLOOD, len(out)) // 8 + 1))
    numbered, dots = out[: min(FLOOD, len(out))], out[FLOOD:]
    assert numbered == whole[: len(numbered)]
    assert dots == b"." * len(dots)


TOO_LITTLE = (24_000, 32_000, 48_000, 52_000, 200_000)
"""KiB of address space: too little for a thread, for the libraries, and enough for all."""
LONG = ["-t", "30", "--", "sh", "-c", "sleep 0.2; echo hello"]


@pytest.mark.parametrize("options", [["--no-record"], ["--report", "r", "--log", "l"]])
def test_too_little_memory(supervise: Place, options: list[str]) -> None:
    """RLIMIT_AS: the command's own result, or one true line; a record or a log may be told to be incomplete."""
    codes = set()
    for limit in TOO_LITTLE:
        words = [str(supervise.program), "run", "-q", *options, *LONG]
        ended = supervise.popen(["prlimit", f"--as={limit << 10}", *words]).wait()
        if b"Python runtime" in ended.err or b"shared libraries" in ended.err or b"Fatal Python" in ended.err:
            # The interpreter itself did not come up.
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


WITHOUT = 'mount -t tmpfs none /dev && exec "$@"'
"""A folder of devices in which there is none."""


@pytest.mark.parametrize(
    "options", [["--no-record"], [], ["-a", "9", "--access-on", "command=true", "--report", "r"], ["--diagnose=off"]]
)
@pytest.mark.parametrize("closed", ["", "<&-"])
def test_without_dev_null(supervise: Place, options: list[str], closed: str) -> None:
    if os.geteuid():
        pytest.skip("only root can hide it")
    for seconds in ("0", "0.3"):
        run = [str(supervise.program), "run", *options, "--", "sh", "-c", f"sleep {seconds}; echo ran; exit 3"]
        bare = ["unshare", "-m", "sh", "-c", WITHOUT, "sh", *run]
        ended = supervise.shell(f'"$@" {closed}', *bare)
        assert ended.code == 3, ended.err
        assert ended.err == b""
        assert ended.out == b"ran\n"


def test_detached_without_dev_null(supervise: Place) -> None:
    """It needs one: whose output nobody reads goes there.  That is said in one line."""
    if os.geteuid():
        pytest.skip("only root can hide it")
    ended = supervise.popen(
        ["unshare", "-m", "sh", "-c", WITHOUT, "sh", str(supervise.program), "-d", "--", "true"]
    ).wait()
    assert ended.code == 125
    assert ended.messages == ["cannot go on in a process of its own: no such file or directory: /dev/null"]
    assert ended.left == []
