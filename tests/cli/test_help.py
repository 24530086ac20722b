"""Help, version and refusals of the installed program: their stream, text and exit code."""

import os
import re
import shlex
import subprocess

import pexpect
import pytest

from supervise import __version__
from supervise.commands import help_page, overview
from supervise.commands.subcommands import GROUPS, SUBCOMMANDS, first_words
from supervise.commands.topics import TOPICS
from supervise.options.table import OPTIONS, option_names

HANG_SECONDS = 60.0
PLAIN = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "COLUMNS": "120"}


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


@pytest.mark.parametrize("words", [["help", "run"], ["run", "--help"], ["-q", "--help"]])
def test_help_has_every_option_in_the_panels_of_the_table(call, words):
    text = call(*words).stdout.decode()
    panels = list(dict.fromkeys(option.panel for option in OPTIONS))
    titles = re.findall(r"^[A-Z]\w+$", text, re.MULTILINE)
    assert titles[0] == "Limits"
    assert sorted(titles) == sorted([*panels, "Other"])
    for name, option in option_names().items():
        panel = text.split(f"\n{option.panel}\n")[1].split("\n\n")[0]
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", panel), name


def test_the_help_of_run_begins_with_what_everyone_needs(call):
    panels = help_page.panels()
    essentials = [option_names()[name] for name in overview.ESSENTIALS]
    assert [*panels][: len({option.panel for option in essentials})] == [
        *dict.fromkeys(option.panel for option in essentials)
    ]
    for options in panels.values():
        first = [option for option in essentials if option in options]
        assert options[: len(first)] == first


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]], ids=" ".join)
@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_overview_fits_a_screen(call, words, columns):
    ended = call(*words, environ={"COLUMNS": str(columns)})
    lines = ended.stdout.decode("ascii").splitlines()
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert max(map(len, lines)) <= min(columns, 100)
    assert len(lines) <= (40 if columns >= 80 else 60)
    assert all(re.search(rf"\s{name}\s", ended.stdout.decode()) for name in overview.ESSENTIALS)
    assert all(f"  {example}" in lines for example in overview.EXAMPLES)
    assert all(topic in " ".join(lines) for topic in TOPICS)
    assert "{" not in ended.stdout.decode()


def test_each_subcommand_has_one_line_of_the_overview(call):
    lines = call("--help", environ={"COLUMNS": "80"}).stdout.decode().splitlines()
    for word in first_words():
        assert (
            len(
                [
                    line
                    for line in lines
                    if re.match(rf"(?:{'|'.join(GROUPS)}|) *(?:[a-z]+, )*{word}(?:, [a-z]+)*  +[A-Z]", line)
                ]
            )
            == 1
        ), word
    assert {row.group for row in SUBCOMMANDS} == {*GROUPS}


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["config", "-h"]], ids=" ".join)
@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_no_line_of_a_help_page_is_wider_than_the_terminal(call, words, columns):
    lines = call(*words, environ={"COLUMNS": columns}).stdout.decode("ascii").splitlines()
    assert max(map(len, lines)) <= int(columns)


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["config", "--help"], ["ps", "-a", "--help"]])
def test_help_has_no_word_of_the_library(call, words):
    text = call(*words).stdout.decode()
    assert "<bool>" not in text
    assert not re.search(r"[Ss]ee supervise [a-z ]*--help", text)


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["ps", "--help"], ["config", "--help"]])
def test_help_loads_neither_click_nor_rich(program, words):
    code = (
        "import sys, os; sys.argv[1:] = sys.argv[1:]; from supervise import __main__ as entry\n"
        "def end(code, signal=None): print([name for name in ('click', 'rich', 'trio') if name in sys.modules])\n"
        "entry._end_process = end\ntry: entry.main()\nexcept AssertionError: pass"
    )
    python = program.with_name("python")
    ended = subprocess.run([python, "-c", code, *words], env=PLAIN, capture_output=True, check=False, timeout=60)
    assert ended.stdout.splitlines()[-1] == b"[]"


def test_help_names_defaults_and_choices(call):
    text = " ".join(call("run", "--help").stdout.decode().split())
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
    # The text is ASCII, which the terminal takes as it is.
    assert "idle" in ended.stdout.decode("ascii")


