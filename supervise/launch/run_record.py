"""The record of this run before the runner is there: planned before the command, and ended for a short run."""

import os

from supervise.options import paths, serializer
from supervise.options.table import RECOVERED_FROM, WORD_SEPARATOR
from supervise.process import hang_risk, identity
from supervise.records import store
from supervise.records.short_run_report import ShortRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from supervise.launch.state import RunInfo
    from supervise.output.tee import Copier, Sink
    from supervise.process.protocol import RecordMade

UNRECORDED = "this run is not recorded"
RECORD_DELAY_SECONDS = 0.5
"""Seconds for which the command's output waits for a slow disk, once; after that bytes are left out of the record."""
LOG_DELAY_SECONDS = 2.5
"""Seconds for which the command's output waits for `--log`, whose reader may be slow."""


class Plan:
    """The record that the guardian makes and hands to the supervisor.

    Where the file system does not answer, the guardian hangs, and the supervisor goes on with another guardian.  A
    thread of the supervisor was rejected: in an uninterruptible sleep it would keep the supervisor from ending.
    """

    def __init__(
        self,
        run_id: str,
        facts: "dict[str, object]",
        told: "str | None",
        secrets: "bytes | None" = None,
        *,
        is_needed: bool = False,
        bounds: "tuple[Any, ...]" = (),
    ) -> None:
        self._run_id = run_id
        self._facts = facts
        self._secrets = secrets
        """The content of the file of secrets; None where none is kept."""
        self._told = told
        """The notice about the user's folders that was printed already; None where no such notice is wanted."""
        self._is_needed = is_needed
        """Whether the run does not begin without a record; the supervisor then says why."""
        self._bounds = bounds
        """The bounds of all records: age, number and size."""

    def make(self) -> "tuple[RecordMade, tuple[int, ...], Callable[[], None]]":
        """Make the record, in the guardian; return the message for the supervisor, and the function that undoes it.

        Where the record cannot be made, the message says why, and the run goes on without a record.
        """
        guardian = os.getpid()
        started = identity.starttime(guardian)
        self._facts |= {"guardian": guardian, "guardian_started": started}
        state, notice = paths.own_state(os.environ)
        is_told = bool(notice) and self._told is not None
        said = notice if is_told and notice != self._told else ""
        try:
            if state is None:
                raise OSError(2, "no home folder is known" if not notice else "no home folder is this user's")
            record = store.create(state, self._run_id, self._facts, self._secrets)
        except OSError as error:
            why = f"{(error.strerror or str(error)).lower()}{f': {error.filename}' if error.filename else ''}"
            # The notice has named the missing folder already.
            is_said = self._is_needed or (state is None and is_told)
            return ("unrecorded", why, said, "" if is_said else f"{UNRECORDED}: {why}"), (), _nothing
        return (
            ("recorded", said, state, started, hang_risk.may_hang(record.events)),
            record.descriptors,
            record.discard,
        )

    def made(self, guardian: int, message: "RecordMade", fds: "list[int]") -> "store.Record | None":
        """Return, in the supervisor, the record that the guardian has made, or None; print what the message says."""
        if message[0] == "unrecorded":
            for text in filter(None, message[2:]):
                warn(text)
            return None
        _, said, state, started, may_hang = message
        if said:
            warn(said)
        facts = {**self._facts, "guardian": guardian, "guardian_started": started}
        record = store.Record(state, self._run_id, facts, fds[0], fds[1])
        if may_hang:
            from supervise.records import remote_files

            try:
                record = remote_files.RemoteRecord(record)
            except OSError:
                # The system gives no process: the supervisor writes the record itself, and may hang there.
                pass
        record.bounds = self._bounds
        return record


def _nothing() -> None:
    """Undo nothing: no record was made."""


