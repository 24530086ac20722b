"""From words to values: any word gives a value of the option, or one clear line."""

import math

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from supervise.commands.subcommands import SUBCOMMANDS
from supervise.faces import phrases
from supervise.options import values
from supervise.options.table import OPTIONS, BadValueError, Option, option_names
from supervise.text import signal_names

TWO_THOUSAND = settings(max_examples=2000, deadline=None)
DURATIONS = [option for option in OPTIONS if option.kind in ("limit", "cap", "delay", "step")]
SIGNALS = [option for option in OPTIONS if option.kind == "signal"]

digits = st.one_of(st.integers(0, 10**20).map(str), st.floats(0, 1e15).map(lambda number: f"{number:f}"), st.just("0"))
units = st.sampled_from(
    ["ms", "s", "sec", "m", "min", "h", "d", "M", "y", "us", "S", "H", "", "P", "PT", "T", "W", "D"]
)
numbers = st.lists(st.tuples(digits, units).map("".join), min_size=1, max_size=4).map("".join)
duration_words = st.one_of(
    numbers, numbers.map("PT".__add__), numbers.map("P".__add__), st.text(max_size=8),
    st.sampled_from(["off", "infinity", "nan", "inf", "-1", "+1", "1e5", "1_0", " 5", "٣", "²", "1,5", ".5", "5."]),
)  # fmt: skip
signal_words = st.one_of(
    st.sampled_from(sorted(signal_names.signal_table())),
    st.builds(
        str.__add__,
        st.sampled_from(["", "SIG", "sig", "Sig"]),
        st.one_of(st.sampled_from(sorted(signal_names.signal_table())), st.text(max_size=5)),
    ),
    st.integers(-5, 200).map(str),
    st.text(max_size=5),
    st.sampled_from(["0", "64", "65", "0x9", "٩", "15 ", "9" * 5000, "SIGSIGTERM", "RTMIN", "SIG_BLOCK", "_IGN"]),
)


def read_or_clear_error(option: Option, word: str) -> object:
    try:
        return values.read(option, word)
    except BadValueError as error:
        event("refused")
        text = str(error)
        got = f"a word of {len(word)} characters that may be a secret" if option.kind == "check" else repr(word)
        assert text.startswith(f"got {got}, takes " if word else "got nothing, takes ")
        assert text.isprintable()
        return "refused"


@TWO_THOUSAND
@given(st.sampled_from(DURATIONS), duration_words)
@example(option_names()["--timeout"], "9" * 400)
@example(option_names()["--drain"], "0.0000000000001ms")
def test_any_word_for_a_duration(option, word):
    value = read_or_clear_error(option, word)
    if value != "refused":
        event("read")
        assert value is None or (isinstance(value, float) and 0 <= value <= values.LONGEST_DURATION_SECONDS)
        assert value is not None or option.kind == "limit"
        assert value != 0 or option.kind in ("cap", "delay")


@given(st.integers(0, int(values.LONGEST_DURATION_SECONDS) * 1000))
def test_a_written_duration_is_read_as_the_same(milliseconds):
    seconds = milliseconds / 1000
    read = values.duration(phrases.duration(seconds))
    assert read is not None
    assert math.isclose(read, seconds, abs_tol=0.0005)


@TWO_THOUSAND
@given(st.sampled_from(SIGNALS), signal_words)
def test_any_word_for_a_signal(option, word):
    value = read_or_clear_error(option, word)
    if value != "refused":
        event("read")
        assert isinstance(value, int)
        assert 1 <= value <= 64
        assert values.read(option, signal_names.signal_name(value)) == value
        assert values.read(option, str(value)) == value


@TWO_THOUSAND
@given(st.sampled_from(OPTIONS), st.one_of(duration_words, signal_words, st.text(max_size=10)))
def test_any_word_for_any_option(option, word):
    try:
        values.read(option, word)
    except BadValueError as error:
        event("refused")
        said = str(error)
    else:
        said = "takes it"
    assert "takes " in said


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("--signal", "00065"),
        ("--signal", "0" * 5000),
        ("--success-codes", "0001234"),
        ("--success-codes", "0" * 5000),
        ("--retry-on", "code=0000999"),
        ("--retries", "0" * 5000),
        ("--log-max", "9" * 400),
        ("--access-on", "port=" + "0" * 5000 + "80"),
        ("--access-on", "port=0000065536"),
    ],
    ids=lambda word: word[:15],
)
def test_numbers_that_are_too_long_or_too_large_are_refused(name, word):
    with pytest.raises(BadValueError, match="takes "):
        values.read(option_names()[name], word)


ROWS = [*OPTIONS, *(option for row in SUBCOMMANDS for option in row.options if option not in OPTIONS)]


SAME_AS = {"older-than": "records-age", "keep": "records-number", "max-size": "records-max"}
"""Options of `prune` that stand for an option of `run`, whose value counts if they are not given."""


@pytest.mark.parametrize("option", ROWS, ids=lambda option: option.name)
def test_the_value_of_every_default_is_that_of_its_word(option):
    if option.name in SAME_AS:
        other = option_names()[f"--{SAME_AS[option.name]}"]
        assert option.value is None
        assert values.read(option, option.default) == other.value
    elif option.default:
        assert option.value == values.read(option, option.default)
    else:
        assert option.value == {
            "flag": False,
            "evidences": (),
            "patterns": (),
            "hooks": (),
            "untils": (),
            "words": (),
        }.get(option.kind)


CHECKS = {
    "https://hc-ping.com/5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278": True,
    "http://[::1]:8000/ping/x?create=1": True,
    "https://user:pass@host/x": True,
    "5BF66975-D4C7-4BF5-BCC8-B8D8A82EA278": True,
    "nightly_backup-2": True,
    "backup?create=1": True,
    "file:/etc/backup.ping": True,
    "file:": False,
    "https://": False,
    "https://:80/x": False,
    "https://host:port/x": False,
    "https://host:0/x": False,
    "https://host/a b": False,
    "https://host/\u00e9": False,
    "ftp://host/x": False,
    "Backup": False,
    "backup?create=2": False,
    "key/backup": False,
    "": False,
}


@pytest.mark.parametrize(("word", "is_taken"), CHECKS.items())
def test_a_check_is_a_url_a_uuid_a_slug_or_a_file(word, is_taken):
    if is_taken:
        assert values.read(option_names()["--ping"], word) == word
        return
    with pytest.raises(BadValueError, match=r"^got (nothing|a word of [0-9]+ characters that may be a secret), takes "):
        values.read(option_names()["--ping"], word)


def test_a_check_can_be_switched_off():
    assert values.read(option_names()["--ping"], "off") is None


@pytest.mark.parametrize(
    ("word", "is_secret"),
    [("https://h/x", True), ("5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278", True), ("backup", False), ("file:/x", False)],
)
def test_a_check_that_anybody_could_ping_is_a_secret(word, is_secret):
    assert values.is_secret_check(word) == is_secret
