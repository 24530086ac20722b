"""The checks of `--access-on`, each under the name that its row of `access_kinds.KINDS` has for it.

A check takes the argument of a sign. It returns '' where the sign is present, else the reason why not, for the user. It
waits for a bounded time at most, and ends soon after `CheckContext.stopped` has hung up.
"""

import errno
import os
import select
import socket
from collections.abc import Callable, Mapping
from time import monotonic

from supervise.activity import tcp
from supervise.options.access_kinds import port_of, unix_address_of
from supervise.process import helper_process, tree
from supervise.text.stderr import reason_of

CONNECT_SECONDS = 1.0
"""Seconds in which a connection has to be accepted."""
ANSWER_SECONDS = 10.0
"""Seconds in which a request has to be answered."""
COMMAND_SECONDS = 30.0
"""Seconds in which a command has to end."""
LOCAL_HOSTS = ("127.0.0.1", "::1")
"""The addresses that are tried for a port without a host."""


class CheckContext:
    """What a check may need to know of the run."""

    __slots__ = ("environ", "holder", "note_helper", "stopped")

    def __init__(
        self,
        stopped: int,
        holder: Callable[[], int],
        environ: Mapping[bytes, bytes],
        note_helper: Callable[[int, bool], None],
    ) -> None:
        self.stopped = stopped
        """The read end of a pipe that hangs up when the check is to stop."""
        self.holder = holder
        """Returns the pid of the process whose descendants are the command's tree."""
        self.environ = environ
        """The command's environment."""
        self.note_helper = note_helper
        """Called with the pid of a helper process, and whether it has begun or ended."""


Check = Callable[[str, CheckContext], str]


def check_named(name: str) -> Check:
    """Return the check of that name.

    Raises KeyError for a row of the table without a check.
    """
    found: Check = globals()[name]
    return found


def port(argument: str, context: CheckContext) -> str:
    """Check whether a connection to the port is accepted."""
    found = port_of(argument)
    assert found
    host, number = found
    why = ""
    for one in (host,) if host else LOCAL_HOSTS:
        failure = _connect(one, number, context.stopped)
        if not failure:
            return ""
        why = why or f"{_shown(one)}:{number}: {failure}"
    return why


def _shown(host: str) -> str:
    """Return the host in the words of messages, an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _connect(host: str, number: int, stopped: int) -> str:
    """Return '' where the host accepts a connection, else the reason."""
    try:
        addresses = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)
    except OSError as error:
        return _words(error)
    why = "no address"
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol) as link:
                code = link.connect_ex(address)
                if code in (errno.EINPROGRESS, errno.EAGAIN):
                    code = _wait_for(link, stopped)
                if not code and link.getsockname() == link.getpeername():
                    # The socket is connected to itself, since its own port happens to be the same: nothing listens
                    # there.
                    code = errno.ECONNREFUSED
        except OSError as error:
            why = _words(error)
        else:
            if not code:
                return ""
            why = "no answer" if code == errno.ETIMEDOUT else os.strerror(code).lower()
    return why


def _wait_for(link: socket.socket, stopped: int) -> int:
    """Return the errno with which the connection failed, 0 where it is established."""
    poll = select.poll()
    poll.register(link, select.POLLOUT)
    poll.register(stopped, 0)
    ready = dict(poll.poll(CONNECT_SECONDS * 1000))
    if link.fileno() not in ready:
        return errno.ETIMEDOUT
    return link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def file(path: str, context: CheckContext) -> str:
    """Check whether a file of any type exists."""
    try:
        os.stat(path)
    except OSError as error:
        return f"{path}: {_words(error)}"
    return ""


def unix(path: str, context: CheckContext) -> str:
    """Check whether the UNIX socket accepts a connection, or, being one of datagrams, is held by a process.

    The type of the socket is not known before: connect(2) says EPROTOTYPE for each type but the right one.
    """
    code = errno.EPROTOTYPE
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        if code == errno.EPROTOTYPE:
            try:
                with socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as link:
                    code = link.connect_ex(unix_address_of(path))
            except OSError as error:
                return f"{path}: {_words(error)}"
    if code == errno.EAGAIN:
        # A connect that waits for room could wait for ever, as no server has to accept: the next check tries again.
        return f"{path}: its queue of connections is full"
    return f"{path}: {os.strerror(code).lower()}" if code else ""


def listen(argument: str, context: CheckContext) -> str:
    """Check whether a process of the tree listens on any TCP port."""
    return "" if tcp.listens(tree.collect(context.holder())) else "no process of the tree listens on a TCP port"


def http(url: str, context: CheckContext) -> str:
    """Check whether a GET is answered with 2xx or 3xx."""
    from supervise.access.http import get

    try:
        status, reason = get(url, ANSWER_SECONDS)
    except OSError as error:
        return f"{url}: {_words(error)}"
    return "" if 200 <= status < 400 else f"{url}: {f'{status} {reason}'.strip()}"


def command(line: str, context: CheckContext) -> str:
    """Check whether a shell ends with 0 for the line."""
    try:
        helper = helper_process.HelperProcess(["/bin/sh", "-c", line], {}, context.environ)
    except OSError as error:
        return f"{line}: {_words(error)}"
    context.note_helper(helper.pid, True)
    has_ended = _wait_for_end(helper, context.stopped)
    # What the command has left in its process group is killed with it.
    helper.kill()
    status = helper.wait()
    context.note_helper(helper.pid, False)
    if not has_ended:
        return f"{line}: not done after {COMMAND_SECONDS:.0f}s"
    if os.WIFSIGNALED(status):
        return f"{line}: killed by signal {os.WTERMSIG(status)}"
    code = os.WEXITSTATUS(status)
    return f"{line}: exit {code}" if code else ""


def _wait_for_end(helper: helper_process.HelperProcess, stopped: int) -> bool:
    """Return whether the helper has ended in time, and before the check was stopped."""
    ended = helper.fileno()
    poll = select.poll()
    poll.register(stopped, 0)
    if ended < 0:
        until = monotonic() + COMMAND_SECONDS
        while not helper.has_ended() and monotonic() < until:
            if poll.poll(10):
                return False
        return helper.has_ended()
    poll.register(ended, select.POLLIN)
    try:
        return ended in dict(poll.poll(COMMAND_SECONDS * 1000))
    finally:
        os.close(ended)


def _words(error: OSError) -> str:
    """Return the reason of the error in the words of messages."""
    if isinstance(error, TimeoutError):
        return "no answer"
    return reason_of(error)
