"""Runs on a terminal, mostly without --pty: full-screen programs, the terminal after a run, and its end."""

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

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

FULL_SCREEN = {
    "less": ("less text", r"^23\ntext", "q"),
    "vim": ("vim -N -u NONE -i NONE text", r'^"text" 1000L', ":q\r"),
    "top": ("top", r"^ *PID USER", "q"),
}
PASSWORD_PROMPT = 'python3 -c \'import getpass; print("got", getpass.getpass("Secret: "))\''
SHARED_AND_OWN_TERMINAL = pytest.mark.parametrize("option", ["", "--pty"], ids=["shared", "pty"])


# --- full-screen programs


WITH_SCREEN = pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param(name, option, id=f"{name} {option}", marks=pytest.mark.needs(name))
        for name, option in [("less", "--pty"), ("top", "--pty"), ("vim", "--pty"), ("vim", "")]
    ],
)
"""Without --pty the stdout of the command is a pipe; of these programs only vim works with that."""


@WITH_SCREEN
def test_a_full_screen_program_runs_and_restores_the_terminal(supervise: Place, name: str, option: str) -> None:
    command, sign, leave = FULL_SCREEN[name]
    with script(supervise, f"supervise {option} -- {command}") as sh:
        sh.wait_for(sign)
        sh.type(leave)
        sh.wait_for("^code 0$")
        assert sh.count("supervise: ") == 0


@WITH_SCREEN
@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_the_terminal_is_restored_when_a_timeout_stops_a_full_screen_program(
    supervise: Place, name: str, option: str, how: str
) -> None:
    """KILL leaves the program no time to clean up."""
    command, sign, _ = FULL_SCREEN[name]
    with script(supervise, f"supervise -t 4 -s {how} {option} -- {command}") as sh:
        sh.wait_for(sign)
        sh.wait_for("^code 124$")
        # Each message begins in the first column.
        ours = [line for line in sh.screen.lines if line.startswith("supervise: completion timeout: the command was")]
        assert ours, sh.screen.text


@pytest.mark.needs("less")
def test_a_pager_without_pty_prints_all(supervise: Place) -> None:
    """A pager in a pipeline does so."""
    with script(supervise, "supervise -- less text; seq 3 | supervise -- less") as sh:
        sh.wait_for("^1000\n1\n2\n3\ncode 0$")


@SHARED_AND_OWN_TERMINAL
def test_the_guardian_restores_the_terminal_of_a_killed_supervisor(supervise: Place, option: str) -> None:
    """A full-screen program has the terminal; the guardian stops the program, too."""
    command = "trap '' TERM HUP; stty raw -echo; echo $$ >pid; echo ready; exec sleep 100"
    wait = "until stty -a | grep -q ' icanon'; do sleep 0.05; done"
    with script(supervise, f'supervise {option} -k 0.2 -- sh -c "{command}"; {wait}') as sh:
        sh.wait_for("ready")
        pid = wait_for_file(supervise.file("pid"))
        os.kill(supervisor(supervise), signal.SIGKILL)
        sh.wait_for("^ *code 0")
        wait_until(lambda: not is_alive(pid) and not named(supervise, "supervise-guard"))


