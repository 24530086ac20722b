"""The two tables of --pty: the states of the command's terminal, and those of the caller's terminal beside it.

Each table maps an event and a state to the next state and to the actions that lead there. An empty tuple means that the
event changes nothing. Each event has an entry for each state.

The command's terminal, one for each attempt:

    NEW      The terminal is not made yet.
    OPEN     The command may live. The supervisor holds the command's side open as well: a command that closes its
             terminal finds it again at its next open of /dev/tty, and the supervisor reads no end of file meanwhile.
    ENDING   The command has ended, or was never started. Output of other processes is read until the last of them
             closes the terminal.
    CLOSED   The supervisor's side is closed, which is final. A process that has the terminal open sees a hang-up.

The terminal of the caller, one for the whole run. Only in RAW do its keys go to the command:

    ABSENT   There is no terminal, or another process group has it (supervise is in the background, or about to stop).
    WAITING  As ABSENT, while a command wants the keys.
    UNUSED   supervise has the terminal and leaves its modes alone: no command wants the keys.
    RAW      supervise has the terminal. Every key is a byte for the command; every byte of the command is shown as is.
    SHOWING  supervise has the terminal. The keys keep their meaning (Ctrl-C cancels); bytes are shown as they are.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    CommandState: TypeAlias = Literal["new", "open", "ending", "closed"]
    CommandEvent: TypeAlias = Literal["opened", "ended", "all_closed", "reader_gone", "resized", "typed", "input_ended"]
    CommandAction: TypeAlias = Literal[
        "make", "hold_open", "set_modes", "size", "write", "write_end", "release", "close"
    ]

    CallerState: TypeAlias = Literal["absent", "waiting", "unused", "raw", "showing"]
    CallerEvent: TypeAlias = Literal["needed", "ended", "not_needed", "foreground", "background", "paused", "run_ended"]
    CallerAction: TypeAlias = Literal["take", "show", "restore"]

COMMAND_TERMINAL: "dict[CommandEvent, dict[CommandState, tuple[CommandState, tuple[CommandAction, ...]]]]" = {
    # An attempt begins: its command needs a terminal.
    "opened": {
        "new": ("open", ("make", "hold_open", "set_modes", "size")),
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
    # A read has failed with EIO: no process has the command's side open. While the command lives, the cause is
    # vhangup(2), which makes even the supervisor's copy useless, so the terminal is set up once more.
    "all_closed": {
        "new": ("new", ()),
        "open": ("open", ("release", "hold_open", "set_modes", "size")),
        "ending": ("closed", ("close",)),
        "closed": ("closed", ()),
    },
    # The output of the terminal has no reader any more, or the supervisor waits for no more of it.
    "reader_gone": {
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
    # The caller's input has ended for now, by Ctrl-D on a terminal in line mode.
    "input_ended": {
        "new": ("new", ()),
        "open": ("open", ("write_end",)),
        "ending": ("ending", ()),
        "closed": ("closed", ()),
    },
}

CALLER_TERMINAL: "dict[CallerEvent, dict[CallerState, tuple[CallerState, tuple[CallerAction, ...]]]]" = {
    # A command's terminal is open.
    "needed": {
        "absent": ("waiting", ()),
        "waiting": ("waiting", ()),
        "unused": ("raw", ("take",)),
        "raw": ("raw", ()),
        "showing": ("raw", ("take",)),
    },
    # The command has ended; its last bytes still have to be shown.
    "ended": {
        "absent": ("absent", ()),
        "waiting": ("absent", ()),
        "unused": ("unused", ()),
        "raw": ("showing", ("show",)),
        "showing": ("showing", ()),
    },
    # No more bytes have to be shown, and no more keys read.
    "not_needed": {
        "absent": ("absent", ()),
        "waiting": ("absent", ()),
        "unused": ("unused", ()),
        "raw": ("unused", ("restore",)),
        "showing": ("unused", ("restore",)),
    },
    # The supervisor is in the foreground of the caller's terminal. A shell may have changed the modes while the
    # supervisor was stopped without notice (STOP).
    "foreground": {
        "absent": ("unused", ()),
        "waiting": ("raw", ("take",)),
        "unused": ("unused", ()),
        "raw": ("raw", ("take",)),
        "showing": ("showing", ("show",)),
    },
    # Another process group is in the foreground, and the modes of the terminal belong to that group.
    "background": {
        "absent": ("absent", ()),
        "waiting": ("waiting", ()),
        "unused": ("absent", ()),
        "raw": ("waiting", ()),
        "showing": ("absent", ()),
    },
    # The supervisor is about to be stopped. When it is continued, it looks which group is in the foreground.
    "paused": {
        "absent": ("absent", ()),
        "waiting": ("waiting", ()),
        "unused": ("absent", ()),
        "raw": ("waiting", ("restore",)),
        "showing": ("absent", ("restore",)),
    },
    # The run ends. The action reads the modes of the terminal and restores them if necessary.
    "run_ended": {
        "absent": ("absent", ("restore",)),
        "waiting": ("absent", ("restore",)),
        "unused": ("absent", ("restore",)),
        "raw": ("absent", ("restore",)),
        "showing": ("absent", ("restore",)),
    },
}
