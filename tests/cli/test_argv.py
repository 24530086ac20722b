"""The fast reader and the reader by click: the requests that each makes of words, and that both are equal."""

import gc
import os
import sys
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from supervise import __main__ as entry
from supervise.commands import app
from supervise.launch import launch
from supervise.options import argv, paths
from supervise.options.access_kinds import WORDS
from supervise.options.table import OPTIONS, WORD_SEPARATOR, BadValueError, option_names
from supervise.options.values import read_evidences
from supervise.runner import long_run
from tests.support.refusals import messages, refusal


@pytest.fixture(scope="module", autouse=True)
def without_home():
    """Take HOME away, since the user who runs the tests may have a configuration."""
    with mock.patch.object(paths, "_home", return_value=""):
        yield


def plain(request):
    """Return a Request as plain data."""
    return request and (request.values, request.command, request.withheld)


def values(**changed):
    """Return the default values of all options, with these changed."""
    return {option.key: option.value for option in OPTIONS} | changed


# --- the fast reader -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "changed", "command"),
    [
        (["run", "make"], {}, ["make"]),
        (["run", "--", "make"], {}, ["make"]),
        (["--", "make"], {}, ["make"]),
        (["--", "run", "make"], {}, ["run", "make"]),
        (["run", "run"], {}, ["run"]),
        (["run", "make", "--timeout", "5"], {}, ["make", "--timeout", "5"]),
        (["run", "make", "--", "-j"], {}, ["make", "--", "-j"]),
        (["run", "--", "--", "x"], {}, ["--", "x"]),
        (["run", "--", "--timeout"], {}, ["--timeout"]),
        (["run", "-", "x"], {}, ["-", "x"]),
        (["run", ""], {}, [""]),
        (["run", "--timeout", "5", "make"], {"timeout": 5.0}, ["make"]),
        (["run", "--timeout=5", "make"], {"timeout": 5.0}, ["make"]),
        (["run", "--completion-timeout=5", "make"], {"timeout": 5.0}, ["make"]),
        (["run", "-t", "5", "make"], {"timeout": 5.0}, ["make"]),
        (["run", "-t5", "make"], {"timeout": 5.0}, ["make"]),
        (["run", "-t5", "--timeout", "6", "make"], {"timeout": 6.0}, ["make"]),
        (["run", "-t", "nonsense", "-t6", "make"], {"timeout": 6.0}, ["make"]),
        (["run", "-t5", "-toff", "make"], {"timeout": None}, ["make"]),
        (["run", "-qv", "make"], {"quiet": True, "verbose": True}, ["make"]),
        (["run", "-qt5", "make"], {"quiet": True, "timeout": 5.0}, ["make"]),
        (["run", "-qt", "5", "make"], {"quiet": True, "timeout": 5.0}, ["make"]),
        (["-qt", "5", "--", "make"], {"quiet": True, "timeout": 5.0}, ["make"]),
        (
            ["run", "-a5", "--access-on", "output", "--access-on=match=a, b", "--access-on", "output", "make"],
            {"access_timeout": 5.0, "access_on": ("output", "match=a, b")},
            ["make"],
        ),
        (
            [
                *["-a5", "--access-on", "command=a\nb", "--access-on=port=[::1]:80"],
                *["--access-on", "http=https://x/", "--", "x"],
            ],
            {"access_timeout": 5.0, "access_on": ("command=a\nb", "port=[::1]:80", "http=https://x/")},
            ["x"],
        ),
        (["run", "--report", "-x", "make"], {"report": "-x"}, ["make"]),
        (["run", "--report=a=b", "make"], {"report": "a=b"}, ["make"]),
        (["run", "--report", "\udcff", "\udcff"], {"report": "\udcff"}, ["\udcff"]),
        (["run", "--idle-on", "stderr", "-k0", "x"], {"idle_on": "stderr", "kill_after": 0.0}, ["x"]),
    ],
)  # fmt: skip
def test_the_fast_reader_reads_plain_runs_as_click_does(words, changed, command):
    assert plain(argv.read(words, {})) == (values(**changed), command, ())
    assert plain(app.main(words, {})) == (values(**changed), command, ())


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["run"],
        ["run", "--"],
        ["--"],
        ["-"],
        [""],
        ["make"],
        ["--timeout", "5", "make"],
        ["--quiet", "run", "make"],
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["run", "-q", "--help", "make"],
        ["run", "--timeout"],
        ["run", "-t"],
        ["run", "--timeout", "5"],
        ["run", "--timeout", "5x", "make"],
        ["run", "--timeout=", "make"],
        ["run", "-t=5", "make"],
        ["run", "--timeou", "5", "make"],
        ["run", "--quiet=1", "make"],
        ["run", "-q5", "make"],
        ["run", "-z", "make"],
        ["run", "-q-", "make"],
        ["run", "--report", "--", "make"],
        ["--report", "--", "make"],
        ["ps"],
    ],
)
def test_the_fast_reader_leaves_what_it_does_not_know_to_click(words):
    assert argv.read(words, {}) is None


