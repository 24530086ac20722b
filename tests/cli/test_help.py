"""Help, version and refusals of the installed program: their stream, text and exit code."""

import os
import re
import shlex
import subprocess

import pexpect
import pytest

from supervise import __version__
from supervise.options.table import OPTIONS, option_names

HANG_SECONDS = 60.0
PLAIN = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "COLUMNS": "120"}
BOX = "╭╮╰╯│"


@pytest.fixture
def call(program, tmp_path):
    """Return a function that runs the program in an empty folder, with pipes as its streams by default."""

    def call(*words, environ=None, **streams):
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        return subprocess.run(
            [program, *words], env=PLAIN | (environ or {}), cwd=tmp_path, timeout=HANG_SECONDS, check=False, **streams
        )

    return call


def refused(ended):
    """Check that the call was refused, and return its lines without `supervise: `."""
    assert ended.returncode == 125
    assert ended.stdout == b""
    lines = ended.stderr.decode().splitlines()
    assert 1 <= len(lines) <= 4
    assert all(line.startswith("supervise: ") for line in lines)
    assert ended.stderr.endswith(b"\n")
    return [line.removeprefix("supervise: ") for line in lines]


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["-q", "--help"], ["run", "-t", "5", "--help"]])
def test_help_goes_to_stdout_and_exits_with_0(call, words):
    ended = call(*words)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "\x1b" not in ended.stdout.decode()


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"]])
def test_help_has_every_option_in_the_panels_of_the_table(call, words):
    text = call(*words).stdout.decode()
    panels = list(dict.fromkeys(option.panel for option in OPTIONS))
    # The first panel has --help and --version.
    titles = re.findall(r"^╭─ ([A-Z]\w+) ─", text, re.MULTILINE)
    assert [title for title in titles if title != "Commands"] == ["Options", *panels]
    for name, option in option_names().items():
        panel = text.split(f"╭─ {option.panel} ─")[1].split("╰─")[0]
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", panel), name


def test_help_names_defaults_and_choices(call):
    text = re.sub(rf"[{BOX}\s]+", " ", call("--help").stdout.decode())
    assert "[default: 60s,10s]" in text
    assert "One of report, kill, wait. [default: report]" in text


def test_help_after_the_command_belongs_to_the_command(call):
    ended = call("run", "echo", "--help")
    assert ended.returncode == 0
    assert "supervise" not in ended.stdout.decode()


def test_version_is_printed(call):
    for words in (["--version"], ["run", "--version"]):
        ended = call(*words)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"supervise {__version__}\n".encode(), b"")


@pytest.mark.parametrize("columns", ["1", "20", "40", "1000"])
def test_help_is_printed_in_any_width(call, columns):
    ended = call("--help", environ={"COLUMNS": columns})
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_help_is_printed_in_any_encoding(call, encoding):
    ended = call("--help", environ={"PYTHONIOENCODING": encoding, "COLUMNS": "60"})
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "idle" in ended.stdout.decode(encoding)


