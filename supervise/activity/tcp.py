"""What the TCP sockets of a tree of processes are doing (Linux): bytes moved, connections, peers.

A socket or a process that cannot be read counts as idle, and never as an error.
"""

import errno
import os
import socket
from collections.abc import Collection, Iterator, Mapping

from supervise.activity import sock_diag
from supervise.core.events import Socket
from supervise.process import tree

STATES = {
    1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2", 8: "CLOSE_WAIT", 9: "LAST_ACK",
    10: "LISTEN", 11: "CLOSING",
}  # fmt: skip
"""The states of a socket that a process owns (linux/tcp_states.h)."""

_PASSING_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
"""Errors for want of something that may be there at the next look."""

Processes = Mapping[int, tree.Stat]
"""The processes of the tree, by pid."""


class ByteCounter:
    """Counts the bytes that were moved from one look to the next."""

    def __init__(self) -> None:
        self.unavailable = ""
        """Why the kernel gives no byte counts; empty where it gives them."""
        self._last: dict[int, int] | None = None
        self._absent: dict[int, int] = {}
        self._holders: dict[int, tuple[int, int]] = {}
        self._elsewhere: dict[str, tuple[int, int]] = {}

    def look(self, processes: Processes) -> tuple[int, int]:
        """Return how many TCP sockets of the tree moved bytes since the last look, and how many bytes in all.

        Bytes are data that was sent (and acknowledged) or received; a connection inside the tree is two sockets that
        both move them. The first look is a baseline and returns zeros.

        A network namespace other than that of the supervisor counts as one socket, with the octets that its IP layer
        has sent and received, if there were TCP segments among them. An unprivileged user cannot see more: the octets
        include headers, and those of processes outside the tree that share the namespace.
        """
        here = self._look_here(processes)
        elsewhere = self._look_elsewhere(processes)
        return here[0] + elsewhere[0], here[1] + elsewhere[1]

    def _look_here(self, processes: Processes) -> tuple[int, int]:
        """Count in the network namespace of the supervisor, by the byte counters of the sockets."""
        if self.unavailable:
            return 0, 0
        try:
            table = sock_diag.dump()
        except OSError as error:
            if error.errno not in _PASSING_ERRORS:
                self.unavailable = error.strerror or str(error)
            return 0, 0
        if table is None:
            return 0, 0
        last = self._last
        self._last = now = {tcp.inode: tcp.sent + tcp.received for tcp in table}
        if last is None:
            return 0, 0
        moved = {}
        for inode, total in now.items():
            before = last.get(inode)
            if before is None:
                # The socket is new, or the last look missed it, since the kernel's table can change while it is dumped.
                # A missed socket's bytes must not all count as moved just now.
                before = self._absent.get(inode, 0)
            if total > before:
                moved[inode] = total - before
        self._absent = {inode: last[inode] for inode in last.keys() - now.keys()}
        held = self._held_by_tree(processes, moved)
        self._holders = {inode: holder for inode, holder in self._holders.items() if inode in now}
        return len(held), sum(moved[inode] for inode in held)

    def _held_by_tree(self, processes: Processes, moved: Collection[int]) -> set[int]:
        """Return those of the sockets that the tree holds.

        That takes a system call for each descriptor of the tree, 5 ms for 1,000. So only sockets that moved are looked
        up, and each only once while the process lives that holds it. (It is not noticed when this process closes the
        socket and a process outside the tree goes on using it.)
        """
        alive = {(process.pid, process.starttime) for process in processes.values()}
        held = {inode for inode in moved if self._holders.get(inode) in alive}
        for inode, pid in owners(processes, [inode for inode in moved if inode not in held]).items():
            self._holders[inode] = (pid, processes[pid].starttime)
            held.add(inode)
        return held

    def _look_elsewhere(self, processes: Processes) -> tuple[int, int]:
        """Count in the other network namespaces of the tree, by the octets of their IP layers."""
        last, self._elsewhere = self._elsewhere, {}
        own = _link("/proc/self/ns/net")
        sockets = count = 0
        for namespace, place in _namespaces(processes).items():
            if namespace == own:
                continue
            self._elsewhere[namespace] = segments, octets = _traffic(place)
            segments_before, octets_before = last.get(namespace, (segments, octets))
            if segments > segments_before and octets > octets_before:
                sockets += 1
                count += octets - octets_before
        return sockets, count


def tcp_sockets(processes: Processes) -> list[tuple[int, Socket]]:
    """Return the TCP sockets of these processes, each with the pid of a process that holds it.

    Only sockets of this network namespace; none where the kernel gives no byte counts.
    """
    try:
        table = sock_diag.dump(frozenset(STATES)) or []
    except OSError:
        return []
    found = {tcp.inode: tcp for tcp in table}
    return [
        (
            pid,
            Socket(
                _address(tcp.family, tcp.ends[4:20], tcp.ends[0:2]),
                "" if tcp.state == sock_diag.LISTEN else _address(tcp.family, tcp.ends[20:36], tcp.ends[2:4]),
                STATES[tcp.state],
                tcp.sent,
                tcp.received,
            ),
        )
        for inode, pid in owners(processes, found).items()
        for tcp in (found[inode],)
    ]


