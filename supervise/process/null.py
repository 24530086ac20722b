"""/dev/null, also where there is none: in a bare chroot, or where only a device node without a driver is left."""

import os


def open_null() -> int:
    """Return a descriptor of /dev/null, or, where that cannot be opened, of a pipe from which nothing will ever come.

    Of such a pipe each read is at its end, and each write fails, as on a descriptor that is closed.
    Raises OSError where there is no descriptor left.
    """
    try:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        end, other = os.pipe()
        os.close(other)
        return end
