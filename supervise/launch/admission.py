"""What a run needs before it begins: the files that its options name, its part of an outer run's time, and its lock."""

import _signal
import os
from time import monotonic, time

from supervise.launch.launch import Launched, Refusal
from supervise.options.table import DEADLINE, BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BESIDE = 5.0
"""Seconds that the file system of a report, a log, events or a lock has to answer, before the run is refused."""
NEVER_LATE = ("/dev/", "/proc/")


def admit(launched: Launched) -> None:
    """Get what the run needs, or turn the run away (`launched.turned_away`).

    Raises OSError, BadValueError, Refusal.
    """
    values = launched.request.values
    if values["report"] or values["events"]:
        from supervise.launch import files

        if values["report"]:
            _beside(launched, "report", files.check_report)
        if values["events"]:
            launched.events = _beside(launched, "events", files.open_events)
            if "events" in launched.distant:
                from supervise.records import proxies

                launched.distant_events = proxies.events_of(launched.events)
                launched.file_workers.append(launched.distant_events.file_worker)
                launched.events = -1
        if launched.turned_away:
            return
    if DEADLINE in os.environ:
        from supervise.launch import budget

        # The wait for a lock is within it, too.
        launched.budget = budget.our_part(values["kill_after"], launched.started_at)
    if values["lock"]:
        if values["lock"].startswith("/"):
            from supervise.launch import files

            _beside(launched, "lock", files.look_at_lock)
        if not launched.turned_away:
            _take_lock(launched)
        if launched.turned_away:
            return
    if values["log"]:
        from supervise.launch import files

        fd = _beside(launched, "log", files.open_log)
        if launched.turned_away:
            return
        log = launched.log = files.log_of(fd)
        if "log" in launched.distant:
            from supervise.records import proxies

            launched.log = proxies.log_of(log)
            launched.file_workers.append(launched.log.file_worker)


def _beside(launched: Launched, key: str, operation: "Callable[[str], tuple[str, tuple[int, ...]]]") -> int:
    """Return what the operation opens on the file of that option; -1 where it opens nothing, or the run is turned away.

    Raises OSError, BadValueError.
    """
    path = launched.request.values[key]
    if launched.turned_away:
        return -1
    if path.startswith(NEVER_LATE):
        # Such a path may name a descriptor of this very process.
        why, fds = operation(path)
    else:
        from supervise.process import bounded_call

        left = min(BESIDE, launched.first_limit() - (monotonic() - launched.started))
        try:
            found = bounded_call.run(lambda: bounded_call.with_hang_risk(path, operation), max(0.0, left))
            (why, is_distant), fds = found
            if is_distant:
                launched.distant.add(key)
        except bounded_call.NoAnswerError as late:
            launched.hung.add(late.pid)
            launched.request.values[key] = None
            _turn_away(launched, f"--{key}: {path!r} does not answer", is_limit=left < BESIDE)
            return -1
    if why:
        raise BadValueError(why)
    return fds[0] if fds else -1


def _turn_away(launched: Launched, why: str, *, is_limit: bool) -> None:
    """End a run that does not begin: a limit has run out, or a signal has come.

    Raises Refusal where neither has happened.
    """
    from supervise.launch import lock

    number = next(iter(lock.cancelling() & _signal.sigpending()), 0)
    if not number and not is_limit:
        raise Refusal(why)
    from supervise.launch import run_record

    run_record.warn(why)
    launched.turned_away = lock.TurnedAway(f"({why})" if number else why, number, is_limit=not number)


def _take_lock(launched: Launched) -> None:
    """Until we end, and the guardian: the descriptor is left open."""
    from supervise.launch import lock

    try:
        launched.lock = lock.take(
            launched.request.values, launched.run_id, lock.cancelling(), launched.budget, launched.events
        )
    except lock.TurnedAway as why:
        launched.turned_away = why
    except lock.UnlockableError as error:
        raise Refusal(str(error)) from None
    else:
        # The wait is no part of the run, but of what the run around us has left.
        began, launched.started, launched.started_at = launched.started, monotonic(), time()
        if launched.budget is not None:
            launched.budget -= launched.started - began