def connections(processes: Processes) -> int:
    """Return how many established TCP connections the tree has to peers outside the tree.

    From /proc/PID/net/tcp and tcp6, which exist for each network namespace; byte counts are not needed here.
    """
    established = {}
    for namespace, place in _namespaces(processes).items():
        for family in ("tcp", "tcp6"):
            for line in tree.read(f"{place}/net/{family}").splitlines()[1:]:
                field = line.split()
                if field[3] == b"01":
                    established[int(field[9])] = (namespace, _mapped(field[1]), _mapped(field[2]))
    ends = {established[inode] for inode in owners(processes, established)}
    return sum((namespace, peer, own) not in ends for namespace, own, peer in ends)


def listens(processes: Processes) -> bool:
    """Return whether the tree has a listening TCP socket, in any network namespace."""
    here = _link("/proc/self/ns/net")
    found: set[int] = set()
    for namespace, place in _namespaces(processes).items():
        table = _dump_listening() if namespace == here else None
        found |= _in_state(place, b"0A") if table is None else table
    return bool(owners(processes, found))


def _dump_listening() -> set[int] | None:
    """Return the inodes of the listening sockets of this network namespace; None where the kernel does not answer."""
    try:
        table = sock_diag.dump(frozenset({sock_diag.LISTEN}))
    except OSError:
        return None
    return None if table is None else {tcp.inode for tcp in table}


def _in_state(place: str, state: bytes) -> set[int]:
    """Return the inodes of the namespace's sockets in this state (proc(5), /proc/net/tcp)."""
    lines = [line for name in ("tcp", "tcp6") for line in tree.read(f"{place}/net/{name}").splitlines()[1:]]
    return {int(field[9]) for field in map(bytes.split, lines) if field[3] == state}


def owners(processes: Processes, inodes: Collection[int]) -> dict[int, int]:
    """Return by inode the pid of a process of the tree that holds the socket."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for process in processes.values():
        if len(found) == len(wanted):
            break
        for link in _links(_place(process) + "/fd"):
            inode = wanted.get(link)
            if inode is not None:
                found.setdefault(inode, process.pid)
    return found


def _namespaces(processes: Processes) -> dict[str, str]:
    """Return the network namespaces of the tree, each with the folder in /proc of a process in it."""
    found: dict[str, str] = {}
    for process in processes.values():
        place = _place(process)
        namespace = _link(f"{place}/ns/net")
        if namespace:
            found.setdefault(namespace, place)
    return found


def _place(process: tree.Stat) -> str:
    """Return the folder in /proc that shows the process's descriptors.

    The folder of a process whose first thread has exited shows none; the folders of its other threads do.
    """
    if process.state == "Z" and process.num_threads > 1:
        for thread in _list(f"/proc/{process.pid}/task"):
            if thread != str(process.pid):
                return f"/proc/{process.pid}/task/{thread}"
    return f"/proc/{process.pid}"


def _traffic(place: str) -> tuple[int, int]:
    """Return the namespace's TCP segments, and its IPv4 and IPv6 octets, in and out, since the namespace was made."""
    tcp = _row(tree.read(f"{place}/net/snmp"), b"Tcp:")
    ip4 = _row(tree.read(f"{place}/net/netstat"), b"IpExt:")
    ip6 = dict(line.split() for line in tree.read(f"{place}/net/snmp6").splitlines())
    return (
        int(tcp.get(b"InSegs", 0)) + int(tcp.get(b"OutSegs", 0)),
        int(ip4.get(b"InOctets", 0)) + int(ip4.get(b"OutOctets", 0))
        + int(ip6.get(b"Ip6InOctets", 0)) + int(ip6.get(b"Ip6OutOctets", 0)),
    )  # fmt: skip


def _row(text: bytes, name: bytes) -> dict[bytes, bytes]:
    """Return the counters of /proc/net/snmp or netstat in two lines that begin alike: one of names, one of values."""
    lines = [line.split() for line in text.splitlines() if line.startswith(name)]
    return dict(zip(*lines, strict=False)) if len(lines) == 2 else {}


def _mapped(address: bytes) -> bytes:
    """Return the address as /proc/net/tcp6 writes it: the two ends of one connection can be of either family."""
    return address if len(address) > 13 else b"0000000000000000FFFF0000" + address


def _address(family: int, address: bytes, port: bytes) -> str:
    """Return the address in the words of messages: `127.0.0.1:80`, `[::1]:80`."""
    number = int.from_bytes(port, "big")
    if family == socket.AF_INET:
        return f"{socket.inet_ntop(family, address[:4])}:{number}"
    return f"[{socket.inet_ntop(family, address)}]:{number}"


def _list(folder: str) -> list[str]:
    """Return the names in the folder; none where it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _links(folder: str) -> Iterator[str]:
    """Yield the targets of the symbolic links in this folder."""
    try:
        # By descriptor: with long paths the kernel takes a quarter longer for a thousand links.
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for name in os.listdir(opened):
            try:
                yield os.readlink(name, dir_fd=opened)
            except OSError:
                continue  # Closed in between.
    except OSError:
        return
    finally:
        os.close(opened)


def _link(path: str) -> str:
    """Return the target of the symbolic link; '' where it cannot be read."""
    try:
        return os.readlink(path)
    except OSError:
        return ""
