"""The kernel's table of TCP sockets with their byte counters: NETLINK_SOCK_DIAG, sock_diag(7).

Exact, and open to any user; /proc/net/tcp knows no bytes.  Layouts are those of linux/netlink.h, linux/inet_diag.h and
linux/tcp.h.
"""

import errno
import os
import socket
from functools import cache
from struct import Struct
from typing import NamedTuple

ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2 = 1, 2, 3, 4, 5
CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING = 8, 9, 10, 11
"""States of a TCP socket, linux/tcp_states.h."""

CARRYING = frozenset({ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING})
"""The states in which bytes can have been moved."""

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST_DUMP = 0x301
_NLM_F_DUMP_INTR = 0x10
_INET_DIAG_INFO = 2

_REQUEST = Struct("=IHHII BBBxI 48x")  # nlmsghdr, inet_diag_req_v2
_HEADER_SIZE = 16  # nlmsghdr
_SOCKET_SIZE = 72  # inet_diag_msg
_ATTRIBUTE = Struct("=HH")  # nlattr: size, kind
_CODE = Struct("=i")
_SIZE_WITH_RECEIVED = 4 + 136  # An attribute with a tcp_info up to bytes_received,
_SIZE_WITH_RETRANS = 4 + 216  # up to bytes_retrans (Linux 4.19).

_PART_BYTES = 1 << 15
"""The kernel makes no part of a dump longer than this."""
_BUFFER = bytearray(_PART_BYTES + 1024)
"""A little longer, so that the last message can be read by the layout of a longer one."""


class Tcp(NamedTuple):
    """One TCP socket.  `sent` (and acknowledged by the other end) and `received` are bytes of data since its birth.

    `ends` is two ports and two addresses, own before peer's, in network order: 2 + 2 + 16 + 16 bytes.
    """

    inode: int
    family: int
    state: int
    ends: bytes
    sent: int
    received: int


def dump(states: frozenset[int] = CARRYING) -> list[Tcp] | None:
    """The TCP sockets of our network namespace in these states, IPv4 and IPv6, but for those closed by their owner.

    None if the answer was not whole: try again another time.  OSError where the kernel does not answer at all.
    It never waits: the kernel makes the next part of an answer before it hands out the one before.
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    found: list[Tcp] = []
    # A netlink socket for each dump costs 15 us; a lasting one would keep the rest of an answer that broke off.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            request = _REQUEST.pack(
                _REQUEST.size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 0, 0,
                family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), sum(1 << state for state in states),
            )  # fmt: skip
            try:
                netlink.send(request)
                if not _receive(netlink, found):
                    return None
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.ENOBUFS):
                    return None
                if error.errno == errno.ENOENT and family == socket.AF_INET6:
                    continue  # A kernel without IPv6.
                raise
    return found


@cache
def _layout(gap: int) -> Struct:
    """A whole message in one go: `gap` bytes of other attributes stand before the one with the tcp_info.

    All messages of a dump are alike, but for rare ones.  Looking through the attributes of each takes twice the time
    of the whole dump: 5 ms instead of 2.4 for 1,000 sockets.
    Fields: length, kind, flags; family, state, ends, inode; size and kind of the attribute; bytes_acked,
    bytes_received, bytes_sent, bytes_retrans.
    """
    return Struct(f"=IHH8x BB2x36s28xI {gap}x HH120xQQ64xQQ")


def _receive(netlink: socket.socket, found: list[Tcp]) -> bool:
    """Add one dump to `found`, to its end; False if something of it is missing."""
    gap = 0
    unpack = _layout(gap).unpack_from
    while True:
        part = netlink.recv_into(_BUFFER, _PART_BYTES, socket.MSG_DONTWAIT | socket.MSG_TRUNC)
        if part > _PART_BYTES:
            return False
        at = 0
        while at + _HEADER_SIZE <= part:
            (length, kind, flags, family, state, ends, inode,
             size, attribute, acked, received, sent, again) = unpack(_BUFFER, at)  # fmt: skip
            if flags & _NLM_F_DUMP_INTR or not _HEADER_SIZE <= length <= part - at:
                return False
            if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                code = _CODE.unpack_from(_BUFFER, at + _HEADER_SIZE)[0]
                if code < 0:
                    raise OSError(-code, os.strerror(-code))
                return True
            if inode:
                if attribute != _INET_DIAG_INFO or _HEADER_SIZE + _SOCKET_SIZE + gap + size > length:
                    gap = _find_info(at, length)
                    unpack = _layout(gap).unpack_from
                    size, _, acked, received, sent, again = unpack(_BUFFER, at)[7:]
                # The counters are sequence numbers and take SYN and FIN for a byte each: a connection on which nobody
                # has said a word would show one.  bytes_sent is of data alone, but not all of it need have arrived.
                if size >= _SIZE_WITH_RETRANS:
                    acked = min(acked, sent - again)
                elif size < _SIZE_WITH_RECEIVED:
                    acked = received = 0
                if state in (CLOSE_WAIT, LAST_ACK, CLOSING):
                    received -= 1
                found.append(Tcp(inode, family, state, ends, acked, received))
            at += (length + 3) & ~3


def _find_info(at: int, length: int) -> int:
    """How many bytes of other attributes stand before the tcp_info in the message at this place."""
    first = here = at + _HEADER_SIZE + _SOCKET_SIZE
    while here + _ATTRIBUTE.size <= at + length:
        size, attribute = _ATTRIBUTE.unpack_from(_BUFFER, here)
        if attribute == _INET_DIAG_INFO:
            return here - first
        here += (max(size, _ATTRIBUTE.size) + 3) & ~3
    raise OSError(errno.EPROTO, "the kernel tells no tcp_info")
