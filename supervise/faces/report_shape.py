"""The shape of a report and of the head of an event, for a full run, a short run and a lost run.

Each function returns the fields in the order in which they are written; the schemas in `schema/` describe them. The end
of a short run loads this module, so it uses built-in types only.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

SCHEMA = 1
"""Grows by one when a field changes its meaning or is removed; a new field alone does not change it."""
START = ("run_id", "name", "command", "cwd", "host", "pid", "started_at")
"""The fields of a report that describe the start of the run."""
HEAD = ("schema", "run_id", "at", "t", "event")
"""The first fields of each event."""
OWN_ENDS = ("failed", "resumable")
"""Outcomes of a command that ended by itself with a code: a CI service shows the code, and the command says why."""
LISTS = ("warnings", "extensions", "put_offs")
"""The fields of a report that are lists of what may happen several times."""


def report(
    start: "Mapping[str, Any]",
    end: "Mapping[str, Any]",
    *,
    ended_at: str,
    duration: "float | None",
    command_exit: "Mapping[str, Any] | None",
    access: "Mapping[str, Any] | None",
    attempts: "Iterable[Mapping[str, Any]]",
    usage: "Mapping[str, Any]",
    status: "str | None" = None,
    stop: "Mapping[str, Any] | None" = None,
    diagnosis: "Mapping[str, Any] | None" = None,
    memory_limit_by: "str | None" = None,
    lists: "Mapping[str, Iterable[Mapping[str, Any]]] | None" = None,
    left_out: "Mapping[str, int] | None" = None,
    stragglers: "Iterable[Mapping[str, Any]]" = (),
    straggler_output: "str | None" = None,
    survivors: "Iterable[Mapping[str, Any]]" = (),
) -> "dict[str, Any]":
    """Return a report. `start` holds the fields of START, and `end` is what `outcome` returns.

    The field `left_out` exists only if it is given.
    """
    return {
        "schema": SCHEMA,
        **{key: start[key] for key in START},
        "ended_at": ended_at,
        "duration": duration,
        **end,
        "command_exit": command_exit,
        "access": access,
        "status": status,
        "stop": stop,
        "diagnosis": diagnosis,
        "memory_limit_by": memory_limit_by,
        **{name: [*(lists or {}).get(name, ())] for name in LISTS},
        **({"left_out": left_out} if left_out else {}),
        "attempts": [*attempts],
        "usage": usage,
        "stragglers": [*stragglers],
        "straggler_output": straggler_output,
        "survivors": [*survivors],
    }


def outcome(
    name: str,
    exit_code: "int | None",
    command_exit: "Mapping[str, Any] | None" = None,
    *,
    timeout_cause: "str | None" = None,
    limit: "str | None" = None,
    limit_seconds: "float | None" = None,
    reason: "str | None" = None,
    out_of_memory: "Mapping[str, Any] | None" = None,
) -> "dict[str, Any]":
    """Return how a run or an attempt ended, and why. With the name alone, nothing more is known of the end."""
    return {
        "outcome": name,
        "timeout_cause": timeout_cause,
        "limit": limit,
        "limit_seconds": limit_seconds,
        "reason": reason,
        "out_of_memory": out_of_memory,
        "exit_code": exit_code,
        "command_exit": command_exit,
    }


def command_exit(code: "int | None", signal: "str | None" = None, *, core: bool = False) -> "dict[str, Any]":
    """Return how the command itself ended; code and signal are both None if its status is lost."""
    return {"code": code, "signal": signal, "core": core}


def attempt(
    number: int,
    pid: "int | None",
    *,
    started_at: str,
    ended_at: "str | None",
    outcome: str,
    command_exit: "Mapping[str, Any] | None",
    access: "Mapping[str, Any] | None",
) -> "dict[str, Any]":
    """Return one attempt; `pid` is None if there was no process."""
    return {
        "number": number,
        "pid": pid,
        "started_at": started_at,
        "ended_at": ended_at,
        "outcome": outcome,
        "command_exit": command_exit,
        "access": access,
    }


def usage(
    cpu_seconds: "float | None" = None,
    max_rss_bytes: "int | None" = None,
    stdout_bytes: "int | None" = None,
    stderr_bytes: "int | None" = None,
    both_bytes: "int | None" = None,
    max_tree_rss_bytes: "int | None" = None,
) -> "dict[str, Any]":
    """Return the resources that the whole tree has used; None for what is not known.

    The largest process alone is a lower bound of what the tree had in memory, and all that a short run knows.
    """
    return {
        "cpu_seconds": cpu_seconds,
        "max_rss_bytes": max_rss_bytes,
        "max_tree_rss_bytes": max(max_rss_bytes or 0, max_tree_rss_bytes or 0) or None,
        "stdout_bytes": stdout_bytes,
        "stderr_bytes": stderr_bytes,
        "both_bytes": both_bytes,
    }


def process(pid: int, name: str, uid: int, state: str, waits_in: str) -> "dict[str, Any]":
    """Return a process; `uid` -1, `state` `?` and an empty `waits_in` stand for what is not known."""
    return {
        "pid": pid,
        "name": name,
        "uid": uid if uid >= 0 else None,
        "state": state if state != "?" else None,
        "waits_in": waits_in or None,
    }


def head(run_id: str, at: str, t: "float | None") -> "dict[str, Any]":
    """Return the first fields of an event, except its name: `at` is its time, `t` its second of the run."""
    return {"schema": SCHEMA, "run_id": run_id, "at": at, "t": t}


def time(epoch: float) -> str:
    """Return `2026-11-22T13:07:00.123Z` for epoch seconds (RFC 3339)."""
    from time import gmtime, strftime

    # The fraction apart: so many microseconds as a whole would have lost digits.
    milliseconds = int(epoch) * 1000 + round((epoch - int(epoch)) * 1e6) // 1000
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(milliseconds // 1000))}.{milliseconds % 1000:03}Z"