def test_modes_that_a_command_sets_stay_after_its_own_end(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.run("sh -c 'stty tostop; supervise -- sh -c \"stty -tostop; sleep 0.2\"; stty -a' | grep -o -e '-tostop'")
        assert sh.has_line("-tostop")


@SHARED_AND_OWN_TERMINAL
def test_the_terminal_is_usable_after_the_command_was_killed(supervise: Place, option: str) -> None:
    with script(supervise, f"supervise {option} -- sh -c 'stty raw -echo; sleep 0.3; kill -KILL $$'") as sh:
        sh.wait_for("^code 137$")


def test_the_foreground_is_given_back_after_a_timeout(supervise: Place) -> None:
    """A command with a group of its own in the foreground is killed; the next command of the script can read."""
    with script(supervise, "supervise -t 1 -s KILL -- bash --norc -i; read word; echo read $word") as sh:
        sh.wait_for("^code|stopped after")
        sh.wait_for("exit 124")
        sh.screen.enter("hello")
        sh.wait_for("^read hello$")


def test_the_guardian_gives_the_foreground_back(supervise: Place) -> None:
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


@SHARED_AND_OWN_TERMINAL
def test_a_password_is_typed_without_echo(supervise: Place, option: str) -> None:
    with script(supervise, f"supervise {option} -- {PASSWORD_PROMPT}") as sh:
        sh.wait_for("^Secret:")
        sh.screen.enter("hush")
        sh.wait_for("^got hush$")
        assert sh.count("hush") == 1
        sh.wait_for("^code 0$")


@SHARED_AND_OWN_TERMINAL
@pytest.mark.parametrize("into", ["", " | cat; sleep 0"], ids=["terminal", "pipe"])
def test_the_echo_is_back_after_a_stopped_password_prompt(supervise: Place, option: str, into: str) -> None:
    """A limit stops the prompt, which has switched the echo off."""
    with script(supervise, f"supervise -t 4 {option} -- {PASSWORD_PROMPT}{into}") as sh:
        sh.wait_for("^Secret:")
        sh.wait_for("^code ")


@pytest.mark.needs("ssh-keygen")
@SHARED_AND_OWN_TERMINAL
def test_a_passphrase_is_typed_for_ssh(supervise: Place, option: str) -> None:
    """The programs ssh, ssh-add and ssh-keygen ask by the same function, which opens /dev/tty."""
    key = supervise.file("key")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "hushhush", "-f", str(key)], check=True)
    with script(supervise, f"supervise {option} -- ssh-keygen -y -f key") as sh:
        sh.wait_for("passphrase")
        sh.screen.enter("hushhush")
        sh.wait_for("^ssh-ed25519 ")
        assert sh.count("hushhush") == 0
        sh.wait_for("^code 0$")


# --- the window


def test_a_resize_reaches_the_command(supervise: Place) -> None:
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


@SHARED_AND_OWN_TERMINAL
def test_closing_the_window_leaves_time_to_clean_up_and_no_process(supervise: Place, option: str) -> None:
    """The clean-up at HUP has its time, although more than one HUP comes."""
    with tmux(supervise) as window:
        window.wait_for_prompt(1)
        window.enter(f'supervise {option} -- sh -c "{HUP_CLEANER}"')
        window.wait_for("^ready$")
        window.kill_window()
        wait_until(lambda: supervise.file("cleaned").exists())
        wait_until(lambda: not supervise.alive())


@SHARED_AND_OWN_TERMINAL
def test_a_vanished_terminal_leaves_no_process(supervise: Place, option: str) -> None:
    with screen(supervise, SHELLS["bash"]) as on:
        sh = Shell(on)
        stubborn = words("ignore=HUP", "ignore=TERM", "fork", "setsid", "ignore=HUP", "stay", "end", "ready", "stay")
        sh.start(f"supervise {option} -k 0.3 -- {stubborn}")
        sh.wait_for("^ready")
        on.hang_up()
        wait_until(lambda: not supervise.alive())


def test_a_run_that_leads_its_session_ends_with_its_window(supervise: Place) -> None:
    """There is no shell around supervise."""
    with tmux(supervise, f'{supervise.program} -- sh -c "{HUP_CLEANER}"') as window:
        window.wait_for("^ready$")
        window.kill_window()
        wait_until(lambda: supervise.file("cleaned").exists())
        wait_until(lambda: not supervise.alive())


def test_a_run_under_nohup_outlives_the_terminal(supervise: Place) -> None:
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
@SHARED_AND_OWN_TERMINAL
def test_messages_do_not_stop_a_background_job(supervise: Place, option: str, tostop: str) -> None:
    """A terminal with `tostop` stops processes that write from the background."""
    with shell(supervise) as sh:
        sh.run(f"stty {tostop}; supervise -v {option} -t 1 -- sleep 100 </dev/null & wait $!; echo code $?")
        assert sh.has_line("code 124")
        assert sh.count("Stopped") == 0
        sh.run("stty -tostop")


