"""The import of trio without what supervise never uses of it; that is loaded at its first use by other code.

An unused module costs time when it is loaded, memory while the command runs, and time again at the supervisor's exit,
which the caller waits for: a tenth of a millisecond for each megabyte.  Without TLS, DTLS, sockets, subprocesses, paths
and a search for the C library, trio takes 4 MB of memory and 4 MB of mapped files less, and needs no process of
`ldconfig`.  `importlib.util.LazyLoader` was rejected: it loads a module as soon as any code reads `__file__`, and
`inspect` reads that of all modules.
"""

import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.machinery import ModuleSpec

NEVER_USED = ("ssl", "hmac", "idna", "ipaddress", "subprocess")
"""The modules that trio and its libraries import; nothing that a run calls reads a name in them."""
SEARCH = "ctypes.util"
"""The module with which trio searches for the C library, to name its threads."""
C_LIBRARY = "libc.so.6"
"""The name of the C library of most Linux systems; with another one (musl) trio's threads have no names."""
TRIO_PARTS = ("_core", "_timeouts", "_sync")
"""The modules of trio whose names a run, or the rest of what a run loads of trio, reads in the package itself."""


class _Later(ModuleType):
    """Stands for a module until an attribute of the module is read."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            # `inspect` reads such names of all modules.
            raise AttributeError(name)
        _withdraw(self)
        return getattr(import_module(self.__name__), name)


def _find_library(name: str) -> str:
    """Return the C library, which has the functions of pthreads(7)."""
    return C_LIBRARY


def _python_implementation() -> str:
    """Return the name of the only interpreter on which supervise runs."""
    return "CPython"


class _Logger:
    """Stands for a logger until a method of the logger is read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> object:
        from logging import getLogger

        return getattr(getLogger(self._name), name)


ANSWERS: "dict[str, dict[str, Callable[..., object]]]" = {
    SEARCH: {"find_library": _find_library},
    "platform": {"python_implementation": _python_implementation},
    "logging": {"getLogger": _Logger},
}
"""Modules of which one function is called while trio is imported, and what answers in its place.

attrs asks for the name of the interpreter.  trio asks for two loggers, which take the errors of instruments and of
asynchronous generators.
"""


def load_trio() -> None:
    """Import trio, without the modules that it never uses here.

    Other code that imports one of these modules gets the module itself.  Raises the errors of an import.
    """
    with _stand_ins():
        spec = None if "trio" in sys.modules else PathFinder.find_spec("trio")
        if not spec or not _load_parts(spec):
            import_module("trio")


@contextmanager
def _stand_ins() -> "Iterator[None]":
    """Let what is imported meanwhile find stand-ins for the modules that are not loaded yet."""
    import ctypes

    absent = [_Later(name) for name in (*NEVER_USED, *ANSWERS) if name not in sys.modules]
    for one in absent:
        vars(one).update(ANSWERS.get(one.__name__, {}))
        if one.__name__ == SEARCH:
            vars(ctypes)["util"] = one
    sys.modules.update({one.__name__: one for one in absent})
    try:
        yield
    finally:
        for one in absent:
            _withdraw(one)


def _load_parts(spec: "ModuleSpec") -> bool:
    """Load what a run needs of trio; return False, and leave nothing behind, if this trio has other parts.

    The package is made as an import makes it, but its own file, which imports all parts, is not executed before code
    reads a name that is missing here.
    """
    from importlib.util import module_from_spec

    trio = module_from_spec(spec)
    sys.modules["trio"] = trio
    vars(trio)["__getattr__"] = _whole(trio, spec)
    try:
        for part in TRIO_PARTS:
            names = vars(import_module(f"trio.{part}"))
            vars(trio).update({name: names[name] for name in names if name[0] != "_"})
        # Of this module, which loads what starts processes, a run needs nothing but what it takes from the core.
        vars(trio)["lowlevel"] = vars(trio)["_core"]
    except ImportError:
        for name in [one for one in sys.modules if one == "trio" or one.startswith("trio.")]:
            del sys.modules[name]
        return False
    return True


def _whole(trio: ModuleType, spec: "ModuleSpec") -> "Callable[[str], object]":
    """Return the `__getattr__` (PEP 562) of trio: it executes the package's own file, once."""

    def read(name: str) -> object:
        if name.startswith("__") or f"trio.{name}" in sys.modules or not spec.loader:
            # A module that is being imported: the import statement then finds it without the package's help.
            raise AttributeError(name)
        vars(trio).pop("__getattr__", None)
        vars(trio).pop("lowlevel", None)
        with _stand_ins():
            spec.loader.exec_module(trio)
        return getattr(trio, name)

    return read


def _withdraw(module: _Later) -> None:
    """Remove the stand-in, so that the next import loads the module itself."""
    name = module.__name__
    if sys.modules.get(name) is module:
        del sys.modules[name]
    parent, _, child = name.rpartition(".")
    if parent in sys.modules and getattr(sys.modules[parent], child, None) is module:
        delattr(sys.modules[parent], child)
