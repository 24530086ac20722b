"""The files that options name, opened before anything is started: one that cannot be opened refuses the run."""

from supervise.options.table import BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.output.log_file import LogFile


def check_of_result(option: str) -> "Callable[[str], tuple[str, tuple[int, ...]]]":
    """Return the check of the file of that option, one of `state.RESULT_FILES`.

    The check takes the path, opens no file, and returns why the file cannot be written, or ''.
    """

    def check(path: str) -> "tuple[str, tuple[int, ...]]":
        from supervise.files import whole_file
        from supervise.records import result_files

        why = whole_file.check(path, may_write_in_place=option not in result_files.REPLACED_ONLY)
        return f"--{option}: {why}" if why else "", ()

    return check


def open_events(path: str) -> "tuple[str, tuple[int, ...]]":
    """Return why the file of `--events` cannot be opened, or '' and a descriptor of the file."""
    return _opened("--events", path)


def open_log(path: str) -> "tuple[str, tuple[int, ...]]":
    """Return why the file of `--log` cannot be opened, or '' and a descriptor of the file."""
    return _opened("--log", path)


def log_of(fd: int) -> "LogFile":
    """Return the log that writes a plain copy of the output into that descriptor (`--log`)."""
    from supervise.output.log_file import LogFile

    return LogFile(fd)


def look_at_lock(path: str) -> "tuple[str, tuple[int, ...]]":
    """Return '' and no descriptor once the file system of the lock has answered; errors are left to the lock itself."""
    import os
    from stat import S_ISREG

    try:
        if S_ISREG(os.lstat(path).st_mode):
            # A file system may answer the lstat and not the open.
            os.close(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        pass
    return "", ()


def _opened(option: str, path: str) -> "tuple[str, tuple[int, ...]]":
    """Return why the file of the option cannot be opened, or '' and its descriptor."""
    try:
        return "", (_open_to_append(option, path),)
    except BadValueError as error:
        return str(error), ()


def _open_to_append(option: str, path: str) -> int:
    """Return a descriptor that appends to the file.

    Raises BadValueError.
    """
    from supervise.files import user_files

    try:
        return user_files.open_to_append(path)
    except OSError as error:
        from supervise.text.stderr import reason_of

        raise BadValueError(f"{option}: cannot write {path!r}: {reason_of(error)}") from None