# --- the environment -------------------------------------------------------------------------------------------------


def test_variables_set_options_that_the_command_line_leaves_out():
    environ = {"SUPERVISE_IDLE_TIMEOUT": "15m", "SUPERVISE_TIMEOUT": "9", "SUPERVISE_QUIET": "yes", "HOME": "/"}
    for read in (argv.read, app.main):
        request = read(["run", "-t5", "make"], environ)
        assert request.values == values(idle_timeout=900.0, timeout=5.0, quiet=True)
        assert sorted(request.withheld) == ["SUPERVISE_IDLE_TIMEOUT", "SUPERVISE_QUIET", "SUPERVISE_TIMEOUT"]


def test_an_empty_variable_sets_nothing_and_is_kept_from_the_command():
    request = argv.read(["run", "make"], {"SUPERVISE_TIMEOUT": "", "SUPERVISE_COMPLETION_TIMEOUT": "7"})
    assert request.values == values(timeout=7.0)
    assert sorted(request.withheld) == ["SUPERVISE_COMPLETION_TIMEOUT", "SUPERVISE_TIMEOUT"]


def test_the_first_name_of_an_option_wins_over_its_alias_in_the_environment():
    assert (
        argv.read(["run", "x"], {"SUPERVISE_TIMEOUT": "6", "SUPERVISE_COMPLETION_TIMEOUT": "7"}).values["timeout"]
        == 6.0
    )


def test_the_variable_of_a_repeatable_option_has_a_line_for_each_value():
    environ = {"SUPERVISE_ACCESS_ON": "port=80\n\nmatch=a b,c\n", "SUPERVISE_ACCESS_TIMEOUT": "5"}
    for read in (argv.read, app.main):
        request = read(["run", "make"], environ)
        assert request.values == values(access_timeout=5.0, access_on=("port=80", "match=a b,c"))
    assert argv.read(["run", "--access-on", "listen", "make"], environ).values["access_on"] == ("listen",)


@pytest.mark.parametrize("words", [["--access-on", "output"], ["-a", "off", "--access-on", "listen"]])
def test_signs_of_access_without_an_access_limit_are_refused(words):
    assert argv.read(["run", *words, "make"], {}) is None
    code, text = refusal(["run", *words, "make"], {})
    assert code == 125
    assert text == (
        "supervise: --access-on: needs an access limit (--access-timeout); without one, access is at the start\n"
    )


ATTACH_IMPOSSIBLE = {
    "--no-record": "no client can attach without a record, which --no-record switches off",
    "--log-max=0": "no client can attach without recorded output, and --log-max 0 keeps none",
}


@pytest.mark.parametrize(("without", "why"), ATTACH_IMPOSSIBLE.items(), ids=ATTACH_IMPOSSIBLE)
@pytest.mark.parametrize("variables", [{}, {"SUPERVISE_ACCESS_ON": "attach\nattach"}], ids=["words", "environment"])
def test_attach_as_the_only_sign_is_refused_where_no_client_can_attach(without, why, variables):
    signs = [] if variables else ["--access-on", "attach"]
    words = ["run", "-a5", without, *signs]
    assert argv.read([*words, "make"], variables) is None
    assert refusal([*words, "make"], variables) == (125, f"supervise: --access-on: {why}\n")
    if not variables:
        for other in ("output", "manual"):
            assert argv.read([*words, "--access-on", other, "make"], {}).values["access_on"] == ("attach", other)


def test_variables_that_set_no_option_are_left_to_the_command():
    assert argv.read(["run", "make"], {"SUPERVISE_RUN_ID": "x", "SUPERVISE_ATTEMPT": "1"}).withheld == ()


def test_the_refusal_of_a_bad_variable_names_the_variable():
    environ = {"SUPERVISE_IDLE_TIMEOUT": "5x"}
    assert argv.read(["run", "make"], environ) is None
    code, text = refusal(["run", "make"], environ)
    assert code == 125
    assert text.startswith("supervise: SUPERVISE_IDLE_TIMEOUT: got '5x', takes a duration (")


