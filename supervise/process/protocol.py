"""The messages between the supervisor and the holder of the command, by their types.

The holder is the guardian, or a thread of the supervisor after the guardian's death (see `process/holder.py`).  A
message is a tuple of plain values, since `marshal` carries it; its first item is its name.  A sender writes the tuple
as it stands here, and a receiver matches all of a union and ends with `case _: raise unknown(message)`.  So mypy
refuses a name that is misspelt, an item of another type, and a message that no case receives.  Dataclasses were
rejected: their module takes longer to load than a short run does.

    the supervisor sends                what the holder does, and answers
    ("orders", signal, grace, facts)    Keep how to stop the tree, and what to write, if the supervisor dies.
    ("terminal", facts) + descriptors   Keep the caller's terminal, to restore it if the supervisor dies.
    ("socket", folder, run_id)          Keep where the control socket is, to remove it if the supervisor dies.
    ("lock",) + descriptor              Keep open the file of the run's lock, which was made anew.
    ("last_line", line) + descriptor    Keep the line, to write it to that descriptor at once if the supervisor dies.
    ("live_line", is_drawn)             Keep whether the live line is on the caller's terminal, to erase it if the
                                        supervisor dies.
    ("released",)                       Leave the caller's terminal and session, and forget that terminal and the last
                                        line: the caller has control again.
    ("helper", pid, is_running)         Keep the leader of a helper's process group, to kill the group if the
                                        supervisor dies; forget it where the helper has ended.
    ("stop_command", pid)               Keep the process of --stop-command, to bound it if the supervisor dies; 0 is
                                        its end.
    ("unread", inode)                   Close the copy of the pipe with that inode number: its reader has left.
    ("cgroup", folder) + descriptor     Enter that cgroup with all of the tree, and keep the descriptor open.
    ("record",)                         Make the record of the run.
                                        Answer: ("recorded", said, state, started, may_hang) + descriptors,
                                        or ("unrecorded", why, said, notice).
    ("memory", folder)                  Start the command in that memory cgroup, each attempt anew.
    ("spawn", command, variables,       Start the command.  After the standard streams come the read ends of its
        terminal) + descriptors         pipes, from the second attempt on.
                                        Answer: ("started", pid, at) or ("failed", kind, reason).
    ("ask", number)                     Say whether the command lives.
                                        Answer: ("alive", number, at), after ("exited", ...) if it has ended.
    ("stop", signal, is_delivered)      Signal the tree, with CONT alone where the tree has the signal already.
        + descriptor                    The order is carried out only if the pipe gives a byte.
    ("rehearse",) + descriptor          Look at the tree as for "stop", but send no signal.
    ("kill",)                           Kill the tree.  Answer: ("empty", survivors) if the command was spawned.
    ("root", signal)                    Send the command's own process that signal.
    ("list",)                           Answer: ("listed", processes).
    ("usage",)                          Answer: ("used", cpu_seconds, max_rss_bytes).
    ("fault", reason)                   Keep why the supervisor gives up, to write it as the end of the run.
    ("bye",)                            Go.  No process is stopped any more.

    the holder sends without an order
    ("exited", status, at, has_others)  The command has ended; the status as waitpid(2) has it.
    ("empty", survivors)                The command and all of its descendants are gone, but for the survivors.
    ("unknown", name)                   The supervisor has sent a message that the holder does not know.

Times are seconds of CLOCK_MONOTONIC, which all processes share.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, Never, Protocol, TypeVar

    Variables = dict[bytes, bytes | None]
    """Variables of the command's environment that differ from the caller's; a variable that is None is removed."""
    Facts = tuple[float, float, int, dict[str, Any], str | None, bool]
    """What `records.lost.write` takes: the run's start in epoch seconds and by CLOCK_MONOTONIC, the supervisor's pid,
    the start of the report, the path of the report, and whether there is a record."""
    TerminalFacts = tuple[Any, ...]
    """What `terminal.caller_terminal.from_facts` takes."""
    ProcessFacts = tuple[int, str, int, str, str]
    """What `tree.describe` returns: pid, name, uid, state, what the process waits in."""
    FailureKind = Literal["not_found", "not_executable", "error"]
    """Why a command was not started; the first two have exit codes of their own (127 and 126)."""

    # --- from the supervisor to the holder

    Orders = tuple[Literal["orders"], int, float, Facts]
    Terminal = tuple[Literal["terminal"], TerminalFacts]
    Socket = tuple[Literal["socket"], str, str]
    Lock = tuple[Literal["lock"]]
    LastLine = tuple[Literal["last_line"], bytes]
    LiveLine = tuple[Literal["live_line"], bool]
    Released = tuple[Literal["released"]]
    Helper = tuple[Literal["helper"], int, bool]
    StopCommand = tuple[Literal["stop_command"], int]
    Unread = tuple[Literal["unread"], int]
    Cgroup = tuple[Literal["cgroup"], str]
    MakeRecord = tuple[Literal["record"]]
    Spawn = tuple[Literal["spawn"], list[str], Variables, str]
    Ask = tuple[Literal["ask"], int]
    Stop = tuple[Literal["stop"], int, bool]
    Rehearse = tuple[Literal["rehearse"]]
    Kill = tuple[Literal["kill"]]
    SignalRoot = tuple[Literal["root"], int]
    Memory = tuple[Literal["memory"], str]
    AskList = tuple[Literal["list"]]
    AskUsage = tuple[Literal["usage"]]
    Fault = tuple[Literal["fault"], str]
    Bye = tuple[Literal["bye"]]
    ToHolder = (
        Orders
        | Terminal
        | Socket
        | Lock
        | LastLine
        | LiveLine
        | Released
        | Helper
        | StopCommand
        | Unread
        | Cgroup
        | Memory
        | MakeRecord
        | Spawn
        | Ask
        | Stop
        | Rehearse
        | Kill
        | SignalRoot
        | AskList
        | AskUsage
        | Fault
        | Bye
    )

    # --- from the holder to the supervisor

    Recorded = tuple[Literal["recorded"], str, str, int, bool]
    Unrecorded = tuple[Literal["unrecorded"], str, str, str]
    Started = tuple[Literal["started"], int, float]
    Failed = tuple[Literal["failed"], FailureKind, str]
    Exited = tuple[Literal["exited"], int, float, bool]
    Empty = tuple[Literal["empty"], list[ProcessFacts]]
    Alive = tuple[Literal["alive"], int, float]
    Listed = tuple[Literal["listed"], list[ProcessFacts]]
    Used = tuple[Literal["used"], float, int]
    Unknown = tuple[Literal["unknown"], str]
    RecordMade = Recorded | Unrecorded
    FromHolder = RecordMade | Started | Failed | Exited | Empty | Alive | Listed | Used | Unknown

    # --- the two ends of the channel between them

    Sent = TypeVar("Sent", contravariant=True)
    Received = TypeVar("Received", covariant=True)

    class End(Protocol[Sent, Received]):
        """One end of a `channel.Channel`, by the messages that it sends and receives."""

        @property
        def has_unsent(self) -> bool:
            """See `channel.Channel.has_unsent`."""

        def fileno(self) -> int:
            """See `channel.Channel.fileno`."""

        def send(self, message: Sent, fds: tuple[int, ...] = ()) -> bool:
            """See `channel.Channel.send`."""

        def receive(self, seconds: float = 0.0) -> tuple[Received, list[int]] | None:
            """See `channel.Channel.receive`."""

        def flush(self, seconds: float = 0.0) -> bool:
            """See `channel.Channel.flush`."""

        def end(self) -> None:
            """See `channel.Channel.end`."""

        def close(self) -> None:
            """See `channel.Channel.close`."""

    SupervisorEnd = End[ToHolder, FromHolder]
    HolderEnd = End[FromHolder, ToHolder]

NEVER_LEFT_OUT = frozenset(("stop", "stop_command", "kill", "bye", "unread", "released", "exited", "empty", "unknown"))
"""Names of the messages that are kept however many wait for room: those that end the command, the run or the channel.

