"""Messages for an option that stands in the wrong place: that of another subcommand, or before its word."""

from supervise.commands import subcommands
from supervise.commands.subcommands import SUBCOMMANDS, Subcommand
from supervise.options.table import option_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LISTED = 4
"""Subcommands that a message lists."""


def explain(name: str, words: "list[str]", row: "Subcommand | None") -> str:
    """Return where the option of that name belongs; '' if no subcommand has it.

    `row` is the subcommand of the words, which has no such option; None for `run`.
    """
    if row is None:
        # A word behind `run` or `--` belongs to a command.
        end = 0 if words[0] == "run" else words.index("--") if "--" in words else len(words)
        for at in range(1, end):
            later = subcommands.find(words[at:])
            if later and name in option_names(later.options):
                moved = f"{later.name} {name}"
                return f"options stand after {later.name}: supervise {moved} ..."
    elif name in option_names():
        return _of_run(name, row)
    owners = [one.name for one in SUBCOMMANDS if name in option_names(one.options)]
    if not owners:
        return ""
    listed = ", ".join(owners[:LISTED]) + ", ..." * (len(owners) > LISTED)
    return f"{name}: an option of {listed}, not of {row.name if row else 'run'}"


def foreign(written: "Mapping[str, str]", row: Subcommand) -> str:
    """Return the message for the first of these options of `run` that the subcommand does not have; '' if it has all.

    `written` has the names of the options as they stand before the subcommand's word, by their keys.
    """
    known = {option.key for option in row.all_options}
    return next((_of_run(name, row) for key, name in written.items() if key not in known), "")


def _of_run(name: str, row: Subcommand) -> str:
    option = option_names()[name]
    form = " ".join(filter(None, (name, option.metavar if option.takes_next_word else "")))
    return f"{name}: an option of run, not of {row.name}: supervise run {form} -- COMMAND"
