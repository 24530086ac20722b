"""Where the configuration is: in the file that is named, or in the user's own file.

A run of a user without a configuration does not load this module.
"""

import os
import sys

from supervise.options import argv, paths
from supervise.options.table import OPTIONS, BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_silent_files: "set[str]" = set()
"""The files whose file system has not answered."""
LIMITS = ("access_timeout", "timeout", "total_timeout")
"""The options that bound the wait for an answer."""
ANSWER_SECONDS = 2.0
"""Seconds that the file system of the user's own configuration has to answer; half of the shortest limit if that is
less."""


def find(given: "Mapping[str, str]", environ: "Mapping[str, str]") -> "tuple[str, str]":
    """Return the path of the configuration, empty if there is none, and why the user's own file is not used, or ''.

    A named file is returned even if it does not exist. A file of the current folder is used only if it is named. The
    user's own file is not used if another user owns it, or if it lies in a folder that the caller may not enter. Raises
    BadValueError.
    """
    source, path = argv.source_of(argv.CONFIG, given, environ)
    if source:
        try:
            argv.read_word(argv.CONFIG, path)
        except BadValueError as error:
            raise BadValueError(f"{source}: {error}") from None
        if not _answers(path, lambda: os.stat(path), given, environ):
            raise BadValueError(f"{source}: {path!r} does not answer")
        return path, ""
    if late := _own_file_is_silent(given, environ):
        return "", late
    path, notice = users_file(environ)
    try:
        if path:
            os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "", notice
    except PermissionError:
        # This is mostly the home of another user (`su -m`), whose configuration does not matter to the run. It may
        # still set limits, so a notice says that they are left out.
        return "", notice or f"the configuration {path} is left alone: permission denied"
    except OSError:
        # The error is reported when the file is read.
        return path, notice
    return _unless_anothers(path, notice) if path else ("", notice)


def _own_file_is_silent(given: "Mapping[str, str]", environ: "Mapping[str, str]") -> str:
    """Return the notice that the user's own configuration is not used, as its file system does not answer; or ''."""
    folder = paths.config(environ) if sys.platform == "linux" else None
    path = os.path.join(folder, argv.FILE) if folder else ""
    if not path or _answers(path, lambda: os.stat(users_file(environ)[0]), given, environ):
        return ""
    return f"the configuration {path} is left alone: its file system does not answer"


def _answers(path: str, look: "Callable[[], object]", given: "Mapping[str, str]", environ: "Mapping[str, str]") -> bool:
    """Return whether the file system of the configuration answers.

    Another process does the look and can be left behind, unless the kernel knows the answer without a disk.
    """
    from supervise.process import system

    if path in _silent_files:
        # The full reader asks again after the fast reader has failed.
        return False
    if system.is_at_hand(path):
        return True
    from supervise.options import values
    from supervise.process import bounded_call

    bounds = [ANSWER_SECONDS]
    for key in LIMITS:
        option = next(one for one in OPTIONS if one.key == key)
        try:
            limit = values.read(option, argv.source_of(option, given, environ)[1])
        except BadValueError:
            # The option is not given, or its value is refused later.
            continue
        if isinstance(limit, float):
            bounds.append(limit / 2)
    try:
        bounded_call.run(lambda: (bool(look()), ()), min(bounds))
    except bounded_call.NoAnswerError:
        _silent_files.add(path)
        return False
    except OSError:
        # An error is an answer too.
        pass
    return True


def users_file(environ: "Mapping[str, str]") -> "tuple[str, str]":
    """Return the path of the user's own configuration, whether it exists or not; empty if the user has no home.

    And why that is not the one that the environment names; empty if it is that one.
    """
    folder, notice = paths.own_config(environ)
    return os.path.join(folder, argv.FILE) if folder else "", notice


def _unless_anothers(path: str, notice: str) -> "tuple[str, str]":
    """Return the path of the file, or the notice that another user owns it or can change it."""
    from supervise.files import ownership, private_files

    try:
        os.close(private_files.open_to_read(path))
    except ownership.UntrustedError as error:
        if not (error.is_ours and _is_ours(path)):
            return "", f"the configuration {path} is left alone: {error.where}: {error.why}"
        # The user's own file is not silently left out: the user would miss it, and can mend what is wrong with it.
    except OSError:
        # The error is reported when the file is read.
        pass
    return path, notice


def _is_ours(path: str) -> bool:
    """Return whether the file belongs to the user."""
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False
