"""The verdict on a run: the outcome and the exit code that follow from its cause and the end of the command."""

from dataclasses import replace

from supervise.core.exit_codes import INT, KILL, ExitCode
from supervise.core.outcome import OUT_OF_MEMORY, Cause, Exit, MemoryLack, Outcome
from supervise.core.policy import Policy


def settle(
    cause: Cause | None, exit: Exit | None, policy: Policy, undelivered: str = "", memory: MemoryLack | None = None
) -> Outcome:
    """Return the outcome of a run: of its cause (None: the command ended by itself) and of the command's own end.

    `exit` is None if the command never ran. `undelivered` says why a part of its output is lost, which is an error even
    if the command has exited with 0. `memory` is the kill of the kernel's OOM killer by which the command has ended.
    """
    if cause is None:
        if undelivered:
            return Outcome("error", ExitCode.ERROR, exit=exit, reason=undelivered)
        own = _own_end(exit, policy)
        # A command that has succeeded, or asks for another try, has got over the loss of a process.
        is_named = memory is not None and own.name in ("failed", "signaled")
        return replace(own, reason=OUT_OF_MEMORY, memory=memory) if is_named else own
    if passes(cause, policy):
        outcome = _stopped(cause, exit)
        # A loss of output is no success, as in the end of a command by itself.
        return replace(outcome, reason=undelivered) if undelivered else replace(outcome, exit_code=0)
    if policy.preserve_status and (status := _status(exit)) is not None:
        return replace(_stopped(cause, exit), exit_code=status, die_of=None)
    return _stopped(cause, exit)


def passes(cause: Cause | None, policy: Policy) -> bool:
    """Return whether the cause is a success: the command ran until its completion limit (`--on-timeout pass`).

    The limit of all attempts together may stop a command that has only just begun, after attempts that failed.
    """
    is_wanted = cause is not None and cause.limit == "completion" and not cause.is_unstarted
    return is_wanted and policy.on_timeout == "pass"


def _stopped(cause: Cause, exit: Exit | None) -> Outcome:
    match cause.kind:
        case "spawn_failed":
            return _spawn_failure(cause)
        case "access_timeout":
            return Outcome(cause.kind, ExitCode.ACCESS_TIMEOUT, cause, exit)
        case "idle_timeout":
            return Outcome(cause.kind, ExitCode.IDLE_TIMEOUT, cause, exit)
        case "completion_timeout":
            return Outcome(cause.kind, ExitCode.COMPLETION_TIMEOUT, cause, exit)
        case "outer_deadline" | "runner_deadline" | "allocation_end":
            # The limit is that of the outer run or the job around this one, so this is no timeout: with more time the
            # command can go on.
            return Outcome("resumable", ExitCode.TRY_AGAIN, cause, exit, reason=cause.kind)
        case "out_of_memory":
            # The same end as by the kernel's OOM killer, so that a caller need not know which of the two it was.
            return Outcome("signaled", ExitCode.SIGNALED + KILL, cause, exit, reason=OUT_OF_MEMORY, memory=cause.memory)
        case "cancelled":
            signal = cause.signal or 0
            # A shell ends its script or loop if a child has died of INT, but not if the child has exited with 130.
            die_of = INT if signal == INT else None
            return Outcome(cause.kind, ExitCode.SIGNALED + signal, cause, exit, cause.word or None, die_of)


def _own_end(exit: Exit | None, policy: Policy) -> Outcome:
    status = _status(exit)
    if exit is None or status is None:
        return Outcome(
            "error", ExitCode.ERROR, exit=exit, reason="how the command ended is not known: its status was lost"
        )
    if exit.signal is not None:
        return Outcome("signaled", status, exit=exit)
    if status == 0 or status in policy.success_codes:
        return Outcome("completed", 0, exit=exit)
    return Outcome("resumable" if status == ExitCode.TRY_AGAIN else "failed", status, exit=exit)


def _spawn_failure(cause: Cause) -> Outcome:
    reason = cause.reason or None
    match cause.failure:
        case "not_found":
            return Outcome("not_found", ExitCode.NOT_FOUND, cause, reason=reason)
        case "not_executable":
            return Outcome("not_executable", ExitCode.NOT_EXECUTABLE, cause, reason=reason)
    return Outcome("error", ExitCode.ERROR, cause, reason=reason)


def _status(exit: Exit | None) -> int | None:
    """Return the command's own status as a shell gives it; None if the command did not run or its status is lost."""
    if exit is None:
        return None
    return exit.code if exit.signal is None else ExitCode.SIGNALED + exit.signal
