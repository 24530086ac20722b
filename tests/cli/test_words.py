"""Words of the command line and their messages: signals, options, hints; and odd or closed streams."""

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.harness import Place, wait_until


def call(place: Place, *words: str) -> tuple[int, str]:
    """Run `supervise` with these words; return its exit code and message."""
    ended = place.popen([str(place.program), *words]).wait()
    return ended.code, ended.err.decode().strip().removeprefix("supervise: ")


# --- signals


@pytest.mark.parametrize(
    ("word", "name"),
    [("RTMIN", "RTMIN"), ("rtmin+3", "RTMIN+3"), ("SIGRTMAX-2", "RTMAX-2"), ("RTMIN+29", "RTMAX-1"), ("64", "RTMAX")],
)
def test_a_real_time_signal_stops_and_is_named(supervise: Place, word: str, name: str) -> None:
    ended = supervise("-s", word, "-t", "0.3", "--", "sleep", "9")
    assert ended.code == 124
    assert ended.report["stop"]["signal"] == name
    assert ended.report["command_exit"]["signal"] == name
    assert any(f"stopping with {name}," in message for message in ended.messages)


@pytest.mark.parametrize("word", ["RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMIN+03", "RT"])
def test_an_invalid_real_time_signal_is_refused(supervise: Place, word: str) -> None:
    assert call(supervise, "-s", word, "--", "true")[0] == 125


def test_a_death_by_a_real_time_signal_is_named(supervise: Place) -> None:
    ended = supervise("--", "sh", "-c", f"kill -{signal.SIGRTMIN + 3} $$")
    assert ended.code == 128 + signal.SIGRTMIN + 3
    assert ended.messages == ["the command was killed by RTMIN+3 (exit 165)"]


# --- a start that fails


def script(place: Place, name: str, text: str) -> str:
    """Write an executable script, and return the word that calls it."""
    path = place.file(name)
    path.write_text(text, newline="")
    path.chmod(0o755)
    return f"./{name}"


@pytest.mark.parametrize(
    ("head", "code", "named"),
    [
        ("#!/bin/bash\r\n", 127, "'/bin/bash\\r': no such file"),
        ("#! /no/such/thing -x\n", 127, "'/no/such/thing': no such file"),
        ("#!./odd\n", 127, "'/no/such': no such file"),
        ("#!./plain\n", 126, "'./plain': permission denied"),
        ("#!/\n", 126, "'/': "),
        ("#!/etc/passwd/x\n", 127, "'/etc/passwd/x': not a directory"),
    ],
)
def test_a_missing_interpreter_is_named(supervise: Place, head: str, code: int, named: str) -> None:
    script(supervise, "odd", "#!/no/such\n")
    supervise.file("plain").touch(0o644)
    path = script(supervise, "script", head + "echo\n")
    ended = supervise("--", path)
    shell = subprocess.run(["dash", "-c", path], cwd=supervise.folder, stderr=subprocess.DEVNULL, check=False)
    assert ended.code == code == shell.returncode
    assert ended.messages[0].startswith(f"{path}: its interpreter {named}")


def test_a_missing_loader_is_named(supervise: Place) -> None:
    data = Path("/bin/true").read_bytes()
    at = data.index(b"/lib64/ld-linux") if b"/lib64/ld-linux" in data else data.index(b"/lib/ld-linux")
    path = supervise.file("elf")
    path.write_bytes(data[:at] + b"/lib99" + data[at + 6 :])
    path.chmod(0o755)
    ended = supervise("--", "./elf")
    assert ended.code == 127
    assert ended.messages[0].startswith("./elf: its interpreter '/lib99")


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (["make check"], "write the words without quotes, or sh -c 'make ...'"),
        (["FOO=1", "make"], "for a variable write: env FOO=... COMMAND"),
        (["export", "A=1"], "sh -c 'export ...'"),
        (["source", "x"], "sh -c 'source ...'"),
        (["30m", "make"], "for a limit write: -t 30m"),
        (["1h30m", "make"], "for a limit write: -t 1h30m"),
    ],
)
def test_a_shell_builtin_or_alias_as_command_gets_a_hint(supervise: Place, command: list[str], hint: str) -> None:
    ended = supervise("--", *command, env={"PATH": "/nowhere"})
    assert ended.code == 127
    assert ended.messages[0].startswith(f"{command[0]}: not found; ")
    assert ended.messages[0].endswith(hint)


