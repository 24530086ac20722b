"""The tables of --pty in random histories, within the kernel's rules for a terminal.

A read gives EIO if no process has the command's side open, or if vhangup(2) has hung that side up, which makes every
open of it useless. When the supervisor closes its side, the terminal hangs up.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from supervise.core.pty_states import CALLER_TERMINAL, COMMAND_TERMINAL

COMMAND_STATES = ("new", "open", "ending", "closed")
CALLER_STATES = ("absent", "waiting", "unused", "raw", "showing")
COMMAND_ACTIONS = {"make", "hold_open", "set_modes", "size", "write", "write_end", "release", "close"}


class Terminal:
    """The terminal of one attempt as the kernel has it, and the state that the table gives it."""

    def __init__(self) -> None:
        self.state = "new"
        self.has_master = self.has_peer = False
        self.is_peer_dead = False
        self.others = 0
        """Opens of the command's side by other processes than the supervisor."""
        self.has_modes = False
        self.written = 0
        self.releases = 0

    def handle(self, event: str) -> None:
        self.state, actions = COMMAND_TERMINAL[event][self.state]  # type: ignore[index, assignment]
        for action in actions:
            getattr(self, action)()

    def make(self) -> None:
        assert not self.has_master
        self.has_master = self.has_peer = True

    def hold_open(self) -> None:
        assert self.has_master
        self.has_peer, self.is_peer_dead = True, False

    def set_modes(self) -> None:
        assert self.has_peer
        assert not self.is_peer_dead
        self.has_modes = True

    def size(self) -> None:
        assert self.has_master

    def write(self) -> None:
        assert self.has_master
        self.written += 1

    write_end = write

    def release(self) -> None:
        assert self.has_peer
        self.has_peer = False
        self.releases += 1

    def close(self) -> None:
        assert self.has_master
        self.has_master = False
        self.others = 0

    @property
    def is_all_closed(self) -> bool:
        """Return whether a read gives EIO."""
        return self.has_master and not self.others and (not self.has_peer or self.is_peer_dead)


