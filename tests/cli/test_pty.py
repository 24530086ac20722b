"""`--pty`: the command has a terminal of its own, and gets the keys."""

import hashlib
import os
import signal

import pytest

from tests.support.harness import PYTHON, Place, is_alive, state_of, wait_for_file, wait_until
from tests.support.screens import CTRL_C, CTRL_D, CTRL_Z, screen, shell, tmux, words
from tests.support.terminals import named, script, supervisor

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

TERMINAL_PROBE = """
import os, sys, termios
print("ttys", *(os.isatty(fd) for fd in range(3)))
print("one", len({os.ttyname(fd) for fd in (1, 2)}))
print("leader", os.getsid(0) == os.getpid() == os.getpgrp() == os.tcgetpgrp(1))
os.close(os.open("/dev/tty", os.O_RDWR))
print("size", *os.get_terminal_size())
print("only", sorted(map(int, os.listdir("/proc/self/fd")))[:-1])
"""
LINES = 1500
"""Lines of 40 bytes, 60 KB in all."""


def python(code: str) -> tuple[str, ...]:
    return (*PYTHON, "-c", code)


# --- the terminal of the command


def test_the_command_has_a_terminal_of_its_own(supervise: Place) -> None:
    """Without a terminal of the caller it has the usual size, and the command keeps a stdin that is no terminal."""
    ended = supervise("--pty", "--", *python(TERMINAL_PROBE))
    assert ended.out.decode().splitlines() == [
        "ttys False True True",
        "one 1",
        "leader True",
        "size 80 24",
        "only [0, 1, 2]",
    ]
    assert ended.err == b""


def test_stdout_and_stderr_of_a_terminal_are_one_stream(supervise: Place) -> None:
    ended = supervise("--pty", "--", "sh", "-c", "echo one; echo two >&2; echo three")
    assert ended.out == b"one\r\ntwo\r\nthree\r\n"
    assert ended.report["usage"]["stdout_bytes"] == len(ended.out)
    assert ended.report["usage"]["stderr_bytes"] == 0


def test_a_command_without_pty_has_no_terminal(supervise: Place) -> None:
    assert supervise("--", "sh", "-c", "test -t 0 || test -t 1 || test -t 2").code == 1


