"""The two tables of --pty: what becomes of the command's terminal, and what of the terminal of the caller beside it.

Each table maps an event and a state to the next state and to the actions that bring the world there.  An event that
changes nothing says so by an empty tuple; there is no event for which a state has no entry.

The command's terminal, one for each attempt:

    NEW      not made yet
    OPEN     the command may live.  The supervisor holds the command's side open as well, so that a command which lets
             go of its terminal finds it again at its next open of /dev/tty, and no end of file is told in between
    ENDING   the command has ended, or it never was.  What others still write is read until the last of them closes it
    CLOSED   the supervisor's side is closed, which is final.  To a process that has it open the terminal has hung up

The terminal of the caller, one for the whole run.  What is typed there goes to the command in RAW alone:

    AWAY     there is none, or another process group has it (supervise is in the background, or about to stop)
    WAITING  the same, while a command wants its keys
    ASIDE    it is supervise's, and is as it was found: no command wants its keys
    RAW      it is supervise's, every key is a byte for the command, and every byte of the command is shown as it is
    SHOWING  it is supervise's, the keys mean what they did before (Ctrl-C cancels), and bytes are shown as they are
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    OwnState: TypeAlias = Literal["new", "open", "ending", "closed"]
    OwnEvent: TypeAlias = Literal["opened", "ended", "vacated", "abandoned", "resized", "typed", "input_ended"]
    OwnAction: TypeAlias = Literal["make", "hold", "dress", "size", "write", "write_end", "release", "close"]

    CallerState: TypeAlias = Literal["away", "waiting", "aside", "raw", "showing"]
    CallerEvent: TypeAlias = Literal["needed", "ended", "unneeded", "near", "far", "paused", "over"]
    CallerAction: TypeAlias = Literal["take", "show", "restore"]

OWN: "dict[OwnEvent, dict[OwnState, tuple[OwnState, tuple[OwnAction, ...]]]]" = {
    # An attempt begins: its command needs a terminal.
    "opened": {
        "new": ("open", ("make", "hold", "dress", "size")),
        "open": ("open", ()),
        "ending": ("ending", ()),
        "closed": ("closed", ()),
    },
    # The command has ended, or could not be started.
    "ended": {
        "new": ("closed", ()),
        "open": ("ending", ("release",)),
        "ending": ("ending", ()),
        "closed": ("closed", ()),
    },
    # A read says that no process has the command's side open (EIO).  While the command lives that is the work of
    # vhangup(2), which makes even the supervisor's copy useless: the terminal is set up once more.
    "vacated": {
        "new": ("new", ()),
        "open": ("open", ("release", "hold", "dress", "size")),
        "ending": ("closed", ("close",)),
        "closed": ("closed", ()),
    },
    # The bytes of the terminal have no reader any more, or the supervisor waits for no more of them.
    "abandoned": {
        "new": ("closed", ()),
        "open": ("closed", ("release", "close")),
        "ending": ("closed", ("close",)),
        "closed": ("closed", ()),
    },
    # The window around the command's terminal has another size.
    "resized": {
        "new": ("new", ()),
        "open": ("open", ("size",)),
        "ending": ("ending", ("size",)),
        "closed": ("closed", ()),
    },
    # The caller has typed keys for the command.
    "typed": {
        "new": ("new", ()),
        "open": ("open", ("write",)),
        "ending": ("ending", ()),
        "closed": ("closed", ()),
    },
    # The caller's input has ended for now: Ctrl-D on a terminal that hands on whole lines.
    "input_ended": {
        "new": ("new", ()),
        "open": ("open", ("write_end",)),
        "ending": ("ending", ()),
        "closed": ("closed", ()),
    },
}

CALLER: "dict[CallerEvent, dict[CallerState, tuple[CallerState, tuple[CallerAction, ...]]]]" = {
    # A command's terminal is open.
    "needed": {
        "away": ("waiting", ()),
        "waiting": ("waiting", ()),
        "aside": ("raw", ("take",)),
        "raw": ("raw", ()),
        "showing": ("raw", ("take",)),
    },
    # The command has ended; its last bytes still have to be shown.
    "ended": {
        "away": ("away", ()),
        "waiting": ("away", ()),
        "aside": ("aside", ()),
        "raw": ("showing", ("show",)),
        "showing": ("showing", ()),
    },
    # No more bytes have to be shown, and no more keys read.
    "unneeded": {
        "away": ("away", ()),
        "waiting": ("away", ()),
        "aside": ("aside", ()),
        "raw": ("aside", ("restore",)),
        "showing": ("aside", ("restore",)),
    },
    # A look has found the supervisor in the foreground of the caller's terminal.  A shell may have set the modes anew
    # while the supervisor was stopped without notice (STOP).
    "near": {
        "away": ("aside", ()),
        "waiting": ("raw", ("take",)),
        "aside": ("aside", ()),
        "raw": ("raw", ("take",)),
        "showing": ("showing", ("show",)),
    },
    # A look has found another process group in the foreground: the modes of the terminal are that group's affair.
    "far": {
        "away": ("away", ()),
        "waiting": ("waiting", ()),
        "aside": ("away", ()),
        "raw": ("waiting", ()),
        "showing": ("away", ()),
    },
    # The supervisor is about to be stopped; a look follows when it is continued.
    "paused": {
        "away": ("away", ()),
        "waiting": ("waiting", ()),
        "aside": ("away", ()),
        "raw": ("waiting", ("restore",)),
        "showing": ("away", ("restore",)),
    },
    # The run ends.  What has to be restored depends on the modes of the terminal, which the action reads.
    "over": {
        "away": ("away", ("restore",)),
        "waiting": ("away", ("restore",)),
        "aside": ("away", ("restore",)),
        "raw": ("away", ("restore",)),
        "showing": ("away", ("restore",)),
    },
}
