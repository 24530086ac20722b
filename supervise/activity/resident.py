"""The memory of a tree: the resident bytes of each process, and what it has of pages that are shared.

The sum of all resident sizes (statm, proc(5)) is cheap, and counts a shared page once for each process that has it. The
proportional size (PSS, smaps_rollup) counts it once in all, and takes the kernel a walk over all pages: it is asked for
only where the sum is above a limit.
"""

import os

from supervise.process import tree

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def of_process(pid: int) -> int:
    """Return the resident bytes of the process; 0 where it is gone, dead or unreadable."""
    fields = tree.read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * PAGE_BYTES if len(fields) > 1 else 0


def proportional(sizes: dict[int, int], limit: int) -> int:
    """Return the proportional size of the processes of `sizes` (pid: resident bytes), or a part of it above `limit`.

    A process whose pages may not be read counts with its resident size.
    """
    total = 0
    for pid in sorted(sizes, key=sizes.__getitem__, reverse=True):
        total += _proportional_of(pid, sizes[pid])
        if total > limit:
            break
    return total


def _proportional_of(pid: int, resident: int) -> int:
    for line in tree.read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return resident
