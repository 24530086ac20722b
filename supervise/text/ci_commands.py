"""Text of others made harmless for the runner of a CI service, which reads commands from the lines of a job.

A runner of GitHub takes `::name::` at the start of a line for a command, and the older `##[name]` anywhere in a line.
Between `::stop-commands::TOKEN` and `::TOKEN::` it obeys none.
"""


def stop_line(token: str) -> str:
    """Return the line, without its line feed, after which the runner obeys no command until `resume_line` comes."""
    return f"::stop-commands::{token}"


def resume_line(token: str) -> str:
    """Return the line, without its line feed, after which the runner obeys commands again."""
    return f"::{token}::"


def disarmed(text: str) -> str:
    r"""Return the text with an escape within each `::` and `##[`, as the sanitizer has them: `:\x3a` and `#\x23[`.

    A command has a name, which begins with a letter, between two `::`.  Others stay, as in an IPv6 address.
    """
    if any(name.lstrip(": ")[:1].isalpha() for name in text.split("::")[1:-1]):
        text = text.replace("::", ":\\x3a")
    return text.replace("##[", "#\\x23[")
