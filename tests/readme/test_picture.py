"""The README's picture shows what the program prints today: `python -m tests.readme.picture` draws it anew."""

import re
from xml.etree import ElementTree

import pytest

from tests.readme import picture
from tests.support.harness import Place
from tests.support.readme import README

TEXT = "{http://www.w3.org/2000/svg}text"


def words(drawn: str) -> list[str]:
    """Return the words of the picture without what differs from run to run: numbers, folders, states."""
    text = "\n".join(element.text or "" for element in ElementTree.fromstring(drawn).iter(TEXT))
    # The last command has the folder of the run, which may be long.
    text = text[: text.index("run it again")]
    lines = [line for line in text.splitlines() if not re.search(r"\bpid\b|/work\b|\bCPU\b|up to", line)]
    return re.findall(r"[A-Za-z_]{2,}", re.sub(r"\d{8}-\d{6}-\w{10}", "", "\n".join(lines)))


# The terminal of the session is made by forking; no other thread of the test does anything then.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_the_picture_has_the_words_of_a_session_of_now(supervise: Place) -> None:
    lines = picture.session(supervise)
    now = picture.svg(lines)
    assert words(now) == words(picture.FILE.read_text(encoding="utf-8")), "run python -m tests.readme.picture"
    text = "\n".join("".join(run.text for run in line) for line in lines)
    assert "idle timeout: the command was stopped" in text
    assert "\n123\n" in text


def test_the_readme_shows_the_picture_and_describes_it() -> None:
    (found,) = re.findall(r"^!\[(.+)\]\((.+)\)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    described, path = found
    assert README.parent / path == picture.FILE
    assert len(described) > 60
