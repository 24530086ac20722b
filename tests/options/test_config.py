"""The configuration: the values that it gives to options, and the messages for errors."""

import os
import tomllib

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from supervise.options import config
from supervise.options.table import OPTIONS, BadValueError, option_names

DURATION = "a duration (90, 90s, 1.5m, 1h30m, 2d, 500ms, PT1H30M)"


@pytest.fixture
def write(tmp_path):
    """Write a configuration and load it."""

    def write(text):
        file = tmp_path / "config.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return config.load(str(file))

    return write


def values(configuration, profile=None):
    return {key: setting.value for key, setting in configuration.settings(profile).items()}


def wrong(write, text, profile=None):
    """Return the message for the configuration, without the file's name."""
    with pytest.raises(BadValueError) as error:
        write(text).settings(profile)
    return str(error.value).partition("config.toml:")[2]


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("timeout = 90", "timeout", 90.0),
        ("timeout = 1.5", "timeout", 1.5),
        ("timeout = 0", "timeout", None),
        ('timeout = "off"', "timeout", None),
        ('timeout = "1h30m"', "timeout", 5400.0),
        ('completion-timeout = "5"', "timeout", 5.0),
        ("kill-after = 0", "kill_after", 0.0),
        ("quiet = true", "quiet", True),
        ("quiet = false", "quiet", False),
        ('quiet = "yes"', "quiet", True),
        ("diagnose = false", "diagnose", "off"),
        ('diagnose = "on"', "diagnose", "on"),
        ("signal = 15", "signal", 15),
        ('signal = "SIGINT"', "signal", 2),
        ("cpu-threshold = 0.5", "cpu_threshold", 0.5),
        ("success-codes = 3", "success_codes", (3,)),
        ('success-codes = [0, 3, "4"]', "success_codes", (0, 3, 4)),
        ('success-codes = "0,3"', "success_codes", (0, 3)),
        ('warn-at = ["5m", 10]', "warn_at", (300.0, 10.0)),
        ('warn-at = "off"', "warn_at", ()),
        ('extend-on = ["cpu", "io"]', "extend_on", ("cpu", "io")),
        ('extend-on = "cpu,io"', "extend_on", ("cpu", "io")),
        ('access-on = ["port=80", "match=a,b"]', "access_on", ("port=80", "match=a,b")),
        ('access-on = "match=a,b"', "access_on", ("match=a,b",)),
        ("retries = 3", "retries", 3),
        ('retry-on = ["idle", "code=3"]', "retry_on", ("idle", "code=3")),
        ('keep-env = ["PATH", "LANG"]', "keep_env", ("PATH", "LANG")),
        ("log-max = 1000000", "log_max", 1000000),
        ('report = "run.json"', "report", "run.json"),
    ],
)
def test_a_value_is_of_the_type_that_fits(write, line, key, value):
    assert values(write(line)) == {key: value}
    # The same by way of tomllib.
    assert values(write(f"profiles.x = {{ {line} }}\n"), "x") == {key: value}


def test_every_option_can_be_configured_except_config_and_profile():
    assert {"--" + name for name in config.configurable()} == {
        name for name in option_names() if name.startswith("--")
    } - {"--config", "--profile"}


def test_a_profile_wins_over_the_defaults(write):
    loaded = write("timeout = 1\nquiet = true\n[profiles.ci]\ntimeout = 2\n[profiles.x]\ntimeout = 3")
    assert values(loaded) == {"timeout": 1.0, "quiet": True}
    assert values(loaded, "ci") == {"timeout": 2.0, "quiet": True}
    assert loaded.settings("ci")["timeout"].path == ("profiles", "ci", "timeout")


