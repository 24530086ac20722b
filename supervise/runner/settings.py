"""The machine's policy, made from the values of the options."""

from collections.abc import Mapping
from typing import Any

from supervise.core.policy import Policy
from supervise.options.table import CAUSES

EVERY_CAUSE = tuple(cause for cause in CAUSES if "=" not in cause and cause != "any")
"""The causes that `--retry-on any` stands for."""
STREAMS = ("stdout", "stderr", "both")


def policy_of(values: Mapping[str, Any], budgets: Mapping[str, float]) -> Policy:
    """Return the policy for these values of the options.

    `values` has the keys of the table of options; each value is of the type that its row's reader returns, which mypy
    cannot know.  `budgets` has the deadlines of an outer run (`outer`) and of the job around this run (`runner`,
    `allocation`), in seconds since this run began.
    """
    fields = {name: values[name] for name in Policy.__dataclass_fields__ if name in values}
    fields |= {f"{limit}_deadline": seconds for limit, seconds in budgets.items()}
    causes: tuple[str, ...] = values["retry_on"]
    words = EVERY_CAUSE if "any" in causes else causes
    fields["retry_on"] = frozenset(cause for cause in words if "=" not in cause)
    fields["retry_codes"] = frozenset(int(cause.partition("=")[2]) for cause in causes if "=" in cause)
    idle_on = values["idle_on"]
    fields["access_on"] = frozenset(values["access_on"] or ("output",))
    fields["idle_on"] = frozenset(STREAMS if idle_on == "both" or values["pty"] else (idle_on,))
    fields["extend_on"] = frozenset(values["extend_on"])
    fields["success_codes"] = frozenset(values["success_codes"])
    # A run without a reader needs no diagnosis, and its signal need not wait for a snapshot.
    has_file = values["report"] or values["junit"] or values["events"]
    has_reader = not values["quiet"] or has_file or not values["no_record"]
    fields["diagnose"] = values["diagnose"] == "on" and bool(has_reader)
    return Policy(**fields)
