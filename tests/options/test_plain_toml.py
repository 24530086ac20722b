"""The reader of plain TOML and the finder of lines, compared with tomllib."""

import tomllib

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from supervise.options.plain_toml import read
from supervise.options.toml_lines import lines_of


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("", {}),
        ("# só\n\n\t \n", {}),
        ("a = 1", {"a": 1}),
        ("a=1#b", {"a": 1}),
        ("a = true\nb =false\n", {"a": True, "b": False}),
        ("a = 0.5\nb = 10\nc = 0", {"a": 0.5, "b": 10, "c": 0}),
        ('a = "x # y" # z\nb = \'c:\\d\'\nc = ""', {"a": "x # y", "b": "c:\\d", "c": ""}),
        ("a = [ 1, 'x' , true,]\nb = []\nc=[0.5]# d", {"a": [1, "x", True], "b": [], "c": [0.5]}),
        (
            "a = 1\n[profiles.ci]\na = 2\n [profiles.x-y_9] # z\n",
            {"a": 1, "profiles": {"ci": {"a": 2}, "x-y_9": {}}},
        ),
    ],
)
def test_plain_toml_is_read(text, document):
    assert repr(read(text)) == repr(document) == repr(tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a =",
        "= 1",
        "a = 1 2",
        "a = 01",
        "a = 1.",
        "a = .5",
        "a = -1",
        "a = 1e5",
        "a = 1_000",
        "a = 0x1f",
        "a = nan",
        "a = 1979-05-27",
        "a = 9999999999999999",
        "a = True",
        'a = "x',
        'a = "x\\n"',
        'a = """x"""',
        "a = '''x'''",
        "a = ''''''",
        "a = [1",
        "a = [1 2]",
        "a = [,]",
        "a = [[1]]",
        "a = {b = 1}",
        "a.b = 1",
        '"a" = 1',
        "a b = 1",
        "é = 1",
        "a = 1\na = 2",
        "[profiles]",
        "[profiles.]",
        "[profiles.a.b]",
        "[profiles.'a']",
        "[ profiles.a ]",
        "[[profiles.a]]",
        "[other.a]",
        "[profiles.a] b = 1",
        "[profiles.a]\n[profiles.a]",
        "profiles = 1",
        "a = 1\r\nb = 2",
        "# \x01",
        "a = '\x7f'",
    ],
)
def test_other_text_is_left_to_tomllib(text):
    assert read(text) is None


pieces = st.sampled_from(
    ["a", "b", "timeout", "profiles", ".", "=", " = ", "\n", "\n", "\n", " ", "\t", "#", "#x", "[", "]", "[profiles.",
     "[profiles.a]", "[profiles.b]\n", '"', "'", '"x"', "'y'", '""', "''", "true", "false", "1", "0", "5.5", "-", "e",
     "_", ",", ", ", "{", "}", "\\", "é", "\x01", "\r", "\u00a0", "a = 1\n", 'b = "x"\n', "c = [1, 'x']", "nan"]
)  # fmt: skip
texts = st.one_of(st.lists(pieces, max_size=12).map("".join), st.text(max_size=20))


@settings(max_examples=2000, deadline=None)
@given(texts)
@example("[profiles.a]\nb = 1\nb = 1")
@example("a = ''")
@example('a = """"')
def test_tomllib_reads_the_same_document(text):
    document = read(text)
    event("left to tomllib" if document is None else "read" if document else "empty")
    if document is not None:
        assert repr(tomllib.loads(text)) == repr(document)


# --- lines -----------------------------------------------------------------------------------------------------------


def test_every_key_has_the_line_on_which_its_statement_begins():
    text = '''# 1
a = 1

b = """
c = 3 # no key
"""
d = [
  1,
  2,
] # 10
[profiles]
ci.timeout = 5
"x y" = { e = 1 }
[profiles.z] # 14
 f = 6
[[g.h]]
i = 1
[[g.h]]
j = 1'''
    assert lines_of(text) == {
        ("a",): 2,
        ("b",): 4,
        ("d",): 7,
        ("profiles",): 11,
        ("profiles", "ci"): 12,
        ("profiles", "ci", "timeout"): 12,
        ("profiles", "x y"): 13,
        ("profiles", "x y", "e"): 13,
        ("profiles", "z"): 14,
        ("profiles", "z", "f"): 15,
        ("g",): 16,
        ("g", "h"): 16,
        ("g", "h", "i"): 17,
        ("g", "h", "j"): 19,
    }


def paths(table):
    for key, value in table.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *path) for path in paths(value))


@settings(max_examples=1000, deadline=None)
@given(texts)
def test_every_document_that_tomllib_reads_has_its_lines(text):
    try:
        document = tomllib.loads(text)
    except ValueError:
        return
    found = lines_of(text)
    assert set(paths(document)) <= set(found)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())