def plan(info: "RunInfo") -> Plan:
    """Return the plan for the record of that run."""
    request, values, redaction = info.request, info.values, info.redaction
    kept = {name: os.environ[name] for name in values["keep_env"] or () if name in os.environ}
    shown = kept
    if redaction:
        shown = {name: redaction.word(f"{name}={word}")[len(name) + 1 :] for name, word in kept.items()}
    options = {
        name: word.split(WORD_SEPARATOR) if WORD_SEPARATOR in word else word for name, word in info.given.items()
    }
    facts = store.facts_of(info.run_id, values["name"], info.command, info.started_at, options, shown, recovered_from())
    secrets = None
    is_incomplete = len(info.given) < len(request.given)
    if (redaction and redaction.has_found) or (is_incomplete and values["keep_secrets"]):
        facts["redacted"] = True
        if values["keep_secrets"]:
            secrets = store.words_of(request.command, request.given, kept)
        elif values["on_interrupt"] == "rerun":
            warn("recover will not run this again: its words hold secrets, which only --keep-secrets keeps")
    bounds = tuple(values[f"records_{what}"] for what in ("age", "number", "max"))
    told = None if values["quiet"] else request.notice
    return Plan(info.run_id, facts, told, secrets, is_needed=values["detach"], bounds=bounds)


def facts_of_start(info: "RunInfo") -> "dict[str, object]":
    """Return the facts for the report of a run without a record."""
    return {
        "run_id": info.run_id,
        "name": info.values["name"],
        "command": [serializer.marked(word) for word in info.command],
        "cwd": serializer.marked(store.cwd()),
        "host": os.uname().nodename,
        "pid": os.getpid(),
    }


def say_missing_answer() -> None:
    """Say that the file system of the record does not answer."""
    warn(f"{UNRECORDED}: {missing_answer()}")


def missing_answer() -> str:
    """Return why there is no record: its file system does not answer."""
    return f"{paths.state(os.environ)} does not answer"


def recovered_from() -> "tuple[str, int] | None":
    """Return the id of the lost run that this run repeats, and the number of the repetition; None for other runs."""
    run_id, _, times = os.environ.get(RECOVERED_FROM, "").partition(" ")
    return (run_id, int(times)) if times.isdecimal() else None


def was_predecessor_lost(values: "Mapping[str, Any]") -> bool:
    """Return whether the last run of that name, or the run that this one repeats, was lost; print the former."""
    from supervise.records import predecessor

    name, (state, _) = values["name"], paths.own_state(os.environ)
    found = predecessor.lost(state, name) if state and name else None
    if found and not values["quiet"]:
        warn(f"the last run of {name}, {found[0]}, was lost: {found[1]}")
    return bool(found or recovered_from())


def copier(
    record: "store.Record | None",
    most: int,
    log: "Sink | None",
    tail: "Sink | None",
    on_failure: "Callable[[str, str], None]",
    on_written: "Callable[[], None]",
) -> "Copier":
    """Return what copies the output into the record, up to `most` bytes, into the log, and to the keeper of its end."""
    from supervise.output.tee import Copier

    sinks: list[Sink] = [record.writer(most)] if record else []
    sinks += filter(None, (log, tail))
    return Copier(sinks, LOG_DELAY_SECONDS if log else RECORD_DELAY_SECONDS, on_failure, on_written)


def close(record: store.Record, report: "Mapping[str, object]") -> None:
    """Write the end of the run into its record, then remove old records where that is due.

    Raises OSError, and TimeoutError where the file system of the record does not answer.
    """
    record.end(report)
    is_due = record.is_pruning_due(report)
    if is_due is not None:
        from supervise.records import retention

        retention.prune_after(record, is_due=is_due)


def end(
    record: "store.Record | None",
    brief: ShortRun,
    settled: float,
    used: "Mapping[str, object]",
    counts: "Mapping[str, int]",
    report_path: "str | None",
) -> bool:
    """Write the end of a short run, which was over at second `settled`; return False where that fails."""
    usage = {
        "cpu_seconds": used.get("cpu_seconds"),
        "max_rss_bytes": used.get("max_rss_bytes"),
        "max_tree_rss_bytes": used.get("max_rss_bytes"),
        "stdout_bytes": counts["stdout"],
        "stderr_bytes": counts["stderr"],
        "both_bytes": counts["both"],
    }
    report = brief.report(settled, usage)
    if report_path:
        from supervise.files import whole_file

        # whole_file.write would load the library of JSON.
        data = serializer.json(report).encode("ascii") + b"\n"
        if whole_file.write_bytes(report_path, whole_file.unfinished(str(brief.facts["run_id"])), data):
            return False
    if not record:
        return True
    try:
        close(record, report)
    except OSError:
        return False
    try:
        record.append(brief.events(settled).encode())
    except OSError:
        # The report holds the same facts.
        pass
    return True


def warn(text: str) -> None:
    """Print the line on stderr, unless stderr is full."""
    from supervise.text import stderr

    stderr.say_without_waiting(text)
