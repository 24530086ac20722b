"""The URL of the check that `--ping` names, by a URL, a UUID, a slug or a file with one of them.

The variables are those of other programs that ping: HC_API_URL, the address of another server than healthchecks.io,
and HC_PING_KEY, the key of the project to which a slug belongs. The value of each may be `file:PATH`.
"""

import os

from supervise.files import private_files
from supervise.options.table import SECRET_FILE, BadValueError
from supervise.options.values import CHECK_FORMS, URL_SCHEMES, is_check, is_secret_file, is_url, is_uuid
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER = "https://hc-ping.com"
SECRET_BYTES = 4096
"""Bytes of a file with a secret; a longer file is another one."""
KEY_PUNCTUATION = "-_"


def files_of(word: str, environ: "Mapping[str, str]") -> "list[str]":
    """Return the files that hold a part of the address."""
    words = (word, environ.get("HC_API_URL", ""), environ.get("HC_PING_KEY", ""))
    return [one[len(SECRET_FILE) :] for one in words if is_secret_file(one)]


def address_of(word: str, environ: "Mapping[str, str]") -> str:
    """Return the URL of the check.

    Raises BadValueError, whose text does not show a secret.
    """
    check = _value("--ping", word)
    if not is_check(check):
        raise BadValueError(f"--ping: {word}: the file does not hold {CHECK_FORMS}")
    if check.startswith(URL_SCHEMES):
        return check
    server = (_value("HC_API_URL", environ.get("HC_API_URL", "")) or SERVER).rstrip("/")
    if not is_url(server):
        raise BadValueError("HC_API_URL: takes the URL of a server (https://HOST)")
    if is_uuid(check):
        return f"{server}/{check.lower()}"
    key = _value("HC_PING_KEY", environ.get("HC_PING_KEY", ""))
    if not key:
        raise BadValueError("--ping: the slug of a check needs the ping key of its project, in HC_PING_KEY")
    if not key.isascii() or not "".join(one for one in key if one not in KEY_PUNCTUATION).isalnum():
        raise BadValueError("HC_PING_KEY: takes the ping key of a project (letters, digits, - and _)")
    return f"{server}/{key}/{check}"


def _value(source: str, word: str) -> str:
    """Return the word, or what the file holds that it names.

    Raises BadValueError.
    """
    if not is_secret_file(word):
        return word
    path = word[len(SECRET_FILE) :]
    try:
        fd = private_files.open_to_read(path)
        try:
            data = os.read(fd, SECRET_BYTES + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise BadValueError(f"{source}: cannot use {path!r}: {reason_of(error, with_path=True)}") from None
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(data) > SECRET_BYTES or not text.isprintable():
        raise BadValueError(f"{source}: {path!r} does not hold one line of text")
    return text
