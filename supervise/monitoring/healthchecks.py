"""The protocol of healthchecks.io: the address of a check, and the request that each event of a run makes.

Source: https://healthchecks.io/docs/http_api/. The path after the address says what has happened:

    /start      the first attempt has started
    /log        a deadline was moved; the body says by how much and why
    (nothing)   the run has succeeded
    /N          the command has ended by itself with exit code N
    /fail       any other end: a limit, a signal, a start that failed, a run that was lost

All requests of a run have one `rid`, by which the service finds the start that belongs to an end.
"""

from urllib.parse import urlsplit, urlunsplit

from supervise.options.values import is_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

BODY_BYTES = 10_000
"""Bytes of output that a ping carries: what a healthchecks server stores unless it says otherwise."""
RUNS = "0bb5a9d8-5d5c-5d0b-9b41-6ad2c0f1f3a7"
"""The name space of the UUIDs of runs (RFC 9562, 6.5)."""
OWN_CODES = ("failed", "resumable")
"""Outcomes with which a command has ended by itself, with a code of its own."""


class Request:
    """One request: what is appended to the path of the check, and a text for its body."""

    __slots__ = ("has_output", "is_last", "suffix", "text")

    def __init__(self, suffix: str, text: str = "", *, is_last: bool = False) -> None:
        self.suffix = suffix
        self.text = text
        """The body; of the last request only where the command has printed nothing."""
        self.is_last = is_last
        """Whether it tells of the end of the run; then its body is the end of the output."""


def rid_of(run_id: str, host: str) -> str:
    """Return the UUID of a run; ids of runs are unique on one machine only."""
    from uuid import UUID, uuid5

    return str(uuid5(UUID(RUNS), f"{host} {run_id}"))


def url_of(check: str, suffix: str, rid: str) -> str:
    """Return the URL of a request to the check; a query of the check's own, `?create=1`, is kept."""
    parts = urlsplit(check)
    query = "&".join(filter(None, (parts.query, f"rid={rid}")))
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + suffix, query, ""))


def secrets_of(check: str) -> "tuple[str, ...]":
    """Return what must not be shown of the URL of a check: the URL, and the UUID or the project's ping key in it."""
    *before, last = urlsplit(check).path.rstrip("/").split("/")
    part = last if is_uuid(last) else before[-1] if before else ""
    return tuple(filter(None, (check, part)))


def request_of(event: "Mapping[str, Any]", *, is_first_start: bool = True) -> "Request | None":
    """Return the request that an event makes, in the words of the schema of events; None where it makes none."""
    match event["event"]:
        case "started" if is_first_start:
            return Request("/start")
        case "extended":
            return Request("/log", _extension(event))
        case "settled":
            return _end(event)
        case "lost":
            return Request("/fail", event.get("reason") or "", is_last=True)
    return None


def _extension(event: "Mapping[str, Any]") -> str:
    """Return what is said of a deadline that was moved."""
    used = f", {event['used']:g} s of at most {event['cap']:g} s" if event["source"] == "activity" else ""
    return f"{event['limit']} deadline moved by {event['by']:g} s to {event['deadline']} ({event['source']}{used})"


def _end(event: "Mapping[str, Any]") -> "Request | None":
    """Return the request for the end of a run; None for a run that another run's lock has made unnecessary."""
    outcome, own = event["outcome"], event["command_exit"]
    reason = event["reason"] or outcome.replace("_", " ")
    if outcome == "busy" and not event["exit_code"]:
        return None
    # A completion limit can be the end of a run that was to last until then (`--on-timeout pass`).
    if outcome == "completed" or (outcome == "completion_timeout" and not event["exit_code"]):
        return Request("", is_last=True)
    # The deadline of an outer run is `resumable`, too; only the command's own 75 has neither limit nor reason.
    is_own = outcome in OWN_CODES and not event["limit"] and not event["reason"]
    if is_own and own and own["code"]:
        return Request(f"/{own['code']}", is_last=True)
    return Request("/fail", reason, is_last=True)
