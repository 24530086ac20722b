"""On a terminal, without --pty: programs that take the whole of it, what it is like afterwards, and its end."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.harness import Place, is_alive, name_of, wait_for_file, wait_until
from tests.support.screens import CTRL_C, CTRL_D, SHELLS, Shell, screen, shell, tmux, words
from tests.support.terminals import named, script, supervisor
from tests.torture.arena import as_ordinary_user

# pexpect forks; that other threads of the test are at rest then is known.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

FULL_SCREEN = {
    "less": ("less text", r"^23\ntext", "q"),
    "vim": ("vim -N -u NONE -i NONE text", r'^"text" 1000L', ":q\r"),
    "top": ("top", r"^ *PID USER", "q"),
}
PROMPT = 'python3 -c \'import getpass; print("got", getpass.getpass("Secret: "))\''
BOTH = pytest.mark.parametrize("option", ["", "--pty"], ids=["shared", "pty"])


# --- full-screen programs


WITH_SCREEN = pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param(name, option, id=f"{name} {option}", marks=pytest.mark.needs(name))
        for name, option in [("less", "--pty"), ("top", "--pty"), ("vim", "--pty"), ("vim", "")]
    ],
)
"""Without --pty the command's stdout is a pipe, on which vim insists less than the others."""


@WITH_SCREEN
def test_a_full_screen_program_is_used_and_left(supervise: Place, name: str, option: str) -> None:
    command, sign, leave = FULL_SCREEN[name]
    with script(supervise, f"supervise {option} -- {command}") as sh:
        sh.wait_for(sign)
        sh.type(leave)
        sh.wait_for("^code 0$")
        assert sh.count("supervise: ") == 0


@WITH_SCREEN
@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_a_full_screen_program_is_stopped_by_a_timeout(supervise: Place, name: str, option: str, how: str) -> None:
    """Also by KILL, which leaves it no time to clean up."""
    command, sign, _ = FULL_SCREEN[name]
    with script(supervise, f"supervise -t 4 -s {how} {option} -- {command}") as sh:
        sh.wait_for(sign)
        sh.wait_for("^code 124$")
        # Each message begins in the first column.
        ours = [line for line in sh.screen.lines if line.startswith("supervise: completion timeout: the command was")]
        assert ours, sh.screen.text


@pytest.mark.needs("less")
def test_a_pager_without_a_terminal_of_its_own_is_a_cat(supervise: Place) -> None:
    """As in any pipeline."""
    with script(supervise, "supervise -- less text; seq 3 | supervise -- less") as sh:
        sh.wait_for("^1000\n1\n2\n3\ncode 0$")


@BOTH
def test_we_are_killed_while_a_program_has_the_screen(supervise: Place, option: str) -> None:
    """The guardian restores the terminal at once, and stops the program."""
    command = "trap '' TERM HUP; stty raw -echo; echo $$ >pid; echo ready; exec sleep 100"
    wait = "until stty -a | grep -q ' icanon'; do sleep 0.05; done"
    with script(supervise, f'supervise {option} -k 0.2 -- sh -c "{command}"; {wait}') as sh:
        sh.wait_for("ready")
        pid = wait_for_file(supervise.file("pid"))
        os.kill(supervisor(supervise), signal.SIGKILL)
        sh.wait_for("^ *code 0")
        wait_until(lambda: not is_alive(pid) and not named(supervise, "supervise-guard"))


