"""The socket of a run on which the command reports its state (sd_notify(3))."""

from supervise.access.notify_socket import NotifySocket
from supervise.control import sockets
from supervise.launch.early_exit import Refusal, reason_of
from supervise.launch.state import Launched


def open_in(launched: Launched) -> str:
    """Open the run's socket, and name it in the command's environment; return the socket's folder.

    Raises Refusal.
    """
    try:
        found = sockets.bind_notify(launched.info.run_id)
    except OSError as error:
        raise Refusal(f"cannot have a socket for sd_notify: {reason_of(error)}") from None
    notify = NotifySocket(*found)
    launched.access.listen(notify)
    launched.child.change_environment(notify.variables(launched.info.values["idle_timeout"]))
    return notify.folder