def test_the_size_is_copied_and_followed(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start("""supervise --pty -- sh -c 'trap "stty size" WINCH; stty size; while :; do sleep 0.05; done'""")
        sh.wait_for("^24 80$")
        sh.screen.resize(30, 90)
        sh.wait_for("^30 90$")
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        assert sh.count("30 90") == 1


def test_the_size_follows_a_window_of_tmux(supervise: Place) -> None:
    with tmux(supervise) as window:
        window.wait_for_prompt(1)
        window.enter("supervise --pty -- sh -c 'trap \"stty size\" WINCH; echo ready; while :; do sleep 0.05; done'")
        window.wait_for("^ready$")
        window.resize(20, 70)
        window.wait_for("^20 70$")
        window.type("C-c")
        window.wait_for_prompt(2)


# --- keys


def test_ctrl_c_goes_to_the_command_alone(supervise: Place) -> None:
    """A REPL interrupts its work, and the run goes on."""
    with shell(supervise) as sh:
        sh.start("supervise --pty -- python3 -q")
        sh.wait_for("^>>> ?$")
        sh.screen.enter("6 * 7")
        sh.wait_for("^42$")
        sh.screen.enter("import time; print('sleeping'); time.sleep(100)")
        sh.wait_for("^sleeping$")
        sh.type(CTRL_C)
        sh.wait_for("^KeyboardInterrupt$")
        sh.screen.enter("'still ' + 'here'")
        sh.wait_for("^'still here'$")
        sh.type(CTRL_D)
        sh.wait_for_prompt()
        sh.run("echo code $?")
        assert sh.has_line("code 0")
        assert sh.count("cancelled") == 0


def test_a_command_that_dies_of_ctrl_c_is_signaled(supervise: Place) -> None:
    """The signal comes from the terminal, and not from supervise."""
    with shell(supervise) as sh:
        sh.start("supervise --pty -- sh -c 'echo ready; exec sleep 100'; echo code $?")
        sh.wait_for("^ready")
        sh.type(CTRL_C)
        sh.wait_for("^code 130$")
        sh.wait_for_prompt()
        assert sh.count("cancelled") == 0
        assert sh.count("killed by INT") == 1


def test_each_key_is_a_byte_for_a_raw_terminal(supervise: Place) -> None:
    code = (
        "import os, tty; tty.setraw(0); os.write(1, b'ready'); n = b''\n"
        "while b'q' not in n: n += os.read(0, 100)\n"
        "print(n, end='\\r\\n')"
    )
    with shell(supervise) as sh:
        supervise.file("keys.py").write_text(code)
        sh.start("supervise --pty -- python3 -IS keys.py")
        sh.wait_for("^ready")
        sh.type("\x03\x04\x1a\x1c\x13\x11\r\x7f\x00\xffq")
        sh.wait_for(r"""b'\\x03\\x04\\x1a\\x1c\\x13\\x11\\r\\x7f\\x00\S*q'""")
        sh.wait_for_prompt()


def test_ctrl_z_stops_a_job_of_an_inner_shell(supervise: Place) -> None:
    """Neither the inner shell nor the supervisor stops."""
    with shell(supervise) as sh:
        sh.start("supervise --pty -- env PS1='inner> ' bash --norc --noprofile -i")
        sh.wait_for("^inner>$")
        sh.screen.enter("sleep 100")
        wait_until(lambda: named(supervise, "sleep"))
        sh.type(CTRL_Z)
        sh.wait_for("Stopped +sleep 100")
        # TERM would not do: it takes a CONT, and bash can see the job stopped once more before it sees its end.
        sh.screen.enter("kill -KILL %1")
        # bash looks at its jobs at any time; the last prompt reports this one.
        sh.screen.enter("while jobs | grep -q Stopped; do sleep 0.1; done; echo jobs are done")
        sh.wait_for("Killed +sleep 100")
        sh.wait_for("^jobs are done$")
        sh.screen.enter("exit 5")
        sh.wait_for_prompt()
        sh.run("echo code $?")
        assert sh.has_line("code 5")


def test_a_paste_of_many_lines_arrives_whole(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start("supervise --pty -- sh -c 'stty -echo; echo ready; sha256sum'")
        sh.wait_for("^ready$")
        text = "".join(f"line {number} of a long text\n" for number in range(3000))
        for start in range(0, len(text), 1000):
            sh.type(text[start : start + 1000].replace("\n", "\r"))
        sh.type(CTRL_D)
        sh.wait_for(hashlib.sha256(text.encode()).hexdigest())
        sh.wait_for_prompt()


# --- the end of stdin


READERS = {
    "cat": (["cat"], b"", b""),
    "a line": (["cat"], b"hello\n", b"hello\r\n"),
    "an unfinished line": (["cat"], b"hello", b"hello"),
    "a line that no terminal takes": (["wc", "-c"], b"a" * 100_000, b"100000\r\n"),
    "bytes that are keys on a terminal": (
        ["od", "-An", "-c"],
        b"\3\4\21\23\32\34\177\0",
        b" 003 004 021 023 032 034 177  \\0\r\n",
    ),
    "one reader after the other": (["sh", "-c", "cat; cat; cat; echo end"], b"", b"end\r\n"),
    "a reader that comes late": (["sh", "-c", "sleep 1; cat; echo end"], b"", b"end\r\n"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_stdin_that_is_no_terminal_reaches_the_command_unchanged(supervise: Place, name: str) -> None:
    """It arrives whole, without an echo, and with its end."""
    command, text, expected = READERS[name]
    ended = supervise("--pty", "--", *command, stdin=text)
    assert ended.code == 0
    assert ended.out == expected


@pytest.mark.parametrize("repl", [["python3", "-q"], ["bash", "--norc", "-i"], ["python3", "-"]], ids=" ".join)
def test_a_repl_ends_with_an_empty_stdin(supervise: Place, repl: list[str]) -> None:
    """One of the REPLs reads single keys, for which a terminal has no end of file."""
    assert supervise("--pty", "-t", "20", "--", *repl).code == 0


def test_much_data_through_stdin_arrives_whole(supervise: Place) -> None:
    text = b"".join(b"%d\n" % number for number in range(20000))
    ended = supervise("--pty", "--", "sha256sum", stdin=text)
    assert ended.out.split()[0].decode() == hashlib.sha256(text).hexdigest()


def test_a_pipe_into_a_run_on_a_terminal_reaches_the_command(supervise: Place) -> None:
    with script(supervise, "seq 3 | supervise --pty -- sh -c 'stty -echo; sleep 0.5; cat'") as sh:
        sh.wait_for("^code 0$")


# --- the output


def test_a_run_whose_stdout_is_a_pipe_passes_keys(supervise: Place) -> None:
    """The stdout of the command is a terminal, and that of supervise is a pipe."""
    with script(supervise, "supervise --pty -- sh -c 'test -t 1 && read word && echo got $word' | cat") as sh:
        wait_until(lambda: named(supervise, "supervise"))
        sh.screen.enter("hello")
        sh.wait_for("got hello$")
        sh.wait_for("^code 0$")


def test_a_raw_terminal_passes_each_byte(supervise: Place) -> None:
    code = "import os, sys, tty; tty.setraw(1); [os.write(1, bytes(range(256))) for _ in range(2000)]"
    ended = supervise("--pty", "--", *python(code))
    assert ended.out == bytes(range(256)) * 2000


def tail() -> bytes:
    """Return the numbered lines as a terminal gives them."""
    return b"".join(b"%039d\r\n" % number for number in range(LINES))


def test_the_last_output_is_whole(supervise: Place) -> None:
    ended = supervise("--pty", "--", *python(f"import os; os.write(1, {tail()!r}.replace(b'\\r', b''))"))
    assert ended.out == tail()


@pytest.mark.slow
def test_the_last_output_is_whole_200_times(supervise: Place) -> None:
    """The command prints just before its end; a terminal that was closed too early would lose that."""
    code = f"import os; os.write(1, b''.join(b'%039d\\n' % number for number in range({LINES})))"
    for _ in range(200):
        ended = supervise.start("--pty", "--", *python(code), report=False).wait()
        assert ended.out == tail()
        assert ended.code == 0


def test_the_last_output_at_a_timeout_is_whole(supervise: Place) -> None:
    command = "exec 2>/dev/null; trap 'seq 10000; echo last; exit' TERM; echo up; while :; do sleep 0.05; done"
    ended = supervise("--pty", "-t", "1", "--", "sh", "-c", command)
    assert ended.code == 124
    assert ended.out == b"".join(b"%s\r\n" % line for line in [b"up", *(b"%d" % n for n in range(1, 10001)), b"last"])


# --- ends of a run


ENDS = {
    "by itself": ("", "exit 3", 3),
    "at once": ("", "", 0),
    "after a while": ("", "sleep 0.5; exit 3", 3),
    "completion timeout": ("-t 1", "sleep 100", 124),
    "idle timeout": ("-i 1", "echo up; sleep 100", 123),
    "killed after the grace": ("-t 1 -k 0.2", "trap '' TERM HUP; sleep 100 & wait; wait; sleep 100", 124),
    "killed by itself": ("", "kill -KILL $$", 137),
    "not found": ("", None, 127),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_terminal_is_restored_at_each_end(supervise: Place, name: str) -> None:
    options, command, code = ENDS[name]
    words = "no-such-command" if command is None else f'sh -c "{command}"'.replace("$$", r"\$\$")
    with script(supervise, f"supervise --pty {options} -- {words}") as sh:
        sh.wait_for(f"^code {code}$")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_the_terminal_is_restored_after_a_cancellation(supervise: Place, number: int) -> None:
    with script(supervise, "trap '' INT QUIT; (trap - INT QUIT; exec supervise --pty -- sleep 100)") as sh:
        wait_until(lambda: named(supervise, "sleep"))
        os.kill(supervisor(supervise), number)
        sh.wait_for(f"^code {128 + number}$")


def test_the_guardian_restores_the_terminal_for_a_shell_that_does_not(supervise: Place) -> None:
    """An interactive dash does not restore the modes, and has the foreground by the time the guardian restores them."""
    with screen(supervise, ["dash", "-i"], {"PS1": "> "}) as on:
        on.wait_for("^>$")
        on.enter("stty -a >before; supervise --pty -- sleep 100")
        wait_until(lambda: named(supervise, "sleep"))
        os.kill(supervisor(supervise), signal.SIGKILL)
        wait_until(lambda: not named(supervise, "supervise-guard"))
        # What is typed before dash prompts is echoed above the prompt, and the answer then stands beside it.  The word
        # of dash can come before the modes are restored: then its line feed has no carriage return.
        on.wait_for(r"^Killed\s*>$")
        on.enter("stty -a >after; cmp before after && echo sa''me")
        on.wait_for("^same$")
        on.enter("exit")
        on.wait_for_end()


def test_messages_begin_in_the_first_column(supervise: Place) -> None:
    """The terminal is raw, and the command has left a line unfinished."""
    with shell(supervise) as sh:
        sh.run("supervise -v --pty -t 1.5 --warn-at 1 -k 1 -- sh -c 'printf unfinished; sleep 100'")
        assert sh.has_line("unfinished")
        assert sh.count("supervise: ") >= 3
        ours = [line for line in sh.screen.lines if "supervise: " in line and not line.startswith("[")]
        assert all(line.startswith("supervise: ") for line in ours), sh.screen.text


# --- in the background


def test_a_background_run_gets_keys_in_the_foreground(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.run("supervise --pty -- sh -c 'stty size; read word; echo got $word' &")
        sh.wait_for("24 80$")
        sh.run("jobs; clear; echo typed in the meantime")
        assert sh.has_line("typed in the meantime")
        sh.start("fg")
        sh.wait_for("^supervise --pty .*$")
        sh.screen.enter("hello")
        sh.wait_for("^got hello$")
        sh.wait_for_prompt()


def test_a_stopped_run_gives_the_terminal_back_until_continued(supervise: Place) -> None:
    """The stop comes by a signal, since Ctrl-Z goes to the command; the shell has the terminal meanwhile."""
    with shell(supervise) as sh:
        sh.start("supervise --pty -- python3 -q")
        sh.wait_for("^>>> ?$")
        for stop in (signal.SIGTSTP, signal.SIGSTOP):
            pid = supervisor(supervise)
            os.kill(pid, stop)
            wait_until(lambda pid=pid: state_of(pid) == "T")
            sh.wait_for_prompt()
            sh.run("clear; echo in the shell; stty -a | grep -c -e '-icanon'")
            assert sh.has_line("in the shell")
            assert sh.has_line("0")
            sh.start("fg")
            sh.screen.enter("'in python ' * 2")
            sh.wait_for("^'in python in python '$")
        sh.type(CTRL_D)
        sh.wait_for_prompt()


def test_a_resize_of_a_stopped_run_is_made_up_for(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start("""supervise --pty -- sh -c 'trap "stty size" WINCH; echo ready; while :; do sleep 0.05; done'""")
        sh.wait_for("^ready$")
        os.kill(supervisor(supervise), signal.SIGTSTP)
        sh.wait_for_prompt()
        sh.screen.resize(30, 90)
        sh.start("fg")
        sh.wait_for("^30 90$")
        sh.type(CTRL_C)
        sh.wait_for_prompt()


def test_the_terminal_is_restored_after_the_guardian_was_killed(supervise: Place) -> None:
    """The supervisor does the work of the guardian."""
    with script(supervise, "supervise --pty -t 3 -- sh -c 'echo $$ >pid; exec sleep 100'") as sh:
        pid = wait_for_file(supervise.file("pid"))
        (guardian,) = named(supervise, "supervise-guard")
        os.kill(guardian, signal.SIGKILL)
        sh.wait_for("^code 124$")
        wait_until(lambda: not is_alive(pid))


def test_a_refusal_comes_before_the_terminal_is_raw(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.run(f"supervise --pty --report /no/such/report -- {words('exit=0')}; echo code $?")
        assert sh.has_line("code 125")
