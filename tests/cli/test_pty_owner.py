"""--pty: the terminal has one owner, lasts as long as the command, and hangs up when nobody reads it."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.harness import PYTHON, Place, Running, is_alive, wait_for_file, wait_until
from tests.support.screens import CTRL_C, shell
from tests.support.terminals import named, supervisor

# pexpect forks; that other threads of the test are at rest then is known.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

ATTEMPTS = 200


def masters(pid: int) -> int:
    """How many descriptors of that process are the supervisor's side of a terminal; 0 where the process is gone."""
    found = 0
    try:
        paths = [*Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:
        paths = []
    for path in paths:
        try:
            found += os.readlink(path) in ("/dev/ptmx", "/dev/pts/ptmx")
        except OSError:
            pass
    return found


def owners(running: Running) -> dict[str, int]:
    """By name: whatever of that run, the command included, has the supervisor's side open."""
    found: dict[str, int] = {}
    for pid in running.place.alive():
        if count := masters(pid):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            found[name] = found.get(name, 0) + count
    return found


# --- one owner


@pytest.mark.parametrize("options", [(), ("--no-record",)], ids=["recorded", "not recorded"])
def test_the_supervisor_alone_has_the_master(supervise: Place, options: tuple[str, ...]) -> None:
    """In each attempt, and once: the guardian, the watcher and the command have no copy of it."""
    command = "touch ready-$SUPERVISE_ATTEMPT; until [ -e go-$SUPERVISE_ATTEMPT ]; do sleep 0.05; done; exit 3"
    again = ("--retries", "2", "--retry-on", "failed", "--retry-delay", "0")
    running = supervise.start("--pty", *options, *again, "--", "sh", "-c", command)
    for number in (1, 2, 3):
        wait_until(supervise.file(f"ready-{number}").exists)
        # The guardian has a moment to close what the fork has given it, and the watcher to be there.
        wait_until(lambda: owners(running) == {"supervise": 1})
        supervise.file(f"go-{number}").touch()
    assert running.wait().code == 3


def test_the_guardian_has_no_copy_after_a_moment_and_never_again(supervise: Place) -> None:
    running = supervise.start("--pty", "--", "sh", "-c", "touch ready; exec sleep 2")
    wait_until(supervise.file("ready").exists)
    guardian = running.guardian()
    wait_until(lambda: masters(guardian) == 0)
    while running.process.poll() is None:
        assert masters(guardian) == 0
    assert running.wait().code == 0


# --- a reader that leaves

LEFT = {
    "one that writes": ("yes", 129),
    "one that is silent": ("echo one; exec sleep 100", 129),
    "a tree": ("echo one; sleep 100 & sleep 100", 129),
    "one that handles it": ("trap 'exit 7' HUP; echo one; while :; do sleep 0.05; done", 7),
    "one that ignores it": ("trap '' HUP; echo one; sleep 0.3; echo two || exit 8", 8),
    "one that ignores it, and says nothing": ("trap '' HUP; echo one; sleep 0.5; exit 9", 9),
}


@pytest.mark.parametrize("options", ["", "--no-record"], ids=["recorded", "not recorded"])
@pytest.mark.parametrize("name", LEFT)
def test_a_reader_that_leaves_hangs_up(supervise: Place, name: str, options: str) -> None:
    command, code = LEFT[name]
    script = f'supervise -q {options} --pty -- sh -c "$1" | head -1; echo "code ${{PIPESTATUS[0]}}"'
    ended = supervise.shell(script, command)
    assert ended.out.splitlines()[-1] == b"code %d" % code
    assert ended.err == (b"supervise: the command was killed by HUP (exit 129)\n" if code == 129 else b"")
    assert not ended.left


def test_a_reader_that_leaves_on_a_terminal(supervise: Place) -> None:
    """Ctrl-C cancels then, since no command can hear it any more."""
    with shell(supervise) as sh:
        sh.start("supervise -q --pty -- sh -c 'trap \"\" HUP; echo one; exec sleep 100' | head -1")
        sh.wait_for("^one$")
        wait_until(lambda: not named(supervise, "head"))
        pid = supervisor(supervise)
        wait_until(lambda: masters(pid) == 0)
        # The keys are the caller's again a moment later.
        wait_until(lambda: b"-icanon" not in stty(sh.screen._child.child_fd))
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        sh.run("echo code ${PIPESTATUS[0]}")
        assert sh.has_line("code 130")


def stty(fd: int) -> bytes:
    return subprocess.run(["stty", "-a"], stdin=fd, capture_output=True, check=True).stdout


def test_a_reader_that_leaves_in_the_second_attempt(supervise: Place) -> None:
    """The one that is over has hung up, and its terminal is not taken for the next one."""
    command = "echo $SUPERVISE_ATTEMPT; [ $SUPERVISE_ATTEMPT = 2 ] || exit 1; exec sleep 100"
    again = "--retries 3 --retry-on failed --retry-delay 0"
    script = f'supervise -q --pty {again} -- sh -c "$1" | head -2; echo ${{PIPESTATUS[0]}}'
    ended = supervise.shell(script, command)
    assert ended.out.splitlines() == [b"1", b"2", b"129"]


# --- a command that lets go of its terminal

PATIENT = "exec 3<&- 0</dev/null 1>/dev/null 2>&1"


def test_a_command_that_lets_go_is_shown_when_it_comes_again(supervise: Place) -> None:
    """More than the terminal holds, and often."""
    often = "for n in $(seq 30); do sleep 0.01; seq 500 >/dev/tty; done; echo last >/dev/tty"
    command = f"echo first; {PATIENT}; {often}; exit 6"
    ended = supervise("--pty", "--", "sh", "-c", command)
    numbers = b"".join(b"%d\r\n" % n for n in range(1, 501))
    assert ended.code == 6
    assert ended.out == b"first\r\n" + numbers * 30 + b"last\r\n"


def test_a_command_that_lets_go_hears_keys_when_it_comes_again(supervise: Place) -> None:
    command = f'{PATIENT}; sleep 0.3; printf "Name: " >/dev/tty; read x </dev/tty; echo got $x >/dev/tty; exit 6'
    with shell(supervise) as sh:
        sh.start(f"supervise --pty -- sh -c '{command}'; echo code $?")
        sh.wait_for("^Name:")
        sh.screen.enter("hello")
        sh.wait_for("^got hello$")
        sh.wait_for("^code 6$")
        sh.wait_for_prompt()


def test_a_command_whose_terminal_was_hung_up_can_open_it_again(supervise: Place) -> None:
    """vhangup(2) leaves every open of it dead, ours too."""
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
    "it has let go": f"{PATIENT}; touch ready; until [ -e go ]; do sleep 0.05; done; exit 9",
    "it has hung up": "trap '' HUP; echo; touch ready; until [ -e go ]; do sleep 0.05; done; exit 9",
}


