"""The queue of messages from the threads to the loop."""

import os
import threading
import time

from supervise.process import inbox
from tests.support.harness import wait_until


def test_a_thread_that_posts_for_other_processes_waits_while_the_queue_is_full() -> None:
    before = len(os.listdir("/proc/self/fd"))
    box = inbox.Inbox()
    posted = 0

    def post() -> None:
        nonlocal posted
        while posted < 5000:
            box.post(("copy failed", "record", str(posted)))
            posted += 1
            box.wait_for_room()

    thread = threading.Thread(target=post)
    thread.start()
    wait_until(lambda: posted == inbox.FULL_ITEMS)
    time.sleep(10 * inbox.FULL_POLL_SECONDS)
    assert posted == inbox.FULL_ITEMS
    taken: list[object] = []
    while len(taken) < 5000:
        box.wait(1)
        taken += box.take()
    thread.join()
    assert taken == [("copy failed", "record", str(number)) for number in range(5000)]
    os.close(box._wake)
    os.close(box._trigger)
    assert len(os.listdir("/proc/self/fd")) == before