class World(RuleBasedStateMachine):
    """A run with retries on a terminal; hypothesis chooses what happens."""

    def __init__(self) -> None:
        super().__init__()
        self.own: Terminal | None = None
        self.is_alive = False
        """The command is alive."""
        self.has_lost_reader = False
        """The command's output has no reader any more."""
        self.is_pump_end_unreported = False
        """The pump has ended, and the loop does not know that yet."""
        self.caller = "absent"
        self.is_foreground = False
        """supervise is in the foreground of the caller's terminal."""
        self.modes = "found"
        """`found`, `raw`, `showing`: the modes that supervise has set; `others`: those of another process group."""
        self.has_ended = False

    def handle_caller_event(self, event: str) -> None:
        self.caller, actions = CALLER_TERMINAL[event][self.caller]  # type: ignore[index, assignment]
        for action in actions:
            if action == "restore":
                # The action looks itself which group has the terminal.
                self.modes = "found" if self.is_foreground or self.modes in ("raw", "showing") else self.modes
            else:
                assert self.is_foreground, f"{action} in the background"
                self.modes = {"take": "raw", "show": "showing"}[action]

    def pump_turn(self) -> None:
        """Let the pump read: it reads as soon as there are bytes or EIO."""
        while self.own and self.own.is_all_closed:
            self.own.handle("all_closed")
        if self.own and self.own.state == "closed":
            self.is_pump_end_unreported = True

    # --- the run

    @precondition(lambda self: not self.is_alive and not self.has_ended)
    @rule()
    def attempt_begins(self) -> None:
        if self.own and self.own.state != "closed":
            # The output of the last attempt is cut.
            self.own.handle("reader_gone")
        self.own = Terminal()
        self.own.handle("opened")
        self.handle_caller_event("needed")
        self.is_alive, self.has_lost_reader, self.is_pump_end_unreported = True, False, False
        self.own.others = 1

    @precondition(lambda self: self.is_alive)
    @rule(starts=st.booleans())
    def command_ends(self, starts: bool) -> None:
        """End the command, which may never have been started."""
        assert self.own
        self.is_alive = False
        if not starts:
            self.own.others = 0
        self.own.handle("ended")
        self.handle_caller_event("ended")
        self.pump_turn()

    @precondition(lambda self: self.own is not None)
    @rule()
    def reader_leaves(self) -> None:
        """Let the reader of the output leave, or the supervisor stop waiting for more output."""
        assert self.own
        self.own.handle("reader_gone")
        self.has_lost_reader = self.is_pump_end_unreported = True

    @precondition(lambda self: self.is_pump_end_unreported)
    @rule()
    def pump_end_is_reported(self) -> None:
        self.handle_caller_event("not_needed")
        self.is_pump_end_unreported = False

    # --- the tree

    @precondition(lambda self: self.own and self.own.others and self.own.has_master)
    @rule()
    def a_process_closes_the_terminal(self) -> None:
        assert self.own
        self.own.others -= 1
        self.pump_turn()

    @precondition(lambda self: self.own and self.own.has_master and (self.is_alive or self.own.others))
    @rule()
    def a_process_opens_the_terminal(self) -> None:
        assert self.own
        assert self.own.has_master
        self.own.others += 1

    @precondition(lambda self: self.is_alive and self.own and self.own.has_master)
    @rule()
    def vhangup(self) -> None:
        assert self.own
        self.own.others, self.own.is_peer_dead, self.own.has_modes = 0, True, False
        self.pump_turn()

    # --- the caller and the clients

    @precondition(lambda self: self.own is not None)
    @rule(event=st.sampled_from(["resized", "typed", "input_ended"]))
    def the_caller_acts(self, event: str) -> None:
        assert self.own
        before = self.own.written
        self.own.handle(event)
        if event != "resized":
            # Keys reach the command as long as the command can read them.
            assert (self.own.written > before) == (self.is_alive and not self.has_lost_reader)

    @rule()
    def resized_without_a_terminal(self) -> None:
        Terminal().handle("resized")

    @precondition(lambda self: not self.has_ended)
    @rule(is_foreground=st.booleans())
    def the_supervisor_looks_for_its_group(self, is_foreground: bool) -> None:
        if is_foreground != self.is_foreground:
            self.is_foreground = is_foreground
            if not is_foreground and self.modes != "found":
                self.modes = "others"
            elif is_foreground:
                # A shell restores the modes when it gives the terminal to a job.
                self.modes = "found"
        self.handle_caller_event("foreground" if is_foreground else "background")

    @precondition(lambda self: not self.has_ended)
    @rule(is_foreground=st.booleans())
    def stopped_and_continued(self, is_foreground: bool) -> None:
        self.handle_caller_event("paused")
        assert self.modes in ("found", "others"), "a shell gets a raw terminal"
        self.is_foreground = is_foreground
        self.modes = "found"
        self.handle_caller_event("foreground" if is_foreground else "background")

    @precondition(lambda self: not self.has_ended)
    @rule()
    def run_is_over(self) -> None:
        self.handle_caller_event("run_ended")
        self.has_ended = True
        assert self.modes in ("found", "others")
        if self.own:
            self.own.handle("reader_gone")
            assert not self.own.has_master
            assert not self.own.has_peer
        self.is_alive = False

    # --- what always holds

    @invariant()
    def command_keeps_its_terminal(self) -> None:
        if self.own and self.is_alive and not self.has_lost_reader:
            assert self.own.state == "open"
            assert self.own.has_modes

    @invariant()
    def states_say_what_is_open(self) -> None:
        if self.own:
            held = {"new": (False, False), "open": (True, True), "ending": (True, False), "closed": (False, False)}
            assert (self.own.has_master, self.own.has_peer) == held[self.own.state]

    @invariant()
    def no_terminal_that_all_have_closed_stays_open(self) -> None:
        assert not (self.own and self.own.is_all_closed)

    @invariant()
    def caller_is_raw_for_a_command_alone(self) -> None:
        if self.caller == "raw":
            assert self.is_foreground
            assert self.modes == "raw"
            assert self.is_alive or self.is_pump_end_unreported
        if self.caller in ("unused", "absent") and self.is_foreground:
            assert self.modes == "found"
        if self.caller == "showing":
            assert not self.is_alive
        if self.is_foreground and self.is_alive and not self.has_lost_reader and not self.has_ended:
            assert self.caller == "raw"


def test_every_history_of_a_run_on_a_terminal() -> None:
    run_state_machine_as_test(World, settings=settings(max_examples=300, stateful_step_count=40, deadline=None))


@pytest.mark.parametrize(
    ("table", "states"),
    [(COMMAND_TERMINAL, COMMAND_STATES), (CALLER_TERMINAL, CALLER_STATES)],
    ids=["command", "caller"],
)
def test_every_event_has_an_entry_for_every_state(table: dict, states: tuple[str, ...]) -> None:
    for event, row in table.items():
        assert tuple(row) == states, event
        assert {after for after, _ in row.values()} <= {*states}


def test_a_closed_terminal_stays_closed() -> None:
    assert {row["closed"] for row in COMMAND_TERMINAL.values()} == {("closed", ())}


def test_no_action_on_a_terminal_that_does_not_exist() -> None:
    """Before `make`, no action may use a descriptor."""
    for event, row in COMMAND_TERMINAL.items():
        assert row["new"][1] == (("make", "hold_open", "set_modes", "size") if event == "opened" else ())
    assert {
        action for row in COMMAND_TERMINAL.values() for _, actions in row.values() for action in actions
    } == COMMAND_ACTIONS
