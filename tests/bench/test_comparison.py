"""The cells of the README's comparison are what `comparison.py` sees on this machine."""

import re

import pytest

from tests.bench import comparison
from tests.support.readme import README

ROW = re.compile(r"^\| ([^|]+) \|((?: (?:yes|-) \|)+)$", re.MULTILINE)


def cells_of_the_readme() -> dict[str, dict[str, bool]]:
    """Return the cells of the README's table, as `comparison.cells` has them."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index("## Beside other tools") :].split("\n## ")[0]
    names = re.findall(r"`([\w-]+)`", section[section.index("| | `supervise`") :].splitlines()[0])
    rows = {row: [word == "yes" for word in re.findall(r"yes|-", words)] for row, words in ROW.findall(section)}
    return {row: dict(zip(names, answers, strict=True)) for row, answers in rows.items()}


def test_the_table_of_the_readme_has_each_row_and_each_tool() -> None:
    cells = cells_of_the_readme()
    assert [*cells] == [*comparison.ROWS]
    assert {tuple(answers) for answers in cells.values()} == {tuple(tool.name for tool in comparison.TOOLS)}


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.needs("unshare", "dpkg-query", "sem", *(tool.name for tool in comparison.TOOLS if tool.package))
def test_each_cell_of_the_readme_is_what_is_seen() -> None:
    written, tools = cells_of_the_readme(), {tool.name: tool for tool in comparison.TOOLS}
    seen = comparison.cells(comparison.TOOLS)
    # A machine with much else to do may be too slow for an experiment: what differs is tried once more, alone.
    wrong = [
        (row, name)
        for row, answers in written.items()
        for name, answer in answers.items()
        if seen[row][name] != answer and comparison.ROWS[row](tools[name]) != answer
    ]
    assert not wrong
