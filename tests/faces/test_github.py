"""The escapes of GitHub's commands, and the text of the summary."""

import pytest

from supervise.faces import github
from supervise.text.ci_commands import disarmed


def test_an_annotation_escapes_what_the_runner_would_read() -> None:
    line = github.annotation("error", "a:b,c%", "x: 1%\r\n,##[error]y")
    assert line == "::error title=a%3Ab%2Cc%25::x: 1%25%0D%0A,#\\x23[error]y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", ":\\x3aerror:\\x3ax"),
        (" ::: error::", " :\\x3a: error:\\x3a"),
        ("a ##[group]b", "a #\\x23[group]b"),
        ("tcp [::1]:80 [::]:80", "tcp [::1]:80 [::]:80"),
    ],
)
def test_a_command_in_the_text_of_others_is_disarmed(text: str, shown: str) -> None:
    assert disarmed(text) == shown
