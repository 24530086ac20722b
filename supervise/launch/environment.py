"""The environment of the command: the changes to supervise's own, for the run and for each attempt."""

from time import monotonic, time

from supervise.options.table import DEADLINE, RECOVERED_FROM, RESTARTED, UNREPORTED
from supervise.process import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.launch.state import RunInfo
    from supervise.process.protocol import Variables


def of_run(info: "RunInfo") -> "Variables":
    """Return the changes for a run and its first attempt."""
    variables = _without_own(info)
    variables[b"SUPERVISE_RUN_ID"] = info.run_id.encode()
    # What an outer run has said of itself is not true of this one.
    for name in (b"SUPERVISE_PREVIOUS_OUTCOME", b"SUPERVISE_OUTCOME", b"SUPERVISE_COMMAND_PID"):
        variables[name] = None
    variables.update(of_attempt(info, 1))
    if outcome := _restarts()[1]:
        variables[b"SUPERVISE_PREVIOUS_OUTCOME"] = outcome.encode()
    return variables


def of_hooks(info: "RunInfo") -> "dict[bytes, bytes]":
    """Return the environment of a hook: what the caller gave, without what is meant for this run of supervise alone.

    A hook is no part of the run, so it has neither the run's id nor its deadline: `recover` stops no hook, and a
    supervise in a hook is bound by none of this run's limits.
    """
    left_out = _without_own(info)
    return {name: value for name, value in system.environ().items() if name not in left_out}


def _without_own(info: "RunInfo") -> "Variables":
    """Return the changes that take away what is meant for this run of supervise alone."""
    variables: Variables = {system.fsencode(name): None for name in info.request.withheld}
    if is_lc_ctype_ours():
        variables[b"LC_CTYPE"] = None
    for own in (RECOVERED_FROM, RESTARTED, UNREPORTED):
        if system.variable(own) is not None:
            variables[own.encode()] = None
    return variables


def of_attempt(info: "RunInfo", number: int) -> "Variables":
    """Return the changes for an attempt that begins now: its number, and until when it may live at the latest."""
    second = monotonic() - info.started
    latest = _latest_second(info, second)
    # In a call of `date` or a script's sum whole seconds are enough, but not for a limit of two.
    deadline = None if latest is None else f"{time() + latest - second:.3f}".encode()
    return {b"SUPERVISE_ATTEMPT": b"%d" % (number + _restarts()[0]), DEADLINE.encode(): deadline}


def _restarts() -> "tuple[int, str]":
    """Return how often an engine has started this task of a batch before, and the last outcome; 0 and '' otherwise.

    The outcome is '' where the engine does not tell it.
    """
    count, _, outcome = (system.variable(RESTARTED) or "").partition(" ")
    is_whole = count.isdecimal() and len(count) < 10 and outcome in ("resumable", "lost", "cancelled", "unknown")
    return (int(count), "" if outcome == "unknown" else outcome) if is_whole else (0, "")


def _latest_second(info: "RunInfo", begin: float) -> "float | None":
    """Return the last second of the run that an attempt from `begin` on may reach; None where there is no limit."""
    values = info.values
    bounds = [values["total_timeout"], info.first_budget()]
    if values["timeout"] is not None:
        bounds.append(begin + (values["access_timeout"] or 0.0) + values["timeout"] + values["max_extension"])
    return min((bound for bound in bounds if bound is not None), default=None)


def is_lc_ctype_ours() -> bool:
    """Return whether Python has set LC_CTYPE, in the C locale (PEP 538): the command must not see that value."""
    from supervise.process import spawn

    return b"LC_CTYPE" in system.environ() and not spawn.had_lc_ctype()
