"""Where the configuration is: the file that was named, or the user's own.

A run of a user who has none does not load this.
"""

import os
import sys

from supervise.options import argv, paths
from supervise.options.table import OPTIONS, BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_silent_files: "set[str]" = set()
"""The files whose file system did not answer."""
LIMITS = ("access_timeout", "timeout", "total_timeout")
ANSWER_SECONDS = 2.0
"""Seconds that the file system of the user's own configuration has to answer, or half of the first limit."""


def find(said: "Mapping[str, str]", environ: "Mapping[str, str]") -> "tuple[str, str]":
    """The file that was named, there or not, or the user's own where there is one; empty where there is none.

    And why the user's own is left alone: because it is another user's, or in a folder that the caller may not enter.
    Never one of the current folder, unless it is named.  Raises BadValueError.
    """
    source, path = argv.source_of(argv.CONFIG, said, environ)
    if source:
        try:
            argv.read_word(argv.CONFIG, path)
        except BadValueError as error:
            raise BadValueError(f"{source}: {error}") from None
        if not _answers(path, lambda: os.stat(path), said, environ):
            raise BadValueError(f"{source}: {path!r} does not answer")
        return path, ""
    if late := _own_is_late(said, environ):
        return "", late
    path, notice = users_file(environ)
    try:
        if path:
            os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "", notice
    except PermissionError:
        # This is mostly the home of another user (`su -m`), who is nothing to the run.  It may have a configuration
        # all the same, so the user is told that its limits are left out.
        return "", notice or f"the configuration {path} is left alone: permission denied"
    except OSError:
        # What is wrong with it is said when it is read.
        return path, notice
    return _unless_anothers(path, notice) if path else ("", notice)


def _own_is_late(said: "Mapping[str, str]", environ: "Mapping[str, str]") -> str:
    """Return the notice that the user's own configuration is left alone, as its file system does not answer; or ''."""
    folder = paths.config(environ) if sys.platform == "linux" else None
    path = os.path.join(folder, argv.FILE) if folder else ""
    if not path or _answers(path, lambda: os.stat(users_file(environ)[0]), said, environ):
        return ""
    return f"the configuration {path} is left alone: its file system does not answer"


def _answers(path: str, look: "Callable[[], object]", said: "Mapping[str, str]", environ: "Mapping[str, str]") -> bool:
    """Return whether the file system of that configuration answers.

    The look is taken by a process that can be left behind, unless the kernel knows the answer.
    """
    from supervise.process import system

    if path in _silent_files:
        # The full reader asks again where the fast reader has failed.
        return False
    if system.is_at_hand(path):
        return True
    from supervise.options import values
    from supervise.process import bounded_call

    bounds = [ANSWER_SECONDS]
    for key in LIMITS:
        option = next(one for one in OPTIONS if one.key == key)
        try:
            limit = values.read(option, argv.source_of(option, said, environ)[1])
        except BadValueError:
            # The option is not given, or its value is refused in a moment.
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
    """The user's own configuration, there or not; empty where the user has no home.

    And why that is not the one that the environment names; empty where it is that one.
    """
    folder, notice = paths.own_config(environ)
    return os.path.join(folder, argv.FILE) if folder else "", notice


def _unless_anothers(path: str, notice: str) -> "tuple[str, str]":
    """Return the file, or the notice that another user owns it or can change it."""
    from supervise.files import ownership, private_files

    try:
        os.close(private_files.open_to_read(path))
    except ownership.UntrustedError as error:
        if not (error.is_ours and _is_ours(path)):
            return "", f"the configuration {path} is left alone: {error.where}: {error.why}"
        # The user misses a file of the user's own that is left out, and can mend what is wrong.
    except OSError:
        # The error is said when the file is read.
        pass
    return path, notice


def _is_ours(path: str) -> bool:
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False
