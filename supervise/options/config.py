"""The configuration: defaults for the options of `run`, and profiles of them, in one TOML file.

    idle-timeout = "15m"        # for every run

    [profiles.ci]               # for runs with --profile ci
    timeout = "1h"
    warn-at = ["5m", "1m"]

It is loaded only if there is such a file. Errors are reported with their line. A run checks the defaults and its own
profile; `config check` checks the whole file.
"""

import os

from supervise.files import ownership, private_files, user_files
from supervise.options.plain_toml import read as read_plainly
from supervise.options.table import OPTIONS, WORD_SEPARATOR, BadValueError, Option, option_names
from supervise.options.values import read as read_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

BOM = b"\xef\xbb\xbf"
FILE_BYTES = 1 << 20
"""Bytes of the largest file that can be a configuration."""
PROFILES = "profiles"
NOT_CONFIGURED = ("config", "profile")
"""Options that say which configuration is used, so they cannot stand in one."""
LARGEST_NUMBER = 10**15
"""No option takes a larger number."""
MESSAGE_CHARACTERS = 400
"""Characters of a message."""
NAMES_LISTED = 8
"""Names that a message can list."""
KINDS_OF_NUMBERS = ("limit", "cap", "delay", "step", "marks", "percent", "codes", "signal", "count", "size", "room")
"""The kinds of options that take a TOML number."""
KINDS_OF_LISTS = ("marks", "set", "codes", "causes", "names")
"""The kinds of options whose words have commas between them."""


class Setting:
    """The value that the configuration gives to one option."""

    __slots__ = ("option", "path", "value", "word")

    def __init__(self, option: Option, path: "tuple[str, ...]", word: str, value: object) -> None:
        self.option = option
        self.path = path
        """The path of the key in the document, as written: `("profiles", "ci", "timeout")`."""
        self.word = word
        """The value as it would stand on the command line."""
        self.value = value


class Problem:
    """An error in the configuration."""

    __slots__ = ("path", "text")

    def __init__(self, path: "tuple[str, ...]", text: str) -> None:
        self.path = path
        """The path of the key that has the error."""
        self.text = text


class Configuration:
    """The content of one TOML file."""

    __slots__ = ("document", "file", "text")

    def __init__(self, file: str, text: str, document: "dict[str, Any]") -> None:
        self.file = file
        self.text = text
        self.document = document

    @property
    def profiles(self) -> "dict[str, dict[str, Any]]":
        """Return the profiles that are tables."""
        profiles = self.document.get(PROFILES, {})
        return {name: table for name, table in _items(profiles) if isinstance(table, dict)}

    @property
    def lines(self) -> "dict[tuple[str, ...], int]":
        """Return the line of each key, by the path to it."""
        from supervise.options.toml_lines import lines_of

        return lines_of(self.text)

    def settings(self, profile: "str | None") -> "dict[str, Setting]":
        """Return the settings of the defaults and the profile, by the keys of their options.

        Raises BadValueError.
        """
        if profile is not None and profile not in self.profiles:
            hint = did_you_mean(profile, list(self.profiles)) if self.profiles else "it has no profiles"
            raise BadValueError(f"{shown(self.file)}: no such profile {profile!r}; {hint}")
        problems: list[Problem] = []
        found = _read_table(self.document, (), problems)
        if profile is not None:
            found |= _read_table(self.profiles[profile], (PROFILES, profile), problems)
        if problems:
            raise BadValueError(self.located(problems)[0] + (f" ({len(problems) - 1} more)" if problems[1:] else ""))
        return found

    def problems(self) -> "list[Problem]":
        """Return all errors of the file, also those in profiles that this run does not use."""
        problems: list[Problem] = []
        _read_table(self.document, (), problems)
        for name, table in _items(self.document.get(PROFILES, {})):
            path = (PROFILES, name)
            if isinstance(table, dict):
                _read_table(table, path, problems)
            else:
                problems.append(Problem(path, f"got {_described(table)}, takes a table: [{PROFILES}.{name}]"))
        return problems

    def located(self, problems: "list[Problem]") -> "list[str]":
        """Return the errors as `FILE:LINE: what is wrong`, in the order of their lines."""
        lines = self.lines if problems else {}
        placed = sorted((lines.get(problem.path, 1), _shortened(problem.text)) for problem in problems)
        return [f"{shown(self.file)}:{line}: {text}" for line, text in placed]


