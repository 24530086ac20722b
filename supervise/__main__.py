"""The entry of supervise: the fast path, or the reader by click for words that the fast reader does not fully know."""

import _signal
import gc
import posix
import sys
from time import monotonic

from supervise import EXIT_ERROR, is_short_of_memory

FAST_PATH = (
    "options", "options.paths", "options.table", "options.argv", "process", "process.system", "launch",
    "launch.early_exit", "launch.environment", "launch.state", "launch.launch", "process.channel", "process.spawn",
    "process.holder", "process.guardian",
)  # fmt: skip
"""What each run loads before its command exists, each module after those that it imports; a test holds the list."""
SHORT_RUN = ("launch.short_run",)
"""What a run loads while its command is being started."""
ROOMS = ("options", "process", "launch")
"""The packages in FAST_PATH, whose own files hold a docstring alone, and are not read."""
HEADER_BYTES = 16
"""Bytes of a file of bytecode before its code: the magic number, flags, and time and size of the source (PEP 552)."""
BYTECODE_BYTES = 1 << 16
"""More than the largest of these files has."""


def main(add_packages: "Callable[[], None]" = lambda: None) -> None:
    """Run supervise with the words of the command line.

    Where the interpreter has left the module `site` out, `add_packages` makes the libraries of others importable.
    """
    try:
        _main(add_packages)
    except Exception:
        if not is_short_of_memory():
            # A long run takes this away from Python.
            sys.stderr = sys.__stderr__
            raise
        # Memory ran out before the command existed, even for the first libraries.
        posix.write(2, b"supervise: cannot start: out of memory\n")
        _end_process(EXIT_ERROR)


def _main(add_packages: "Callable[[], None]") -> None:
    began = monotonic()
    # The start makes no garbage worth a collection. The collector is enabled once the command runs.
    gc.disable()
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        # Ctrl-C while a library loads ends supervise as it ends any program, without a traceback.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _fill_stdio()
    words = sys.argv[1:]
    is_run = words[:1] == ["run"] or (words[0][:1] == "-" and "--" in words if words else False)
    if is_run:
        _load(FAST_PATH)
    from supervise.options import argv
    from supervise.process import system

    request = argv.read(words, system.environ_text()) if is_run else None
    if request is None:
        add_packages()
        from supervise.commands import invocation

        call = invocation.read(words)
        if call is None:
            from supervise.commands import app

            asked = app.main(words, system.environ_text())
            if isinstance(asked, invocation.Invocation):
                call = asked
            else:
                request = asked
        if call:
            _end_process(invocation.carry_out(call))
    assert request
    from supervise.launch.early_exit import EarlyExit, take_back

    try:
        launched = _start(request, began, add_packages)
        try:
            from supervise.runner import long_run
        except (OSError, ImportError, MemoryError) as error:
            take_back(launched, error)
        long_run.run(launched, add_packages, _end_process)
    except EarlyExit as early:
        _end_process(early.code, early.die_of)


def _load(names: "tuple[str, ...]") -> None:
    """Load these modules of supervise from their bytecode: import statements take a third longer.

    A wrapper is started thousands of times a day. The import statements that follow find these modules loaded, and load
    those that are left where bytecode is missing, old, or of another kind than Python writes by default.
    """
    if sys._xoptions or sys.flags.optimize or sys.pycache_prefix:
        # `-X importtime` has to see every import; the others give the files other names.
        return
    from _frozen_importlib_external import MAGIC_NUMBER
    from marshal import loads

    folder, modules = __file__.rpartition("/")[0], sys.modules
    for name in names:
        whole_name, path = f"supervise.{name}", f"{folder}/{name.replace('.', '/')}"
        if whole_name in modules:
            # A program that has imported supervise may call `main`: a second module would have other classes.
            continue
        source = f"{path}/__init__.py" if name in ROOMS else f"{path}.py"
        module = type(sys)(whole_name)
        module.__file__ = source
        module.__package__, _, own_name = whole_name.rpartition(".")
        if name in ROOMS:
            module.__package__, module.__path__ = whole_name, [path]
        modules[whole_name] = module
        try:
            if name not in ROOMS:
                exec(loads(_bytecode(source, MAGIC_NUMBER)), module.__dict__)
        except Exception:
            # The import statement says what is the matter, if it fails, too.
            modules.pop(whole_name, None)
            return
        setattr(modules[whole_name.rpartition(".")[0]], own_name, module)


