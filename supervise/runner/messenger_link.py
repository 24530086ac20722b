"""Tells others of the run while it goes on, by the messenger (`monitoring/messenger.py`), and hears what it answers."""

import os
from collections.abc import Callable
from time import monotonic

from supervise.core.events import RetryScheduled
from supervise.core.outcome import Outcome
from supervise.faces.report_items import ReportItem, Trouble
from supervise.launch import monitors
from supervise.launch.state import Launched
from supervise.process import helper_process
from supervise.runner.reaper import own_children
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervise.monitoring.courier import Courier


class MessengerLink:
    """The way from the notices of one run to the messenger; a messenger that cannot be had costs only its messages."""

    def __init__(self, launched: Launched, announce: Callable[[ReportItem], None]) -> None:
        self._launched = launched
        self._announce = announce
        self._courier: Courier | None = None
        has_hooks = launched.info.values["hook"]
        self._none = "--hook: no hook is run" if has_hooks else "--ping: nothing is pinged"
        self._no_more = "--hook: no more hooks are run" if has_hooks else "--ping: nothing more is pinged"
        self._pings_until = 0.0
        """Until when the end of the run waits for its last ping, by CLOCK_MONOTONIC."""
        self._awaited = 0
        """The number of the event `retrying` before the next attempt; 0 where none has hooks."""

    def start(self) -> None:
        """Start the messenger; announce why, where that fails."""
        try:
            self._courier = courier = monitors.courier_of(self._launched)
            courier.start()
            failure = courier.failure
        except (OSError, ImportError) as error:
            failure = reason_of(error)
        if failure:
            self._announce(Trouble(f"{self._none}: {failure}"))

    def tell(self, item: ReportItem, line: str) -> None:
        """Send the item, as a line of JSON, where somebody is to be told of it."""
        if self._courier:
            if isinstance(item, Outcome):
                self._pings_until = monotonic() + self._launched.info.values["ping_wait"]
                if self._courier.awaits_pings:
                    from supervise.runner import ping_body

                    self._courier.send_output(ping_body.of(self._launched))
            number = self._courier.tell(line)
            if isinstance(item, RetryScheduled):
                self._awaited = number

    @property
    def is_awaited(self) -> bool:
        """Return whether hooks run that have to be over before the next attempt."""
        courier = self._courier
        return bool(courier and not courier.is_over and self._awaited > courier.told)

    @property
    def descriptor(self) -> int:
        """Return the descriptor that is readable when the messenger answers, or has died; -1 once it is dead."""
        courier = self._courier
        return courier.fileno() if courier and not courier.is_over else -1

    def hear(self) -> None:
        """Announce what the messenger says, and its death."""
        courier = self._courier
        if courier is None or courier.is_over:
            return
        self._announce_all(courier.hear())
        if courier.is_over:
            self._give_up()

    def _give_up(self) -> None:
        self._announce(Trouble(f"{self._no_more}: the process for that has died"))
        self._kill_hooks()

    def _kill_hooks(self) -> None:
        """Kill the hooks of a messenger that has died: they are children of the supervisor now."""
        child = self._launched.child
        if child.holder() != os.getpid():
            # Otherwise they are among the processes that are stopped with the command.
            helper_process.kill_all_but({child.guardian.pid, *own_children(self._launched), *helper_process.living()})

    def end(self) -> None:
        """Wait a little for the last hooks; announce which of them have failed, and what was left out."""
        if self._courier is None:
            return
        was_over = self._courier.is_over
        self._announce_all(self._courier.await_last())
        if self._courier.has_died and not was_over:
            self._give_up()
        if self._courier.left_out:
            self._announce(Trouble(f"--hook: {self._courier.left_out} events were left out: the hooks took too long"))

    def await_pings(self) -> list[str]:
        """Wait for the last ping until --ping-wait is over or a signal comes; return what is to be said of it."""
        if self._courier is None:
            return []
        return self._courier.await_pings(self._pings_until, self._launched.has_cancelling_signal)

    def _announce_all(self, texts: "Sequence[str]") -> None:
        for text in texts:
            self._announce(Trouble(text))
