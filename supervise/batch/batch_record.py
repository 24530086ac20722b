"""The record of a batch, from which `collect` and `submit --resume` know the batch.

    batches/NAME/     in the state folder, mode 0700, each file 0600
      batch.json      engine, command, options, folders; whole from the moment at which the folder appears
      items           the items as they are, each with a NUL behind it
      ...             what the engine keeps (`journal`: the local engine)

The words are there as they are, since the tasks are made of them; what is shown of them is masked.
"""

import json
import os
from time import time

from supervise.batch import journal, tasks
from supervise.faces import report_shape
from supervise.files import private_files, user_files, whole_file
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.process import identity
from supervise.records import store
from supervise.text import stderr
from supervise.text.redaction import Redaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BATCHES_FOLDER = "batches"
FACTS_FILE, ITEMS_FILE = "batch.json", "items"
AGE_SECONDS = 30 * 86400.0
"""Seconds without a change after which the record of a batch is removed by the next `submit`."""
READ_BYTES = 1 << 24
"""Bytes that are read of a file at most."""


class Batch:
    """One batch: what its tasks are, and where their results are."""

    def __init__(self, folder: str, facts: "dict[str, Any]", items: "list[str]") -> None:
        self.folder = folder
        """The folder of the record."""
        self.facts = facts
        self.items = items
        self.has_made_results = False
        """Whether `create` has made the folder of the results."""
        self.name: str = facts["name"]
        self.engine: str = facts["engine"]
        self.command: list[str] = facts["command"]
        self.options: list[str] = facts["options"]
        """The words of the options with which each task is run."""
        self.results: str = facts["results"]
        """The folder of the results, from the root on."""
        self.cwd: str = facts["cwd"]
        self.jobs: int = facts["jobs"]
        """How many tasks run at once; 0 for what the engine takes for the best."""
        self.bundle: int = facts.get("bundle", 1)
        """How many tasks one task of the engine runs, one after the other."""
        self.halt: str = facts["halt"]
        """What a task that fails means for the others: `never`, `soon` or `now`."""
        self.restarts: int = facts["restarts"]
        """How often the engine starts a task again that has ended with 75."""
        self.engine_options: list[str] = facts["engine_options"]
        """Options for the engine's own program."""

    @property
    def numbers(self) -> range:
        """Return the numbers of the tasks."""
        return range(1, len(self.items) + 1)

    def words_of(self, number: int) -> "list[str]":
        """Return the arguments of `supervise run` for that task."""
        of_task = [f"--name={run_name(self.name, number)}", f"--report={self.report_path(number)}"]
        return [*self.options, *of_task, "--", *self.command_of(number)]

    def command_of(self, number: int) -> "list[str]":
        """Return the command of that task."""
        return tasks.words_of(self.command, self.items[number - 1], number)

    def shown_item(self, number: int) -> str:
        """Return the item without what may be a secret."""
        return Redaction().word(self.items[number - 1])

    def report_path(self, number: int) -> str:
        """Return the path of the report of that task."""
        return f"{self.results}/{number}.json"

    def output_path(self, number: int) -> str:
        """Return the path of the output of that task, stdout and stderr together."""
        return f"{self.results}/{number}.out"

    def report_of(self, number: int) -> "dict[str, Any] | None":
        """Return the report of that task; None where there is none that can be read."""
        try:
            report = json.loads(whole_file.read(self.report_path(number), READ_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        # The tasks may write there, too.
        return report if is_report(report) else None


def is_report(found: "Any") -> bool:
    """Return whether this may be the report of a task."""
    outcome = found.get("outcome") if isinstance(found, dict) else None
    return isinstance(outcome, str) and outcome.isidentifier()


def run_name(batch: str, number: int) -> str:
    """Return the name of the run of that task."""
    return f"{batch}.{number}"


def facts_of(**values: object) -> "dict[str, object]":
    """Return the content of batch.json: these values, and where and when the batch was made."""
    return {
        "schema": report_shape.SCHEMA,
        **values,
        "cwd": store.cwd(),
        "host": os.uname().nodename,
        "machine_id": identity.machine_id(),
        "boot_id": identity.boot_id(),
        "created_at": report_shape.time(time()),
    }


def create(state: str, facts: "dict[str, Any]", items: "list[str]") -> Batch:
    """Make the record and the folder of the results; other processes see the record whole or not at all.

    Raises BadValueError where the name is taken or the folder is not empty, and OSError.
    """
    name, results = facts["name"], facts["results"]
    folder = f"{state}/{BATCHES_FOLDER}/{name}"
    private_files.check_folder(f"{state}/{BATCHES_FOLDER}", make_below=os.environ.get("HOME", "/"))
    if os.path.lexists(folder):
        raise BadValueError(_taken(name))
    has_made_results = not os.path.lexists(results)
    _make_results(results)
    _remove_old(f"{state}/{BATCHES_FOLDER}")
    making = f"{state}/{BATCHES_FOLDER}/.{name}.{os.getpid()}"
    os.mkdir(making, 0o700)
    try:
        store.write_whole(f"{making}/{FACTS_FILE}", serializer.json(facts).encode("ascii") + b"\n")
        store.write_whole(f"{making}/{ITEMS_FILE}", b"".join(os.fsencode(item) + b"\0" for item in items))
        os.rename(making, folder)
    except OSError:
        remove(making)
        if os.path.isdir(folder):
            raise BadValueError(_taken(name)) from None
        raise
    batch = Batch(folder, facts, items)
    batch.has_made_results = has_made_results
    return batch


def _taken(name: str) -> str:
    return f"there is a batch {name} already; take another name, or see supervise collect {name}"


def _make_results(path: str) -> None:
    """Make the folder of the results, or check that it is empty.

    Raises BadValueError.
    """
    try:
        os.makedirs(path, exist_ok=True)
        fd = user_files.open_folder(path)
        try:
            found = _names_in(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise BadValueError(f"--results: cannot use {path!r}: {stderr.reason_of(error)}") from None
    if found:
        raise BadValueError(f"--results: {path!r} is not empty")


def _names_in(folder: int) -> "list[str]":
    """Return the names in the folder of that descriptor, by which a folder cannot be listed (O_PATH)."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.listdir(readable)
    finally:
        os.close(readable)


def discard(batch: Batch) -> None:
    """Remove a batch that was not submitted, with the folder of its results if `create` has made that.

    Raises OSError.
    """
    remove(batch.folder)
    folder = user_files.open_folder(batch.results)
    try:
        # The folder was empty before.
        for one in _names_in(folder):
            os.unlink(one, dir_fd=folder)
    finally:
        os.close(folder)
    if batch.has_made_results:
        remove(batch.results)


def remove(folder: str) -> None:
    """Remove the folder of a record as far as possible."""
    try:
        for one in os.listdir(folder):
            store.unlink(f"{folder}/{one}")
        os.rmdir(folder)
    except OSError:
        pass


def _remove_old(folder: str) -> None:
    """Remove the records that nothing has changed for AGE_SECONDS; the results stay."""
    for name in os.listdir(folder):
        try:
            of_files = [os.stat(one.path).st_mtime for one in os.scandir(f"{folder}/{name}")]
        except OSError:
            continue
        if max(of_files, default=0.0) < time() - AGE_SECONDS and not journal.is_held(f"{folder}/{name}"):
            remove(f"{folder}/{name}")


def names(state: str) -> "list[str]":
    """Return the names of all batches on record, the oldest first."""
    folder = f"{state}/{BATCHES_FOLDER}"
    try:
        found = [name for name in os.listdir(folder) if name[0] != "."]
        return sorted(found, key=lambda name: (os.stat(f"{folder}/{name}/{FACTS_FILE}").st_mtime, name))
    except OSError:
        return []


def find(state: str, name: str) -> Batch:
    """Return the batch of that name.

    Raises BadValueError where there is none, or its record is damaged.
    """
    folder = f"{state}/{BATCHES_FOLDER}/{name}"
    if not name or "/" in name or name[0] == "." or "\0" in name or not os.path.isdir(folder):
        raise BadValueError(f"no batch {name!r} on record; see supervise ps --batches")
    try:
        facts, items = json.loads(_read(f"{folder}/{FACTS_FILE}")), _read(f"{folder}/{ITEMS_FILE}")
        return Batch(folder, facts, [os.fsdecode(item) for item in items.split(b"\0")[:-1]])
    except OSError as error:
        raise BadValueError(f"the record of the batch {name} cannot be read: {stderr.reason_of(error)}") from None
    except (ValueError, LookupError, TypeError):
        raise BadValueError(f"the record of the batch {name} is damaged") from None


def _read(path: str) -> bytes:
    fd = private_files.open_to_read(path)
    with os.fdopen(fd, "rb") as file:
        return file.read()