def test_a_program_with_the_name_of_a_builtin_runs(supervise: Place) -> None:
    script(supervise, "cd", "#!/bin/sh\necho ours\n")
    ended = supervise("--", "cd", env={"PATH": f"{supervise.folder}:{os.environ['PATH']}"})
    assert ended.out == b"ours\n"


# --- hints of the command line


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["kill", "2026"], "supervise stop 2026"),
        (["cancel"], "supervise stop RUN"),
        (["list"], "supervise ps"),
        (["status"], "supervise show RUN"),
        (["tail", "build"], "supervise logs -f build"),
        (["exec", "make"], "supervise run make"),
        (["30m", "make", "-j"], "supervise -t 30m -- make -j"),
        (["1h30m", "make"], "supervise -t 1h30m -- make"),
        (["2.5h", "make"], "supervise -t 2.5h -- make"),
        (["7zip", "x"], "supervise run 7zip x"),
        (["1h30x", "make"], "supervise run 1h30x make"),
        (["-k", "5", "10", "sleep", "1"], "supervise -k 5 -t 10 -- sleep 1"),
        (["make", "check"], "supervise run make check"),
    ],
)
def test_words_of_other_programs_get_a_hint(supervise: Place, words: list[str], hint: str) -> None:
    code, said = call(supervise, *words)
    assert code == 125
    assert said.endswith(f"did you mean: {hint}")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["-k", "x", "--", "true"], "-k"),
        (["-kx", "--", "true"], "-k"),
        (["-qpkx", "--", "true"], "-k"),
        (["--completion-timeout", "x", "--", "true"], "--completion-timeout"),
        (["--timeout=x", "--", "true"], "--timeout"),
        (["-t", "1", "--completion-timeout=x", "--", "true"], "--completion-timeout"),
        (["--completion-timeout=1", "-t", "x", "--", "true"], "-t"),
        (["--name", "-t", "--timeout", "x", "--", "true"], "--timeout"),
        (["run", "-d", "--no-record", "true"], "-d"),
        (["ps", "-n", "x"], "-n"),
        (["stop", "-s", "FOO", "x"], "-s"),
    ],
)
def test_an_option_is_named_as_it_was_written(supervise: Place, words: list[str], name: str) -> None:
    code, said = call(supervise, *words)
    assert code == 125
    assert said.startswith(f"{name}: ")


@pytest.mark.parametrize("words", [["-h"], ["run", "-h"], ["ps", "-h"], ["config", "-h"], ["config", "set", "-h"]])
def test_h_prints_the_help(supervise: Place, words: list[str]) -> None:
    short, long = (
        supervise.popen([str(supervise.program), *words[:-1], name]).wait() for name in ("-h", "--help")
    )  # fmt: skip
    assert short.code == 0
    assert short.out == long.out


# --- durations


@pytest.mark.parametrize(
    "word",
    ["18446744073709551616", "9223372036854775808d", "inf", "Infinity", "+INF", "infd", "9" * 400, "99999999h9m"],
)
def test_any_length_of_time_is_taken_as_by_timeout(supervise: Place, word: str) -> None:
    script = "sleep 0.1; echo $SUPERVISE_DEADLINE"
    ended = supervise("-v", "-t", word, "-k", word, "-i", word, "--drain", word, "--", "sh", "-c", script, events=True)
    assert ended.code == 0
    assert not ended.events_named("trouble")


def test_a_limit_holds_with_an_endless_grace(supervise: Place) -> None:
    ended = supervise("-t", "0.3", "-k", "9223372036854775808d", "-x", "99999999999d", "--", "sleep", "9")
    assert ended.code == 124
    assert ended.report["duration"] < 5


def test_the_guardian_waits_out_a_grace_of_years(supervise: Place) -> None:
    """Years in milliseconds do not fit into the int of poll(2); the guardian died of that once."""
    script = "exec 2>done.err; trap 'sleep 0.5; echo done >done; exit' TERM; echo $$ >root; while :; do sleep 0.1; done"
    running = supervise.start("-k", "99999999999d", "--", "sh", "-c", script)
    wait_until(supervise.file("root").exists)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: supervise.file("done").exists() and not supervise.alive())


