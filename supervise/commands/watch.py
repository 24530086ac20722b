"""The wait for the first of several things: the end of a run, its access, its silence, a line of its output.

The run reports its access, new output and its end over its control socket, so a wait sleeps in poll(2) until then.
While the run does not answer there (it has no socket yet, or serves as many clients as it can), the wait looks at the
record when a file of it changes, and every LOOK_SECONDS where that cannot be watched.
"""

import select
from math import inf
from time import monotonic
from typing import Any

from supervise.commands import lookup
from supervise.commands.access_state import RecordedAccess, has_access
from supervise.commands.alarm import TimeIsOverError
from supervise.commands.inquiry import Inquiry
from supervise.commands.record_bell import RecordBell
from supervise.commands.silence import RecordedSilence, ReportedSilence
from supervise.commands.wait import END, TIMEOUT
from supervise.options.table import BadValueError
from supervise.options.values import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.commands.output_search import OutputSearch
    from supervise.records.bounded_output import Place

LOOK_SECONDS = 0.04
"""Seconds between two looks at a run that does not report: half of what a wait may be late, and the look takes time."""
FIRST_LOOK_SECONDS = 0.5
"""Seconds at the start of a wait in which it looks at the record often, and relies on no report of its changes."""
FIRST_ANSWER_SECONDS = 1.0
"""Seconds that a wait may take to see what came before it, however short it is."""
RARE_LOOK_SECONDS = 1.0
"""Seconds between two looks at a record whose changes are reported: some kernels report no output by splice(2)."""
MORE_SECONDS = 0.02
"""Seconds until the run is asked for more output again: so a flood of output makes no flood of answers."""