def test_what_a_command_sets_that_ends_by_itself_stays(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.run("sh -c 'stty tostop; supervise -- sh -c \"stty -tostop; sleep 0.2\"; stty -a' | grep -o -e '-tostop'")
        assert sh.has_line("-tostop")


@BOTH
def test_a_command_that_is_killed_by_others_leaves_a_usable_terminal(supervise: Place, option: str) -> None:
    with script(supervise, f"supervise {option} -- sh -c 'stty raw -echo; sleep 0.3; kill -KILL $$'") as sh:
        sh.wait_for("^code 137$")


def test_the_foreground_is_given_back(supervise: Place) -> None:
    """A command with a group of its own in the foreground is killed: whoever comes after us can read."""
    with script(supervise, "supervise -t 1 -s KILL -- bash --norc -i; read word; echo read $word") as sh:
        sh.wait_for("^code|stopped after")
        sh.wait_for("exit 124")
        sh.screen.enter("hello")
        sh.wait_for("^read hello$")


def test_the_foreground_is_given_back_by_the_guardian(supervise: Place) -> None:
    command = "supervise -k 0.2 -- env PS1='inner> ' bash --norc -i"
    line = f"{command}; until [ -e gone ]; do sleep 0.05; done; read word; echo read $word"
    with script(supervise, line) as sh:
        sh.wait_for("^inner>")
        sh.screen.enter("echo inner $((1 + 1))")
        sh.wait_for("inner 2$")
        inner = sh.screen.foreground()
        os.kill(supervisor(supervise), signal.SIGKILL)
        wait_until(lambda: not is_alive(inner) and not named(supervise, "supervise-guard"))
        assert sh.screen.foreground() != inner
        supervise.file("gone").touch()
        sh.screen.enter("hello")
        sh.wait_for("^read hello$")


# --- password prompts


@BOTH
def test_a_password_prompt(supervise: Place, option: str) -> None:
    with script(supervise, f"supervise {option} -- {PROMPT}") as sh:
        sh.wait_for("^Secret:")
        sh.screen.enter("hush")
        sh.wait_for("^got hush$")
        assert sh.count("hush") == 1
        sh.wait_for("^code 0$")


@BOTH
@pytest.mark.parametrize("into", ["", " | cat; sleep 0"], ids=["terminal", "pipe"])
def test_a_password_prompt_that_is_stopped(supervise: Place, option: str, into: str) -> None:
    """The echo is back."""
    with script(supervise, f"supervise -t 1 {option} -- {PROMPT}{into}") as sh:
        sh.wait_for("^Secret:")
        sh.wait_for("^code ")


@pytest.mark.needs("ssh-keygen")
@BOTH
def test_a_passphrase_of_ssh(supervise: Place, option: str) -> None:
    """ssh, ssh-add and ssh-keygen ask by the same function, which opens /dev/tty."""
    key = supervise.file("key")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "hushhush", "-f", str(key)], check=True)
    with script(supervise, f"supervise {option} -- ssh-keygen -y -f key") as sh:
        sh.wait_for("passphrase")
        sh.screen.enter("hushhush")
        sh.wait_for("^ssh-ed25519 ")
        assert sh.count("hushhush") == 0
        sh.wait_for("^code 0$")


# --- the window


def test_the_size_of_the_window_is_the_commands_too(supervise: Place) -> None:
    command = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done"
    with shell(supervise) as sh:
        sh.start(f'supervise -- sh -c "{command}"')
        sh.wait_for("^24 80$")
        sh.screen.resize(30, 90)
        sh.wait_for("^30 90$")
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        assert sh.count("30 90") == 1


HUP_CLEANER = "trap 'sleep 0.3; touch cleaned; exit' HUP; echo ready; while :; do sleep 0.05; done"


@BOTH
def test_a_window_is_closed(supervise: Place, option: str) -> None:
    """Nothing survives, and who cleans up at HUP is left the time for it, although more than one HUP comes."""
    with tmux(supervise) as window:
        window.wait_for_prompt(1)
        window.enter(f'supervise {option} -- sh -c "{HUP_CLEANER}"')
        window.wait_for("^ready$")
        window.kill_window()
        wait_until(lambda: supervise.file("cleaned").exists())
        wait_until(lambda: not supervise.alive())


