"""`--pty`: programs that ask much of a terminal, and other makers of terminals inside and around supervise."""

import os
import subprocess

import pytest

from tests.support.harness import Place, wait_until
from tests.support.screens import CTRL_C, CTRL_D, shell
from tests.support.ssh_servers import ssh_server
from tests.support.terminals import named, script

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

CURSES = """
import curses

def main(window):
    curses.curs_set(0)
    while True:
        rows, columns = window.getmaxyx()
        window.erase()
        window.border()
        window.addstr(1, 2, f"size {rows} {columns}")
        window.addstr(2, 2, "last " + name)
        window.refresh()
        key = window.getch()
        if key == ord("q"):
            return
        set_name(curses.keyname(key).decode())

def set_name(to):
    global name
    name = to

name = "none"
curses.wrapper(main)
"""


def test_a_curses_program_gets_keys_and_resizes(supervise: Place) -> None:
    """Some keys are several bytes; at the end the screen is as it was before."""
    supervise.file("box.py").write_text(CURSES)
    with script(supervise, "supervise --pty -- python3 -IS box.py") as sh:
        sh.wait_for("size 24 80")
        sh.type("\x1bOA")
        sh.wait_for("last KEY_UP")
        sh.type("\x01")
        sh.wait_for(r"last \^A")
        sh.screen.resize(20, 60)
        sh.wait_for("size 20 60")
        sh.screen.resize(24, 80)
        sh.wait_for("size 24 80")
        sh.type("q")
        sh.wait_for("^code 0$")


def test_a_secret_is_read_without_echo(supervise: Place) -> None:
    with script(supervise, "supervise --pty -- bash -c 'read -s -p Secret: x; echo; echo got $x'") as sh:
        sh.wait_for("^Secret:")
        sh.screen.enter("hush")
        sh.wait_for("^got hush$")
        assert sh.count("hush") == 1
        sh.wait_for("^code 0$")


def test_single_keys_are_read_with_a_timeout(supervise: Place) -> None:
    with script(supervise, "supervise --pty -- bash -c 'read -n1 -p Key: x; read -t 0.2 y; echo :got $x:$?'") as sh:
        sh.wait_for("^Key:")
        sh.type("k")
        sh.wait_for(":got k:142$")
        sh.wait_for("^code 0$")


def test_script_runs_inside_supervise(supervise: Place) -> None:
    inner = "stty size; read x; echo got $x; exit 4"
    with script(supervise, f"supervise --pty -- script -qec '{inner}' /dev/null") as sh:
        sh.wait_for("^24 80$")
        sh.screen.enter("hello")
        sh.wait_for("^got hello$")
        sh.wait_for("^code 4$")


def test_supervise_runs_inside_script(supervise: Place) -> None:
    inner = "stty size; read x; echo got $x; exit 4"
    with script(supervise, f"script -qec \"supervise --pty -- sh -c '{inner}'\" log".replace("$x", "\\$x")) as sh:
        sh.wait_for("^24 80$")
        sh.screen.enter("hello")
        sh.wait_for("^got hello$")
        sh.wait_for("^code 4$")
        assert "got hello" in supervise.file("log").read_text()


def test_supervise_runs_inside_supervise(supervise: Place) -> None:
    inner = "supervise --pty -- supervise --pty -- sh -c 'stty size; read x; echo got $x; exit 4'"
    with script(supervise, f"supervise --pty -- {inner}") as sh:
        sh.wait_for("^24 80$")
        sh.screen.enter("hello")
        sh.wait_for("^got hello$")
        sh.wait_for("^code 4$")


def test_the_last_output_through_script_and_supervise_is_whole(supervise: Place) -> None:
    ended = supervise("--pty", "--", "script", "-qec", "seq 20000; exit 4", "/dev/null")
    assert ended.code == 4
    # Where its stdin is no terminal, script leaves the modes of its stdout alone, which adds a carriage return.
    assert ended.out == b"".join(b"%d\r\r\n" % number for number in range(1, 20001))


@pytest.mark.needs("ssh-keygen")
def test_a_passphrase_is_typed_while_stdin_is_a_pipe(supervise: Place) -> None:
    """ssh-keygen asks for it by /dev/tty."""
    key = supervise.file("key")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "hushhush", "-f", str(key)], check=True)
    with script(supervise, "echo no | supervise --pty -- ssh-keygen -y -f key") as sh:
        sh.wait_for("passphrase")
        sh.screen.enter("hushhush")
        sh.wait_for("^ssh-ed25519 ")
        assert sh.count("hushhush") == 0
        sh.wait_for("^code 0$")


# --- ssh


def test_ssh_inside_supervise_passes_keys_size_and_code(supervise: Place) -> None:
    """The far end has a terminal of the same size; Ctrl-C is passed, too.

    The prompt appears when the echo is off already, as getpass(3) does it: an answer typed at a prompt
    that comes first is echoed or not, as chance has it.
    """
    ask = "stty -echo; printf Secret:; read x; stty echo; echo; echo got $x"
    far = supervise.file("far")
    far.write_text(f"cd {supervise.folder}; stty size; {ask}; trap 'exit 6' INT; echo ready; exec 3<>pipe; read y <&3")
    os.mkfifo(supervise.file("pipe"))
    with ssh_server(supervise) as ssh, script(supervise, f"supervise --pty -- {ssh} -tt sh {far}") as sh:
        sh.wait_for("^24 80$")
        sh.wait_for("^Secret:")
        sh.screen.enter("hush")
        sh.wait_for("^got hush$")
        assert sh.count("hush") == 1
        sh.wait_for("^ready$")
        sh.type(CTRL_C)
        sh.wait_for("code 6$")


def test_ssh_without_a_far_terminal_passes_stdin_whole(supervise: Place) -> None:
    """The stdin is a pipe."""
    with ssh_server(supervise) as ssh:
        ended = supervise("--pty", "--", *ssh.split(), "wc -c; exit 3", stdin=b"a" * 300_000)
    assert ended.code == 3
    assert ended.out.split() == [b"300000"]


def test_supervise_runs_inside_ssh(supervise: Place) -> None:
    with ssh_server(supervise) as ssh, shell(supervise) as sh:
        sh.start(f"{ssh} -tt supervise --pty -- python3 -q; echo code $?")
        sh.wait_for("^>>> ?$")
        sh.screen.enter("6 * 7")
        sh.wait_for("^42$")
        sh.type(CTRL_D)
        sh.wait_for("^code 0$")
        sh.wait_for_prompt()


def test_supervise_inside_ssh_ends_when_the_connection_is_cut(supervise: Place) -> None:
    """The far terminal hangs up, and no process is left."""
    with ssh_server(supervise) as ssh, shell(supervise) as sh:
        pid = supervise.file("pid")
        sh.start(f"{ssh} -tt \"supervise --pty -- sh -c 'echo \\$\\$ >{pid}; exec sleep 100'\"")
        wait_until(lambda: pid.exists() and pid.read_text())
        (client,) = named(supervise, "ssh")
        os.kill(client, 9)
        sh.wait_for_prompt()
        wait_until(lambda: not os.path.exists(f"/proc/{pid.read_text().strip()}"))
        sh.run("stty sane; clear")
