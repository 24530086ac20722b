"""The entry: the fast way in, or the typer app for whatever the fast reader does not know whole."""

import _signal
import gc
import os
import sys


def main() -> None:
    """Run supervise with the words of the command line."""
    # Start-up makes no garbage worth a collection; the runner turns it on again.
    gc.disable()
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        # Ctrl-C while a library loads ends us as it ends any program, without a traceback.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _fill_stdio()
    words = sys.argv[1:]
    is_run = words[:1] == ["run"] or (words[0][:1] == "-" and "--" in words if words else False)
    from supervise import argv

    request = argv.read(words, os.environ) if is_run else None
    if request is None:
        from supervise.commands import reading

        call = reading.read(words)
        if call is None:
            from supervise import cli

            asked = cli.main(words, os.environ)
            if isinstance(asked, reading.Call):
                call = asked
            else:
                request = asked
        if call:
            reading.carry_out(call)
    assert request
    from supervise import launch

    told = launch.detach(request) if request.values["detach"] else -1
    launched = launch.run(request, _clear_up, told)
    if launched.turned_away:
        from supervise import turning_away

        turning_away.end(launched, launched.turned_away)
    _let_flow(launched)
    # The command runs, and its bytes flow.  The pumps need the interpreter while the libraries load: a line must not
    # wait for a whole import.
    sys.setswitchinterval(0.0005)
    gc.enable()
    try:
        _go_on(launched)
    except Exception as error:
        while isinstance(error, ExceptionGroup):
            # Of trio's, whatever it was: what it is itself is told.
            error = error.exceptions[0]
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "nowhere"
        what = f"internal error: {type(error).__name__}: {error}"
        if isinstance(error, (OSError, ImportError)):
            # Most likely no fault of ours: a library that cannot be loaded.
            what = f"cannot go on: {launch.reason_of(error)}"
        launch.give_up(launched, f"{what} ({where}); stopping the command")


def _let_flow(launched: "Launched") -> None:
    from supervise import launch

    try:
        from supervise import flowing

        flowing.start(launched)
    except (OSError, RuntimeError, ImportError) as error:
        launch.take_back(launched, error)
    flowing.watch(launched)


def _go_on(launched: "Launched") -> "NoReturn":
    from supervise import runner
    from supervise.finishing import finish

    run = runner.begin(launched)
    if run.outcome is None:
        from supervise import loop

        loop.watch(run)
    finish(run)


def _fill_stdio() -> None:
    """Where 0, 1 or 2 are closed, put something there: else a pipe of ours would get the number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # What is written there is discarded, and the command's code is kept.
            os.open(os.devnull, os.O_RDWR)


def _clear_up(facts: "tuple[Any, ...]", left: "list[tuple[str, str]]", fault: str) -> None:
    """In the guardian, when the supervisor has died, or has given up for that fault."""
    from supervise import lost

    lost.remove_sockets(left)
    *start, is_recorded = facts
    lost.write(*start, is_recorded=is_recorded, fault=fault)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from supervise.launch import Launched

if __name__ == "__main__":
    main()
