"""The engines that run the tasks of a batch, and what each offers. One row and one module of this room for each.

A module has the functions of `Engine`. `render` decides nothing that `hand_over` does not do.
"""

from importlib import import_module
from typing import Protocol, cast

from supervise.batch.batch_record import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import IO, Any, Literal

    Word = Literal["pending", "running", "ended", "lost", "node_fail", "evicted", "cancelled"]

RESTARTING = {"local": False, "slurm": True, "htcondor": True, "kubernetes": True}
"""The engines, by the word of `--on`, which is the name of the module, and whether each starts a task again that has
ended with 75; elsewhere the run of the task does that."""
BUNDLING = ("slurm",)
"""The engines that can run several tasks, a bundle, one after the other in one of their own."""
OUTPUT_KEPT_BY = {"kubernetes": "kubectl logs"}
"""The engines that keep the output of the tasks themselves, and what prints it; elsewhere it is with the results."""


class State:
    """What an engine says of one task."""

    __slots__ = ("code", "reason", "report", "word")

    def __init__(self, word: "Word", code: "int | None" = None, reason: "str | None" = None) -> None:
        self.word = word
        self.reason = reason
        """Why the engine has ended the task, in a word of the engine: `timeout`; None where it has not."""
        self.code = code
        """The exit code, where the task has ended and the engine knows the code."""
        self.report: dict[str, Any] | None = None
        """The report of the task, where the engine has it and the folder of the results has none."""


class States:
    """What an engine says of all tasks of a batch."""

    __slots__ = ("is_active", "of_tasks")

    def __init__(self, of_tasks: "Mapping[int, State]", *, is_active: bool) -> None:
        self.of_tasks = of_tasks
        """The state of each task that the engine knows, by number."""
        self.is_active = is_active
        """Whether the engine is still to run what is pending."""


class Engine(Protocol):
    """What `submit` and `collect` need of an engine."""

    POLL_SECONDS: float
    """Seconds between two looks of `collect --wait` at the states."""

    def render(self, batch: Batch) -> "Iterable[bytes]":
        """Yield the lines of exactly what is handed over."""

    def hand_over(self, batch: Batch, *, is_quiet: bool, is_resumed: bool) -> int:
        """Give the tasks to the engine, and return the exit code of `submit`.

        `is_resumed`: the batch was handed over before, and what has not ended is run again.
        Raises BadValueError, with nothing submitted, where the engine is missing or refuses.
        """

    def states(self, batch: Batch) -> States:
        """Return what the engine says of the tasks.

        Raises BadValueError where the engine cannot be asked.
        """

    def cancel(self, batch: Batch, number: int) -> None:
        """Cancel what goes on and what is pending, by the signal of that number where the engine knows signals.

        Raises BadValueError where nothing goes on.
        """


class AnsweringEngine(Engine, Protocol):
    """What `collect --from` needs of an engine, beside that."""

    def states_of(self, batch: Batch, file: "IO[bytes]", name: str) -> States:
        """Return what the answer of the engine says that somebody has written into a file.

        Raises BadValueError, which names the file, where it is no such answer.
        """


def load_answering(name: str) -> AnsweringEngine:
    """Return the engine of that name, which reads its own answers.

    Raises BadValueError where it does not.
    """
    from supervise.options.table import BadValueError

    engine = load(name)
    if not hasattr(engine, "states_of"):
        raise BadValueError(f"--from: the engine {name} is asked itself, or its machine has the answer")
    return cast("AnsweringEngine", engine)


def load(name: str) -> Engine:
    """Return the engine of that name.

    Raises BadValueError where this version of supervise has no such engine.
    """
    from supervise.options.table import BadValueError

    if name not in RESTARTING:
        raise BadValueError(f"the engine {name!r} is not one of {', '.join(RESTARTING)}")
    return cast("Engine", import_module(f"supervise.batch.{name}"))
