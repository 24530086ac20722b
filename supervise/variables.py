"""Variables of the environment that begin as all of ours do, and are none: imported only where there are others."""

from supervise.options import OPTIONS, PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

OF_RUN = tuple(PREFIX + name for name in ("RUN_ID", "ATTEMPT", "PREVIOUS_OUTCOME", "DEADLINE", "RECOVERED_FROM"))
"""Those that a run sets for its command; the first of them is always there."""
NEAR = 0.8
"""From 0 to 1, how like an option's a name must be to be taken for a misspelt one: two letters of ten may be wrong."""


def misspelt(ours: "Iterable[str]") -> "tuple[str, ...]":
    """What is to be said of each that nearly has an option's name; nothing within a run, since that run has said it."""
    if OF_RUN[0] in ours:
        return ()
    known = [name for option in OPTIONS for name in option.variables] + list(OF_RUN)
    unknown = [name for name in ours if name not in known]
    if not unknown:
        return ()
    from difflib import get_close_matches

    # Without what all of them begin with, or all would be near.
    tails = [name[len(PREFIX) :] for name in known]
    found = []
    for name in unknown:
        near = get_close_matches(name[len(PREFIX) :].upper(), tails, n=1, cutoff=NEAR)
        if near:
            shown = name if name.isprintable() else repr(name)
            found.append(f"{shown}: no such option, and left to the command; did you mean {PREFIX}{near[0]}?")
    return tuple(found)
