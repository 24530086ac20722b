"""Environment variables that begin like supervise's own but set no option. It is loaded only if there are any."""

from supervise.options.table import OPTIONS, PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLES_OF_RUN = tuple(
    PREFIX + name
    for name in (
        "RUN_ID",
        "ATTEMPT",
        "PREVIOUS_OUTCOME",
        "DEADLINE",
        "RECOVERED_FROM",
        "RESTARTED",
        "UNREPORTED",
        "ACTIVE_DEADLINE",
        "OUTCOME",
        "COMMAND_PID",
    )
)
"""The variables that a run sets for its command and for --stop-command; the first of them is always set."""
NAME_SIMILARITY = 0.8
"""How similar a name must be to an option's to count as a misspelling, from 0 to 1: two letters of ten may differ."""


def misspelt(ours: "Iterable[str]") -> "tuple[str, ...]":
    """Return a message for each variable that nearly has an option's name; none within a run."""
    if VARIABLES_OF_RUN[0] in ours:
        return ()
    known = [name for option in OPTIONS for name in option.variables] + list(VARIABLES_OF_RUN)
    unknown = [name for name in ours if name not in known]
    if not unknown:
        return ()
    from difflib import get_close_matches

    # The prefix is left out of the comparison, since with it all names would be similar.
    tails = [name[len(PREFIX) :] for name in known]
    found = []
    for name in unknown:
        near = get_close_matches(name[len(PREFIX) :].upper(), tails, n=1, cutoff=NAME_SIMILARITY)
        if near:
            shown = name if name.isprintable() else repr(name)
            found.append(f"{shown}: no such option, so the command gets it; did you mean {PREFIX}{near[0]}?")
    return tuple(found)
