"""The one table of the values of `--access-on`: a row for each kind of sign that shows that the command is up.

The reader of the option, its help, the completions, the manual and the detector of the signs are all made from the
table. A new kind is a row here, a function of the same name in `access/checks.py` if the sign has to be looked for, and
tests. A run with `--access-on` loads this module before its command starts, so it uses plain classes and built-in types
only.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

REPORTED = ""
"""The check of a kind that another part of supervise reports: the first byte, sd_notify(3), a client."""
LINES = "lines"
"""The check of a kind that is searched for in the lines of the output."""
SUN_PATH_BYTES = 108 if sys.platform == "linux" else 104
"""Bytes of an address in struct sockaddr_un: a path and its NUL, or the NUL before an abstract name (unix(7))."""


class AccessKind:
    """One row of the table.

    `validate` takes an argument and returns '' if it is valid, otherwise what the kind takes. `check` is REPORTED,
    LINES, or the name of a function in `access/checks.py`. `text` is for the manual, where words between asterisks are
    bold.
    """

    __slots__ = ("check", "metavar", "name", "text", "validate")

    def __init__(self, name: str, metavar: str, validate: "Callable[[str], str]", check: str, text: str) -> None:
        self.name = name
        self.metavar = metavar
        self.validate = validate
        self.check = check
        self.text = text

    @property
    def word(self) -> str:
        """Return the sign, or its beginning up to `=` if the kind takes an argument: `listen`, `port=`."""
        return self.name + "=" * bool(self.metavar)

    @property
    def form(self) -> str:
        """Return the sign as the help writes it: `port=[HOST:]PORT`."""
        return self.word + self.metavar


def kind_of(sign: str) -> "AccessKind | None":
    """Return the row of a sign; None if no row has it, or if its argument is missing or not allowed."""
    name, equals, argument = sign.partition("=")
    kind = BY_WORD.get(name + equals)
    return None if kind is None or (equals and not argument) else kind


def flaw_of(sign: str) -> str:
    """Return what `--access-on` takes if the sign is not valid; '' if it is."""
    kind = kind_of(sign)
    if kind is None:
        return "one of " + ", ".join(word + "..." * word.endswith("=") for word in WORDS)
    return kind.validate(sign.partition("=")[2])


def port_of(argument: str) -> "tuple[str, int] | None":
    """Return host and number of `8080` (host ''), `db:5432` or `[::1]:80`; None if the argument is no port."""
    host, colon, digits = argument.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 9
    if (colon and not host) or not is_number or not 1 <= int(digits) <= 65535:
        return None
    return host, int(digits)


def unix_address_of(argument: str) -> bytes:
    """Return the address of a UNIX socket for connect(2). `@name` is abstract, as ss(8) and systemd write it."""
    return os.fsencode("\0" + argument[1:] if argument.startswith("@") else argument)


def _anything(argument: str) -> str:
    """Return '': every argument is valid."""
    return ""


def _expression(argument: str) -> str:
    """Return what match= takes if the argument is no regular expression."""
    from supervise.text import redaction

    # The matcher reads the expression and the lines as UTF-8, whatever the locale is.
    why = redaction.flaw_of(os.fsencode(argument).decode("utf-8", "surrogateescape"))
    return "" if why is None else f"match= and a regular expression: {why}"


def _port(argument: str) -> str:
    return "" if port_of(argument) else "port=PORT or port=HOST:PORT (port=8080, port=[::1]:80)"


def _url(argument: str) -> str:
    return "" if _is_url(argument) else "http=URL, and the URL begins with http:// or https://"


def _is_url(text: str) -> bool:
    """Return whether an HTTP client can request the text. A space or a line break in it would break the request."""
    scheme, mark, rest = text.partition("://")
    authority = rest.split("/")[0].split("?")[0]
    host, colon, digits = authority.rpartition(":") if not authority.endswith("]") else (authority, "", "")
    if not (scheme.lower() in ("http", "https") and mark and text.isascii() and text.isprintable() and " " not in text):
        return False
    if "@" in authority or "#" in authority or not (host or digits):
        return False
    return port_of(authority if colon else authority + ":80") is not None


def _unix(argument: str) -> str:
    is_abstract = argument.startswith("@")
    if is_abstract and (sys.platform != "linux" or len(argument) == 1):
        return "unix=PATH, or unix=@NAME for an abstract socket of Linux"
    # A path must leave room for the NUL behind it; an abstract name has its NUL in front.
    most = SUN_PATH_BYTES - (not is_abstract)
    if len(unix_address_of(argument)) > most:
        return f"unix= and an address of at most {most - is_abstract} bytes, the room in a socket address"
    return ""


KINDS = (
    AccessKind("output", "", _anything, REPORTED, "The command prints a byte on stdout or stderr."),
    AccessKind(
        "match", "REGEX", _expression, LINES,
        "The regular expression (Python's syntax) is found in a whole line of stdout or stderr. The line feed and a "
        "carriage return before it are not searched; a byte that is not UTF-8 matches \".\". A line longer than 128 "
        "KiB is searched in pieces of that length, which overlap by half. supervise gives up an expression that takes "
        "more than 2 seconds for a piece of output. The output never waits for the search: a search that lags by a "
        "quarter of a second goes on with the latest whole lines, and a message says so.",
    ),
    AccessKind(
        "port", "[HOST:]PORT", _port, "port",
        "A connection to that port is accepted, by any process, also by a server from before the start. "
        "Without HOST the port is one of this machine.",
    ),
    AccessKind("listen", "", _anything, "listen", "A process of the tree listens on a TCP port."),
    AccessKind("file", "PATH", _anything, "file", "The file exists. A file from before the start counts, too."),
    AccessKind(
        "unix", "PATH", _unix, "unix",
        "The UNIX socket at that path accepts a connection; *unix=@*NAME is an abstract socket. A socket file that a "
        "dead server has left does not count. supervise connects to a stream or seqpacket socket and closes the "
        "connection at once. A datagram socket accepts no connections and counts as soon as a process has it open. "
        "The address may have up to 107 bytes.",
    ),
    AccessKind(
        "http", "URL", _url, "http",
        "A GET of the URL (http or https) is answered with 2xx or 3xx within 10 seconds. The certificate of a server "
        "must be valid for its host, also on this machine; otherwise the server does not count as up, and the message "
        "says so. To trust a certificate that no authority of the system has signed, set *SSL_CERT_FILE* in the "
        "environment of supervise; to check none, use *command=curl -kfs -o /dev/null* URL.",
    ),
    AccessKind("notify", "", _anything, REPORTED, "The command sends READY=1 by *sd_notify*(3)."),
    AccessKind(
        "command", "SHELL COMMAND", _anything, "command",
        "A shell runs the command, and it exits with 0 within 30 seconds. Its output is discarded.",
    ),
    AccessKind(
        "attach", "", _anything, REPORTED,
        "A client attaches to the run. With *--no-record* or *--log-max 0* no client can attach, so that attach as "
        "the only sign is refused.",
    ),
    AccessKind(
        "manual", "", _anything, REPORTED,
        "The user calls *supervise ready*, which also finds a run without a record.",
    ),
)  # fmt: skip
BY_WORD = {kind.word: kind for kind in KINDS}
WORDS = tuple(BY_WORD)
