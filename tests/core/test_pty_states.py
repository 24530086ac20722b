"""The tables of --pty in every history: a world of chance, with the kernel's rules for a terminal, around them.

The kernel: a read gives EIO when no process has the command's side open, or when that side was hung up by vhangup(2),
which leaves every open of it dead; the closing of the supervisor's side hangs up.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from supervise.core.pty_states import CALLER, OWN

OWN_STATES = ("new", "open", "ending", "closed")
CALLER_STATES = ("absent", "waiting", "unused", "raw", "showing")
OWN_ACTIONS = {"make", "hold_open", "set_modes", "size", "write", "write_end", "release", "close"}


class Terminal:
    """One attempt's terminal as the kernel has it, and our state of it."""

    def __init__(self) -> None:
        self.state = "new"
        self.has_master = self.has_peer = False
        self.is_peer_dead = False
        self.others = 0
        """Opens of the command's side that are not ours."""
        self.has_modes = False
        self.written = 0
        self.releases = 0

    def happens(self, event: str) -> None:
        self.state, actions = OWN[event][self.state]  # type: ignore[index, assignment]
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
    def is_vacant(self) -> bool:
        """A read gives EIO."""
        return self.has_master and not self.others and (not self.has_peer or self.is_peer_dead)


class World(RuleBasedStateMachine):
    """A run with retries on a terminal, as chance will have it."""

    def __init__(self) -> None:
        super().__init__()
        self.own: Terminal | None = None
        self.is_alive = False
        """The command."""
        self.is_abandoned = False
        """Its output has no reader any more."""
        self.is_unneeded_due = False
        """The pump has ended, and the loop has not heard of it."""
        self.caller = "absent"
        self.is_near = False
        """We are in the foreground of the caller's terminal."""
        self.modes = "found"
        """`found`, `raw`, `showing`: as we have set it; `others`: as another group has."""
        self.is_over = False

    def called(self, event: str) -> None:
        self.caller, actions = CALLER[event][self.caller]  # type: ignore[index, assignment]
        for action in actions:
            if action == "restore":
                # It looks for itself whose it is.
                self.modes = "found" if self.is_near or self.modes in ("raw", "showing") else self.modes
            else:
                assert self.is_near, f"{action} in the background"
                self.modes = {"take": "raw", "show": "showing"}[action]

    def pump_turn(self) -> None:
        """The pump reads as soon as there is something to read, EIO too."""
        while self.own and self.own.is_vacant:
            self.own.happens("all_closed")
        if self.own and self.own.state == "closed":
            self.is_unneeded_due = True

    # --- the run

    @precondition(lambda self: not self.is_alive and not self.is_over)
    @rule()
    def attempt_begins(self) -> None:
        if self.own and self.own.state != "closed":
            # The attempt before it is cut.
            self.own.happens("reader_gone")
        self.own = Terminal()
        self.own.happens("opened")
        self.called("needed")
        self.is_alive, self.is_abandoned, self.is_unneeded_due = True, False, False
        self.own.others = 1

    @precondition(lambda self: self.is_alive)
    @rule(starts=st.booleans())
    def command_ends(self, starts: bool) -> None:
        """Or it never was."""
        assert self.own
        self.is_alive = False
        if not starts:
            self.own.others = 0
        self.own.happens("ended")
        self.called("ended")
        self.pump_turn()

    @precondition(lambda self: self.own is not None)
    @rule()
    def reader_leaves(self) -> None:
        """Or nobody waits for more."""
        assert self.own
        self.own.happens("reader_gone")
        self.is_abandoned = self.is_unneeded_due = True

    @precondition(lambda self: self.is_unneeded_due)
    @rule()
    def end_of_the_pump_is_heard(self) -> None:
        self.called("not_needed")
        self.is_unneeded_due = False

    # --- the tree

    @precondition(lambda self: self.own and self.own.others and self.own.has_master)
    @rule()
    def a_process_lets_go(self) -> None:
        assert self.own
        self.own.others -= 1
        self.pump_turn()

    @precondition(lambda self: self.own and self.own.has_master and (self.is_alive or self.own.others))
    @rule()
    def a_process_opens_it(self) -> None:
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
    def something_for_the_command(self, event: str) -> None:
        assert self.own
        before = self.own.written
        self.own.happens(event)
        if event != "resized":
            # Whoever types is heard as long as the command can hear.
            assert (self.own.written > before) == (self.is_alive and not self.is_abandoned)

    @rule()
    def resized_without_any(self) -> None:
        Terminal().happens("resized")

    @precondition(lambda self: not self.is_over)
    @rule(is_near=st.booleans())
    def a_look(self, is_near: bool) -> None:
        if is_near != self.is_near:
            self.is_near = is_near
            if not is_near and self.modes != "found":
                self.modes = "others"
            elif is_near:
                # A shell that gives it to a job sets it as it was.
                self.modes = "found"
        self.called("foreground" if is_near else "background")

    @precondition(lambda self: not self.is_over)
    @rule(is_near=st.booleans())
    def stopped_and_continued(self, is_near: bool) -> None:
        self.called("paused")
        assert self.modes in ("found", "others"), "a shell gets a raw terminal"
        self.is_near = is_near
        self.modes = "found"
        self.called("foreground" if is_near else "background")

    @precondition(lambda self: not self.is_over)
    @rule()
    def run_is_over(self) -> None:
        self.called("run_ended")
        self.is_over = True
        assert self.modes in ("found", "others")
        if self.own:
            self.own.happens("reader_gone")
            assert not self.own.has_master
            assert not self.own.has_peer
        self.is_alive = False

    # --- what always holds

    @invariant()
    def command_keeps_its_terminal(self) -> None:
        if self.own and self.is_alive and not self.is_abandoned:
            assert self.own.state == "open"
            assert self.own.has_modes

    @invariant()
    def states_say_what_is_open(self) -> None:
        if self.own:
            held = {"new": (False, False), "open": (True, True), "ending": (True, False), "closed": (False, False)}
            assert (self.own.has_master, self.own.has_peer) == held[self.own.state]

    @invariant()
    def nothing_vacant_is_left_open(self) -> None:
        assert not (self.own and self.own.is_vacant)

    @invariant()
    def caller_is_raw_for_a_command_alone(self) -> None:
        if self.caller == "raw":
            assert self.is_near
            assert self.modes == "raw"
            assert self.is_alive or self.is_unneeded_due
        if self.caller in ("unused", "absent") and self.is_near:
            assert self.modes == "found"
        if self.caller == "showing":
            assert not self.is_alive
        if self.is_near and self.is_alive and not self.is_abandoned and not self.is_over:
            assert self.caller == "raw"


def test_every_history_of_a_run_on_a_terminal() -> None:
    run_state_machine_as_test(World, settings=settings(max_examples=300, stateful_step_count=40, deadline=None))


@pytest.mark.parametrize(("table", "states"), [(OWN, OWN_STATES), (CALLER, CALLER_STATES)], ids=["own", "caller"])
def test_every_event_is_answered_in_every_state(table: dict, states: tuple[str, ...]) -> None:
    for event, row in table.items():
        assert tuple(row) == states, event
        assert {after for after, _ in row.values()} <= {*states}


def test_a_terminal_that_is_closed_stays_so() -> None:
    assert {row["closed"] for row in OWN.values()} == {("closed", ())}


def test_no_action_without_a_terminal() -> None:
    """But for its making: no descriptor is named that is not there."""
    for event, row in OWN.items():
        assert row["new"][1] == (("make", "hold_open", "set_modes", "size") if event == "opened" else ())
    assert {action for row in OWN.values() for _, actions in row.values() for action in actions} == OWN_ACTIONS