def test_variables_turn_colours_on_and_off(call):
    coloured = re.compile(r"\x1b\[(\d+;)*3\d")
    assert coloured.search(call("--help", environ={"FORCE_COLOR": "1"}).stdout.decode())
    assert not coloured.search(call("--help", environ={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout.decode())


@pytest.mark.parametrize("words", [["--help"], ["show", "-"]], ids=" ".join)
@pytest.mark.parametrize(("variable", "are_there"), [("X=1", True), ("NO_COLOR=1", False), ("CLICOLOR=0", False)])
def test_help_and_refusals_on_a_terminal_have_colours(program, tmp_path, words, variable, are_there):
    name, _, value = variable.partition("=")
    environ = PLAIN | {"TERM": "xterm-256color", "HOME": str(tmp_path), name: value}
    subprocess.run([program, "--", "false"], env=environ, timeout=HANG_SECONDS, check=False)
    text, _ = pexpect.run(
        shlex.join([str(program), *words]), env=environ, cwd=tmp_path, timeout=HANG_SECONDS, withexitstatus=True
    )
    assert bool(re.search(rb"\x1b\[(\d+;)*[34]\d[;m]", text)) is are_there


def test_a_reader_that_leaves_early_is_no_error(call):
    for words in (["--help"], ["--version"]):
        read, write = os.pipe()
        os.close(read)
        ended = call(*words, stdout=write)
        os.close(write)
        assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_full_disk_is_an_error(call):
    with open("/dev/full", "wb") as full:
        for words in (["--help"], ["--version"]):
            ended = call(*words, stdout=full)
            assert ended.returncode == 125
            assert ended.stderr == b"supervise: cannot write to stdout: no space left on device\n"


def test_closed_streams_do_not_change_the_exit_code(program):
    for closed in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        for words, code in (("--help", 0), ("--version", 0), ("", 125), ("run -t5x x", 125)):
            ended = subprocess.run(
                ["sh", "-c", f"exec '{program}' {words} {closed}"],
                env=PLAIN,
                capture_output=True,
                timeout=HANG_SECONDS,
                check=False,
            )
            assert ended.returncode == code, (words, closed)
            assert b"Traceback" not in ended.stderr


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_call_without_words_shows_a_short_help(call):
    lines = refused(call())
    assert any(line.startswith("usage: supervise run [OPTIONS] [--] COMMAND") for line in lines)
    assert "see supervise --help" in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--idle-timout", "5", "x"], "no such option --idle-timout; did you mean --idle-timeout?"),
        (["--idle-timout=5", "--", "x"], "no such option --idle-timout; did you mean --idle-timeout?"),
        (["run", "-z", "x"], "no such option -z; see supervise --help"),
        (["run", "-qz", "x"], "no such option -z; see supervise --help"),
        (["run", "--xyzzy", "x"], "no such option --xyzzy; see supervise --help"),
        (["-?"], "no such option '-?'; did you mean --help?"),
        (["run", "--timeout"], "--timeout: needs a value (DURATION)"),
        (["run", "-qt"], "-t: needs a value (DURATION)"),
        (["run", "--report", "--", "make"], "--report: got '--', takes the path of a file"),
        (["run", "--quiet=yes", "x"], "--quiet: takes no value"),
        (["--help=yes"], "--help: takes no value"),
        (["make"], "no such command 'make'; did you mean: supervise run make"),
        (["make", "-j", "two words"], "no such command 'make'; did you mean: supervise run make -j 'two words'"),
        (["rum", "make"], "no such command 'rum'; did you mean: supervise run make"),
        (["version"], "no such command 'version'; did you mean: supervise --version"),
        (["help", "agent"], "help: got 'agent', takes a topic (agents, batch) or a subcommand"),
        (["help", "agents", "x"], "help: unexpected operand 'x'; usage: supervise help [TOPIC]"),
        ([""], "no such command ''; did you mean: supervise run ''"),
        (["-"], "no such command '-'; did you mean: supervise run -"),
        (["--timeout", "5", "make"], "put -- before the command: supervise --timeout 5 -- make"),
        (["-qt5", "make", "--", "x"], "put -- before the command: supervise -qt5 -- make -- x"),
        (["--quiet", "run", "make"], "options stand after run: supervise run --quiet make"),
        (["--quiet", "run", "--", "make"], "options stand after run: supervise run --quiet -- make"),
    ],
)
def test_a_refusal_is_one_line(call, words, message):
    assert refused(call(*words)) == [message]


@pytest.mark.parametrize("words", [["run"], ["run", "--"], ["--"], ["-q"], ["run", "-t", "5"], ["-t5", "--"]])
def test_a_missing_command_is_refused(call, words):
    assert refused(call(*words))[0] == "there is no COMMAND to run"


def test_the_refusal_of_a_bad_value_says_what_the_option_takes(call):
    takes = "takes a duration (90, 90s, 1.5m, 1h30m, 2d, 500ms, PT1H30M); 0, off or infinity for no limit"
    assert refused(call("run", "-i", "5x", "true")) == [f"-i: got '5x', {takes}"]
    assert refused(call("run", "true", environ={"SUPERVISE_IDLE_TIMEOUT": "5x"})) == [
        f"SUPERVISE_IDLE_TIMEOUT: got '5x', {takes}"
    ]


def test_a_refusal_escapes_odd_bytes_and_line_breaks(call):
    assert refused(call(b"m\xffke\nx"))[0].startswith("no such command 'm\\udcffke\\nx'; did you mean: ")
    assert refused(call("run", b"--t\xffm\n\x1b[31m", "x"))[0].startswith("no such option $'--t\\xffm\\n\\x1b[31m'; ")
    assert refused(call("run", b"-t\xff\n", "x"))[0].startswith("-t: got '\\udcff\\n', takes a duration ")
    assert refused(call("-q", b"m\xff\n"))[0] == "put -- before the command: supervise -q -- $'m\\xff\\n'"


def test_the_refusal_of_a_very_long_call_is_short(call):
    (line,) = refused(call(*["word"] * 10_000))
    assert len(line) < 400
