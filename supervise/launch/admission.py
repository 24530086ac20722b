"""What a run needs before it begins: the files that its options name, its part of an outer run's time, and its lock."""

import _signal
import os
from time import monotonic

from supervise.launch.early_exit import Refusal
from supervise.launch.state import MIN_ANSWER_SECONDS, Launched
from supervise.options.table import DEADLINE, BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from supervise.launch.ties import Tie
    from supervise.process.bounded_call import Operation

    Answer = tuple[Any, tuple[int, ...]]

OPEN_SECONDS = 5.0
"""Seconds that the file system of a report, a log, events or a lock has to answer, before the run is refused."""
ANSWERING_FOLDERS = ("/dev/", "/proc/")
"""Folders whose file systems always answer."""


class TurnedAway(Exception):  # noqa: N818 - a lock that another run holds is no error
    """The run does not begin: another run has its lock, a limit has run out, or a signal has come."""

    def __init__(
        self, why: str, signal: int = 0, *, is_limit: bool = False, is_skip: bool = False, tie: "Tie | None" = None
    ) -> None:
        super().__init__(why)
        self.why = why
        self.signal = signal
        """The signal that cancelled the run; 0 where none did."""
        self.is_limit = is_limit
        """Whether a limit of the run had run out."""
        self.is_skip = is_skip
        """Whether a lock that another run holds is no failure for the caller (`--if-busy skip`)."""
        self.tie = tie
        """What the run was tied to, where its end has cancelled the run (`--with-parent`, `--stop-on-eof`)."""


def admit(launched: Launched) -> "TurnedAway | None":
    """Get what the run needs; return why the run is turned away, or None.

    Raises OSError, BadValueError, Refusal.
    """
    try:
        _admit(launched)
    except TurnedAway as why:
        return why
    return None


def _admit(launched: Launched) -> None:
    values = launched.info.values
    if values["with_parent"] or values["stop_on_eof"]:
        from supervise.launch import ties

        # First of all, since the parent may end at any moment.
        launched.info.tie_to(ties.tie(values, launched.info.parent))
    if values["ping"]:
        # The check is told of a run that is refused, too.
        _find_check(launched, values["ping"])
    if launched.info.result_files or values["events"]:
        from supervise.launch import option_files

        for key in launched.info.result_files:
            _open(launched, key, option_files.check_of_result(key))
        if values["events"]:
            launched.files.open_events(_open(launched, "events", option_files.open_events))
    if values["runner_margin"] or DEADLINE in os.environ or launched.info.is_in_job:
        # The budget bounds the wait for a lock, too.
        _take_budget(launched)
    if launched.info.ties:
        _wait_while_tied(launched)
    else:
        _wait(launched)
    if values["log"]:
        from supervise.launch import option_files

        launched.files.open_log(option_files.log_of(_open(launched, "log", option_files.open_log)))


def _wait_while_tied(launched: Launched) -> None:
    """Wait as `_wait` does; turn the run away where what it is tied to ends in the wait, or its parent is gone.

    A run that need not wait is not turned away by the end of stdin: the command may still read the rest.
    Raises TurnedAway, Refusal.
    """
    from supervise.launch import ties

    values, tied = launched.info.values, launched.info.ties
    try:
        if values["start_jitter"] or values["lock"]:
            with ties.Watch(tied):
                _wait(launched)
    except TurnedAway as why:
        if why.signal and (ended := next((one for one in tied if one.has_ended()), None)):
            raise TurnedAway(why.why, values["signal"], tie=ended) from None
        raise
    for one in tied:
        if one.is_strict and one.has_ended():
            raise TurnedAway("before the command was started", values["signal"], tie=one)


def _wait(launched: Launched) -> None:
    """Wait for the start and for the lock that the options ask for.

    Raises TurnedAway, Refusal.
    """
    values = launched.info.values
    if values["start_jitter"]:
        _wait_for_start(launched)
    if values["lock"]:
        if values["lock"].startswith("/"):
            from supervise.launch import option_files

            _open(launched, "lock", option_files.look_at_lock)
        _take_lock(launched)


def _open(launched: Launched, key: str, operation: "Callable[[str], tuple[str, tuple[int, ...]]]") -> int:
    """Return what the operation opens on the file of that option; -1 where it opens nothing.

    Raises OSError, BadValueError, TurnedAway.
    """
    path = launched.info.values[key]
    if path.startswith(ANSWERING_FOLDERS) or (key in launched.info.result_files and _answers_at_once(path)):
        # A path of the first kind may name a descriptor of this very process.  To check the other saves a process.
        why, fds = operation(path)
    else:
        from supervise.process import bounded_call

        (why, is_remote), fds = _ask(launched, key, path, lambda: bounded_call.with_hang_risk(path, operation))
        if is_remote:
            launched.files.note_remote(key)
    if why:
        raise BadValueError(why)
    return fds[0] if fds else -1


