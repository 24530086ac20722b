r"""The script that runs several tasks of a batch, a bundle, one after the other in one task of the engine.

    RESULTS/.bundles    line N: the numbers of the tasks of bundle N
    RESULTS/.K.starts   written by the script: how often task K was started, and `ended` where its report is to stay

The script runs each task as that of a task alone does, in a subshell.  A bundle that the engine starts again runs the
tasks alone that have not ended.  Only the script knows how often each was started: the engine counts for the bundle.
A variable of the script replaces one that the user has exported under the same name, for the tasks as well.  So the
names that only this script has begin with bundle_.
"""

import os
from textwrap import indent

from supervise.batch import job_script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from supervise.batch.batch_record import Batch

BUNDLES_FILE = ".bundles"
ENDED = "ended"
HEAD = """# A signal to all processes is for supervise, which has to write its report; no other task begins after it.
bundle_stopped=
trap bundle_stopped=1 TERM
"""
RUN = f"""\
# A signal ends this shell until supervise is there, so that none is lost.
echo "$((restarts + 1))" 2>/dev/null >"$bundle_starts" || {{ check; exit {job_script.UNWRITABLE}; }}
exec "$@"
"""


def starts_file(number: int) -> str:
    """Return the name of the file that says how often that task was started."""
    return f".{number}.starts"


def bundle_lines(bundles: "Iterable[list[int]]") -> "Iterator[bytes]":
    """Yield the line of each bundle."""
    for numbers in bundles:
        yield b" ".join(b"%d" % number for number in numbers) + b"\n"


def write_bundles(bundles: "list[list[int]]", folder: int) -> None:
    """Write the file with the lines into the folder of the results, whose descriptor that is.

    Raises OSError.
    """
    job_script.write_new(BUNDLES_FILE, bundle_lines(bundles), folder)


def script(batch: "Batch", *, bundle: str, queued: str, again: str) -> bytes:
    """Return the script of a bundle.

    `bundle` and `queued` are what a shell expands to the number of the bundle, and to how often it was started again;
    `again` is the command that has the engine start it again.
    """
    variables = f"bundle_number={bundle}\nbundle_restarts={queued}\n"
    return os.fsencode(f"""{job_script.beginning(batch, variables, HEAD)}\
# Whether the task has a report that stays.  One that was cancelled or lost with the bundle is no end.
has_ended() {{
    [ -e "$results/$number.json" ] || return 1
    ! grep -q '"exit_code": 75,' "$results/$number.json" || return 1
    [ "$bundle_end" != {ENDED} ] || return 0
    if grep -q '"outcome": "lost"' "$results/$number.json"; then
        rm -f "$results/$number.json"
        return 1
    fi
    ! grep -q '"outcome": "cancelled"' "$results/$number.json"
}}
bundle_numbers=$(LC_ALL=C sed -n "$bundle_number{{p;q;}}" "$results/{BUNDLES_FILE}")
[ -n "$bundle_numbers" ] || exit {job_script.NO_RESULTS}
bundle_again= bundle_failed=0 bundle_unreported=
for number in $bundle_numbers; do
    [ -z "$bundle_stopped" ] || break
    bundle_starts=$results/.$number.starts
    restarts=0
    bundle_end=
    if [ -e "$bundle_starts" ]; then
        read -r restarts bundle_end <"$bundle_starts"
        # The file of a machine that has failed may be empty.
        case $restarts in '' | *[!0-9]*) restarts=1 ;; esac
        ! has_ended || continue
    fi
    (
{indent(job_script.start_of_task(RUN), " " * 8)}\
    )
    bundle_code=$?
    if [ ! -e "$results/$number.json" ]; then
        (check) || bundle_code=$?
        case $bundle_code in 0 | 75) ;; *) : "${{bundle_unreported:=$bundle_code}}" ;; esac
    fi
    if [ "$bundle_code" = 75 ]; then
        bundle_again=1
        # The other tasks have no time left either.
        ! grep -q '"reason": "allocation_end"' "$results/$number.json" || break
    elif [ "$bundle_code" != 0 ]; then
        bundle_failed=1
        [ -n "$bundle_stopped" ] || echo "$((restarts + 1)) {ENDED}" 2>/dev/null >"$bundle_starts"
    fi
done
if [ -n "$bundle_again" ]; then
    bundle_failed=1
    [ -n "$bundle_stopped" ] || [ "$bundle_restarts" -ge {batch.restarts} ] ||
        {{ {again} && {{ [ -n "$bundle_stopped" ] || exec sleep 60; }}; }}
fi
# That of a task without a report, or 1: the reports have their codes, and 75 could have the engine act by itself.
exit "${{bundle_unreported:-$bundle_failed}}"
""")