@BOTH
def test_a_terminal_vanishes(supervise: Place, option: str) -> None:
    with screen(supervise, SHELLS["bash"]) as on:
        sh = Shell(on)
        stubborn = words("ignore=HUP", "ignore=TERM", "fork", "setsid", "ignore=HUP", "stay", "end", "ready", "stay")
        sh.start(f"supervise {option} -k 0.3 -- {stubborn}")
        sh.wait_for("^ready")
        on.hang_up()
        wait_until(lambda: not supervise.alive())


def test_the_program_of_a_window(supervise: Place) -> None:
    """No shell around us: we lead the session."""
    with tmux(supervise, f'{supervise.program} -- sh -c "{HUP_CLEANER}"') as window:
        window.wait_for("^ready$")
        window.kill_window()
        wait_until(lambda: supervise.file("cleaned").exists())
        wait_until(lambda: not supervise.alive())


def test_nohup_outlives_the_terminal(supervise: Place) -> None:
    with tmux(supervise) as window:
        window.wait_for_prompt(1)
        command = words("print_ignored", "mark=pid", "wait_for=go", "say=done")
        window.enter(f"nohup supervise --report report.json -- {command} &")
        pid = wait_for_file(supervise.file("pid"))
        window.kill_window()
        wait_until(lambda: not any(name_of(one) in ("bash", "tmux: server") for one in supervise.alive()))
        assert is_alive(pid)
        supervise.file("go").touch()
        wait_until(lambda: not supervise.alive())
        said = supervise.file("nohup.out").read_text()
        assert " HUP " in said
        assert "done" in said


# --- in the background, in pipelines


@pytest.mark.parametrize("tostop", ["tostop", "-tostop"])
@BOTH
def test_in_the_background_nothing_of_ours_stops_the_job(supervise: Place, option: str, tostop: str) -> None:
    """Not even our messages, where the terminal stops whoever writes from the background."""
    with shell(supervise) as sh:
        sh.run(f"stty {tostop}; supervise -v {option} -t 1 -- sleep 100 </dev/null & wait $!; echo code $?")
        assert sh.has_line("code 124")
        assert sh.count("Stopped") == 0
        sh.run("stty -tostop")


@pytest.mark.needs("less")
def test_our_reader_is_a_pager(supervise: Place) -> None:
    with script(supervise, "supervise -- seq 100 | less") as sh:
        sh.wait_for(r"^23\n:$")
        sh.type(" ")
        sh.wait_for(r"^46\n:$")
        sh.type("q")
        sh.wait_for("^code 0$")


@pytest.mark.needs("less")
def test_a_pager_keeps_the_terminal_when_we_stop_the_command(supervise: Place) -> None:
    line = "supervise -t 1 --report report.json -- sh -c 'seq 100; sleep 100' | less"
    with script(supervise, line) as sh:
        sh.wait_for(r"^23\n:$")
        wait_until(lambda: supervise.file("report.json").exists())
        wait_until(lambda: not named(supervise, "supervise"))
        # Keys act without Enter, and are not echoed.
        sh.type(" ")
        sh.wait_for(r"^46\n")
        sh.type("q")
        sh.wait_for("^code 0$")


def _is_left(supervise: Place, sh: Shell) -> bool:
    """Leave the pager, if it hears that within a second."""
    sh.type("q")
    until = time.monotonic() + 1
    wait_until(lambda: not named(supervise, "less") or time.monotonic() > until)
    return not named(supervise, "less")


@pytest.mark.needs("less")
def test_ctrl_c_in_a_pager_behind_us(supervise: Place) -> None:
    """The whole pipeline gets it: the command stops, the pager stays until it is left."""
    with shell(supervise) as sh:
        sh.run("stty -a >before")
        sh.start("supervise -- sh -c 'seq 100; exec sleep 100' | less")
        sh.wait_for(r"^23\n:$")
        sh.type(CTRL_C)
        wait_until(lambda: not named(supervise, "supervise"))
        # What is typed before the pager has taken its own INT is thrown away by it.
        wait_until(lambda: _is_left(supervise, sh))
        sh.wait_for_prompt()
        sh.run("clear; stty -a >after; cmp before after && echo same")
        assert sh.has_line("same")


