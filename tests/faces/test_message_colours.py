"""The colours of messages, by the item that they are about."""

import pytest

from supervise.core.events import Resumed, Verdict, Warned
from supervise.core.outcome import Cause, Outcome
from supervise.core.policy import Policy
from supervise.faces.message_colours import RED, YELLOW, colour_of, painted
from supervise.faces.report_items import ReportItem, Trouble

TIMEOUT = Cause("completion_timeout", 5.0, "completion", 5.0)


def warned(left: float) -> Warned:
    return Warned("completion", left, left, left)


@pytest.mark.parametrize(
    ("item", "colour"),
    [
        (warned(300.0), ""),
        (warned(60.0), YELLOW),
        (warned(11.0), YELLOW),
        (warned(10.0), RED),
        (Verdict(TIMEOUT, 15, 10.0), RED),
        (Outcome("completion_timeout", 124, TIMEOUT), RED),
        (Outcome("failed", 3), ""),
        (Outcome("completed", 0), ""),
        (Trouble("no space is left"), ""),
        (Resumed(), ""),
    ],
)
def test_warnings_and_verdicts_alone_have_a_colour(item: ReportItem, colour: str) -> None:
    assert colour_of(item, Policy(timeout=5.0)) == colour


def test_a_timeout_that_is_a_success_has_no_colour() -> None:
    policy = Policy(timeout=5.0, on_timeout="pass")
    assert colour_of(Verdict(TIMEOUT, 15, 10.0), policy) == ""
    assert colour_of(Outcome("completion_timeout", 0, TIMEOUT), policy) == ""


def test_a_painted_line_still_begins_with_the_prefix() -> None:
    assert painted("supervise: a word", RED) == "supervise: \x1b[31ma word\x1b[39m"
    assert painted("supervise: a word", "") == "supervise: a word"
