"""When a run on record last gave a sign of life, and why it was lost."""

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
    """Return the newest change of the record's files, in epoch seconds; None where the folder cannot be read."""
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
    """Return why the run is lost: REBOOT where the machine has booted since, else CRASH."""
    return REBOOT if identity.is_other_boot(record.facts) else CRASH


def local(epoch: float) -> str:
    """Return that moment (epoch seconds) in local time: `2026-11-24 14:07:00+01:00`."""
    text = strftime("%Y-%m-%d %H:%M:%S%z", localtime(epoch))
    return f"{text[:-2]}:{text[-2:]}"
