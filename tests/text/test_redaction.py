"""Secrets that are masked, and words that are shown."""

import time

import pytest

from supervise.launch import state
from supervise.text import redaction
from supervise.text.redaction import Redaction

SHOWN = [
    (["mysql", "--password", "hunter2"], ["mysql", "--password", "***"]),
    (["mysql", "--password=hun ter&2"], ["mysql", "--password=***"]),
    (["x", "--token", "--odd"], ["x", "--token", "***"]),
    (["x", "-token", "abc"], ["x", "-token", "***"]),
    (["x", "--DB_PASSWORD", "abc"], ["x", "--DB_PASSWORD", "***"]),
    (["x", "--api-key=a", "--api_key=b", "--apikey", "c"], ["x", "--api-key=***", "--api_key=***", "--apikey", "***"]),
    (["x", "--client-secret", "s"], ["x", "--client-secret", "***"]),
    (["env", "PGPASSWORD=a b", "GITHUB_TOKEN=c", "make"], ["env", "PGPASSWORD=***", "GITHUB_TOKEN=***", "make"]),
    (["java", "-Ddb.password=abc"], ["java", "-Ddb.password=***"]),
    (["pg", "postgres://me:pa@ss@host:5432/db?x=1"], ["pg", "postgres://me:***@host:5432/db?x=1"]),
    (["pg", "redis://:pass@host"], ["pg", "redis://:***@host"]),
    (["pg", "mysql+x://u:pa/ss@h/db"], ["pg", "mysql+x://u:***@h/db"]),
    (
        ["pg", "a=http://u:p@h", "http://v:q@h,http://w:r@i"],
        ["pg", "a=http://u:***@h", "http://v:***@h,http://w:***@i"],
    ),
    (["sh", "-c", "a --password hunter2; b"], ["sh", "-c", "a --password ***; b"]),
    (["sh", "-c", "a --password='hun ter' b"], ["sh", "-c", "a --password=*** b"]),
    (["sh", "-c", "a '--password=hun ter' b"], ["sh", "-c", "a '--password=***' b"]),
    (["sh", "-c", 'a "--token=abc" b'], ["sh", "-c", 'a "--token=***" b']),
    (["sh", "-c", "cd x; TOKEN=abc\\ d make"], ["sh", "-c", "cd x; TOKEN=*** make"]),
    (["curl", "http://h/x?user=u&password=abc&y=1"], ["curl", "http://h/x?user=u&password=***&y=1"]),
    (["curl", "--token", "abcdef", "http://h/abcdef"], ["curl", "--token", "***", "http://h/***"]),
]
AS_IT_IS = [
    ["make", "--token-count", "5", "--tokens=3", "tokenize=yes"],
    ["x", "--no-password", "host"],
    ["x", "--password"],
    ["x", "--password", "--", "file"],
    ["sh", "-c", "TOKEN=$(get) make"],
    ["sh", "-c", 'a --password "$PASSWORD" --token=$TOKEN --secret=`get`'],
    ["git", "clone", "ssh://git@host:22/x", "http://host:80/a@b", "http://[::1]:80/a@b", "http://h/@scope/x"],
    ["echo", "the secret is out", "a token", "http://"],
    ["cat", "/run/secret", "password"],
]


@pytest.mark.parametrize(("words", "shown"), SHOWN)
def test_a_secret_is_masked(words: list[str], shown: list[str]) -> None:
    one = Redaction()
    assert one.words(words) == shown
    assert one.has_found


@pytest.mark.parametrize("words", AS_IT_IS)
def test_words_without_a_secret_are_shown(words: list[str]) -> None:
    one = Redaction()
    assert one.words(words) == words
    assert not one.has_found


@pytest.mark.parametrize("words", [words for words, _ in SHOWN])
def test_an_ordinary_run_does_not_load_the_rules(words: list[str]) -> None:
    assert state.SUSPECT_PARTS == redaction.SUSPECT_PARTS
    assert redaction.is_suspect(words)


@pytest.mark.parametrize(
    ("patterns", "words", "shown"),
    [
        (["hunter\\d"], ["a", "xhunter2x"], ["a", "x***x"]),
        (["pin[= ](\\d+)"], ["a", "--pin", "1234", "--pin=99"], ["a", "--pin", "***", "--pin=***"]),
        (["-u (.*)"], ["curl", "-u", "me:abc"], ["curl", "-u", "***"]),
        (["x*"], ["a", "bxxc"], ["a", "b***c"]),
        (["bc", "cd"], ["abcde"], ["a***e"]),
        (["a b"], ["a", "b"], ["a", "b"]),
        (["off"], ["x", "--password", "a", "http://u:p@h"], ["x", "--password", "a", "http://u:p@h"]),
        (["off", "abc"], ["x", "--password", "abc"], ["x", "--password", "***"]),
    ],
)
def test_the_matches_of_patterns_are_masked(patterns: list[str], words: list[str], shown: list[str]) -> None:
    assert Redaction(patterns).words(words) == shown


def test_a_known_secret_is_masked_in_other_text() -> None:
    one = Redaction()
    one.words(["x", "--password", "hunter2", "--token", "ab"])
    assert one.text("cannot log in with hunter2 on ab") == "cannot log in with *** on ab"
    assert one.text("connecting to http://u:p@h") == "connecting to http://u:***@h"


def test_a_secret_is_masked_in_a_name_that_the_kernel_has_cut() -> None:
    one = Redaction(["very.*secret"])
    one.words(["/x/run-verylongsecret.sh"])
    assert one.name("run-verylongsec") == "run-***"
    assert one.name("run-very") == "run-very"


def test_the_time_for_long_text_grows_in_proportion() -> None:
    one = Redaction()
    began = time.monotonic()
    for piece in ("password=", "password ", "://u:p/", "password=\"'", "--token=", "://", "passwordpassword"):
        one.text(piece * (1 << 16 // len(piece)))
        one.text(piece * 8000)
    assert time.monotonic() - began < 10


def test_output_is_searched_by_patterns_as_well():
    rules = Redaction([r"pin (\d+)"])
    rules.hide("hunter22")
    data = b"pin 1234\n\xff TOKEN=abcd hunter22"
    assert rules.may_change(data)
    assert rules.output(data) == b"pin ***\n\xff TOKEN=*** ***"


def test_output_without_marks_of_secrets_need_not_be_searched():
    assert not Redaction().may_change(b"compiled 12 files\n")
    assert Redaction().may_change(b"PASSWORD")
