"""The words of a command as one would type them in a shell, without shlex, which loads `re`."""

import os

from supervise.text.sanitizer import clean, is_plain

SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_"
"""Characters that no shell treats in a special way."""
ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def command_line(words: "list[str]") -> str:
    """Return the words as one would type them in a POSIX shell, on one line."""
    return " ".join(map(quoted, words))


def quoted(word: str) -> str:
    """Return the word quoted for a POSIX shell.

    A word with characters that do not print is quoted as $'...', which bash, zsh and ksh understand.
    """
    if word and all(one in SAFE for one in word):
        return word
    if clean(word) == word:
        return "'" + word.replace("'", "'\\''") + "'"
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(character: str) -> str:
    if character in ESCAPES:
        return ESCAPES[character]
    if is_plain(character):
        return character
    # Bytes, since what a shell makes of \u... depends on its locale.
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