# --- stdout and stderr


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_stream_that_was_closed_is_dev_null(supervise: Place, stream: str) -> None:
    ended = supervise.shell(f'supervise --report r -- sh -c "echo x >&{stream}; exit 3" {stream}>&-')
    assert (ended.code, ended.out, ended.err) == (3, b"", b"")
    assert json.loads(supervise.file("r").read_text())["outcome"] == "failed"


def test_a_limit_holds_with_all_streams_closed(supervise: Place) -> None:
    assert supervise.shell("supervise -t 0.3 -- sh -c 'cat; echo x; sleep 9' <&- >&- 2>&-").code == 124


@pytest.mark.parametrize("option", ["--events", "--log"])
@pytest.mark.parametrize("name", ["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2", "/dev/fd/7"])
def test_a_path_of_a_descriptor_is_written_without_opening_it_anew(supervise: Place, option: str, name: str) -> None:
    """A file that is opened anew would be overwritten from its beginning."""
    script = f'echo before >&2; supervise {option} {name} -- sh -c "echo an error >&2"; echo "after $(seq -s, 99)" >&2'
    ended = supervise.shell(f"{{ {script}; }} 2>all 7>&2")
    assert ended.code == 0
    first, *others, last = supervise.file("all").read_text().splitlines()
    assert first == "before"
    assert last.startswith("after 1,2,")
    assert others.count("an error") == (1 if option == "--events" else 2)
    for line in others:
        assert line == "an error" or json.loads(line)["event"]


def test_events_begin_on_a_line_of_their_own(supervise: Place) -> None:
    ended = supervise.shell("supervise --events /dev/stdout -- sh -c 'printf half; sleep 0.2' >all")
    assert ended.code == 0
    lines = supervise.file("all").read_text().splitlines()
    assert lines.count("half") == 1
    names = [json.loads(line)["event"] for line in lines if line != "half"]
    # The event that no process is left may come before the end of the run, or not at all.
    assert [name for name in names if name != "emptied"] == ["started", "exited", "settled"]


def test_an_unwritable_descriptor_is_refused(supervise: Place) -> None:
    supervise.file("there").touch()
    for name in ("/dev/fd/7", "/dev/fd/99"):
        ended = supervise.shell(f"supervise --events {name} -- touch started 7<there")
        assert ended.code == 125
        assert ended.messages[0].startswith(f"--events: cannot write '{name}': ")
    assert not supervise.file("started").exists()


@pytest.mark.parametrize("option", ["--events", "--log"])
@pytest.mark.parametrize("name", ["/dev/fd/77", "/proc/self/fd/77"])
def test_a_closed_descriptor_is_refused_as_not_open(supervise: Place, option: str, name: str) -> None:
    """No file of that name can be made."""
    ended = supervise.shell(f"supervise {option} {name} -- touch started 77>&-")
    assert ended.code == 125
    assert ended.messages == [f"{option}: cannot write '{name}': is not an open descriptor"]
    assert not supervise.file("started").exists()


@pytest.mark.parametrize(
    "words", [["logs", "-"], ["attach", "-"], ["logs", "--timestamps", "-"], ["show", "--json", "-"]]
)
def test_a_non_blocking_stdout_gets_all_output_of_a_client(supervise: Place, words: list[str]) -> None:
    go = supervise.file("go")
    last = f"until [ -e {go} ]; do sleep 0.05; done" if words[0] == "attach" else "exit"
    running = supervise.start("--", "sh", "-c", f"seq 60000; {last}", "x" * 90000)
    if words[0] != "attach":
        running.wait()
    else:
        running.wait_for_out(b"\n60000\n")
    whole = supervise.popen([str(supervise.program), *words]) if words[0] != "attach" else None
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    other = supervise.popen([str(supervise.program), *words], stdout=theirs)
    os.close(theirs)
    # The client has filled the pipe, or has failed.
    wait_until(lambda: select.select([ours], [], [], 0)[0])
    time.sleep(0.3)
    go.touch()
    data = b""
    while more := os.read(ours, 4096):
        data += more
    os.close(ours)
    assert other.wait().code == 0
    assert data == (whole.wait().out if whole else b"".join(b"%d\n" % number for number in range(1, 60001)))
    if not whole:
        running.wait()
