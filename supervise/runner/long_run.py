"""A run that is no short one: its bytes flow, its loop runs, and a fault of supervise ends it with one line.

Only `__main__` ends the process: it hands in the function for that.
"""

import _signal
import _thread
import errno
import gc
import os
import sys
from time import sleep

from supervise import EXIT_ERROR, is_short_of_memory
from supervise.launch.early_exit import OUT_OF_MEMORY, EarlyExit, reason_of, say, take_back
from supervise.launch.state import SIGNAL_POLL_SECONDS, Launched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    End = Callable[[int, int | None], NoReturn]
    """Ends the process, with that exit code or of that signal."""

IMPORT_SWITCH_SECONDS = 0.0005
"""Seconds for which the thread that imports keeps the interpreter: a line in a pump must not wait for an import."""
_giving_up = _thread.allocate_lock()
"""The thread that gives the run up holds this lock."""


def run(launched: Launched, add_packages: "Callable[[], None]", end: "End") -> "NoReturn":
    """Run the command to its end, and end the process by `end` as the run has ended.

    `add_packages` is called before the first library of others is imported, while the bytes of the command flow.
    Raises EarlyExit where a short run is over after all and there is nothing to report, and where the threads that the
    run needs cannot be had.
    """
    try:
        launched.open_streams()
        sys.unraisablehook = _end_with_thread(launched, end)
        # Where memory lacks even for the call of that hook, Python would print the name of the hook as the fault.
        sys.stderr = None
        from supervise.runner import relay

        relay.start(launched)
    except (OSError, RuntimeError, ImportError, MemoryError) as error:
        take_back(launched, error)
    try:
        relay.watch(launched)
        sys.setswitchinterval(IMPORT_SWITCH_SECONDS)
        gc.enable()
        _go_on(launched, add_packages, end)
    except EarlyExit:
        raise
    except Exception as error:
        _give_up(launched, f"{_fault_of(error)}; stopping the command", end)


def _go_on(launched: Launched, add_packages: "Callable[[], None]", end: "End") -> "NoReturn":
    """Watch the command to its end, and end the process as the run has ended."""
    from supervise.runner import dispatcher
    from supervise.runner.finish import finish

    runner = dispatcher.begin(launched)

    def finish_and_end() -> "NoReturn":
        outcome = finish(runner)
        end(outcome.exit_code, outcome.die_of)

    if runner.outcome is None:
        from supervise.runner import trio_import

        add_packages()
        trio_import.load_trio()
        from supervise.runner import loop

        loop.watch(runner, finish_and_end)
    finish_and_end()


def _end_with_thread(launched: Launched, end: "End") -> "Callable[[sys.UnraisableHookArgs], None]":
    """Return a hook that ends the run without a traceback if one of its threads has died for lack of memory."""

    def end_run(what: "sys.UnraisableHookArgs") -> None:
        if what.exc_type is not MemoryError and not is_short_of_memory():
            sys.stderr = sys.__stderr__
            sys.__unraisablehook__(what)
            return
        _give_up(launched, "cannot go on: out of memory; stopping the command", end)

    return end_run


def _give_up(launched: Launched, why: str, end: "End") -> "NoReturn":
    """End the run after a fault of supervise, and the process, in the thread in which the fault has shown.

    The guardian takes this for the supervisor's death: it stops the command and writes the end of the run, and the
    supervisor waits for that.  Nothing is said where the end of the run is written already: then the exit code is what
    that end says.  A second thread that gives the run up waits here until the process ends.
    """
    if not _giving_up.acquire(blocking=False):
        _giving_up.acquire()
    settled = launched.files.settled
    is_said = settled is not None
    launched.files.free_reserve()
    try:
        launched.streams.hide_line()
        if not is_said:
            say(why)
            is_said = True
        launched.child.channel.send(("fault", why))
        launched.child.channel.end()
        _wait_for_guardian(launched)
        if launched.info.fence and settled is None:
            from supervise.launch import ci_fence

            ci_fence.lower(launched)
    finally:
        # Memory may be too short even for the words above.
        if not is_said:
            os.write(2, OUT_OF_MEMORY)
        end(EXIT_ERROR if settled is None else settled, None)


def _wait_for_guardian(launched: Launched) -> None:
    """Wait until the guardian has stopped the command, and for the watcher of the cgroup, which removes the cgroup."""
    try:
        launched.child.guardian.wait()
        if launched.child.cgroup:
            launched.child.cgroup.let_watcher_kill()
    except OSError:
        # The guardian has died before the supervisor: the command is the supervisor's now, and falls to init.
        pass
    except MemoryError:
        _wait_plainly(launched.child.guardian.pid)


def _wait_plainly(pid: int) -> None:
    """Reap the guardian with what takes no memory: it is continued, but not let out of a frozen cgroup.

    Raises ChildProcessError.
    """
    while not os.waitpid(pid, os.WNOHANG)[0]:
        os.kill(pid, _signal.SIGCONT)
        sleep(SIGNAL_POLL_SECONDS)


def _fault_of(error: Exception) -> str:
    """Return what has failed, and where in the program unless the system is short of a resource."""
    while isinstance(error, ExceptionGroup):
        # trio wraps the error of a task in groups.
        error = error.exceptions[0]
    if is_short_of_memory():
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


def _is_short_of_descriptors() -> bool:
    """Return whether no descriptor can be opened."""
    try:
        os.close(os.dup(2))
    except OSError as error:
        # Descriptor 2 may be closed, which is another error and no lack of descriptors.
        return error.errno in (errno.ENFILE, errno.EMFILE)
    return False