def test_errors_in_an_unused_profile_harm_no_run(write):
    loaded = write("timeout = 1\n[profiles.ci]\nnonsense = 2")
    assert values(loaded) == {"timeout": 1.0}
    assert len(loaded.problems()) == 1


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nidle-timout = 5", "2: no such option 'idle-timout'; did you mean idle-timeout?"),
        ("idle_timeout = 5", "1: no such option 'idle_timeout'; did you mean idle-timeout?"),
        ("TIMEOUT = 5", "1: no such option 'TIMEOUT'; did you mean timeout?"),
        ("flooble = 5", "1: no such option 'flooble'; see supervise run --help"),
        ("[run]\ntimeout = 5", "1: no such option 'run'; "),
        ("# x\ntimeout = '5x'", f"2: timeout: got '5x', takes {DURATION}; 0, off or infinity for no limit"),
        ("timeout = true", f"1: timeout: got true, takes {DURATION}"),
        ("timeout = -5", f"1: timeout: got '-5', takes {DURATION}"),
        ("timeout = 1e-9", f"1: timeout: got '1e-09', takes {DURATION}"),
        ("timeout = nan", f"1: timeout: got the number nan, takes {DURATION}"),
        (f"timeout = 0x{'f' * 9999}", f"1: timeout: got a number, takes {DURATION}"),
        ("timeout = [5]", f"1: timeout: got a list, takes {DURATION}"),
        ("[timeout]\nx = 1", f"1: timeout: got a table, takes {DURATION}"),
        ("timeout = 1979-05-27", f"1: timeout: got a date or time, takes {DURATION}"),
        ("kill-after = 'off'", f"1: kill-after: got 'off', takes {DURATION}; 0 for at once"),
        ("quiet = 1", "1: quiet: got the number 1, takes 1, true, yes or on; 0, false, no or off"),
        ("quiet = 'x'", "1: quiet: got 'x', takes 1, true, yes or on; 0, false, no or off"),
        ("signal = true", "1: signal: got true, takes a signal (TERM, SIGTERM, 15)"),
        ("idle-on = false", "1: idle-on: got false, takes stdout, stderr or both"),
        ("report = 5", "1: report: got the number 5, takes the path of a file"),
        ('report = "\\u0000"', "1: report: got '\\x00', takes the path of a file"),
        ("success-codes = [0, 256]", "1: success-codes: got '0,256', takes exit codes from 0 to 255"),
        ("success-codes = [[0]]", "1: success-codes: got a list, takes exit codes from 0 to 255"),
        ("success-codes = []", "1: success-codes: got nothing, takes exit codes from 0 to 255"),
        ("warn-at = [true]", "1: warn-at: got true, takes a duration "),
        ("access-on = [5]", "1: access-on: got a list, takes one of output, "),
        ("timeout = 1\ncompletion-timeout = 2", "1: timeout: is set twice, by two names (1 more)"),
        ("config = 'x'", "1: config: can be given on the command line only"),
        ("profile = 'x'", "1: profile: can be given on the command line only"),
        ("[profile.ci]\ntimeout = 1", "1: no such table 'profile'; did you mean [profiles.NAME]?"),
        ("profiles = 3", "1: profiles: got the number 3, takes tables: [profiles.NAME]"),
        ("\n\nprofiles = []", "3: profiles: got a list, takes tables: [profiles.NAME]"),
        ("a = 1\nb = 2\nc = 3", "1: no such option 'a'; see supervise run --help (2 more)"),
        ('report = """\n"""\nsignal = """\nx"""', "1: report: got nothing, takes the path of a file (1 more)"),
    ],
)
def test_an_error_is_reported_with_its_line(write, text, expected):
    assert wrong(write, text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "profile", "expected"),
    [
        ("[profiles.ci]\ntimout = 5", "ci", "2: no such option 'timout'; did you mean timeout?"),
        ("x = 1\n\n[profiles.ci]\ny = 5", "ci", "1: no such option 'x'; see supervise run --help (1 more)"),
        ("[profiles.ci.x]\ntimeout = 5", "ci", "1: no such option 'x'; "),
        ("[profiles.ci]\n[profiles.ci.profiles]", "ci", "2: no such option 'profiles'; "),
    ],
)
def test_an_error_in_the_profile_is_reported_with_its_line(write, text, profile, expected):
    assert wrong(write, text, profile).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "1: not TOML: expected "),
        ("\n\na =", "3: not TOML: invalid value"),
        ("a = 1\n\na = 2\n", "3: not TOML: cannot overwrite a value"),
        ('a = 1\nb = """\n\n', "2: not TOML: unterminated string"),
        ("a = 1\nb = [1,\n\n", "2: not TOML: invalid value"),
        (f"\na = {'9' * 9999}\n", "2: not TOML: too long or too deep"),
        (f"\n\na = {'[' * 9999}\n", "3: not TOML: too long or too deep"),
        (b"a = 1\n# \xff", "2: is not UTF-8"),
        ("a = '\x01'", "1: not TOML: "),
    ],
)  # fmt: skip
def test_a_file_that_is_not_toml_is_reported_with_the_line(write, text, expected):
    with pytest.raises(BadValueError) as error:
        write(text)
    located = str(error.value).partition("config.toml:")[2]
    assert located.partition(":")[2].strip() == located.partition(":")[2][1:]
    assert located.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[profiles.release]\n[profiles.ci]", "no such profile 'c'; did you mean ci?"),
        ("[profiles.release]\n[profiles.x]", "no such profile 'c'; there are release, x"),
        ("", "no such profile 'c'; it has no profiles"),
        ("profiles = 3", "no such profile 'c'; it has no profiles"),
    ],
)
def test_a_profile_that_does_not_exist(write, text, expected):
    with pytest.raises(BadValueError, match=r"config\.toml: " + expected.replace("?", r"\?")):
        write(text).settings("c")


