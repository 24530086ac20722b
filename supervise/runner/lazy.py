"""The import of trio without the modules that supervise never uses: a stand-in loads each of them at its first use.

An unused module costs time when it is loaded, memory while the command runs, and time again at the supervisor's exit,
which the caller waits for: a tenth of a millisecond for each megabyte.  Without TLS, DTLS, names of hosts and a search
for the C library, trio takes 3 MB of memory and 4 MB of mapped files less, and needs no process of `ldconfig`.
`importlib.util.LazyLoader` was rejected: it loads a module as soon as any code reads `__file__`, and `inspect` reads
that of all modules.
"""

import sys
from importlib import import_module
from types import ModuleType

NEVER_USED = ("ssl", "hmac", "idna", "ipaddress", "subprocess")
SEARCH = "ctypes.util"
"""The module with which trio searches for the C library, to name its threads."""
C_LIBRARY = "libc.so.6"
"""The name of the C library of most Linux systems; with another one (musl) trio's threads have no names."""


class _Later(ModuleType):
    """Stands for a module until an attribute of the module is read."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            # `inspect` reads such names of all modules.
            raise AttributeError(name)
        _withdraw(self)
        return getattr(import_module(self.__name__), name)


def load_trio() -> None:
    """Import trio, without the modules that it never uses here.

    Other code that imports one of these modules gets the module itself.  Raises the errors of an import.
    """
    import ctypes

    absent = [_Later(name) for name in NEVER_USED if name not in sys.modules]
    if SEARCH not in sys.modules:
        search = _Later(SEARCH)
        vars(search)["find_library"] = _find_library
        absent.append(search)
        vars(ctypes)["util"] = search
    sys.modules.update({one.__name__: one for one in absent})
    try:
        import_module("trio")
    finally:
        for one in absent:
            _withdraw(one)


def _withdraw(module: _Later) -> None:
    """Remove the stand-in, so that the next import loads the module itself."""
    name = module.__name__
    if sys.modules.get(name) is module:
        del sys.modules[name]
    parent, _, child = name.rpartition(".")
    if parent and getattr(sys.modules[parent], child, None) is module:
        delattr(sys.modules[parent], child)


def _find_library(name: str) -> str:
    """Return the C library, which has the functions of pthreads(7)."""
    return C_LIBRARY
