"""Text that must fit into the columns of a terminal."""

import pytest

from supervise.text.cells import fitted, width, wrapped


@pytest.mark.parametrize("columns", range(2, 12))
@pytest.mark.parametrize("text", ["", "abcdefghijklmnop", "日本語日本語", "a日本語"])
def test_text_is_wrapped_at_columns(text: str, columns: int) -> None:
    assert "".join(wrapped(text, columns)) == text
    assert max(map(width, wrapped(text, columns))) <= columns


@pytest.mark.parametrize("columns", range(12))
@pytest.mark.parametrize("text", ["", "abc", "abcdefghijklmnop", "日本語日本語", "a日本語", "e\u0301" * 9])
def test_text_is_fitted_to_columns(text: str, columns: int) -> None:
    assert width(fitted(text, columns)) == width(fitted(text, columns, is_right=True)) == columns
    if width(text) <= columns:
        assert fitted(text, columns).rstrip() == text
