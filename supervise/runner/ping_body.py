"""The text of the last ping: the end of the command's output, without its secrets."""

from supervise.launch.state import Launched
from supervise.monitoring.healthchecks import BODY_BYTES
from supervise.text.redaction import Redaction

SEARCH_SECONDS = 0.3
"""Seconds for the search for secrets; hostile output can make a regular expression run for hours."""
UNSEARCHED = b"(the output is not shown here: the search for secrets in it took too long)\n"


def of(launched: Launched) -> bytes:
    """Return the end of the output; empty where there is none, or none is to be sent."""
    tail = launched.streams.tail
    if not tail:
        return b""
    if launched.streams.copier:
        launched.streams.copier.flush()
    data = tail.data
    redaction = launched.info.redaction or Redaction(launched.info.values["redact"])
    if redaction.may_change(data):
        data = _masked(data, redaction)
    return data[-BODY_BYTES:]


def _masked(data: bytes, redaction: Redaction) -> bytes:
    """Return the output without its secrets, or words that say that the search for them took too long."""
    from supervise.process import bounded_call

    try:
        found: bytes = bounded_call.run(lambda: (redaction.output(data), ()), SEARCH_SECONDS, is_over=lambda: False)[0]
        return found
    except (bounded_call.NoAnswerError, OSError):
        return UNSEARCHED
