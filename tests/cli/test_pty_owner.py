"""`--pty`: the terminal has one owner, lasts as long as the command, and hangs up when its reader has left."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.harness import PYTHON, Place, Running, is_alive, wait_for_file, wait_until
from tests.support.screens import CTRL_C, shell
from tests.support.terminals import named, supervisor

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

ATTEMPTS = 200


def masters(pid: int) -> int:
    """Return how many descriptors of that process are the master of a terminal; 0 where the process is gone.

    Of a process that is about to end the kernel does not let another one see the descriptors (ptrace(2), EACCES).
    """
    found = 0
    try:
        paths = [*Path(f"/proc/{pid}/fd").iterdir()]
    except (FileNotFoundError, PermissionError):
        paths = []
    for path in paths:
        try:
            found += os.readlink(path) in ("/dev/ptmx", "/dev/pts/ptmx")
        except OSError:
            pass
    return found


def owners(running: Running) -> dict[str, int]:
    """Return the names of the processes of the run that have the master open."""
    found: dict[str, int] = {}
    for pid in running.place.alive():
        if count := masters(pid):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            found[name] = found.get(name, 0) + count
    return found


# --- one owner


@pytest.mark.parametrize("options", [(), ("--no-record",)], ids=["recorded", "not recorded"])
def test_the_supervisor_alone_has_the_master_in_each_attempt(supervise: Place, options: tuple[str, ...]) -> None:
    """Neither the guardian nor the watcher nor the command has a copy of it."""
    command = "touch ready-$SUPERVISE_ATTEMPT; until [ -e go-$SUPERVISE_ATTEMPT ]; do sleep 0.05; done; exit 3"
    again = ("--retries", "2", "--retry-on", "failed", "--retry-delay", "0")
    running = supervise.start("--pty", *options, *again, "--", "sh", "-c", command)
    for number in (1, 2, 3):
        wait_until(supervise.file(f"ready-{number}").exists)
        # The guardian needs a moment to close the copies from the fork, and the watcher to start.
        wait_until(lambda: owners(running) == {"supervise": 1})
        supervise.file(f"go-{number}").touch()
    assert running.wait().code == 3


def test_the_guardian_has_no_copy_of_the_master(supervise: Place) -> None:
    running = supervise.start("--pty", "--", "sh", "-c", "touch ready; exec sleep 2")
    wait_until(supervise.file("ready").exists)
    guardian = running.guardian()
    wait_until(lambda: masters(guardian) == 0)
    while running.process.poll() is None:
        assert masters(guardian) == 0
    assert running.wait().code == 0


# --- a reader that leaves

LEAVING_READERS = {
    "one that writes": ("yes", 129),
    "one that is silent": ("echo one; exec sleep 100", 129),
    "a tree": ("echo one; sleep 100 & sleep 100", 129),
    "one that handles it": ("trap 'exit 7' HUP; echo one; while :; do sleep 0.05; done", 7),
    "one that ignores it": ("trap '' HUP; echo one; while [ -t 1 ]; do sleep 0.05; done; echo two || exit 8", 8),
    "one that ignores it, and says nothing": ("trap '' HUP; echo one; sleep 0.5; exit 9", 9),
}


@pytest.mark.parametrize("options", ["", "--no-record"], ids=["recorded", "not recorded"])
@pytest.mark.parametrize("name", LEAVING_READERS)
def test_a_terminal_is_hung_up_when_the_reader_leaves(supervise: Place, name: str, options: str) -> None:
    command, code = LEAVING_READERS[name]
    script = f'supervise -q {options} --pty -- sh -c "$1" | head -1; echo "code ${{PIPESTATUS[0]}}"'
    ended = supervise.shell(script, command)
    assert ended.out.splitlines()[-1] == b"code %d" % code
    assert ended.err == (b"supervise: the command was killed by HUP (exit 129)\n" if code == 129 else b"")
    assert not ended.left


def test_ctrl_c_cancels_a_run_whose_reader_has_left(supervise: Place) -> None:
    """No command can get the key any more."""
    with shell(supervise) as sh:
        sh.start("supervise -q --pty -- sh -c 'trap \"\" HUP; echo one; exec sleep 100' | head -1")
        sh.wait_for("^one$")
        wait_until(lambda: not named(supervise, "head"))
        pid = supervisor(supervise)
        wait_until(lambda: masters(pid) == 0)
        # A moment later the caller gets the keys again.
        wait_until(lambda: b"-icanon" not in stty(sh.screen._child.child_fd))
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        sh.run("echo code ${PIPESTATUS[0]}")
        assert sh.has_line("code 130")


def stty(fd: int) -> bytes:
    """Return all modes of the terminal as text."""
    return subprocess.run(["stty", "-a"], stdin=fd, capture_output=True, check=True).stdout


def test_a_terminal_is_hung_up_when_the_reader_leaves_in_the_second_attempt(supervise: Place) -> None:
    """The next attempt does not get the terminal that has hung up."""
    command = "echo $SUPERVISE_ATTEMPT; [ $SUPERVISE_ATTEMPT = 2 ] || exit 1; exec sleep 100"
    again = "--retries 3 --retry-on failed --retry-delay 0"
    script = f'supervise -q --pty {again} -- sh -c "$1" | head -2; echo ${{PIPESTATUS[0]}}'
    ended = supervise.shell(script, command)
    assert ended.out.splitlines() == [b"1", b"2", b"129"]


# --- a command that closes its terminal

CLOSES_ITS_TERMINAL = "exec 3<&- 0</dev/null 1>/dev/null 2>&1"


def test_output_to_a_reopened_terminal_is_shown(supervise: Place) -> None:
    """The command prints often, and more than the terminal holds."""
    often = "for n in $(seq 30); do sleep 0.01; seq 500 >/dev/tty; done; echo last >/dev/tty"
    command = f"echo first; {CLOSES_ITS_TERMINAL}; {often}; exit 6"
    ended = supervise("--pty", "--", "sh", "-c", command)
    numbers = b"".join(b"%d\r\n" % n for n in range(1, 501))
    assert ended.code == 6
    assert ended.out == b"first\r\n" + numbers * 30 + b"last\r\n"


def test_a_command_gets_keys_from_a_reopened_terminal(supervise: Place) -> None:
    command = (
        f'{CLOSES_ITS_TERMINAL}; sleep 0.3; printf "Name: " >/dev/tty; read x </dev/tty; echo got $x >/dev/tty; exit 6'
    )
    with shell(supervise) as sh:
        sh.start(f"supervise --pty -- sh -c '{command}'; echo code $?")
        sh.wait_for("^Name:")
        sh.screen.enter("hello")
        sh.wait_for("^got hello$")
        sh.wait_for("^code 6$")
        sh.wait_for_prompt()


def test_a_command_can_reopen_its_terminal_after_vhangup(supervise: Place) -> None:
    """vhangup(2) makes all open descriptors of the terminal dead, also those of the supervisor."""
    if os.getuid() != 0:
        pytest.skip("vhangup(2) needs root")
    code = (
        "import ctypes, os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); name = os.ttyname(1)\n"
        "for n in range(3):\n"
        "    assert ctypes.CDLL(None).vhangup() == 0\n"
        "    fd = os.open(name, os.O_RDWR)\n"
        "    size = os.get_terminal_size(fd)\n"
        "    os.write(fd, b'again %d: %d %d\\n' % (n, size.columns, size.lines))\n"
        "    import termios; termios.tcdrain(fd)\n"
        "sys.exit(6)"
    )
    ended = supervise("--pty", "--", *PYTHON, "-c", code)
    assert ended.code == 6
    assert ended.out.endswith(b"again 2: 80 24\r\n")


NO_TERMINAL = {
    "it has let go": f"{CLOSES_ITS_TERMINAL}; touch ready; until [ -e go ]; do sleep 0.05; done; exit 9",
    "it has hung up": "trap '' HUP; echo; touch ready; until [ -e go ]; do sleep 0.05; done; exit 9",
}


@pytest.mark.parametrize("name", NO_TERMINAL)
def test_no_resize_signal_or_client_ends_a_run_without_a_terminal(supervise: Place, name: str) -> None:
    reader = subprocess.Popen(["head", "-c1"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert reader.stdin
    stdout = reader.stdin.fileno() if "hung" in name else None
    running = supervise.start("--pty", "--", "sh", "-c", NO_TERMINAL[name], stdout=stdout)
    reader.stdin.close()
    wait_until(supervise.file("ready").exists)
    if "hung" in name:
        reader.wait()
        wait_until(lambda: masters(running.pid) == 0)
    send_everything(supervise, running)
    supervise.file("go").touch()
    ended = running.wait()
    reader.wait()
    assert ended.code == 9
    assert ended.err == b""


def test_no_resize_signal_or_client_ends_a_run_between_two_attempts(supervise: Place) -> None:
    """The next attempt has the new size."""
    command = "stty size >size-$SUPERVISE_ATTEMPT </dev/tty; exit 3"
    again = ("--retries", "1", "--retry-on", "failed", "--retry-delay", "10")
    running = supervise.start("--pty", *again, "--", "sh", "-c", command)
    running.wait_for_err(b"attempt 2")
    wait_until(lambda: masters(running.pid) == 0)
    send_everything(supervise, running)
    ended = running.wait()
    assert ended.code == 3
    assert len(ended.report["attempts"]) == 2
    assert b"error" not in ended.err


def send_everything(supervise: Place, running: Running) -> None:
    """Send a run all that may come from outside: resize, CONT, stop and continue, attach, keys, a size, detach."""
    for number in (signal.SIGWINCH, signal.SIGCONT, signal.SIGSTOP, signal.SIGCONT):
        running.send(number)
    attached = subprocess.Popen(
        [str(supervise.program), "attach", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=supervise.environ,
    )
    assert attached.stdin
    with attached.stdin:
        attached.stdin.write(b"keys\n")
    attached.send_signal(signal.SIGWINCH)
    wait_until(lambda: supervise.shell("supervise ps").code == 0)
    attached.terminate()
    attached.wait()
    assert running.process.poll() is None


def test_output_of_a_straggler_on_the_terminal_is_shown_during_the_drain(supervise: Place) -> None:
    """The run ends after the drain, though the straggler holds the terminal."""
    command = "trap '' HUP; (sleep 0.3; echo late; sleep 100) & echo end; exit 4"
    ended = supervise("--pty", "--drain", "1", "--stragglers", "kill", "--", "sh", "-c", command)
    assert ended.code == 4
    assert b"end\r\n" in ended.out
    ended = supervise(
        "--pty", "--stragglers", "wait", "-t", "20", "--", "sh", "-c", command.replace("sleep 100", "true")
    )
    assert ended.code == 4
    assert ended.out == b"end\r\nlate\r\n"


def test_ctrl_c_cancels_a_wait_for_stragglers(supervise: Place) -> None:
    """The command has ended, so the caller has the keys again."""
    with shell(supervise) as sh:
        sh.start("supervise --pty --stragglers wait -- sh -c 'trap \"\" HUP; sleep 100 & echo end'")
        sh.wait_for("^end$")
        wait_until(lambda: not named(supervise, "sh"))
        wait_until(lambda: b"-icanon" not in stty(sh.screen._child.child_fd))
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        sh.run("echo code $?")
        assert sh.has_line("code 130")


# --- 200 attempts

CLOSINGS = {
    "by its end": "exit 3",
    "all streams closed": "exec 0<&- 1>&- 2>&-; exit 3",
    "all streams elsewhere": f"{CLOSES_ITS_TERMINAL}; exit 3",
    "and opened again": f"{CLOSES_ITS_TERMINAL}; echo again >/dev/tty; exit 3",
    "killed": "kill -KILL $$",
    "hung up": "kill -HUP $$",
    "left to a process that lives on": "(trap '' HUP; exec sleep 0.02) & exit 3",
    "left to a session of its own": "setsid -f sleep 0.02; exit 3",
    "with a tail": "seq 2000; exit 3",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSINGS)
def test_200_attempts_that_close_their_terminal_lose_no_output(supervise: Place, name: str) -> None:
    """No attempt hangs, and no exit code is wrong."""
    command = (
        f"echo start $SUPERVISE_ATTEMPT; [ $SUPERVISE_ATTEMPT -le {ATTEMPTS} ] || exit 5; echo end; {CLOSINGS[name]}"
    )
    again = ("--retries", f"{ATTEMPTS}", "--retry-on", "failed,signaled", "--retry-delay", "0")
    ended = supervise("-q", "--pty", "--no-record", *again, "--", "sh", "-c", command)
    more = {"and opened again": b"again\r\n", "with a tail": b"".join(b"%d\r\n" % n for n in range(1, 2001))}
    each = [b"start %d\r\nend\r\n" % n + more.get(name, b"") for n in range(1, ATTEMPTS + 1)]
    assert ended.out == b"".join(each) + b"start %d\r\n" % (ATTEMPTS + 1)
    assert ended.code == 5
    ends = {(each["command_exit"]["code"], each["command_exit"]["signal"]) for each in ended.report["attempts"][:-1]}
    assert ends == {{"killed": (None, "KILL"), "hung up": (None, "HUP")}.get(name, (3, None))}
    assert b"Traceback" not in ended.err


@pytest.mark.slow
def test_200_attempts_each_read_a_line_of_keys(supervise: Place) -> None:
    """No line is lost or read twice."""
    ask = 'printf "%s? " $SUPERVISE_ATTEMPT; read x; echo "<$x>"'
    command = f"{ask}; [ $SUPERVISE_ATTEMPT -le {ATTEMPTS} ]  && exit 3; exit 5"
    supervise.file("ask").write_text(command)
    with shell(supervise) as sh:
        again = f"--retries {ATTEMPTS} --retry-on failed --retry-delay 0"
        sh.start(f"clear; supervise -q --no-record --pty {again} -- sh ask; echo code $?")
        for number in range(1, ATTEMPTS + 2):
            sh.wait_for(rf"^{number}\? *\Z")
            sh.screen.enter(f"line {number}")
        sh.wait_for("^code 5$")
        sh.wait_for_prompt()
        answers = re.findall(rb"<line (\d+)>", sh.screen.transcript)
        assert list(map(int, answers)) == list(range(1, ATTEMPTS + 2))


def test_the_next_attempt_has_a_terminal_after_the_guardian_has_died(supervise: Place) -> None:
    """The supervisor starts the command itself then."""
    first = "echo $$ >pid-$SUPERVISE_ATTEMPT; echo $SUPERVISE_ATTEMPT; [ $SUPERVISE_ATTEMPT = 2 ] || exec sleep 100"
    again = ("--retries", "1", "--retry-on", "completion", "--retry-delay", "0")
    running = supervise.start("--pty", "-t", "2", *again, "--", "sh", "-c", f"{first}; test -t 1 && exit 5")
    pid = wait_for_file(supervise.file("pid-1"))
    running.wait_for_out(b"1")
    os.kill(running.guardian(), signal.SIGKILL)
    ended = running.wait()
    assert not is_alive(pid)
    assert ended.code == 5
    assert ended.out == b"1\r\n2\r\n"


def test_keys_typed_between_two_attempts_go_to_the_next_one(supervise: Place) -> None:
    """Ctrl-C between the attempts cancels."""
    command = "echo attempt $SUPERVISE_ATTEMPT; [ $SUPERVISE_ATTEMPT = 2 ] || exit 3; read x; echo got $x; exit 3"
    with shell(supervise) as sh:
        supervise.file("twice").write_text(command)
        sh.start("supervise --pty --retries 2 --retry-on failed --retry-delay 2 -- sh twice")
        sh.wait_for("attempt 2 of 3")
        wait_until(lambda: b"-icanon" not in stty(sh.screen._child.child_fd))
        sh.screen.enter("early")
        sh.wait_for("^got early$")
        sh.wait_for("attempt 3 of 3")
        wait_until(lambda: b"-icanon" not in stty(sh.screen._child.child_fd))
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        sh.run("echo code $?")
        assert sh.has_line("code 130")
