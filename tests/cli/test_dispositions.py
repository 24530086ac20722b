"""The signal dispositions of the command, compared with those that the caller's own fork and exec give it."""

import signal
import sys

import pytest

from tests.support.harness import Place

SIGNALS = [number for number in range(1, 65) if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33)]
"""The signals that a program may ignore or block; the C library keeps 32 and 33 for itself (nptl(7))."""
UNKNOWABLE = {signal.SIGPIPE, signal.SIGXFSZ}
"""Python ignores these two before its first line, so the dispositions of the caller are lost; the manual says so."""
INTERNAL = {32, 33}
"""Signals of the C library (nptl(7)): posix_spawn leaves them ignored until the command's C library sets them."""
REAPED = {signal.SIGCHLD}
"""An ignored CHLD would take the command's status from the guardian, so it is not inherited; the manual says so."""

CALLER = """
import os, resource, signal, sys
ignored, blocked = ([int(word) for word in words.split(",") if word] for words in sys.argv[1:3])
for number in range(1, 65):
    if number not in (9, 19, 32, 33):
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
os.umask(0o027)
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
os.nice(3)
os.execv(sys.argv[3], sys.argv[3:])
"""
COMMAND = """
import os, resource
wanted = ("SigBlk:", "SigIgn:", "SigPnd:", "ShdPnd:")
print(*(line.strip() for line in open("/proc/self/status") if line.startswith(wanted)), sep="|", end="|")
print(os.umask(0), os.nice(0), [resource.getrlimit(number) for number in range(16)], sep="|")
"""


def inherited(place: Place, ignored: list[int], blocked: list[int], *before: str) -> tuple[set[int], set[int], str]:
    """Return the signals that the command ignores and blocks, and its other state, when run by the words `before`."""
    lists = (",".join(map(str, numbers)) for numbers in (ignored, blocked))
    command = [sys.executable, "-I", "-S", "-c", COMMAND]
    ended = place.popen([sys.executable, "-I", "-S", "-c", CALLER, *lists, *before, *command]).wait()
    assert ended.code == 0, ended.err
    block, ignore, *rest = sorted(ended.out.decode().strip().split("|"))
    found = dict(part.split(":\t") for part in (*rest, block, ignore) if ":\t" in part)
    masks = {
        name: {number for number in range(1, 65) if int(mask, 16) >> number - 1 & 1} for name, mask in found.items()
    }
    assert not masks["SigPnd"] | masks["ShdPnd"]
    return masks["SigIgn"], masks["SigBlk"], "|".join(part for part in rest if ":\t" not in part)


@pytest.mark.parametrize("options", [("--no-record",), (), ("--pty",)], ids=["unrecorded", "recorded", "pty"])
@pytest.mark.parametrize(
    ("ignored", "blocked"),
    [([], []), (SIGNALS, []), ([], SIGNALS), (SIGNALS[::2], SIGNALS[1::2]), (SIGNALS[1::2], SIGNALS[::3])],
    ids=["none", "all-ignored", "all-blocked", "even", "odd"],
)
def test_the_command_inherits_what_plain_exec_gives(
    supervise: Place, ignored: list[int], blocked: list[int], options: tuple[str, ...]
) -> None:
    plain = inherited(supervise, ignored, blocked)
    ours = inherited(supervise, ignored, blocked, str(supervise.program), "run", *options, "--")
    # The reporting Python ignores the two itself, as it does below plain exec.
    assert plain[0] ^ ours[0] <= REAPED | UNKNOWABLE | INTERNAL
    assert plain[1:] == ours[1:]


def test_a_later_attempt_inherits_the_same_dispositions(supervise: Place) -> None:
    # bash, since dash empties its signal mask.
    script = 'grep -E "Sig(Blk|Ign)" /proc/self/status >>seen; test $SUPERVISE_ATTEMPT = 2'
    options = ("--retries", "1", "--retry-on", "failed", "--retry-delay", "0")
    numbers = ",".join(map(str, (signal.SIGTERM, signal.SIGUSR1, signal.SIGTSTP)))
    caller = [sys.executable, "-I", "-S", "-c", CALLER, str(int(signal.SIGHUP)), numbers]
    assert supervise.popen([*caller, str(supervise.program), *options, "--", "bash", "-c", script]).wait().code == 0
    lines = (supervise.folder / "seen").read_text().splitlines()
    first, second = lines[:2], lines[2:]
    assert first == second
    wanted = sum(1 << number - 1 for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGTSTP))
    assert int(first[0].split()[1], 16) == wanted
    assert int(first[1].split()[1], 16) & 1
