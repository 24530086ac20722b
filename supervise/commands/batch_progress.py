"""The progress of `collect --wait` on a terminal: a bar that counts the tasks that have ended."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from supervise.batch import collection
from supervise.text.sanitizer import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.batch.collection import Row


class Bar:
    """The bar on stderr, which disappears at the end."""

    def __init__(self, name: str, number: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        # Nothing in the text is markup: the outcomes may be a task's own.
        console = Console(stderr=True, markup=False, highlight=False)
        self._progress = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self._name = name
        self._task = self._progress.add_task(name, total=number)
        self._progress.start()

    def show(self, rows: "list[Row]") -> None:
        """Show how many tasks have ended."""
        ended = sum(row.state not in ("running", "pending") for row in rows)
        text = clean(f"{self._name}: {collection.in_words(rows)}")
        self._progress.update(self._task, completed=ended, description=text, refresh=True)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()
