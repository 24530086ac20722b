"""The few calls of Linux that Python's built-in modules do not offer.

`_ctypes` is called without `ctypes`, whose import alone costs 10 ms.
"""

import sys

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, argument: "int | bytes") -> bool:
    """Set one attribute of this process; False where that is not to be had (`man 2 prctl`)."""
    if sys.platform != "linux":
        return False
    try:
        import _ctypes

        address = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
        return bool(_ctypes.call_function(address, (option, argument, 0, 0, 0)) == 0)
    except (ImportError, OSError):
        return False


def become_subreaper() -> bool:
    """Orphans of our tree become our children, instead of init's: PR_SET_CHILD_SUBREAPER (Linux 3.4)."""
    return prctl(PR_SET_CHILD_SUBREAPER, 1)