def _bytecode(source: str, magic: bytes) -> memoryview:
    """Return the bytecode of that source file; raises OSError or ValueError where there is none that is up to date."""
    folder, _, name = source.removesuffix(".py").rpartition("/")
    made = posix.stat(source)
    fd = posix.open(f"{folder}/__pycache__/{name}.{sys.implementation.cache_tag}.pyc", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        data = posix.read(fd, BYTECODE_BYTES)
    finally:
        posix.close(fd)
    fields = 0, int(made.st_mtime) & 0xFFFFFFFF, made.st_size & 0xFFFFFFFF
    if data[:HEADER_BYTES] != magic + b"".join(field.to_bytes(4, "little") for field in fields):
        raise ValueError(name)
    return memoryview(data)[HEADER_BYTES:]


def _start(request: "Request", began: float, add_packages: "Callable[[], None]") -> "Launched":
    """Start the command, and return the state of the run; end this process where the run is turned away.

    Raises EarlyExit if the run is refused, or if a short run has ended and there is nothing to report.
    """
    from supervise.launch import launch

    launched = launch.new_run(request, began)
    turned_away = launch.run(launched, _clear_up, lambda: _load(SHORT_RUN))
    if turned_away:
        add_packages()
        from supervise.runner import unstarted_run

        outcome = unstarted_run.end(launched, turned_away)
        _end_process(outcome.exit_code, outcome.die_of)
    return launched


def _end_process(code: int, signal: "int | None" = None) -> "NoReturn":
    """End this process with the exit code, or by the signal if this process can die of it (PID 1 cannot).

    The interpreter's own shutdown would cost 40 ms, and would wait for threads that may hang.
    """
    if signal:
        from supervise.process import signals

        signals.die_of(signal)
    posix._exit(code)


def _fill_stdio() -> None:
    """Open something on each of the descriptors 0, 1 and 2 that is closed.

    Otherwise a pipe of supervise would get the number.
    """
    for number in range(3):
        try:
            posix.fstat(number)
        except OSError:
            _open_nothing()


def _open_nothing() -> None:
    try:
        # Output to that descriptor is discarded, and the exit code of the command is kept.
        posix.open("/dev/null", posix.O_RDWR)
    except OSError:
        from supervise.process import null

        null.open_null()


def _clear_up(facts: "Facts", left: "list[tuple[str, str]]", fault: str) -> None:
    """Write the end of the run in the guardian, after the supervisor has died or has given up because of `fault`."""
    from supervise.records import lost

    lost.remove_sockets(left)
    lost.write(*facts[:5], is_recorded=facts[5], fault=fault)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from supervise.launch.state import Launched
    from supervise.options.argv import Request
    from supervise.process.protocol import Facts


def _begin_anew() -> None:
    """Execute Python anew in isolated mode, for `python -m supervise`.

    The current folder and PYTHONPATH are meant for the imports of the command, not for those of supervise.
    """
    import os

    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = f"import sys; sys.path.append({folder!r}); from supervise.__main__ import main; main()"
    if not _had_lc_ctype():
        os.unsetenv("LC_CTYPE")
    try:
        os.execv(sys.executable, [sys.executable, "-I", "-c", code, *sys.argv[1:]])
    except OSError:
        # This interpreter runs supervise as it is.
        pass


def _had_lc_ctype() -> bool:
    from supervise.process import spawn

    return spawn.had_lc_ctype()


if __name__ == "__main__":
    if not sys.flags.isolated:
        _begin_anew()
    main()