def test_a_bad_variable_is_ignored_where_the_command_line_sets_the_option():
    environ = {"SUPERVISE_IDLE_TIMEOUT": "5x"}
    for read in (argv.read, app.main):
        assert read(["run", "-i5", "make"], environ).values["idle_timeout"] == 5.0


@pytest.mark.parametrize(("word", "value"), [("1", True), ("on", True), ("No", False), ("0", False)])
def test_the_variable_of_a_flag_takes_yes_and_no(word, value):
    assert argv.read(["run", "make"], {"SUPERVISE_QUIET": word}).values["quiet"] is value


@pytest.mark.parametrize(
    ("option", "word", "takes"),
    [
        ("--idle-timeout", "5x", "a duration ("),
        ("--idle-timeout", "", "a duration ("),
        ("--idle-timeout", "-1", "a duration ("),
        ("--idle-timeout", "5M", "a duration ("),
        ("--idle-timeout", "nan", "a duration ("),
        ("--kill-after", "off", "a duration ("),
        ("--extend-by", "0", "a duration ("),
        ("--max-extension", "infinity", "a duration ("),
        ("--warn-at", "60s,", "a duration ("),
        ("--signal", "TERMINATE", "a signal ("),
        ("--signal", "0", "a signal ("),
        ("--warn-signal", "99", "a signal ("),
        ("--idle-on", "stdin", "stdout, stderr or both"),
        ("--extend-on", "cpu,disk", "some of "),
        ("--cpu-threshold", "0", "a percentage "),
        ("--success-codes", "256", "exit codes "),
        ("--report", "", "the path of a file"),
        ("--access-on", "", "one of output, match=..., port=..., "),
        ("--access-on", "outputs", "one of output, "),
        ("--access-on", "output=", "one of output, "),
        ("--access-on", "match", "one of output, "),
        ("--access-on", "file=", "one of output, "),
        ("--access-on", "port=0", "port=PORT or port=HOST:PORT ("),
        ("--access-on", "port=65536", "port=PORT or port=HOST:PORT ("),
        ("--access-on", "port=:80", "port=PORT or port=HOST:PORT ("),
        ("--access-on", "port=::1:80", "port=PORT or port=HOST:PORT ("),
        ("--access-on", "http=localhost:80", "http=URL, "),
        ("--access-on", "http=http://", "http=URL, "),
        ("--access-on", "http=http://x:0/", "http=URL, "),
        ("--access-on", "http=http://x/ y", "http=URL, "),
        ("--access-on", "http=http://me@x/", "http=URL, "),
    ],
)
def test_the_refusal_of_a_bad_value_says_what_the_option_takes(option, word, takes):
    got = repr(word) if word else "nothing"
    variable = option_names()[option].variables[0]
    assert refusal(["run", f"{option}={word}", "x"], {})[1].startswith(f"supervise: {option}: got {got}, takes {takes}")
    if word:
        text = refusal(["run", "x"], {variable: word})[1]
        assert text.startswith(f"supervise: {variable}: got {got}, takes {takes}")


# --- the configuration -----------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    """Make the user's own configuration, with defaults and profiles."""
    file = tmp_path / "supervise" / "config.toml"
    file.parent.mkdir()
    file.write_text(
        """
timeout = 5
idle-timeout = "6s"
quiet = true

[profiles.ci]
timeout = 7
warn-at = ["5m", 60]
"""
    )
    return file


@pytest.mark.parametrize("read", [argv.read, app.main])
@pytest.mark.parametrize(
    ("words", "environ", "changed"),
    [
        ([], {}, {"timeout": 5.0}),
        (["--profile", "ci"], {}, {"timeout": 7.0, "warn_at": (300.0, 60.0), "profile": "ci"}),
        ([], {"SUPERVISE_PROFILE": "ci"}, {"timeout": 7.0, "warn_at": (300.0, 60.0), "profile": "ci"}),
        (
            ["--profile", "ci"],
            {"SUPERVISE_TIMEOUT": "8"},
            {"timeout": 8.0, "warn_at": (300.0, 60.0), "profile": "ci"},
        ),
        (["--profile", "ci"], {"SUPERVISE_PROFILE": "no"}, {"timeout": 7.0, "warn_at": (300.0, 60.0), "profile": "ci"}),
        ([], {"SUPERVISE_TIMEOUT": "8"}, {"timeout": 8.0}),
        ([], {"SUPERVISE_COMPLETION_TIMEOUT": "8"}, {"timeout": 8.0}),
        ([], {"SUPERVISE_TIMEOUT": ""}, {"timeout": 5.0}),
        (
            ["--profile=ci", "-t9"],
            {"SUPERVISE_TIMEOUT": "8"},
            {"timeout": 9.0, "warn_at": (300.0, 60.0), "profile": "ci"},
        ),
        (["-t", "off"], {}, {"timeout": None}),
    ],
)  # fmt: skip
def test_the_command_line_wins_over_environment_profile_and_defaults_in_this_order(file, read, words, environ, changed):
    request = read(["run", *words, "x"], {"XDG_CONFIG_HOME": str(file.parents[1]), **environ})
    assert request.values == values(idle_timeout=6.0, quiet=True) | changed


