"""`supervise sleep`: a sleep that ends at once if the surrounding run would end before it (SUPERVISE_DEADLINE)."""

from time import sleep, time
from typing import Any

from supervise import EXIT_TRY_AGAIN
from supervise.commands.left import latest_of_environment
from supervise.options.table import Option
from supervise.options.values import LONGEST_DURATION_SECONDS, read_delay

DURATION = Option("", "sleep", "", "delay", "", "DURATION", "")


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Sleep for the duration and return 0; return 75 at once where the run ends before that."""
    word = operands[0]
    # A delay, not a limit: as for sleep(1), 0 is at once.
    seconds = read_delay(DURATION, word)
    latest = latest_of_environment()
    if latest is not None and (over := time() + seconds - latest) > 0:
        by = "" if seconds >= LONGEST_DURATION_SECONDS else f"{_shown(over)} "
        why = f"not sleeping {word}: the run ends {by}before that would be over (exit {EXIT_TRY_AGAIN})"
        from supervise.text import stderr

        stderr.say(why)
        return EXIT_TRY_AGAIN
    sleep(seconds)
    return 0


def _shown(seconds: float) -> str:
    """Return the duration as `1h2m3s`, or with a tenth of a second if it is less than a minute: `0.3s`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return "".join(f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number)
