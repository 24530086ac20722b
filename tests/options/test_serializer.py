"""TOML and JSON written without their libraries read back as the same values."""

import json
import tomllib
from datetime import UTC, datetime
from signal import Signals

from hypothesis import example, given
from hypothesis import strategies as st

from supervise.core.exit_codes import ExitCode
from supervise.faces import json_fields, report_shape
from supervise.options import serializer

CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.from_regex(r"[a-z_-]{1,8}", fullmatch=True)
NUMBERS = st.one_of(st.integers(), st.sampled_from([*ExitCode, *Signals]))
VALUES = st.one_of(CHARACTERS, NUMBERS, st.booleans(), st.lists(CHARACTERS))
DEEP = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(allow_nan=False, allow_infinity=False), CHARACTERS),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(CHARACTERS, inner)),
)


@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, VALUES))
def test_toml(values: dict[str, object], table: dict[str, object]) -> None:
    whole = {**values, **({"table": table} if table else {})}
    assert tomllib.loads(serializer.toml(whole)) == whole


def test_toml_leaves_out_none() -> None:
    assert serializer.toml({"a": None, "b": 1, "c": {}}) == "b = 1\n"


@given(DEEP)
def test_json(value: object) -> None:
    assert serializer.json(value) == json.dumps(value)


@given(st.binary())
def test_a_byte_that_is_not_utf_8_is_marked(data: bytes) -> None:
    word = data.decode(errors="surrogateescape")
    assert serializer.marked(word) == json_fields.text(word)


@given(st.floats(0, 4e9))
@example(2251799814.3709993)
def test_time(epoch: float) -> None:
    moment = datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
    assert report_shape.time(epoch) == json_fields.time(epoch) == moment.replace("+00:00", "Z")
