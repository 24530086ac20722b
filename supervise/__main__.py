"""The entry of supervise: the fast path, or the typer app for words that the fast reader does not fully know."""

import _signal
import gc
import os
import sys
from time import monotonic

from supervise import EXIT_ERROR

ENFILE, EMFILE = 23, 24
"""Error numbers of errno(3), written out because loading the module would slow each short run."""
SOME_MEMORY = 4 << 20
"""Bytes of memory without which no library can be loaded."""


def main() -> None:
    """Run supervise with the words of the command line."""
    try:
        _main()
    except Exception:
        if not _is_short_of_memory():
            raise
        # Memory ran out before the command existed, even for the first libraries.
        os.write(2, b"supervise: cannot start: out of memory\n")
        _end_process(EXIT_ERROR)


def _main() -> None:
    began = monotonic()
    # The start makes no garbage worth a collection. The collector is enabled once the command runs.
    gc.disable()
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        # Ctrl-C while a library loads ends supervise as it ends any program, without a traceback.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _fill_stdio()
    words = sys.argv[1:]
    is_run = words[:1] == ["run"] or (words[0][:1] == "-" and "--" in words if words else False)
    from supervise.options import argv

    request = argv.read(words, os.environ) if is_run else None
    if request is None:
        from supervise.commands import invocation

        call = invocation.read(words)
        if call is None:
            from supervise.commands import app

            asked = app.main(words, os.environ)
            if isinstance(asked, invocation.Invocation):
                call = asked
            else:
                request = asked
        if call:
            _end_process(invocation.carry_out(call))
    assert request
    from supervise.launch.early_exit import EarlyExit

    try:
        launched = _start(request, began)
    except EarlyExit as early:
        _end_process(early.code)
    # The command runs, and its bytes flow. The threads that pump them need the interpreter while libraries load: a line
    # must not wait for a whole import.
    sys.setswitchinterval(0.0005)
    gc.enable()
    try:
        _go_on(launched)
    except Exception as error:
        _give_up(launched, f"{_fault_of(error)}; stopping the command")


def _start(request: "Request", began: float) -> "Launched":
    """Start the command and the flow of its output; return the state of the run.

    Raises EarlyExit if the run is refused, or if a short run has ended and there is nothing to report.
    """
    from supervise.launch import launch
    from supervise.launch.state import Launched

    caller = launch.detach(request) if request.values["detach"] else -1
    launched = Launched(request, caller, began)
    turned_away = launch.run(launched, _clear_up)
    if turned_away:
        from supervise.runner import unstarted_run

        outcome = unstarted_run.end(launched, turned_away)
        _end_process(outcome.exit_code, outcome.die_of)
    sys.unraisablehook = _end_with_thread(launched)
    _let_flow(launched)
    return launched


def _end_process(code: int, signal: "int | None" = None) -> "NoReturn":
    """End this process with the exit code, or by the signal if this process can die of it (PID 1 cannot).

    The interpreter's own shutdown would cost 40 ms, and would wait for threads that may hang.
    """
    if signal:
        from supervise.process import signals

        signals.die_of(signal)
    os._exit(code)


def _give_up(launched: "Launched", why: str) -> "NoReturn":
    """End the run and this process after a fault of supervise, in the thread that has found the fault."""
    # If the end of the run is already written, this process exits with the code that it names.
    settled = launched.files.settled
    try:
        from supervise.launch import early_exit

        early_exit.give_up(launched, why)
    finally:
        _end_process(EXIT_ERROR if settled is None else settled)


def _fault_of(error: Exception) -> str:
    """Return what has failed, and where in the program unless the system is short of a resource."""
    from supervise.launch.early_exit import reason_of

    while isinstance(error, ExceptionGroup):
        # trio wraps the error of a task in groups.
        error = error.exceptions[0]
    if _is_short_of_memory():
        # The type of the error says nothing: CPython reports a lack of memory as another error in some places.
        return "cannot go on: out of memory"
    if _is_short_of_descriptors():
        return "cannot go on: too many open files"
    if isinstance(error, (OSError, ImportError, MemoryError)):
        # Most likely supervise is not at fault: a library cannot be loaded.
        return f"cannot go on: {reason_of(error)}"
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "nowhere"
    return f"internal error: {type(error).__name__}: {error} ({where})"


def _is_short_of_memory() -> bool:
    """Return whether SOME_MEMORY cannot be allocated."""
    try:
        bytearray(SOME_MEMORY)
    except MemoryError:
        return True
    return False


def _is_short_of_descriptors() -> bool:
    """Return whether no descriptor can be opened."""
    try:
        os.close(os.dup(2))
    except OSError as error:
        # Descriptor 2 may be closed, which is another error and no lack of descriptors.
        return error.errno in (ENFILE, EMFILE)
    return False


def _end_with_thread(launched: "Launched") -> "Callable[[sys.UnraisableHookArgs], None]":
    """Return a hook that ends the run without a traceback if one of its threads has died for lack of memory."""

    def end(what: "sys.UnraisableHookArgs") -> None:
        if what.exc_type is not MemoryError and not _is_short_of_memory():
            sys.__unraisablehook__(what)
            return
        _give_up(launched, "cannot go on: out of memory; stopping the command")

    return end


def _let_flow(launched: "Launched") -> None:
    """Start the flow of the command's output, and wait a moment for a command that is about to end.

    Raises EarlyExit as `_start` does.
    """
    try:
        from supervise.runner import relay

        relay.start(launched)
    except (OSError, RuntimeError, ImportError, MemoryError) as error:
        from supervise.launch import early_exit

        early_exit.take_back(launched, error)
    relay.watch(launched)


def _go_on(launched: "Launched") -> "NoReturn":
    """Watch the command to its end, and end this process as the run ended."""
    from supervise.runner import dispatcher
    from supervise.runner.finish import finish

    runner = dispatcher.begin(launched)

    def end() -> "NoReturn":
        outcome = finish(runner)
        _end_process(outcome.exit_code, outcome.die_of)

    if runner.outcome is None:
        from supervise.runner import lazy

        lazy.load_trio()
        from supervise.runner import loop

        loop.watch(runner, end)
    end()


def _fill_stdio() -> None:
    """Open something on each of the descriptors 0, 1 and 2 that is closed.

    Otherwise a pipe of supervise would get the number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _open_nothing()


def _open_nothing() -> None:
    try:
        # Output to that descriptor is discarded, and the exit code of the command is kept.
        os.open(os.devnull, os.O_RDWR)
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
