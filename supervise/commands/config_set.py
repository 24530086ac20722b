"""`supervise config set`: write one option into the configuration."""

import os
from contextlib import suppress
from fcntl import LOCK_EX, flock
from stat import S_ISREG
from typing import Any

import tomli_w

from supervise.commands.config_path import path_of
from supervise.files import ownership, private_files, user_files
from supervise.files.path_walk import Entry
from supervise.options import config
from supervise.options.table import WORD_SEPARATOR, BadValueError, Option, option_names
from supervise.options.values import read as read_value
from supervise.text import stderr
from supervise.text.writer import write_all


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Write the value of the key into the defaults or into a profile; return 0."""
    key, word = operands
    option = _option(key)
    value = _value(option, word)
    path = path_of(values, is_to_be_written=True)
    is_named = bool(values["config"] or os.environ.get("SUPERVISE_CONFIG"))
    # A link to the file, as tools for dotfiles make it, stays; the file that it points to is replaced.
    place = _find(path, is_named=is_named)
    try:
        if place.found is not None and not S_ISREG(place.found.st_mode):
            raise BadValueError(f"{config.shown(path)}: is not a regular file")
        lock = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.folder)
        try:
            # The lock is held over reading and writing: of two processes without it, one would undo the other's change.
            flock(lock, LOCK_EX)
            is_there = place.name in os.listdir(lock)
            old = config.load(path, is_named=is_named) if is_there else config.Configuration(path, "", {})
            _set(old.document, option, value, values["profile"])
            old.settings(values["profile"])
            _write(place, tomli_w.dumps(old.document))
        finally:
            os.close(lock)
    finally:
        place.close()
    if _has_comments(old.text):
        stderr.say(f"the comments in {config.shown(path)} are lost")
    return 0


def _option(key: str) -> Option:
    """Return the option of the key.

    Raises BadValueError where there is none, or the configuration cannot have it.
    """
    option = option_names().get("--" + key.removeprefix("--"))
    if option is None:
        raise BadValueError(f"no such option {key!r}; {config.did_you_mean(key, config.configurable())}")
    if option.name in config.NOT_CONFIGURED:
        raise BadValueError(f"{option.name}: can be given on the command line only")
    return option


def _value(option: Option, word: str) -> object:
    """Return the value of the option as TOML has it.

    A repeatable option takes several values in one word, one on each line, as in the environment.
    Raises BadValueError.
    """
    words = list(filter(None, word.split("\n"))) if option.is_repeatable else [word]
    try:
        word.encode()
        value = read_value(option, WORD_SEPARATOR.join(words))
    except BadValueError as error:
        raise BadValueError(f"{option.name}: {error}") from None
    except UnicodeEncodeError:
        raise BadValueError(f"{option.name}: got {word!r}, which is not UTF-8") from None
    if option.is_flag:
        return value
    if option.is_repeatable:
        return words
    is_number = option.kind in config.KINDS_OF_NUMBERS and word.isascii() and word.isdigit() and str(int(word)) == word
    return int(word) if is_number else word


def _set(document: dict[str, Any], option: Option, value: object, profile: "str | None") -> None:
    """Set the option in the document, in the table of the profile if one is given, and remove the option's other names.

    Raises BadValueError where the place of the table is taken by another value.
    """
    table = document
    if profile is not None:
        profiles = document.setdefault(config.PROFILES, {})
        table = profiles.setdefault(profile, {}) if isinstance(profiles, dict) else {}
        if not isinstance(table, dict) or not isinstance(profiles, dict):
            raise BadValueError(f"{config.PROFILES}.{profile} is not a table in the configuration")
    for name in option.aliases:
        table.pop(name, None)
    table[option.name] = value


def _find(path: str, *, is_named: bool) -> Entry:
    """Return the place of the file, after making its folder if that is missing.

    Raises BadValueError where another user could have planted a part of the path, OSError.
    """
    folder = os.path.dirname(path)
    try:
        if is_named:
            os.close(user_files.open_folder(folder or "."))
            return user_files.find(path)
        private_files.check_folder(folder, make_below=os.environ.get("HOME", "/"))
        return private_files.find(path)
    except ownership.UntrustedError as error:
        raise BadValueError(f"{config.shown(error.where)}: {error.why}") from None


def _write(place: Entry, text: str) -> None:
    """Replace the file by the text, whole or not at all.

    Raises OSError.
    """
    beside = f".supervise-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        mode = os.lstat(place.name, dir_fd=place.folder).st_mode & 0o777
    except FileNotFoundError:
        mode = 0o600
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(beside, flags, mode, dir_fd=place.folder)

    def fill(fd: int) -> None:
        os.fchmod(fd, mode)
        write_all(fd, text.encode())
        # A power failure must not leave an empty file in the place of the old one.
        os.fsync(fd)

    user_files.replace(place, beside, fd, fill)


def _has_comments(text: str) -> bool:
    """Return whether the TOML text has a comment.

    A `#` begins one if the document stays the same without the rest of the line; a `#` in a string does not.
    """
    import tomllib

    document = tomllib.loads(text)
    for at, letter in enumerate(text):
        if letter == "#":
            end = text.find("\n", at)
            with suppress(tomllib.TOMLDecodeError):
                if tomllib.loads(text[:at] + ("" if end < 0 else text[end:])) == document:
                    return True
    return False