# --- signals from inside


INSIDE = {
    "the command": "trap 'echo got' TERM; kill 0; echo goes on; exit 4",
    "a child that dies of it": "trap 'echo got' TERM; sh -c 'kill 0'; echo goes on; exit 4",
    "children that end at once": "trap '' TERM; n=20; while [ $n -gt 0 ]; do n=$((n-1)); (kill 0); done; "
    "trap 'echo got' TERM; kill 0; echo goes on; exit 4",
    "an orphan": "trap 'echo got' TERM; (sh -c 'sleep 0.2; kill 0' &) ; sleep 0.1; sleep 0.5; echo goes on; exit 4",
}


@pytest.mark.parametrize("command", INSIDE.values(), ids=INSIDE)
def test_kill_0_inside_is_no_cancellation(supervise: Place, command: str) -> None:
    """It hits us as well, being in one group with the command; it meant its own, and has got it: once."""
    supervise.file("inner").write_text(command)
    with shell(supervise) as sh:
        sh.run("supervise -- sh inner; echo code $?")
        assert sh.has_line("code 4")
        assert sh.screen.lines.count("got") == 1
        assert sh.count("cancelled") == 0


@pytest.mark.parametrize("trap", ["", "trap 'exit 3' TERM; "], ids=["which would die of it", "that catches it"])
def test_kill_by_a_program_that_is_gone(supervise: Place, trap: str) -> None:
    """It was for us alone, as a process of the command's shows."""
    with shell(supervise) as sh:
        sh.run(f'supervise -- sh -c "{trap}sleep 100 & touch ready; wait" & until [ -e ready ]; do sleep 0.1; done')
        # Not kill(1), which a bare machine has as a word of the shell alone: that sender would live on.
        sh.start(f"{sys.executable} -c 'import os, sys; os.kill(int(sys.argv[1]), 15)' $!; wait $!; echo code $?")
        sh.wait_for("^code 143$")
        sh.wait_for_prompt()


def test_a_script_around_us_leaves_by_kill_0(supervise: Place) -> None:
    """That is from outside, though the script is in our group, and gone when we look."""
    supervise.file("script").write_text(
        f"supervise --report report.json -- {words('ignore=TERM', 'mark=ready', 'stay')} &\n"
        "trap 'kill 0' EXIT\nuntil [ -e ready ]; do sleep 0.1; done\n"
    )
    with shell(supervise) as sh:
        # What is said of it may stand behind the prompt.
        sh.start("sh script")
        sh.wait_for("supervise: cancelled by signal TERM")
        os.kill(supervisor(supervise), signal.SIGINT)
        wait_until(lambda: not named(supervise, "supervise"))


# --- an ordinary user


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
@BOTH
def test_as_an_ordinary_user(supervise: Place, option: str) -> None:
    user = as_ordinary_user(str(supervise.program))
    if not user:
        pytest.skip("an ordinary user cannot start the program")
    user = [*user, *SHELLS["bash"]]
    with screen(supervise, user) as on:
        sh = Shell(on)
        sh.start(f"supervise {option} -- python3 -q")
        sh.wait_for(">>>")
        on.enter("6 * 7")
        # Its prompt: before that a Ctrl-D is not for its line editor.  The editor of 3.13 turns the terminal's output
        # modes off, and then a line that is still in our pipe ends without a carriage return, as in `python3 | cat`.
        # That of 3.14 warns in between: it may not write its history into root's home.
        sh.wait_for(r"42\n(?:.*\n)* *>>>|>>> 42")
        on.type(CTRL_D)
        sh.wait_for_prompt()
        sh.start("supervise -t 1 -- sleep 100")
        sh.wait_for_prompt()
        sh.check_usable()
        sh.exit()