@pytest.mark.parametrize("read", [argv.read, app.main])
def test_a_named_configuration_replaces_the_users_own(file, read, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text('signal = "INT"\n')
    own = {"XDG_CONFIG_HOME": str(file.parents[1])}
    for path in (str(other), "/dev/null"):
        signal = {"signal": 2} if path == str(other) else {}
        request = read(["run", "--config", path, "x"], own)
        assert request.values == values(config=path, **signal)
        request = read(["run", "x"], {**own, "SUPERVISE_CONFIG": path})
        assert request.values == values(config=path, **signal)
        assert request.withheld == ("SUPERVISE_CONFIG",)
        assert read(["run", "--config", path, "x"], {"SUPERVISE_CONFIG": "no"}).values["config"] == path


def test_the_recorded_words_hold_the_values_of_the_configuration(file):
    """So a later run with these words does the same, whatever the configuration is by then."""
    environ = {"XDG_CONFIG_HOME": str(file.parents[1]), "SUPERVISE_PROFILE": "ci", "SUPERVISE_SIGNAL": "INT"}
    said = {"idle-timeout": "6s", "quiet": "on", "timeout": "7", "warn-at": "5m,60", "signal": "INT", "drain": "1s"}
    assert argv.read(["run", "--drain=1s", "x"], environ).given == {**said, "config": "/dev/null"}
    assert argv.read(["run", "--drain=1s", "x"], {"SUPERVISE_SIGNAL": "INT"}).given == {"signal": "INT", "drain": "1s"}


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "/nonexistent"}, {"XDG_CONFIG_HOME": "supervise"}])
def test_no_configuration_is_read_from_the_current_folder(file, monkeypatch, home):
    monkeypatch.chdir(file.parents[1])
    for folder in (file.parents[1], file.parent):
        monkeypatch.chdir(folder)
        assert argv.read(["run", "x"], home).values == values()


# --- both readers agree -----------------------------------------------------------------------------------------------

