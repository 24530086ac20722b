"""The record of this run, as the way in needs it: begun before the command, and ended for a short one."""

import os

from supervise.options import paths
from supervise.options.table import RECOVERED_FROM, WORD_SEPARATOR
from supervise.process import hang_risk, identity
from supervise.records import store
from supervise.records.short_run_report import ShortRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from supervise.launch.state import RunInfo
    from supervise.output.log_file import LogFile
    from supervise.output.tee import Copier, Sink
    from supervise.process.protocol import RecordMade
    from supervise.records.remote_files import RemoteSink

UNRECORDED = "this run is not recorded"
PATIENCE = 0.5
"""Seconds that the command's output waits for a disk, once, before what comes is left out of the record."""
PATIENCE_FOR_LOG = 2.5
"""The same for `--log`, whose reader may be slow."""


class Plan:
    """A record that is to be made.  The guardian makes it, and hands it to the supervisor.

    Should the file system not answer, it is the guardian that hangs, and the supervisor goes on with another one.  A
    thread of the supervisor in an uninterruptible sleep would keep the supervisor from ending at all.
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
        """What stands in the file of secrets, where one is kept."""
        self._told = told
        """What has been said of the user's folders already; None where nothing of them is to be said."""
        self._is_needed = is_needed
        self._bounds = bounds
        """Without a record the run does not begin, and the supervisor says why."""

    def make(self) -> "tuple[RecordMade, tuple[int, ...], Callable[[], None]]":
        """Make the record, in the guardian; return what the supervisor has to know, and what takes the record back.

        Where it cannot be made, that is said once, and the run goes on without.
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
            # The notice has said already that there is no folder.
            is_said = self._is_needed or (state is None and is_told)
            return ("unrecorded", why, said, "" if is_said else f"{UNRECORDED}: {why}"), (), _nothing
        return (
            ("recorded", said, state, started, hang_risk.may_hang(record.events)),
            record.descriptors,
            record.discard,
        )

    def made(self, guardian: int, message: "RecordMade", fds: "list[int]") -> "store.Record | None":
        """Return, in the supervisor, the record that the guardian has made, or None; say what has to be said of it."""
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
                # No process can be had: the supervisor writes the record itself, as long as its file system answers.
                pass
        record.bounds = self._bounds
        return record


def _nothing() -> None:
    """Take nothing back."""


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
    if redaction and redaction.has_found:
        facts["redacted"] = True
        if values["keep_secrets"]:
            secrets = store.words_of(request.command, request.given, kept)
        elif values["on_interrupt"] == "rerun":
            warn("recover will not run this again: its words hold secrets, which only --keep-secrets keeps")
    bounds = tuple(values[f"records_{what}"] for what in ("age", "number", "max"))
    told = None if values["quiet"] else request.notice
    return Plan(info.run_id, facts, told, secrets, is_needed=values["detach"], bounds=bounds)


def say_late() -> None:
    """Say that the file system of the record does not answer."""
    warn(f"{UNRECORDED}: {late()}")


def late() -> str:
    """Return why there is no record: its file system does not answer."""
    return f"{paths.state(os.environ)} does not answer"


def recovered_from() -> "tuple[str, int] | None":
    """The lost run that this one runs again, and for which time."""
    run_id, _, times = os.environ.get(RECOVERED_FROM, "").partition(" ")
    return (run_id, int(times)) if times.isdecimal() else None


def was_predecessor_lost(values: "Mapping[str, Any]") -> bool:
    """The last run of that name, or the one that this runs again, was lost; of the first that is said."""
    from supervise.records import predecessor

    name, (state, _) = values["name"], paths.own_state(os.environ)
    found = predecessor.lost(state, name) if state and name else None
    if found and not values["quiet"]:
        warn(f"the last run of {name}, {found[0]}, was lost: {found[1]}")
    return bool(found or recovered_from())


def copier(
    record: "store.Record | None",
    most: int,
    log: "LogFile | RemoteSink | None",
    on_failure: "Callable[[str, str], None]",
) -> "Copier":
    """The way of the output into that record, up to so many bytes, and into that log."""
    from supervise.output.tee import Copier

    sinks: list[Sink] = [record.writer(most)] if record else []
    if log:
        sinks.append(log)
    return Copier(sinks, PATIENCE_FOR_LOG if log else PATIENCE, on_failure)


def close(record: store.Record, report: "Mapping[str, object]") -> None:
    """Write how the run ended, then remove old records where that is due.

    Raises OSError, and TimeoutError where the file system of the record does not answer.
    """
    record.end(report)
    is_due = record.is_pruning_due(report)
    if is_due is not None:
        from supervise.records import retention

        retention.prune_after(record, is_due=is_due)


def end(
    record: store.Record, brief: ShortRun, settled: float, used: "Mapping[str, object]", counts: "Mapping[str, int]"
) -> bool:
    """Write the end of a short run, over at `settled`; False where that could not be done."""
    usage = {
        "cpu_seconds": used.get("cpu_seconds"),
        "max_rss_bytes": used.get("max_rss_bytes"),
        "stdout_bytes": counts["stdout"],
        "stderr_bytes": counts["stderr"],
        "both_bytes": counts["both"],
    }
    try:
        close(record, brief.report(settled, usage))
    except OSError:
        return False
    try:
        record.append(brief.events(settled).encode())
    except OSError:
        # What is left to be told stands in the report.
        pass
    return True


def warn(text: str) -> None:
    """Say it on stderr, unless that is full."""
    from supervise.text import stderr

    stderr.say_without_waiting(text)