def test_a_byte_order_mark_is_skipped(write):
    assert write(b"\xef\xbb\xbftimeout = 5\r\n").settings(None)["timeout"].value == 5
    assert wrong(write, b"\xef\xbb\xbftimeout = 5\nx = 1\n").startswith("2: ")


def test_a_message_is_one_line_of_bounded_length(write):
    for text in (f"'{'x' * 9999}' = 1", f"timeout = '{'x' * 9999}'", '"a\\nb" = 1', 'signal = "a\\nb\\u2028"'):
        expected = wrong(write, text)
        assert expected.isprintable()
        assert len(expected) < 600


def test_all_errors_of_a_file(write):
    loaded = write(
        """timeout = "5x"
quite = true

[profiles.b]
signal = "FOO"
[profiles]
c = 3
[profiles.a]
timeout = 5
kill-after = -1
"""
    )
    located = [line.partition("config.toml:")[2] for line in loaded.located(loaded.problems())]
    assert [line.partition(", takes")[0] for line in located] == [
        "1: timeout: got '5x'",
        "2: no such option 'quite'; did you mean quiet?",
        "5: signal: got 'FOO'",
        "7: got the number 3",
        "10: kill-after: got '-1'",
    ]


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_that_cannot_be_read(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, expected in [
        (tmp_path, "is a directory, takes a file of TOML"),
        (tmp_path / "no", "cannot read it: no such file or directory"),
        (tmp_path / "x" / "no", "cannot read it: no such file or directory"),
        (fifo, "is not a regular file, takes a file of TOML"),
        ("/dev/zero", "is longer than 1048576 bytes"),
        (tmp_path / ("x" * 300), "cannot read it: file name too long"),
        ("a\0b", "a\\x00b: cannot read it: embedded null byte"),
        (tmp_path / "a\nb", "cannot read it: no such file or directory"),
    ]:
        with pytest.raises(BadValueError) as error:
            config.load(str(path))
        assert str(error.value).endswith(expected)
        assert str(error.value).isprintable()


def test_dev_null_is_an_empty_configuration():
    assert config.load("/dev/null").settings(None) == {}


# --- fuzz ------------------------------------------------------------------------------------------------------------

keys = st.one_of(
    st.sampled_from([*config.configurable(), "config", "profile", "profiles", "timout", "idle_timeout"]),
    st.text(max_size=5),
)
scalars = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.dates(), st.times(), st.datetimes(), st.text(max_size=5),
    st.sampled_from(["5", "1h", "off", "TERM", "both", "cpu", "port=80", "x.json", "on", 5, 0.5, [0, 3], ["5m", 10]]),
)  # fmt: skip
toml_values = st.one_of(scalars, scalars, st.lists(scalars, max_size=3), st.dictionaries(keys, scalars, max_size=2))
tables = st.dictionaries(keys, toml_values, max_size=4)
documents = st.builds(
    lambda top, profiles: {**top, **({"profiles": profiles} if profiles else {})},
    tables,
    st.dictionaries(st.sampled_from(["ci", "a b", ""]), tables, max_size=2),
)
good = st.sampled_from(
    ["timeout = 5", 'idle-timeout = "15m"', "quiet = true", "signal = 'INT'", "# x", "", "[profiles.ci]"]
)  # fmt: skip
garbage = st.one_of(good, good, st.text(max_size=12), st.sampled_from(["a = [", "]", '"""', "[[x]]", "a.b = {", "\r"]))
texts = st.one_of(documents, st.lists(garbage, max_size=6).map("\n".join), st.binary(max_size=20))


@settings(max_examples=2000, deadline=None)
@given(texts, st.sampled_from([None, "ci", "a b", "no"]))
def test_any_text_is_a_configuration_or_a_clear_error(tmp_path_factory, drawn, profile):
    import tomli_w

    if isinstance(drawn, dict):
        try:
            data = tomli_w.dumps(drawn).encode()
            tomllib.loads(data.decode())
        except ValueError:
            # Not every text can be written as TOML.
            return
    else:
        data = drawn if isinstance(drawn, bytes) else drawn.encode(errors="surrogatepass")
    file = tmp_path_factory.getbasetemp() / "fuzz.toml"
    file.write_bytes(data)
    try:
        loaded = config.load(str(file))
        found = loaded.settings(profile)
    except BadValueError as error:
        event("refused")
        expected = str(error)
        assert expected.startswith(str(file) + ":")
        assert expected.isprintable()
    else:
        event("read, with settings" if found else "read, and empty")
        assert set(found) <= {option.key for option in OPTIONS}
        return
    if "no such profile" not in expected and not any(word in expected for word in ("not TOML", "not UTF-8")):
        problems = loaded.located(loaded.problems())
        assert expected.removesuffix(")").rpartition(" (")[0] in problems or expected in problems
