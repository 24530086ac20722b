"""/dev/null, also where it does not work: in a bare chroot, or where only a device node without a driver is left."""

import os


def open_null() -> int:
    """Return a descriptor of /dev/null, or a substitute where that cannot be opened.

    The substitute is the read end of a pipe without a writer: each read returns the end of the file, and each write
    fails as on a descriptor that is not open for writing. Raises OSError where the process has no descriptor left.
    """
    try:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        end, other = os.pipe()
        os.close(other)
        return end
