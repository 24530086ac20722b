"""Variables that begin as all of supervise's do, and are none of them: loaded only where there are such variables."""

from supervise.options.table import OPTIONS, PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLES_OF_RUN = tuple(
    PREFIX + name for name in ("RUN_ID", "ATTEMPT", "PREVIOUS_OUTCOME", "DEADLINE", "RECOVERED_FROM")
)
"""The variables that a run sets for its command; the first of them is always there."""
NAME_SIMILARITY = 0.8
"""From 0 to 1, how like an option's a name must be to be taken for a misspelt one: two letters of ten may be wrong."""


def misspelt(ours: "Iterable[str]") -> "tuple[str, ...]":
    """Return what is to be said of each variable that nearly has an option's name; nothing within a run."""
    if VARIABLES_OF_RUN[0] in ours:
        return ()
    known = [name for option in OPTIONS for name in option.variables] + list(VARIABLES_OF_RUN)
    unknown = [name for name in ours if name not in known]
    if not unknown:
        return ()
    from difflib import get_close_matches

    # The prefix is left out, since with it all names would be near.
    tails = [name[len(PREFIX) :] for name in known]
    found = []
    for name in unknown:
        near = get_close_matches(name[len(PREFIX) :].upper(), tails, n=1, cutoff=NAME_SIMILARITY)
        if near:
            shown = name if name.isprintable() else repr(name)
            found.append(f"{shown}: no such option, and left to the command; did you mean {PREFIX}{near[0]}?")
    return tuple(found)