def _answers_at_once(path: str) -> bool:
    """Return whether a result can be checked at that path, which opens and makes nothing, without a wait."""
    from supervise.process import hang_risk

    return hang_risk.answers_at_once(path)


def _ask(launched: Launched, key: str, path: str, operation: "Operation") -> "Answer":
    """Return what the operation on the file of that option returns.

    Raises OSError; TurnedAway and Refusal where the file system does not answer in time.
    """
    from supervise.process import bounded_call

    left = launched.info.first_limit() - (monotonic() - launched.info.started)
    left = min(OPEN_SECONDS, max(left, MIN_ANSWER_SECONDS))
    try:
        return bounded_call.run(operation, left)
    except bounded_call.NoAnswerError as late:
        launched.child.give_up(late.pid)
        launched.info.drop_option(key)
        _turn_away(f"--{key}: {path!r} does not answer", is_limit=left < OPEN_SECONDS)


def _find_check(launched: Launched, word: str) -> None:
    """Note the URL of the check of `--ping`.

    Raises OSError, BadValueError, TurnedAway.
    """
    from supervise.monitoring import check_address, healthchecks

    def find() -> "tuple[tuple[str, str], tuple[int, ...]]":
        try:
            return ("", check_address.address_of(word, os.environ)), ()
        except BadValueError as error:
            return (str(error), ""), ()

    paths = check_address.files_of(word, os.environ)
    (why, url), _ = _ask(launched, "ping", paths[0], find) if paths else find()
    if why:
        raise BadValueError(why)
    launched.info.note_check(url, healthchecks.secrets_of(url))


def _turn_away(why: str, *, is_limit: bool) -> "NoReturn":
    """Turn the run away where a limit has run out or a signal has come, and refuse it otherwise.

    Raises TurnedAway, Refusal.
    """
    from supervise.launch import lock

    number = next(iter(lock.cancelling() & _signal.sigpending()), 0)
    if not number and not is_limit:
        raise Refusal(why)
    from supervise.launch import run_record

    run_record.warn(why)
    raise TurnedAway(f"({why})" if number else why, number, is_limit=not number)


def _wait_for_start(launched: Launched) -> None:
    """Wait for a random part of `--start-jitter`; the clocks of the run begin after that.

    Raises TurnedAway.
    """
    from supervise.launch import lock, signal_wait, start_delay

    info = launched.info
    seconds = start_delay.part_of(info.values["start_jitter"])
    cancelling = lock.cancelling()
    # As in a wait for a lock, a signal in answer to the line cancels the wait.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, cancelling)
    if info.values["verbose"]:
        from supervise.launch import run_record

        run_record.warn(f"starting in {seconds:.1f}s (--start-jitter)")
    # No wait outlasts what an outer run or a CI job has left: then its deadline ends this run.
    bound = info.first_budget()
    number = signal_wait.wait(seconds if bound is None else min(seconds, bound), cancelling)
    if number:
        raise TurnedAway("while it waited for its start (--start-jitter)", number)
    info.start_clocks()


def _take_budget(launched: Launched) -> None:
    """Note the run's part of the time of an outer run, of a CI job and of the job of an engine.

    Raises TurnedAway where no more than the margin is left of the job.
    """
    from supervise.launch import budget

    info = launched.info
    margin, kill_after = info.values["runner_margin"], info.values["kill_after"]
    if not margin or budget.is_in_outer_run():
        info.set_budget("outer", budget.from_outer_run(kill_after, info.started_at))
    if margin:
        info.set_budget("runner", budget.from_ci_job(margin, kill_after, info.started_at))
        if info.budgets.get("runner") == 0:
            raise TurnedAway("only the margin is left of the CI job, so the command was not started", is_limit=True)
    if info.is_in_job:
        from supervise.launch import allocation

        end = allocation.end(launched)
        if end is not None:
            info.set_budget("allocation", budget.from_allocation(end, margin, kill_after, info.started_at))
            if info.budgets.get("allocation") == 0:
                raise TurnedAway("only the margin is left of the job, so the command was not started", is_limit=True)


def _take_lock(launched: Launched) -> None:
    """Take the lock of the run.

    Raises TurnedAway, Refusal.
    """
    from supervise.launch import lock

    info = launched.info
    try:
        taken = lock.take(info.values, info.run_id, lock.cancelling(), info.first_budget(), launched.files.events)
    except lock.UnlockableError as error:
        raise Refusal(str(error)) from None
    launched.files.hold_lock(taken)
    info.start_clocks()