A copy of a pipe that stays open (`unread`) would hide from the command that its reader has left.
"""


class UnknownMessageError(Exception):
    """A process or a thread has received a message that it does not know: an internal error of supervise."""


def key(message: "tuple[Any, ...]") -> "tuple[Any, ...]":
    """Return the key of a message; the later of two messages with one key makes the earlier one needless.

    The numbers of `ask` count up, and only the answer to the last is used; the last `helper` of a
    pid holds, and the last `live_line`.  A `post`
    or `call` to a file worker may append bytes: two that are equal are two appends, and neither is needless.
    """
    if message[0] in ("post", "call"):
        return (object(),)
    if message[0] in ("ask", "list", "usage", "live_line"):
        return message[:1]
    return message[:2] if message[0] == "helper" else message


def name_of(message: "Never") -> str:
    """Return the name of a message that no case of the receiver has matched."""
    words: tuple[Any, ...] = message
    return str(words[0]) if words else ""


def unknown(message: "Never") -> UnknownMessageError:
    """Return the error to raise where no case of the receiver has matched the message.

    The parameter's type has mypy refuse the call while a message of the union has no case.
    """
    return UnknownMessageError(f"unknown message {name_of(message)!r}")


def not_known(name: str) -> UnknownMessageError:
    """Return the error to raise where the holder has answered that it does not know the message of that name."""
    return UnknownMessageError(f"the holder does not know the message {name!r}")