def load(file: str, *, is_named: bool = True) -> Configuration:
    """Return the configuration that the file holds. A file that the user has named may lie in any folder.

    Raises BadValueError if the file cannot be read, if another user may write it, or if it is not TOML.
    """
    text = _text(file, is_named=is_named)
    document = read_plainly(text)
    if document is None:
        import tomllib

        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            from supervise.options.toml_lines import line_of_error

            has_position = isinstance(error, tomllib.TOMLDecodeError)
            why = str(error).partition(" (at ")[0] if has_position else "Too long or too deep"
            line = line_of_error(error, text)
            raise BadValueError(f"{shown(file)}:{line}: not TOML: {why[:1].lower()}{why[1:]}") from None
    return Configuration(file, text, document)


def _text(file: str, *, is_named: bool) -> str:
    try:
        fd = _open(file, is_named=is_named)
        try:
            mode = os.fstat(fd).st_mode & 0o170000
            # /dev/null stands for no configuration.
            if mode not in (0o100000, 0o020000):
                kind = "a directory" if mode == 0o040000 else "not a regular file"
                raise BadValueError(f"{shown(file)}: is {kind}, takes a file of TOML")
            data = b""
            while len(data) <= FILE_BYTES and (more := os.read(fd, FILE_BYTES)):
                data += more
        finally:
            os.close(fd)
    except ownership.UntrustedError as error:
        where = "" if error.where == file else f"{shown(error.where)}: "
        mend = f" (chmod go-w {shown(error.where)})" if error.is_ours else ""
        raise BadValueError(f"{shown(file)}: is refused: {where}{error.why}{mend}") from None
    except (OSError, ValueError) as error:
        from supervise.text.stderr import reason_of

        raise BadValueError(f"{shown(file)}: cannot read it: {reason_of(error)}") from None
    if len(data) > FILE_BYTES:
        raise BadValueError(f"{shown(file)}: is longer than {FILE_BYTES} bytes")
    try:
        # Some editors begin a UTF-8 file with a byte order mark.
        return data.removeprefix(BOM).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadValueError(f"{shown(file)}:{line}: is not UTF-8") from None


def _open(file: str, *, is_named: bool) -> int:
    """Return a descriptor of the file. Neither a FIFO nor a terminal can block the open.

    The user chooses the folder of a file that the user names, but links that other users have planted are not followed.
    In both cases the file itself must belong to the user or root, because it can make supervise run a command.
    """
    if not is_named:
        return private_files.open_to_read(file)
    if file.rpartition("/")[2] in ("", ".", ".."):
        return os.open(file, private_files.READ_FLAGS)
    entry = user_files.find(file)
    try:
        if entry.is_descriptor:
            return os.open(entry.name, private_files.READ_FLAGS & ~os.O_NOFOLLOW, dir_fd=entry.folder)
        if entry.found is None:
            raise FileNotFoundError(2, os.strerror(2))
        fd = user_files.open_at(entry, private_files.READ_FLAGS)
        try:
            if not _is_null(os.fstat(fd)):
                private_files.check_file(fd, file)
        except BaseException:
            os.close(fd)
            raise
        return fd
    finally:
        entry.close()


def _is_null(found: os.stat_result) -> bool:
    """Return whether the file is /dev/null, which a container may give to any owner."""
    return found.st_mode & 0o170000 == 0o020000 and found.st_rdev == os.stat(os.devnull).st_rdev


