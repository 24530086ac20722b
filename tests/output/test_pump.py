"""How a pump ends: what it posts to the loop, and which pipe it reports to the guardian."""

import os
from contextlib import suppress

from supervise.output.outlet import Outlet
from supervise.output.pump import Cutoff, Pump, take_turns
from supervise.process.inbox import Inbox
from tests.support.harness import wait_until


class Streams:
    """Two pumps, with the pipes of a command at one side and of a reader at the other."""

    def __init__(self):
        self.inbox = Inbox()
        self.unread = []
        cut_heard, self.cut = os.pipe()
        cut = Cutoff(cut_heard)
        self.sinks, self.readers, self.outlets, pumps = [], [], [], []
        for stream in ("stdout", "stderr"):
            source, sink = os.pipe()
            reader, ours = os.pipe()
            self.sinks.append(sink)
            self.readers.append(reader)
            self.outlets.append(ours)
            pumps.append(Pump(stream, source, Outlet(ours), cut, self.inbox, unread=self.unread.append))
        self.numbers = [os.fstat(sink).st_ino for sink in self.sinks]
        self.pumps = tuple(pumps)
        take_turns(self.pumps, -1)
        for pump in self.pumps:
            pump.start()

    def close(self):
        for fd in (*self.sinks, *self.readers, self.cut):
            # The test may have closed it.
            with suppress(OSError):
                os.close(fd)
        wait_until(lambda: all(pump.has_ended for pump in self.pumps))
        wait_until(lambda: not any(pump._end.locked() for pump in self.pumps))
        for fd in (*self.outlets, self.inbox._wake, self.inbox._trigger):
            os.close(fd)

    def ended(self):
        return [item[1] for item in self.inbox.take() if item[0] == "ended"]


def test_only_the_later_end_of_two_pumps_wakes_the_loop():
    streams = Streams()
    try:
        os.close(streams.sinks[0])
        # A pump would post its end after `has_ended`; it then releases the lock as its last act.
        wait_until(lambda: streams.pumps[0].has_ended and not streams.pumps[0]._end.locked())
        assert streams.ended() == []
        os.close(streams.sinks[1])
        assert wait_until(streams.ended) == [streams.pumps[1]]
    finally:
        streams.close()


def test_two_pumps_that_end_at_once_wake_the_loop():
    for _ in range(200):
        streams = Streams()
        try:
            for sink in streams.sinks:
                os.close(sink)
            assert wait_until(streams.ended)
            wait_until(lambda: all(pump.has_ended for pump in streams.pumps))  # noqa: B023 - it is called here
        finally:
            streams.close()


def test_a_failure_is_posted_at_once():
    full = os.open("/dev/full", os.O_WRONLY)
    streams = Streams()
    try:
        os.dup2(full, streams.pumps[0]._outlet.fd)
        os.write(streams.sinks[0], b"line\n")
        assert wait_until(streams.ended) == [streams.pumps[0]]
        assert streams.pumps[0].failure == "no space left on device"
    finally:
        streams.close()
        os.close(full)


def test_only_a_pipe_that_has_lost_its_reader_is_reported_to_the_guardian():
    streams = Streams()
    try:
        os.close(streams.readers[0])
        # The thread of the pump reports it right after the end.
        wait_until(lambda: streams.pumps[0].has_ended and streams.unread)
        assert streams.unread == [streams.numbers[0]]
        os.close(streams.sinks[1])
        wait_until(lambda: streams.pumps[1].has_ended)
        assert streams.unread == [streams.numbers[0]]
    finally:
        streams.close()