class Watch:
    """One wait for one run."""

    def __init__(self, target: lookup.Target, until: tuple[tuple[str, str], ...], place: "Place | None") -> None:
        """Prepare the wait for the pairs `until`, as `values.read_untils` returns them.

        The output on record is searched from `place` on, from its beginning where that is None.
        """
        self._target = target
        patterns = [argument for name, argument in until if name == "match"]
        idle = {duration(argument) or inf: f"idle={argument}" for name, argument in until if name == "idle"}
        self._search = _search_of(target, place, patterns) if patterns else None
        # A run that is asked nothing else shows its end on this connection.
        self._main = Inquiry(target, "more" if patterns else "status")
        self._next_more = inf
        """When the run is to be asked for more output again, by CLOCK_MONOTONIC."""
        self._inquiries = [self._main]
        self._access: Inquiry | None = None
        self._is_up = False
        if ("access", "") in until:
            self._access = Inquiry(target, "status", "access")
            self._inquiries.append(self._access)
        self._bell = RecordBell(target.record.folder) if target.record else None
        self._recorded_access = RecordedAccess(target.record) if target.record else None
        self._begun = monotonic()
        self._idle_word = idle.get(min(idle, default=inf), "")
        self._silence: ReportedSilence | None = None
        self._recorded_silence: RecordedSilence | None = None
        if idle:
            inquiry = Inquiry(target, "status") if patterns else self._main
            self._silence = ReportedSilence(inquiry, min(idle))
            self._inquiries += [inquiry] * (inquiry is not self._main)
            if target.record and target.record.has_output:
                self._recorded_silence = RecordedSilence(target.record, min(idle))

    @property
    def end(self) -> dict[str, Any] | None:
        """The event `ended` of the run, with outcome and exit code; None where none has come."""
        return next((one.end for one in self._inquiries if one.end), None)

    @property
    def unsearched(self) -> int:
        """The bytes of output that were dropped before they could be searched."""
        return self._search.left_out if self._search else 0

    def wait(self, deadline: float) -> str:
        """Wait; return what came first, as the user has written it, END, or TIMEOUT at that moment (CLOCK_MONOTONIC).

        Raises BadValueError where the run cannot be asked, or its output not be searched.
        """
        # A wait of a millisecond, too, sees what has come before it.
        first = max(deadline, self._begun + FIRST_ANSWER_SECONDS)
        try:
            while (found := self._look(first)) is None:
                if self._has_looked():
                    first = deadline
                if first <= monotonic():
                    return TIMEOUT
                self._sleep(first)
            return found
        except TimeIsOverError:
            return TIMEOUT

    def _look(self, deadline: float) -> str | None:
        """Ask the run what it has not been asked yet, and return what has come; None for nothing.

        Raises TimeIsOverError where the search of the output takes longer than until `deadline`.
        """
        if self._is_over():
            return END
        if self._next_more <= monotonic():
            self._next_more = inf
            self._main.add("more")
        for one in self._inquiries:
            # This comes before the output is read: the run reports each byte that comes after the request.
            one.ask()
        if self._is_over():
            return END
        if self._search and (pattern := self._search.find(deadline)) is not None:
            return f"match={pattern}"
        if self._silence_due() <= monotonic():
            return self._idle_word
        if self._access and not self._access.is_served and self._recorded_access:
            self._is_up = self._is_up or self._recorded_access.look()
        return "access" if self._is_up else None

    def _silence_due(self) -> float:
        """Return when the run will have been silent for so long, by CLOCK_MONOTONIC; it has been if that is past.

        The run itself knows best: on a full disk its output goes on, and the record does not.
        """
        if self._silence is None:
            return inf
        if self._silence.inquiry.is_served or self._recorded_silence is None:
            return self._silence.due()
        return self._recorded_silence.due() if self._begun + FIRST_LOOK_SECONDS < monotonic() else inf

    def _has_looked(self) -> bool:
        """Return whether all that came before the wait has been seen: the run has answered, and its output was read."""
        is_behind = self._search is not None and self._search.is_behind
        return not is_behind and all(one.is_served for one in self._inquiries)

    def _is_over(self) -> bool:
        """Return whether the run is over.

        Raises BadValueError where there is nothing to wait for: a run without a record that cannot be asked.
        """
        if self.end:
            return True
        if self._main.is_connected:
            return False
        if self._target.record:
            return not self._target.is_running()
        if self._main.is_gone and not self._main.was_connected:
            raise BadValueError(f"run {self._target.run_id} {self._target.ending()}")
        return self._main.is_gone

    def _sleep(self, deadline: float) -> None:
        """Wait until the run reports something, or it is time to look; take what it reports."""
        wake = min(deadline, self._next_more, self._silence_due(), monotonic() + self._seconds_to_look())
        if (self._search and self._search.is_behind) or any(one.has_line for one in self._inquiries):
            wake = 0.0
        poll = select.poll()
        for one in self._inquiries:
            if one.is_connected:
                poll.register(one, select.POLLIN)
        if self._bell and self._bell.is_ringing:
            self._bell.silence()
        elif self._bell and self._bell.fileno() >= 0:
            poll.register(self._bell, select.POLLIN)
        ready = dict(poll.poll(None if wake == inf else max(0.0, wake - monotonic()) * 1000 + 1))
        for one in self._inquiries:
            if one.is_connected and (one.has_line or one.fileno() in ready):
                self._hear(one)
        if self._bell and self._bell.fileno() in ready:
            self._bell.ring()

    def _seconds_to_look(self) -> float:
        """Return the seconds until the record is to be looked at; infinity where the run reports all."""
        if all(one.is_served for one in self._inquiries):
            if self._bell:
                self._bell.take_down()
            return inf
        if self._bell is None or self._begun + FIRST_LOOK_SECONDS > monotonic() or not self._bell.hang():
            return LOOK_SECONDS
        if self._bell.is_ringing:
            # Once more, a moment later: the lock of a run is free only after its file is reported as closed.
            return LOOK_SECONDS
        return RARE_LOOK_SECONDS

    def _hear(self, inquiry: Inquiry) -> None:
        asked, answer = inquiry.hear()
        if asked == "more":
            self._next_more = monotonic() + MORE_SECONDS
        elif asked == "access" or (asked and inquiry is self._access):
            self._is_up = asked == "access" or has_access(answer)
        elif asked and self._silence and inquiry is self._silence.inquiry:
            self._silence.hear(answer)


def _search_of(target: lookup.Target, place: "Place | None", patterns: list[str]) -> "OutputSearch":
    from supervise.commands.output_search import OutputSearch

    assert target.record
    return OutputSearch(target.record.folder, place, patterns)
