"""The form of a run's id."""

import pytest

from supervise.records import reader

RUN_ID = "20261124-200139-123456abcd"


def test_an_id_has_its_form() -> None:
    assert reader.is_id(RUN_ID)


@pytest.mark.parametrize(
    "name",
    [
        "",
        RUN_ID[:-1],
        RUN_ID + "0",
        f".{RUN_ID[:-1]}",
        RUN_ID.upper(),
        RUN_ID.replace("d", "g"),
        RUN_ID.replace("-", "_", 1),
        RUN_ID.replace("-", "0"),
        "x" + RUN_ID[1:],
        "\N{FULLWIDTH DIGIT TWO}" + RUN_ID[1:],
    ],
)
def test_another_name_is_no_id(name: str) -> None:
    assert not reader.is_id(name)
