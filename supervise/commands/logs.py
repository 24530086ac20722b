"""`supervise logs`: print the recorded output of a run."""

from time import sleep
from typing import Any

from supervise import EXIT_ERROR
from supervise.commands import lookup
from supervise.commands.printers import Plain, Timed, printer_of
from supervise.options.table import BadValueError
from supervise.records.bounded_output import Reader
from supervise.records.output_follower import Follower

POLL_SECONDS = 0.2
"""How often the record is read where the run cannot report new output."""
SOCKET_WAIT_SECONDS = 1.0
"""How long to wait for the control socket of a run that has just begun."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print the output of the run, and with --follow the output to come; return 0.

    With --new return 125 where another caller prints with the same cursor and does not come to its end.
    """
    _check_together(values)
    record = lookup.find_record(operands[0])
    printer = printer_of(values)
    if values["new"]:
        from supervise.commands.new_output import NewOutput

        return 0 if NewOutput(record, values["cursor"]).print(printer) else EXIT_ERROR
    if values["follow"]:
        _follow(lookup.Target(record.run_id, record), record.folder, printer)
    else:
        for chunk in Reader(record.folder).chunks():
            printer.show(chunk)
    printer.finish()
    lookup.check_kept(record)
    return 0


def _check_together(values: dict[str, Any]) -> None:
    """Check that the options mean something together.

    Raises BadValueError.
    """
    if values["cursor"] and not values["new"]:
        raise BadValueError("--cursor: needs --new")
    for other in ("follow", "stdout", "stderr"):
        if values["new"] and values[other]:
            # What is not shown would count as printed, or be printed while the cursor is locked.
            raise BadValueError(f"--new: not with --{other}")


def _follow(target: lookup.Target, folder: str, printer: Plain | Timed) -> None:
    """Print the output on record, and new output until the run is over."""
    try:
        connection = target.connect(SOCKET_WAIT_SECONDS)
    except BadValueError:
        # Without a socket the run cannot report new output.
        connection = None
    if connection is None:
        _poll_record(target, Reader(folder), printer)
        return

    def wait() -> None:
        printer.catch_up()
        connection.wait()

    follower = Follower(folder, connection)
    for chunk in follower.chunks(wait):
        printer.show(chunk)
    if follower.end is None:
        # The supervisor was killed, or its control socket is full: the end of a connection is not the end of the run.
        _poll_record(target, follower.reader, printer)


def _poll_record(target: lookup.Target, reader: Reader, printer: Plain | Timed) -> None:
    """Print new output until the run is over, by reading the record every POLL_SECONDS."""
    while target.is_running():
        for chunk in reader.chunks(is_over=False):
            printer.show(chunk)
        printer.catch_up()
        sleep(POLL_SECONDS)
    for chunk in reader.chunks():
        printer.show(chunk)
