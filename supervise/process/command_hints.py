"""Guesses what the user meant by a command that was not found. Loaded only when a start has failed for that reason."""

SHELL_WORDS = frozenset(
    (
        *(".", ":", "alias", "bg", "break", "builtin", "cd", "command", "continue"),
        *("declare", "eval", "exec", "exit", "export", "fc", "fg", "getopts", "hash"),
        *("history", "jobs", "let", "local", "logout", "popd", "pushd", "read", "readonly"),
        *("return", "set", "shift", "shopt", "source", "suspend", "times", "trap", "type"),
        *("typeset", "ulimit", "umask", "unalias", "unset", "wait", "if", "for", "while"),
        *("until", "case", "function", "select", "{", "(", "!", "[[", "time"),
    )
)
"""Words that a shell handles itself: built-in utilities and reserved words (POSIX, XCU 2.4 and 2.14; bash(1))."""
UNITS = ("ms", "s", "sec", "m", "min", "h", "d")
"""The units of a duration."""
WORD_CHARACTERS = 60
"""Characters of the longest word that a hint repeats."""


def hint_for(word: str) -> str:
    """Return the hint for a command's first word that names no program, with the punctuation before it; '' for none."""
    name, equals, _ = word.partition("=")
    if word in SHELL_WORDS:
        return f"; {word} is a word of the shell: sh -c '{word} ...'"
    if equals and name.isidentifier() and name.isascii():
        return f"; for a variable write: env {name}=... COMMAND"
    first, *rest = word.split()[:2] or [""]
    if rest and len(first) <= WORD_CHARACTERS:
        return f"; it is one word with a space in it: write the words without quotes, or sh -c '{first} ...'"
    if is_duration(word):
        return f"; for a limit write: -t {word}"
    return ""


def is_duration(word: str) -> bool:
    """Return whether the word looks like a duration: `30m`, `1.5h`, `1h30m`, `10`."""
    if not word.isascii() or not word[:1].isdigit() or len(word) > WORD_CHARACTERS:
        return False
    rest = word
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("mshdecin"))]
        rest = rest[len(unit) :]
        if not number.replace(".", "", 1).isdigit() or unit not in (*UNITS, ""):
            return False
    return True
