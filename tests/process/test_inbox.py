"""The queue of what the threads have to tell."""

import os
import threading
import time

from supervise.process import inbox
from tests.support.harness import wait_until


def test_a_thread_that_others_can_make_post_waits_until_very_much_is_taken() -> None:
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
