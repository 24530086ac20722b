"""The lines on stderr that a CI service reads, beside or around the messages of a run."""

from supervise.core.events import Warned
from supervise.core.outcome import Outcome
from supervise.faces import github
from supervise.faces.report_items import Diagnosis, Moment, ReportItem
from supervise.faces.report_shape import OWN_ENDS
from supervise.text import ci_commands
from supervise.text.stderr import PREFIX


class CiLines:
    """Adds the lines for one run on one service: `github`, `gitlab` or `buildkite`."""

    def __init__(self, service: str, run_id: str, fence: str = "", *, is_held: bool = False) -> None:
        """`fence`: the token of the fence around the command's output; '' for none.

        `is_held`: the output and all messages are shown when the run has ended, and only if it did not succeed.
        """
        self._service = service
        self._run_id = run_id
        self._fence = fence
        self._is_held = is_held
        self._is_left_up = False
        self._late: list[str] = []
        """Annotations for the end of the fence: held output may lose its middle, and with it the line that lifts the
        fence or the one that puts it up again."""
        self._warnings = 0
        """The number of warnings that GitHub has got."""

    def leave_fence(self) -> None:
        """Have the fence stay: bytes of the command may follow the end of the run, since their reader is slow."""
        self._is_left_up = True

    def around(self, item: ReportItem, lines: list[str], moment: Moment) -> tuple[list[str], list[str]]:
        """Return the lines for the service that come before and after the messages for that item."""
        if self._service == "github":
            annotations = self._annotations(item, lines) if lines else []
            return [], self._fenced(item, annotations) if self._fence else annotations
        if not lines:
            return [], []
        if self._service == "gitlab" and isinstance(item, Diagnosis):
            return _section(f"supervise_{self._run_id.replace('-', '_')}", int(moment.epoch))
        if self._service == "buildkite" and isinstance(item, Outcome) and item.exit_code:
            # The agent opens the group that is current, which is that of the command.
            return ["^^^ +++"], []
        return [], []

    def _fenced(self, item: ReportItem, annotations: list[str]) -> list[str]:
        """Return one message: the annotations between the lines that lift the fence and put it up again.

        At the end of the run the fence stays lifted.
        """
        if isinstance(item, Outcome):
            annotations = [*self._late, *annotations]
            if self._is_held and not item.exit_code:
                return []
        elif self._is_held:
            self._late += annotations
            return []
        ends = isinstance(item, Outcome) and not self._is_left_up
        if not annotations and not ends:
            return []
        again = [] if ends else [ci_commands.stop_line(self._fence)]
        return ["\n".join([ci_commands.resume_line(self._fence), *annotations, *again])]

    def _annotations(self, item: ReportItem, lines: list[str]) -> list[str]:
        text = "\n".join(line.removeprefix(PREFIX) for line in lines)
        if isinstance(item, Warned) and self._warnings < github.MOST_WARNINGS:
            self._warnings += 1
            return [github.annotation("warning", "supervise", text)]
        if isinstance(item, Outcome) and item.exit_code and item.name not in OWN_ENDS:
            return [github.annotation("error", f"{item.name.replace('_', ' ')} (supervise)", text)]
        return []


def _section(name: str, at: int) -> tuple[list[str], list[str]]:
    """Return the begin and the end of a section that GitLab shows collapsed; `at` is in epoch seconds."""
    head = f"\x1b[0Ksection_start:{at}:{name}[collapsed=true]\r\x1b[0K{PREFIX}diagnosis"
    return [head], [f"\x1b[0Ksection_end:{at}:{name}\r\x1b[0K"]
