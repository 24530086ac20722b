"""The machine's policy, from what the options say."""

from collections.abc import Mapping
from typing import Any

from supervise.core.policy import Policy
from supervise.options.table import CAUSES

EVERY_CAUSE = tuple(cause for cause in CAUSES if "=" not in cause and cause != "any")
"""The causes that `--retry-on any` stands for."""
STREAMS = ("stdout", "stderr", "both")


def policy_of(values: Mapping[str, Any], outer_deadline: float | None = None) -> Policy:
    """Return the machine's part of the options.

    `values`: by the keys of the table of options, each of the type that its row's reader returns, which mypy cannot
    know.  `outer_deadline`: the deadline of a run around this one, in seconds since this run began.
    """
    fields = {name: values[name] for name in Policy.__dataclass_fields__ if name in values}
    fields["outer_deadline"] = outer_deadline
    causes: tuple[str, ...] = values["retry_on"]
    words = EVERY_CAUSE if "any" in causes else causes
    fields["retry_on"] = frozenset(cause for cause in words if "=" not in cause)
    fields["retry_codes"] = frozenset(int(cause.partition("=")[2]) for cause in causes if "=" in cause)
    idle_on = values["idle_on"]
    fields["access_on"] = frozenset(values["access_on"] or ("output",))
    fields["idle_on"] = frozenset(STREAMS if idle_on == "both" or values["pty"] else (idle_on,))
    fields["extend_on"] = frozenset(values["extend_on"])
    fields["success_codes"] = frozenset(values["success_codes"])
    # Where nobody would be told, the signal need not wait for a look at the tree.
    is_heard = not values["quiet"] or values["report"] or values["events"] or not values["no_record"]
    fields["diagnose"] = values["diagnose"] == "on" and bool(is_heard)
    return Policy(**fields)