def test_variables_turn_bold_titles_on_and_off(call):
    assert b"\x1b[1m" in call("--help", environ={"FORCE_COLOR": "1"}).stdout
    assert b"\x1b" not in call("--help", environ={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout
    assert b"\x1b" not in call("--help", environ={"TERM": "xterm"}).stdout


@pytest.mark.parametrize("words", [["--help"], ["show", "-"]], ids=" ".join)
@pytest.mark.parametrize(
    ("variable", "are_there"), [("X=1", True), ("NO_COLOR=1", False), ("CLICOLOR=0", False), ("TERM=dumb", False)]
)
def test_help_and_verdicts_on_a_terminal_have_attributes(program, tmp_path, words, variable, are_there):
    name, _, value = variable.partition("=")
    environ = PLAIN | {"TERM": "xterm-256color", "HOME": str(tmp_path), name: value}
    subprocess.run([program, "--", "false"], env=environ, timeout=HANG_SECONDS, check=False)
    text, _ = pexpect.run(
        shlex.join([str(program), *words]), env=environ, cwd=tmp_path, timeout=HANG_SECONDS, withexitstatus=True
    )
    attributes = rb"\x1b\[1m" if words == ["--help"] else rb"\x1b\[(\d+;)*[34]\d[;m]"
    assert bool(re.search(attributes, text)) is are_there


def test_a_reader_that_leaves_early_is_no_error(call):
    for words in (["--help"], ["--version"]):
        read, write = os.pipe()
        os.close(read)
        ended = call(*words, stdout=write)
        os.close(write)
        assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_full_disk_is_an_error(call):
    with open("/dev/full", "wb") as full:
        for words, name in ((["--help"], "help: "), (["--version"], "")):
            ended = call(*words, stdout=full)
            assert ended.returncode == 125
            assert ended.stderr.decode() == f"supervise: {name}cannot write to stdout: no space left on device\n"


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
        (["run", "-z", "x"], "no such option -z; see supervise run --help"),
        (["run", "-qz", "x"], "no such option -z; see supervise run --help"),
        (["run", "--xyzzy", "x"], "no such option --xyzzy; see supervise run --help"),
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
        (["help", "agent"], "help: no such topic 'agent'; did you mean: supervise help agents"),
        (["help", "agents", "x"], "help: no such topic 'agents x'; did you mean: supervise help agents"),
        (["help", "ps", "x"], "help: no such topic 'ps x'; did you mean: supervise help ps"),
        (["help", "config", "set", "x"], "help: unexpected operand 'x'; usage: supervise help [TOPIC] [WORD]"),
        (["--all", "--", "make", "ps"], "--all: an option of ps, not of run"),
        (["run", "--follow", "make", "logs"], "--follow: an option of logs, not of run"),
        ([""], "no such command ''; did you mean: supervise run ''"),
        (["-"], "no such command '-'; did you mean: supervise run -"),
        (["--timeout", "5", "make"], "put -- before the command: supervise --timeout 5 -- make"),
        (["-qt5", "make", "--", "x"], "put -- before the command: supervise -qt5 -- make -- x"),
        (["help", "cofnig"], "help: no such topic 'cofnig'; did you mean: supervise help config"),
        (["ps", "-t", "5"], "-t: an option of run, not of ps: supervise run -t DURATION -- COMMAND"),
        (
            ["ps", "--quiet-unless-failed"],
            "--quiet-unless-failed: an option of run, not of ps: supervise run --quiet-unless-failed -- COMMAND",
        ),
        (["-t", "5", "ps"], "-t: an option of run, not of ps: supervise run -t DURATION -- COMMAND"),
        (["-qt5", "logs", "-"], "-q: an option of run, not of logs: supervise run -q -- COMMAND"),
        (["--all", "ps"], "options stand after ps: supervise ps --all ..."),
        (["-n", "3", "ps"], "options stand after ps: supervise ps -n ..."),
        (["--json", "ps"], "options stand after ps: supervise ps --json"),
        (["run", "--follow", "make"], "--follow: an option of logs, not of run"),
        (["ps", "--follow"], "--follow: an option of logs, not of ps"),
        (["ps", "--al"], "no such option --al; did you mean --all?"),
        (["ps", "--xyzzy"], "no such option --xyzzy; see supervise ps --help"),
        (["config", "--json", "show"], "options stand after config show: supervise config show --json"),
        (["config", "sho"], "config: takes one of show, set, path, check, got sho; did you mean show?"),
        (["lgos", "-"], "no such command 'lgos'; did you mean: supervise logs -"),
        (["--quiet", "run", "make"], "options stand after run: supervise run --quiet make"),
        (["--quiet", "run", "--", "make"], "options stand after run: supervise run --quiet -- make"),
    ],
)
def test_a_refusal_is_one_line(call, words, message):
    assert refused(call(*words)) == [message]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["run", "--ci", "githb"], "github"),
        (["run", "--ci", "GitHub"], "github"),
        (["run", "-s", "sigTRM"], "TERM"),
        (["run", "--extend-on", "cpu,soket"], "socket"),
        (["run", "--retry-on", "idel"], "idle"),
        (["run", "--hook", "setled=x"], "settled"),
        (["run", "-a3", "--access-on", "prot=3"], "port="),
        (["wait", "--until", "acces"], "access"),
        (["stop", "-s", "TRM"], "TERM"),
    ],
)
def test_the_refusal_of_a_word_names_the_nearest_choice(call, words, meant):
    (line,) = refused(call(*words, "x"))
    assert line.endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize(
    "words", [["--ci", "x"], ["-s", "99"], ["--retry-on", "code=0"], ["-a3", "--access-on", "port=x"]]
)
def test_a_word_that_is_like_no_choice_gets_no_guess(call, words):
    (line,) = refused(call("run", *words, "x"))
    assert "did you mean" not in line


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
