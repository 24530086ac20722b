"""`supervise config set`: write one option into the configuration."""

import os
import sys
from contextlib import suppress
from fcntl import LOCK_EX, flock
from typing import Any

import tomli_w

from supervise import config
from supervise.commands.config_path import path_of
from supervise.options import BETWEEN, BadValueError, Option, option_names
from supervise.values import read as read_value


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Set the key to the value, for every run or for one profile."""
    key, word = operands
    option = _option(key)
    value = _value(option, word)
    # The file that a link means, as dotfiles are often kept, stays where it is.
    path = os.path.realpath(path_of(values))
    if os.path.lexists(path) and not os.path.isfile(path):
        raise BadValueError(f"{config.shown(path)}: is not a regular file")
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Of two at once neither is lost.
        flock(lock, LOCK_EX)
        old = config.load(path) if os.path.lexists(path) else config.Configuration(path, "", {})
        _set(old.document, option, value, values["profile"])
        old.settings(values["profile"])
        _write(path, tomli_w.dumps(old.document))
    finally:
        os.close(lock)
    if _has_comments(old.text):
        sys.stderr.write(f"supervise: the comments in {config.shown(path)} are lost\n")
    return 0


def _option(key: str) -> Option:
    option = option_names().get("--" + key.removeprefix("--"))
    if option is None:
        raise BadValueError(f"no such option {key!r}; {config.did_you_mean(key, config.configurable())}")
    if option.name in config.NOT_CONFIGURED:
        raise BadValueError(f"{option.name}: is not for the configuration, but for the command line")
    return option


def _value(option: Option, word: str) -> object:
    """As one would write it into TOML.  Of a repeatable option several are given as in the environment, one a line."""
    words = list(filter(None, word.split("\n"))) if option.is_repeatable else [word]
    try:
        word.encode()
        value = read_value(option, BETWEEN.join(words))
    except BadValueError as error:
        raise BadValueError(f"{option.name}: {error}") from None
    except UnicodeEncodeError:
        raise BadValueError(f"{option.name}: got {word!r}, and TOML takes UTF-8") from None
    if option.is_flag:
        return value
    if option.is_repeatable:
        return words
    is_number = option.kind in config.OF_NUMBERS and word.isascii() and word.isdigit() and str(int(word)) == word
    return int(word) if is_number else word


def _set(document: dict[str, Any], option: Option, value: object, profile: "str | None") -> None:
    table = document
    if profile is not None:
        profiles = document.setdefault(config.PROFILES, {})
        table = profiles.setdefault(profile, {}) if isinstance(profiles, dict) else {}
        if not isinstance(table, dict) or not isinstance(profiles, dict):
            raise BadValueError(f"{config.PROFILES}.{profile} is no table in the configuration")
    for name in option.aliases:
        table.pop(name, None)
    table[option.name] = value


def _write(path: str, text: str) -> None:
    """All of it or nothing.

    Raises OSError.
    """
    beside = os.path.join(os.path.dirname(path), f".supervise-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        mode = os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        mode = 0o600
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(text.encode())
            file.flush()
            # What was there before must not be lost with the power.
            os.fsync(fd)
        os.rename(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def _has_comments(text: str) -> bool:
    """Where a comment is cut off, the document stays the same; a `#` in a text is part of it."""
    import tomllib

    document = tomllib.loads(text)
    for at, letter in enumerate(text):
        if letter == "#":
            end = text.find("\n", at)
            with suppress(tomllib.TOMLDecodeError):
                if tomllib.loads(text[:at] + ("" if end < 0 else text[end:])) == document:
                    return True
    return False
