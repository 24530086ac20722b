"""`supervise completions`: print the completions of a shell, as they were installed, or the words that they ask for."""

import os

from supervise.commands import formats, shared_files
from supervise.options.table import BadValueError
from supervise.records import reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MOST_RUNS = 100
"""Runs whose ids are listed: a list that fills the screen helps nobody."""


def main(values: "dict[str, Any]", operands: list[str]) -> int:
    """Print the completions, or the words of the lists that are asked for; return 0.

    Raises BadValueError for another shell, and where the completions cannot be read or written.
    """
    if values["list"]:
        words = [word for name in values["list"] for word in LISTS[name]()]
        # A line feed would make two words of one, and a control character would act on the terminal.
        lines = [word + "\n" for word in dict.fromkeys(words) if word.isprintable()]
        formats.write("".join(lines).encode())
        return 0
    if not operands:
        raise BadValueError(f"SHELL is missing: one of {', '.join(shared_files.COMPLETIONS)}")
    (shell,) = operands
    if shell not in shared_files.COMPLETIONS:
        from supervise.text.nearest import hint

        known = ", ".join(shared_files.COMPLETIONS)
        raise BadValueError(f"got {shell!r}, takes one of {known}{hint(shell, shared_files.COMPLETIONS)}")
    path = shared_files.find(*shared_files.COMPLETIONS[shell])
    if path is None:
        raise BadValueError("the completions were not installed with supervise")
    formats.write_file(path)
    return 0


def _runs() -> list[str]:
    return sorted((run_id for state in _states() for run_id in reader.ids(state)), reverse=True)[:MOST_RUNS]


def _names() -> list[str]:
    from supervise.records import named_runs

    try:
        return named_runs.names(_states())
    except BadValueError:
        return []


def _batches() -> list[str]:
    from supervise.batch import batch_record

    return [name for state in _states() for name in reversed(batch_record.names(state))]


def _states() -> list[str]:
    """Return the folders of the records, none where there is none that can be used."""
    try:
        return reader.state_folders()
    except reader.NotFoundError:
        return []


def _profiles() -> list[str]:
    """Return the profiles of the configuration that a run would use."""
    from supervise.options import config, config_location

    try:
        path, _ = config_location.find({}, os.environ)
        if path:
            return [*config.load(path, is_named=bool(os.environ.get("SUPERVISE_CONFIG"))).profiles]
    except BadValueError:
        # The run itself says what is wrong.
        pass
    return []


def _locks() -> list[str]:
    """Return the names of the locks that the user's runs have taken."""
    from supervise.control import runtime_folders

    found = set()
    uid = os.geteuid()
    for choice in runtime_folders.for_locks(uid):
        for path in choice.paths():
            try:
                folder = runtime_folders.open_folder(path, uid)
            except OSError:
                continue
            try:
                found |= {name.removesuffix(".lock") for name in os.listdir(folder.fd) if name.endswith(".lock")}
            except OSError:
                pass
            finally:
                folder.close()
    # The further slots of a lock have lock files of their own (NAME#2).
    return sorted(name for name in found if "#" not in name)


LISTS: "dict[str, Callable[[], list[str]]]" = {
    "runs": _runs, "names": _names, "batches": _batches, "profiles": _profiles, "locks": _locks,
}  # fmt: skip
"""What lists the words of each kind; `subcommands.LISTED` has the same names."""
