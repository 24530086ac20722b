"""The fence of `--ci-fence`: lines on stderr that keep GitHub's runner from obeying commands in the command's output.

The runner stops at `::stop-commands::TOKEN` and resumes at `::TOKEN::` (actions/runner, ActionCommandManager.cs).  The
token is random, so the output cannot hold it.
"""

import os

from supervise.launch.early_exit import Refusal, reason_of
from supervise.text import ci_commands
from supervise.text.writer import is_writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.launch.state import Launched
    from supervise.process.protocol import LastLine

TOKEN_BYTES = 16
STDERR_SECONDS = 5.0
"""Seconds that the reader of stderr has to make room for a line of the fence; without the first the run is refused."""


def new_token() -> str:
    """Return a token for a fence."""
    return os.urandom(TOKEN_BYTES).hex()


def begin(launched: "Launched") -> None:
    """Write the first line of the fence.

    Raises Refusal where it cannot be written: then nothing would keep the runner from obeying.
    """
    try:
        why = "" if _write(ci_commands.stop_line(launched.info.fence)) else "its reader does not read"
    except OSError as error:
        why = reason_of(error)
    if why:
        launched.info.put_fence("")
        raise Refusal(f"--ci-fence: cannot write to stderr: {why}")


def _write(line: str) -> bool:
    """Write the line to stderr by what is loaded; return False where the reader makes no room for it in time.

    Raises OSError.
    """
    if not is_writable(2, STDERR_SECONDS):
        return False
    # What came before may be an unfinished line, and the runner looks at the start of a line.
    return bool(os.write(2, f"\n{line}\n".encode()))


def begin_late(launched: "Launched") -> bytes:
    """Return the first line of the fence, for held output that is shown now; tell the guardian of the last line."""
    launched.child.channel.send(last_line(launched.info.fence), (2,))
    return f"{ci_commands.stop_line(launched.info.fence)}\n".encode()


def last_line(token: str) -> "LastLine":
    """Return the message by which the guardian ends the fence if the supervisor is killed."""
    return "last_line", f"{ci_commands.resume_line(token)}\n".encode()


def lower(launched: "Launched") -> None:
    """Write the last line of the fence, unless bytes of the command may still follow: then the fence stays.

    A run that ends by the runner's loop has its last line from `faces.ci_lines`.
    """
    info = launched.info
    # Without a guardian the first line was not written.
    has_begun = info.fence and not info.holds_output and launched.child.has_guardian
    if has_begun and launched.is_output_over:
        try:
            _write(ci_commands.resume_line(info.fence))
        except OSError:
            pass
