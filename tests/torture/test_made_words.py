"""Argument lists that no user would write, with the installed program."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.harness import Place

KNOWN = (
    "run", "--", "-", "-t", "-a", "-i", "-q", "-v", "-p", "-qv", "-t5", "--timeout", "--timeout=5", "--report",
    "--signal", "--stragglers", "kill", "1s", "30", "off", "0", "-1", "TERM", "true", "echo", "--help", "--version",
)  # fmt: skip
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
BYTES = st.binary(max_size=6).filter(lambda data: b"\0" not in data)
WORDS = st.one_of(st.sampled_from(KNOWN), TEXT, BYTES.map(lambda data: data.decode(errors="surrogateescape")))


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
@given(words=st.lists(WORDS, max_size=6))
def test_any_words_end_without_a_traceback(supervise: Place, words: list[str]) -> None:
    """The exit code is a known one, and a refusal has a few clear lines. Programs that may run are harmless."""
    folder = supervise.folder / "bin"
    folder.mkdir(exist_ok=True)
    for name in ("true", "echo"):
        if not (folder / name).exists():
            (folder / name).symlink_to(f"/bin/{name}")
    environ = {"PATH": str(folder)}
    ended = supervise.popen([str(supervise.program), *words], env=environ).wait()
    assert b"Traceback" not in ended.err
    assert ended.code in (0, 1, 124, 125, 126, 127), ended.err
    if ended.code == 125:
        lines = ended.err.decode().splitlines()
        assert 1 <= len(lines) <= 4
        assert all(line.startswith("supervise: ") for line in lines)