@pytest.mark.needs("less")
def test_a_pager_reads_the_output(supervise: Place) -> None:
    with script(supervise, "supervise -- seq 100 | less") as sh:
        sh.wait_for(r"^23\n:$")
        sh.type(" ")
        sh.wait_for(r"^46\n:$")
        sh.type("q")
        sh.wait_for("^code 0$")


@pytest.mark.needs("less")
def test_a_pager_keeps_the_terminal_when_a_limit_stops_the_command(supervise: Place) -> None:
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
    """Leave the pager; return whether it ends within a second."""
    sh.type("q")
    until = time.monotonic() + 1
    wait_until(lambda: not named(supervise, "less") or time.monotonic() > until)
    return not named(supervise, "less")


@pytest.mark.needs("less")
def test_ctrl_c_in_a_pager_stops_the_command_before_it(supervise: Place) -> None:
    """The whole pipeline gets INT: the command stops, and the pager stays until the user leaves it."""
    with shell(supervise) as sh:
        sh.run("stty -a >before")
        sh.start("supervise -- sh -c 'seq 100; exec sleep 100' | less")
        sh.wait_for(r"^23\n:$")
        sh.type(CTRL_C)
        wait_until(lambda: not named(supervise, "supervise"))
        # The pager discards keys that come before it has handled INT.
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
    "an orphan": "trap 'echo got' TERM; (sh -c 'sleep 0.2; kill 0' &) ; sleep 0.1; sleep 5; echo goes on; exit 4",
}


@pytest.mark.parametrize("command", INSIDE.values(), ids=INSIDE)
def test_kill_0_by_the_command_is_no_cancellation(supervise: Place, command: str) -> None:
    """The signal reaches supervise as well, in the same group; the command gets it once."""
    supervise.file("inner").write_text(command)
    with shell(supervise) as sh:
        sh.run("supervise -- sh inner; echo code $?")
        assert sh.has_line("code 4"), sh.screen.text
        assert sh.screen.lines.count("got") == 1
        assert sh.count("cancelled") == 0


@pytest.mark.parametrize("trap", ["", "trap 'exit 3' TERM; "], ids=["which would die of it", "that catches it"])
def test_a_kill_by_a_program_that_has_ended_cancels(supervise: Place, trap: str) -> None:
    """A process of the command shows that the signal went to supervise alone."""
    with shell(supervise) as sh:
        sh.run(f'supervise -- sh -c "{trap}sleep 100 & touch ready; wait" & until [ -e ready ]; do sleep 0.1; done')
        # The kill of a shell would not do: that sender would live on.
        sh.start(f"{sys.executable} -c 'import os, sys; os.kill(int(sys.argv[1]), 15)' $!; wait $!; echo code $?")
        sh.wait_for("^code 143$")
        sh.wait_for_prompt()


def test_kill_0_by_a_script_around_supervise_cancels(supervise: Place) -> None:
    """The script is outside of the tree, though in the same group, and has ended when supervise looks."""
    supervise.file("script").write_text(
        f"supervise --report report.json -- {words('ignore=TERM', 'mark=ready', 'stay')} &\n"
        "trap 'kill 0' EXIT\nuntil [ -e ready ]; do sleep 0.1; done\n"
    )
    with shell(supervise) as sh:
        # The message may come after the prompt.
        sh.start("sh script")
        sh.wait_for("supervise: cancelled by signal TERM")
        os.kill(supervisor(supervise), signal.SIGINT)
        wait_until(lambda: not named(supervise, "supervise"))


# --- an ordinary user


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
@SHARED_AND_OWN_TERMINAL
def test_an_ordinary_user_has_a_usable_repl(supervise: Place, option: str) -> None:
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
