"""The last bytes of the output, of both streams in the order in which they came (`--ping`)."""

import _thread


class Tail:
    """Keeps the last `most` bytes: a sink for `output.tee`."""

    name = "--ping"

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = bytearray()
        self._guard = _thread.allocate_lock()

    @property
    def data(self) -> bytes:
        """Return the bytes that are kept now."""
        with self._guard:
            return bytes(self._bytes[-self._most :])

    def write(self, stream: str, at: float, data: "bytes | memoryview") -> None:
        """Keep the end of these bytes."""
        with self._guard:
            self._bytes += data[-self._most :]
            if len(self._bytes) > 2 * self._most:
                # Only now and then are the bytes moved.
                del self._bytes[: -self._most]

    def skip(self, size: int) -> None:
        """Say that `size` bytes are left out here."""
        self.write("", 0.0, f"\n[{size} bytes are left out here]\n".encode())

    def settle(self) -> None:
        """Do nothing: no more is kept than was written."""