def _read_table(table: "Mapping[str, Any]", path: "tuple[str, ...]", problems: "list[Problem]") -> "dict[str, Setting]":
    """Return the settings of a table by the keys of their options; append its errors to the problems."""
    found: dict[str, Setting] = {}
    names = {name[2:]: option for name, option in option_names().items() if name[:2] == "--"}
    for key, value in table.items():
        here = (*path, key)
        option = names.get(key)
        if key == PROFILES and not path:
            if not isinstance(value, dict):
                problems.append(Problem(here, f"{key}: got {_described(value)}, takes tables: [{PROFILES}.NAME]"))
        elif option is None:
            problems.append(Problem(here, f"no such option {key!r}; {did_you_mean(key, configurable())}"))
        elif option.name == "profile" and isinstance(value, dict):
            problems.append(Problem(here, f"no such table {key!r}; did you mean [{PROFILES}.NAME]?"))
        elif option.name in NOT_CONFIGURED:
            problems.append(Problem(here, f"{key}: can be given on the command line only"))
        elif any(other != key and names.get(other) is option for other in table):
            problems.append(Problem(here, f"{key}: is set twice, by two names"))
        else:
            try:
                word = word_of(option, value)
                found[option.key] = Setting(option, here, word, read_value(option, word))
            except BadValueError as error:
                problems.append(Problem(here, f"{key}: {error}"))
    return found


def configurable() -> "list[str]":
    """Return the names of options that may stand in the file."""
    return [name for option in OPTIONS if option.name not in NOT_CONFIGURED for name in (option.name, *option.aliases)]


def word_of(option: Option, value: "Any") -> str:
    """Return the word of the command line that has the same meaning as the TOML value.

    Raises BadValueError if the option does not take a value of that type.
    """
    match value:
        case str() if WORD_SEPARATOR not in value:
            return value
        case bool() if option.is_flag or "on" in option.choices:
            return "on" if value else "off"
        case int() | float() if (
            option.kind in KINDS_OF_NUMBERS and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER
        ):
            return str(value)
        case list() if option.is_repeatable and all(isinstance(one, str) for one in value):
            return WORD_SEPARATOR.join(word_of(option, one) for one in value)
        case list() if option.kind in KINDS_OF_LISTS and not any(isinstance(one, list) for one in value):
            return ",".join(word_of(option, one) for one in value)
    raise BadValueError(f"got {_described(value)}, takes {_takes(option)}")


def _is_number(value: float) -> bool:
    return not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def _takes(option: Option) -> str:
    """Return what the option takes, in the words of its reader."""
    try:
        read_value(option, WORD_SEPARATOR)
    except BadValueError as error:
        return str(error).partition("takes ")[2]
    return "text"


def _described(value: object) -> str:
    """Return the TOML value, or its type, in the words of a message."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"the number {value}"
        case int():
            # Python refuses to write a number of thousands of digits.
            return f"the number {value}" if abs(value) <= LARGEST_NUMBER else "a number"
        case str():
            return repr(value)
        case list():
            return "a list"
        case dict():
            return "a table"
    return "a date or time"


def _shortened(text: str) -> str:
    """Return the text, cut to MESSAGE_CHARACTERS."""
    return text if len(text) <= MESSAGE_CHARACTERS else text[:MESSAGE_CHARACTERS] + " ..."


def shown(file: str) -> str:
    """Return the path on one line, without control characters."""
    from supervise.text.sanitizer import clean

    return clean(file)


def _items(table: object) -> "list[tuple[str, Any]]":
    return list(table.items()) if isinstance(table, dict) else []


def did_you_mean(word: str, names: "list[str]") -> str:
    """Return a hint for a word that is none of the names."""
    from supervise.text.nearest import nearest

    if near := nearest(word.replace("_", "-"), names):
        return f"did you mean {near}?"
    return "see supervise run --help" if len(names) > NAMES_LISTED else "there are " + ", ".join(names)