CONFIGURATION = str(Path(__file__).with_name("example.toml"))
option_words = st.sampled_from([*option_names(), "--help", "--version", "--nonsense", "-z", "--timeou", "--no-quiet"])
words_of_values = st.sampled_from(
    ["5", "0", "off", "infinity", "1h30m", "5x", "", "-1", "TERM", "15", "99", "stderr", "both", "cpu,socket", "cpu,",
     "60s,10s", "0,3", "report", "kill", "/tmp/x", "250", "nan", "--", "-", "=", "listen", "port=80", "\udcff", "é\n",
     "M", "PT1H"]
)  # fmt: skip
commands = st.sampled_from(["make", "run", "-j", "--timeout", "-t5", "htop", "", "-", "\udcff", "é", "a b"])
pieces = st.one_of(
    st.tuples(option_words, words_of_values).map(list),
    st.tuples(option_words, words_of_values).map(lambda pair: ["=".join(pair)]),
    st.tuples(option_words, words_of_values).map(lambda pair: ["".join(pair)]),
    option_words.map(lambda name: [name]),
    st.sampled_from([["-qv"], ["-qt5"], ["-pq"], ["-qz"], ["-vk"], ["-q-"]]),
    st.text(max_size=6).map(lambda text: [text.replace("\0", "")]),
    st.sampled_from([["--config", CONFIGURATION], ["--config", __file__], ["--profile", "ci"], ["--profile=no"]]),
)
# Good options are drawn most often: the fast reader reads a list only where every piece is good.
good_pieces = st.sampled_from(
    [["-t5"], ["-t", "5"], ["--timeout=1h"], ["--completion-timeout", "off"], ["-qv"], ["-qi5"], ["--warn-at=60s,10s"],
     ["--signal", "INT"], ["-sKILL"], ["--extend-on=io,cpu"], ["--report", "/tmp/\udcff"], ["--report=--x"],
     ["--success-codes", "0,3"], ["--cpu-threshold=0.5"], ["--no-record"], ["-p"], ["-a9"],
     ["--config", CONFIGURATION, "--profile=ci"],
     ["-a9", "--access-on", "port=80"], ["-a1", "--access-on=match=x,y"], ["--stragglers", "wait"]]
)  # fmt: skip
lists = st.builds(
    lambda start, options, dashes, command: [*start, *(word for piece in options for word in piece), *dashes, *command],
    st.sampled_from([[], ["run"], ["run"]]),
    st.lists(st.one_of(good_pieces, good_pieces, good_pieces, pieces), max_size=4),
    st.sampled_from([[], ["--"], ["--"]]),
    st.one_of(st.lists(commands, min_size=1, max_size=3), st.lists(commands, max_size=2)),
)
environs = st.dictionaries(
    st.sampled_from([name for option in OPTIONS for name in option.variables]), words_of_values, max_size=2
)
environs = st.one_of(st.just({}), st.just({"SUPERVISE_TIMEOUT": "5", "SUPERVISE_QUIET": "1"}), environs)
THOUSAND_EXAMPLES = settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@THOUSAND_EXAMPLES
@given(lists, environs)
@example(["--report", "--", "make"], {})
@example(["--redact", "--", "make"], {})
@example(["-q", "--report", "x", "--", "make"], {"SUPERVISE_REPORT": "--"})
def test_the_fast_reader_and_click_agree_on_any_words(words, environ):
    fast = argv.read(words, environ)
    event("read fast" if fast else "left to click")
    if fast is not None:
        assert plain(app.main(words, environ)) == plain(fast)
    else:
        refusal(words, environ)


signs = st.tuples(
    st.sampled_from([*WORDS, "port", "http", "output=", ""]),
    st.sampled_from(["", "80", "[::1]:80", "::", "http://x", "https://x:1/a?b#c", "(", "\udcff"])
    | st.text(max_size=12),
).map("".join)  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(st.lists(signs, min_size=1, max_size=3))
def test_any_signs_of_access_are_read_or_refused_with_one_line(words):
    try:
        found = read_evidences(option_names()["--access-on"], WORD_SEPARATOR.join(words))
    except BadValueError as error:
        found, why = (), str(error)
        event("refused")
    else:
        why = "got "
    assert why.startswith("got ")
    assert "\n" not in why
    assert set(found) <= {part for word in words for part in word.split(WORD_SEPARATOR)}
    assert all(sign.startswith(WORDS) for sign in found)


@given(st.lists(good_pieces, max_size=5), st.sampled_from([["run"], ["run", "--"], ["--"]]), st.lists(commands))
def test_the_fast_reader_reads_all_good_options(options, form, rest):
    run, dashes = (form[:1], form[1:]) if form[0] == "run" else ([], form)
    words = [*run, *(word for piece in options for word in piece), *dashes, "make", *rest]
    fast = argv.read(words, {})
    assert fast is not None
    assert fast.command == ["make", *rest]
    assert plain(app.main(words, {})) == plain(fast)


@THOUSAND_EXAMPLES
@given(lists, environs)
@example(["--help"], {})
def test_the_program_has_no_traceback_on_any_words(words, environ):
    """Before the launch there is a Request, or an end with 0 or 125 and one to four lines on stderr."""
    code = None
    with (
        mock.patch.object(launch, "run", return_value=None) as run,
        mock.patch.object(long_run, "run"),
        mock.patch("supervise.launch.detach.leave", return_value=-1),
        mock.patch("supervise.launch.front.leave"),
        mock.patch("supervise.launch.dry_run.show"),
        mock.patch.object(gc, "disable"),
        mock.patch.object(entry, "_end_process", side_effect=lambda code, signal=None: sys.exit(code)),
        mock.patch.object(sys, "argv", ["supervise", *words]),
        mock.patch.object(os, "environ", environ),
        messages() as text,
    ):
        try:
            entry.main()
        except SystemExit as stop:
            code = stop.code
    event(f"ended with {code}")
    if code is None:
        assert run.call_args.args[0].info.request.command
    elif code == 0:
        assert text() == ""
        assert any(word.startswith(("--help", "--version")) for word in words)
    else:
        assert code == 125
        lines = text().splitlines()
        assert 1 <= len(lines) <= 4
        assert all(line.startswith("supervise: ") for line in lines)
