"""The end of a run that supervise refuses to start, with the outcome `error`, in the report, the events and the record.

Memory may be short, so this module loads little: neither the faces nor `json`.
"""

import os
from time import monotonic, time

from supervise.faces import report_shape
from supervise.records import rebuilt_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervise.launch.state import Launched


def write_end(launched: "Launched", why: str) -> None:
    """Write the end of the run into its report, its events and its record; `why` is the reason for the refusal.

    Raises OSError where the record cannot be written.
    """
    values = launched.info.values
    start = rebuilt_report.start_of(
        launched.info.run_id,
        values["name"],
        launched.info.command,
        os.getpid(),
        launched.info.started_at,
        access_limit=values["access_timeout"] is not None,
    )
    now, seconds = time(), monotonic() - launched.info.started
    whole = rebuilt_report.report(start, (), now, seconds, why, outcome="error")
    lines = []
    for t, event in _events(launched):
        at = report_shape.time(now - seconds + t)
        rebuilt_report.hear({"at": at, **event}, whole, has_access_limit=start["access_limit"])
        lines.append(rebuilt_report.line_of(start, at, round(t, 3), event))
    lines.append(rebuilt_report.last_line(whole))
    _append(launched.files.events, lines)
    if launched.files.remote_events:
        launched.files.remote_events.file_worker.post("append", "".join(lines).encode())
    for option, path in launched.info.result_files.items():
        _write_result(option, path, whole, why)
    if launched.info.ci:
        _tell_service(launched, whole, why)
    if launched.files.record:
        if launched.files.record.events >= 0:
            _append(launched.files.record.events, lines)
            # Where descriptors are short, the files that follow need this one.
            os.close(launched.files.record.events)
        else:
            launched.files.record.append("".join(lines).encode())
        from supervise.launch import run_record

        run_record.close(launched.files.record, whole)
    if launched.info.is_monitored:
        from supervise.launch import monitors

        monitors.tell_all(launched, lines)


def _tell_service(launched: "Launched", whole: "dict[str, Any]", why: str) -> None:
    """Tell the CI service how the run has ended."""
    from supervise.records import ci_files

    if launched.info.ci == "github":
        from supervise.faces import github
        from supervise.text import stderr
        from supervise.text.redaction import Redaction
        from supervise.text.sanitizer import clean

        line = github.annotation("error", "error (supervise)", clean(Redaction().text(why)))
        stderr.write(line.encode() + b"\n")
    if failure := ci_files.append(launched.info.ci, whole, os.environ):
        from supervise.launch import run_record

        run_record.warn(f"--ci: {failure}")


def _write_result(option: str, path: str, whole: "dict[str, Any]", why: str) -> None:
    """Write the report or the metrics of a refused run; say why that fails, unless `why` has said it already.

    Another user may have changed the path since, so the report can fail in a new way: that is no second refusal.
    """
    from supervise.records import result_files

    failure = result_files.write(option, path, whole)
    if failure and failure not in why and not why.startswith(f"--{option}: "):
        from supervise.launch import run_record

        run_record.warn(f"--{option}: {failure}")


def _events(launched: "Launched") -> "list[tuple[float, dict[str, Any]]]":
    """Return the events of the command that the guardian has reported, each with its second of the run."""
    found: list[tuple[float, dict[str, Any]]] = []
    for message in launched.child.heard:
        match message:
            case ("started", pid, at):
                found.append((at - launched.info.started, {"event": "started", "pid": pid}))
            case ("exited", status, at, _) if status >= 0:
                found.append((at - launched.info.started, {"event": "exited", "command_exit": _exit_of(status)}))
    return found


def _exit_of(status: int) -> "dict[str, object]":
    """Return the `command_exit` of a report for that wait status (waitpid(2))."""
    if not os.WIFSIGNALED(status):
        return {"code": os.WEXITSTATUS(status), "signal": None, "core": False}
    from supervise.text.signal_names import signal_name

    return {"code": None, "signal": signal_name(os.WTERMSIG(status)), "core": os.WCOREDUMP(status)}


def _append(fd: int, lines: "list[str]") -> None:
    """Add the lines to a file of events, unless that is a FIFO whose reader does not read."""
    if fd < 0:
        return
    from supervise.text.writer import is_writable

    try:
        if is_writable(fd):
            os.write(fd, "".join(lines).encode())
    except OSError:
        # The report says the same as these lines.
        pass
