"""Why a run is lost, and when it was last seen, as its record tells."""

import os
from time import localtime, strftime

from supervise.process import identity
from supervise.records import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.records.reader import Record

CRASH, REBOOT = "supervisor died", "reboot"
TOUCHED_FILES = (store.FACTS_FILE, store.LOCK_FILE, store.EVENTS_FILE, store.ROOTS_FILE, store.SAMPLES_FILE)


def last_seen(record: "Record") -> "float | None":
    """When it last gave a sign of life, in epoch seconds; None where nobody can tell."""
    seen = []
    try:
        names = os.listdir(record.folder)
    except OSError:
        return None
    for name in names:
        if name in TOUCHED_FILES or name.startswith("output"):
            try:
                seen.append(os.lstat(f"{record.folder}/{name}").st_mtime)
            except OSError:
                pass
    return max(seen, default=None)


def reason_of(record: "Record") -> str:
    """Why it is lost."""
    return REBOOT if identity.is_other_boot(record.facts) else CRASH


def local(epoch: float) -> str:
    """`2026-11-24 14:07:00+01:00`."""
    text = strftime("%Y-%m-%d %H:%M:%S%z", localtime(epoch))
    return f"{text[:-2]}:{text[-2:]}"
