"""The words of the tasks of a batch."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervise.batch import tasks
from supervise.options.table import BadValueError

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["echo", "{}"], ["echo", "it em"]),
        (["echo"], ["echo", "it em"]),
        (["{}", "a{}b{}c"], ["it em", "ait embit emc"]),
        (["echo", "{#}"], ["echo", "7", "it em"]),
        (["echo", "{}.{#}"], ["echo", "it em.7"]),
        (["echo", "{{}}", "{ }"], ["echo", "{it em}", "{ }"]),
    ],
)
def test_the_item_and_its_number_stand_in_the_words(command: list[str], words: list[str]) -> None:
    assert tasks.words_of(command, "it em", 7) == words


@given(WORDS)
def test_no_part_of_an_item_is_replaced(item: str) -> None:
    assert tasks.words_of(["x", "-{}-{#}", "{}"], item, 3) == ["x", f"-{item}-3", item]
    assert tasks.words_of(["x"], item, 3) == ["x", item]


def test_the_items_follow_the_first_separator() -> None:
    assert tasks.split(["a", ":::", "b", ":::"]) == (["a"], ["b", ":::"])
    assert tasks.split(["a", ":::"]) == (["a"], [])
    assert tasks.split(["a"]) == (["a"], None)


@pytest.mark.parametrize(
    ("data", "items"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\nb", ["a", "b"]),
        (b"a\n\n b \r\n\xff\n", ["a", "", " b \r", os.fsdecode(b"\xff")]),
    ],
)
def test_each_line_of_a_file_is_an_item(tmp_path: Path, data: bytes, items: list[str]) -> None:
    (tmp_path / "items").write_bytes(data)
    assert tasks.read_items(str(tmp_path / "items")) == items


def test_a_line_with_a_nul_is_refused(tmp_path: Path) -> None:
    (tmp_path / "items").write_bytes(b"a\nb\0c\n")
    with pytest.raises(BadValueError, match=r"line 2 of .* has a NUL"):
        tasks.read_items(str(tmp_path / "items"))