@pytest.mark.parametrize("name", NO_TERMINAL)
def test_nothing_that_comes_without_a_terminal_ends_the_run(supervise: Place, name: str) -> None:
    reader = subprocess.Popen(["head", "-c1"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert reader.stdin
    stdout = reader.stdin.fileno() if "hung" in name else None
    running = supervise.start("--pty", "--", "sh", "-c", NO_TERMINAL[name], stdout=stdout)
    reader.stdin.close()
    wait_until(supervise.file("ready").exists)
    if "hung" in name:
        reader.wait()
        wait_until(lambda: masters(running.pid) == 0)
    everything(supervise, running)
    supervise.file("go").touch()
    ended = running.wait()
    reader.wait()
    assert ended.code == 9
    assert ended.err == b""


def test_nothing_that_comes_between_two_attempts_ends_the_run(supervise: Place) -> None:
    """A resize is kept for the next one."""
    command = "stty size >size-$SUPERVISE_ATTEMPT </dev/tty; exit 3"
    again = ("--retries", "1", "--retry-on", "failed", "--retry-delay", "3")
    running = supervise.start("--pty", *again, "--", "sh", "-c", command)
    running.wait_for_err(b"attempt 2")
    wait_until(lambda: masters(running.pid) == 0)
    everything(supervise, running)
    ended = running.wait()
    assert ended.code == 3
    assert len(ended.report["attempts"]) == 2
    assert b"error" not in ended.err


def everything(supervise: Place, running: Running) -> None:
    """What may come from outside: resize, CONT, stop and continue, attach, keys, a size, detach."""
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


def test_what_is_left_running_and_holds_the_terminal(supervise: Place) -> None:
    """As with a pipe: what it prints while it is waited for is shown, then it is let go."""
    command = "(trap '' HUP; sleep 0.3; echo late; sleep 100) & sleep 0.1; echo end; exit 4"
    ended = supervise("--pty", "--drain", "1", "--stragglers", "kill", "--", "sh", "-c", command)
    assert ended.code == 4
    assert b"end\r\n" in ended.out
    ended = supervise(
        "--pty", "--stragglers", "wait", "-t", "20", "--", "sh", "-c", command.replace("sleep 100", "true")
    )
    assert ended.code == 4
    assert ended.out == b"end\r\nlate\r\n"


def test_ctrl_c_while_stragglers_are_waited_for(supervise: Place) -> None:
    """The command has ended: the keys are the caller's again."""
    with shell(supervise) as sh:
        sh.start("supervise --pty --stragglers wait -- sh -c '(trap \"\" HUP; exec sleep 100) & echo end'")
        sh.wait_for("^end$")
        wait_until(lambda: not named(supervise, "sh"))
        wait_until(lambda: b"-icanon" not in stty(sh.screen._child.child_fd))
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        sh.run("echo code $?")
        assert sh.has_line("code 130")


# --- 200 attempts

WAYS = {
    "by its end": "exit 3",
    "all streams closed": "exec 0<&- 1>&- 2>&-; exit 3",
    "all streams elsewhere": f"{PATIENT}; exit 3",
    "and opened again": f"{PATIENT}; echo again >/dev/tty; exit 3",
    "killed": "kill -KILL $$",
    "hung up": "kill -HUP $$",
    "left to a process that lives on": "(trap '' HUP; exec sleep 0.02) & exit 3",
    "left to a session of its own": "setsid -f sleep 0.02; exit 3",
    "with a tail": "seq 2000; exit 3",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_200_attempts_with_each_way_of_letting_go(supervise: Place, name: str) -> None:
    """No hang, no lost tail, no wrong code."""
    command = f"echo start $SUPERVISE_ATTEMPT; [ $SUPERVISE_ATTEMPT -le {ATTEMPTS} ] || exit 5; echo end; {WAYS[name]}"
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
def test_200_attempts_that_read_their_keys(supervise: Place) -> None:
    """On a terminal: each is typed a line, and none is lost or given twice."""
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


def test_a_terminal_after_the_guardian_has_died(supervise: Place) -> None:
    """We hold the command ourselves then, and the next attempt has a terminal as well."""
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


def test_keys_that_were_typed_between_two_attempts(supervise: Place) -> None:
    """They wait for the next one; Ctrl-C there cancels."""
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
