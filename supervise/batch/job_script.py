r"""What an engine that runs a shell script on other machines is handed: the script, and a file with a line a task.

    RESULTS/.tasks      line N: the words of task N, quoted for a POSIX shell, with "$n" for each end of a line

The script takes its line and executes the words. Within single quotes a shell changes no byte, so each word arrives as
it is.
"""

import os

from supervise.options.table import RESTARTED, UNREPORTED
from supervise.records.rerun import program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from supervise.batch.batch_record import Batch

TASKS_FILE = ".tasks"
NO_FOLDER, NO_RESULTS, UNWRITABLE, FULL = 91, 92, 93, 94
FAILURES = {
    NO_FOLDER: "folder_missing",
    NO_RESULTS: "results_missing",
    UNWRITABLE: "results_unwritable",
    FULL: "results_full",
}
"""The exit codes of the script of a task that leaves no report, and what each says of the machine of the task: the
folder of the command or of the results is not there, or the report could not be written."""
NEWLINE = "'\"$n\"'"
"""Ends the quotes, adds the variable with the end of a line, and begins them again."""


def quoted(word: str) -> str:
    """Return the word for a POSIX shell, on one line."""
    return "'" + word.replace("'", "'\\''").replace("\n", NEWLINE) + "'"


def task_lines(batch: "Batch") -> "Iterator[bytes]":
    """Yield the line of each task."""
    words = [*program(), "run"]
    for number in batch.numbers:
        yield os.fsencode(" ".join(map(quoted, [*words, *batch.words_of(number)]))) + b"\n"


def write_tasks(batch: "Batch", folder: int) -> None:
    """Write the file with the lines into the folder of the results, whose descriptor that is.

    Raises OSError.
    """
    write_new(TASKS_FILE, task_lines(batch), folder)


def write_new(name: str, lines: "Iterable[bytes]", folder: int) -> None:
    """Write that file of the folder anew, never through a link that stands there.

    Raises OSError.
    """
    unlink(name, folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
        file.writelines(lines)


def unlink(name: str, folder: int) -> None:
    """Remove that file of the folder, where it is.

    Raises OSError.
    """
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


WITHOUT_TERM = """# A signal to all processes of the task is for supervise, which has to write its report.
trap : TERM
"""
"""The head of a script whose shell waits for supervise."""


def queued_again(batch: "Batch", again: str) -> str:
    """Return the end of a script that has the engine start the task again after 75, by the command `again`."""
    return f"""\
"$@"
code=$?
[ -e "$results/$number.json" ] || check
if [ "$code" = 75 ]; then
    [ "$restarts" -ge {batch.restarts} ] || {{ {again}; }}
    # An engine may start a task that ends with 75 again by itself; the report has the code.
    exit 1
fi
exit "$code"
"""


def script(batch: "Batch", *, number: str, restarts: str, run: str, head: str = "") -> bytes:
    """Return the script of a task.

    `number` and `restarts` are what a shell expands to the number of the task, and to how often it was started again;
    `run` is the end of the script, which executes the words `$@`. `head` comes first.
    """
    variables = f"number={number}\nrestarts={restarts}\n"
    return os.fsencode(beginning(batch, variables, head) + start_of_task(run))


def beginning(batch: "Batch", variables: str, head: str) -> str:
    """Return the beginning of a script, which sets these variables, and ends where a folder is missing."""
    return f"""#!/bin/sh
{head}n='
'
{variables}results={quoted(batch.results)}
[ -d "$results" ] || exit {NO_RESULTS}
export {UNREPORTED}="{UNWRITABLE} {FULL}"
cd {quoted(batch.cwd)} || exit {NO_FOLDER}
# Ends the task where no file can be written, without the shell's own printf, which does not always say why.
check() {{
    why=$({{ LC_ALL=C env printf x >"$results/.$number"; }} 2>&1)
    written=$?
    rm -f "$results/.$number"
    [ "$written" != 0 ] || return 0
    case $why in *"No space"* | *quota*) exit {FULL} ;; esac
    exit {UNWRITABLE}
}}
"""


def start_of_task(run: str) -> str:
    """Return what opens the output of the task `$number`, tells it of its starts, `$restarts`, and ends with `run`."""
    return f"""\
true 2>/dev/null >>"$results/$number.out" || {{ check; exit {UNWRITABLE}; }}
if [ "$restarts" = 0 ]; then
    exec >"$results/$number.out" 2>&1
else
    exec >>"$results/$number.out" 2>&1
    outcome=resumable
    if [ ! -e "$results/$number.json" ]; then
        # A machine has failed.
        outcome=lost
    elif grep -q '"outcome": "cancelled"' "$results/$number.json"; then
        outcome=cancelled
    fi
    export {RESTARTED}="$restarts $outcome"
    rm -f "$results/$number.json"
fi
line=$(LC_ALL=C sed -n "$number{{p;q;}}" "$results/{TASKS_FILE}")
[ -n "$line" ] || exit {NO_RESULTS}
eval "set -- $line"
{run}"""
