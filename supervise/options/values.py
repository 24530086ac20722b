"""From words to values: one reader for each kind of option. Only built-in modules are imported.

A reader takes the row of the option and the word. It returns the value, or raises BadValueError with one clear line.
"""

from supervise.options.table import HOOK_EVENTS, SECRET_FILE, WORD_SEPARATOR, BadValueError, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
ISO_DATE_UNITS = {"W": 604800.0, "D": 86400.0}
ISO_TIME_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0}
OFF_WORDS = ("off", "infinity")
FLAG_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
"""What a flag may be in the environment and the configuration."""
OFF_SIZE = "0"
NO_BOUND = float("inf")
SIZE_FORMS = "a size of 64KiB or more (500KiB, 64MiB, 1.5GiB; K, M and G are the same)"
LONGEST_DURATION_SECONDS = 100 * 365 * 86400.0
"""A century. A longer duration counts as this one, since timeout(1) takes any number too. The arithmetic of dates is
not safe beyond it."""
SIZES = {
    unit + ending: 1024**power
    for power, unit in enumerate(("", "K", "M", "G", "T"))
    for ending in (("", "B", "iB") if unit else ("", "B"))
}
SMALLEST_SIZE_BYTES = 1 << 16
LARGEST_SIZE_BYTES = 1 << 44
MOST_SLOTS = 100
"""The most runs that may have one lock at once: a run that waits has all their files open."""
NAME_CHARACTERS = 64
FLAG_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
URL_SCHEMES = ("https://", "http://")
CHECK_FORMS = "the URL (https://HOST/...), the UUID or the slug (letters a-z, digits, - and _) of a check"
CHECK_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_"
DURATION_FORMS = "a duration (90, 90s, 1.5m, 1h30m, 2d, 500ms, PT1H30M)"


def _bad(got: str, takes: str, known: "Iterable[str]" = (), part: str = "") -> BadValueError:
    """Return the error for a value; `known` are words that may have been meant, by `part` if that is not all of it."""
    if not got:
        return BadValueError(f"got nothing, takes {takes}")
    if not known:
        return BadValueError(f"got {got!r}, takes {takes}")
    from supervise.text.nearest import hint

    return BadValueError(f"got {got!r}, takes {takes}{hint(part or got, known)}")


def _number(digits: str) -> "float | None":
    """Return a plain decimal number; None for what only float() takes: 1e5, nan, inf, 1_000, spaces, other scripts."""
    if not digits.isascii() or not digits.replace(".", "", 1).isdigit():
        return None
    return float(digits)


def _whole(digits: str) -> int:
    """Return a whole number of up to nine digits; -1 for anything else."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else -1


def _numbers_with_units(text: str, units: "dict[str, float]") -> "float | None":
    """Return the sum of `1h30m` by the table; None if a number or a unit is missing or the units do not fall."""
    total, rest, last = 0.0, text, None
    while rest:
        digits = 0
        while digits < len(rest) and (rest[digits] in "0123456789."):
            digits += 1
        letters = digits
        while letters < len(rest) and rest[letters] not in "0123456789.":
            letters += 1
        number, factor = _number(rest[:digits]), units.get(rest[digits:letters])
        if number is None or factor is None or (last is not None and factor >= last):
            return None
        total, rest, last = total + number * factor, rest[letters:], factor
    return total


def duration(text: str) -> "float | None":
    """Return the seconds of `90`, `1.5m`, `1h30m`, `PT1H30M` (ISO 8601-1, 5.5.2); None if it is no duration."""
    seconds = _number(text)
    if seconds is None and text.startswith("P"):
        date, mark, time = text[1:].partition("T")
        if not (date or time) or (mark and not time):
            return None
        days, hours = _numbers_with_units(date, ISO_DATE_UNITS), _numbers_with_units(time, ISO_TIME_UNITS)
        seconds = None if days is None or hours is None else days + hours
    elif seconds is None and text:
        seconds = _numbers_with_units(text, UNITS)
    return None if seconds is None else min(seconds, LONGEST_DURATION_SECONDS)


def _is_infinite(word: str) -> bool:
    """Return whether strtod(3), and so timeout(1), takes the word for infinity: `inf`, `Infinity`, `infd`."""
    text = word.lower().removeprefix("+")
    return text in ("inf", "infinity") or (text[:-1] in ("inf", "infinity") and text[-1] in "smhd")


def read_limit(option: Option, word: str) -> "float | None":
    """Return seconds, or None if the limit is off."""
    if word in OFF_WORDS or _is_infinite(word):
        return None
    seconds = duration(word)
    if seconds is None:
        raise _bad(word, DURATION_FORMS + "; 0, off or infinity for no limit")
    return seconds or None


def read_cap(option: Option, word: str) -> float:
    """Return seconds, 0 if the cap is off. `infinity` is refused, as a cap it would read like `without end`."""
    seconds = 0.0 if word == "off" else duration(word)
    if seconds is None:
        raise _bad(word, DURATION_FORMS + "; 0 or off for none")
    return seconds


def read_delay(option: Option, word: str) -> float:
    """Return seconds. 0 means at once, and infinity the longest duration."""
    seconds = LONGEST_DURATION_SECONDS if _is_infinite(word) else duration(word)
    if seconds is None:
        raise _bad(word, DURATION_FORMS + "; 0 for at once")
    return seconds


def read_step(option: Option, word: str) -> float:
    """Return seconds, more than 0."""
    seconds = duration(word)
    if not seconds:
        raise _bad(word, DURATION_FORMS + " longer than 0")
    return seconds


def read_marks(option: Option, word: str) -> "tuple[float, ...]":
    """Return seconds before a deadline, the longest first; empty if warnings are off."""
    if word in ("0", "off"):
        return ()
    marks = [duration(part) for part in word.split(",")]
    if not all(marks):
        raise _bad(word, DURATION_FORMS + " or several with commas between; off for none")
    return tuple(sorted({mark for mark in marks if mark}, reverse=True))


def read_signal(option: Option, word: str) -> int:
    """Return the number of `TERM`, `SIGTERM` or `15`."""
    from supervise.text.signal_names import real_time_signals, signal_table

    name = word.upper().removeprefix("SIG")
    number = signal_table().get(name) or real_time_signals().get(name)
    if number is None and 1 <= _whole(word) <= 64:
        number = _whole(word)
    if number is None:
        raise _bad(word, "a signal (TERM, SIGTERM, 15)", signal_table(), name)
    return number


def read_choice(option: Option, word: str) -> str:
    """Return one of the option's choices."""
    if word not in option.choices:
        raise _bad(
            word, " or ".join(filter(None, (", ".join(option.choices[:-1]), option.choices[-1]))), option.choices
        )
    return word


def read_when(option: Option, word: str) -> str:
    """Return one of the option's choices; the words of a flag, which the option once was, count as `on` and `off`."""
    if word.lower() in FLAG_WORDS and word not in option.choices:
        return "on" if FLAG_WORDS[word.lower()] else "off"
    return read_choice(option, word)


def read_set(option: Option, word: str) -> "tuple[str, ...]":
    """Return some of the option's choices, which have commas between them."""
    parts = tuple(word.split(","))
    for part in parts:
        if part not in option.choices:
            takes = "some of " + ",".join(option.choices) + " with commas between"
            raise _bad(word, takes, option.choices, part)
    return parts


def read_causes(option: Option, word: str) -> "tuple[str, ...]":
    """Return the causes of another attempt, which have commas between them; `code=3` is an exit code other than 0."""
    parts = tuple(word.split(","))
    for part in parts:
        name, equals, code = part.partition("=")
        is_code = 1 <= _whole(code) <= 255
        if name + equals not in option.choices or (equals and not is_code):
            takes = "some of access,idle,completion,failed,signaled,resumable,oom,any,code=N, N from 1 to 255"
            raise _bad(word, takes, () if equals else option.choices, part)
    return parts


def read_percent(option: Option, word: str) -> float:
    """Return a percentage of one core above 0; several cores make more than 100."""
    number = _number(word)
    if not number or number > 100_000:
        raise _bad(word, "a percentage of one core above 0 (10, 0.5, 250)")
    return number


def read_codes(option: Option, word: str) -> "tuple[int, ...]":
    """Return exit codes from 0 to 255."""
    codes = {_whole(part) for part in word.split(",")}
    if not all(0 <= code <= 255 for code in codes):
        raise _bad(word, "exit codes from 0 to 255 with commas between (0,3)")
    return tuple(sorted(codes))


def read_path(option: Option, word: str) -> str:
    """Return the path of a file. `--` is none: it stands before the command after a `--report` without a value."""
    if not word or word == "--" or "\0" in word:
        raise _bad(word, "the path of a file")
    return word


def read_prom(option: Option, word: str) -> str:
    """Return the path of a file of metrics; a collector reads no file of another ending."""
    if not word.endswith(".prom") or "\0" in word:
        raise _bad(word, "the path of a file whose name ends in .prom")
    return word


def read_check(option: Option, word: str) -> "str | None":
    """Return the word for a check of healthchecks.io, or `file:PATH`; None for `off`. The error does not show it."""
    if word in OFF_WORDS:
        return None
    if not is_secret_file(word) and not is_check(word):
        got = f"a word of {len(word)} characters that may be a secret" if word else "nothing"
        raise BadValueError(f"got {got}, takes {CHECK_FORMS}, file:PATH, or off")
    return word


def is_secret_file(word: str) -> bool:
    """Return whether the word is `file:PATH`, for a secret in that file."""
    return word.startswith(SECRET_FILE) and len(word) > len(SECRET_FILE) and "\0" not in word


def is_check(word: str) -> bool:
    """Return whether the word is the URL, the UUID or the slug of a check."""
    if word.startswith(URL_SCHEMES):
        return is_url(word)
    name, mark, query = word.partition("?")
    is_name = is_uuid(name) or (name != "" and not name.strip(CHECK_CHARACTERS))
    return is_name and (not mark or query == "create=1")


def is_url(word: str) -> bool:
    """Return whether the word is a URL of HTTP with a host, and with a number as its port if it has one."""
    authority = word.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]
    # The colons of an IPv6 address are in brackets.
    address, bracket, rest = authority.rpartition("]")
    host, mark, port = rest.partition(":")
    has_port = not mark or 0 < _whole(port) < 1 << 16
    is_plain = word.isascii() and word.isprintable() and " " not in word
    return word.startswith(URL_SCHEMES) and is_plain and bool(address or host) and has_port and not (bracket and host)


def is_uuid(word: str) -> bool:
    """Return whether the word is a UUID in its usual form (RFC 9562, 4)."""
    parts = word.lower().split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and not "".join(parts).strip("0123456789abcdef")


def is_secret_check(word: str) -> bool:
    """Return whether all who know the word can ping the check: a URL or a UUID. A slug or a path is no secret."""
    return word.startswith(URL_SCHEMES) or is_uuid(word.partition("?")[0])


def read_size(option: Option, word: str) -> int:
    """Return bytes: 0, or enough of them to keep a beginning and an end apart."""
    size = _size(OFF_SIZE if word in OFF_WORDS[:1] else word)
    if size is None:
        raise _bad(word, f"{SIZE_FORMS}; 0 or off for none")
    return size


def read_room(option: Option, word: str) -> float:
    """Return the bytes that all records together may take: infinity for no bound, 0 to keep nothing.

    `off` is not 0 here: a user who switches a bound off must not lose the records.
    """
    if word in OFF_WORDS:
        return NO_BOUND
    size = _size(word)
    if size is None:
        raise _bad(word, f"{SIZE_FORMS}; 0 to keep nothing, off or infinity for no limit")
    return size


def read_memory(option: Option, word: str) -> "int | None":
    """Return the bytes that the tree may have in memory; None for no limit, which 0 is too."""
    if word in OFF_WORDS or word == "0":
        return None
    size = _size(word)
    if not size:
        raise _bad(word, f"{SIZE_FORMS}; 0, off or infinity for no limit")
    return size


def _size(word: str) -> "int | None":
    """Return the bytes of `64MiB`, 0 or at least SMALLEST_SIZE_BYTES; None if the word is no size."""
    digits = word.rstrip("KMGTiB")
    number, factor = _number(digits), SIZES.get(word[len(digits) :])
    size = None if number is None or factor is None else number * factor
    return None if size is None or (size < SMALLEST_SIZE_BYTES and size) or size > LARGEST_SIZE_BYTES else int(size)


def read_name(option: Option, word: str) -> str:
    """Return a name that can also be a file name, and that cannot be taken for an option or for the id of a run."""
    plain = word.replace("-", "").replace("_", "").replace(".", "")
    is_id = word[:8].isdigit() and word[8:9] == "-"
    if not (plain.isascii() and plain.isalnum()) or word[0] in "-." or len(word) > NAME_CHARACTERS or is_id:
        raise _bad(
            word,
            f"up to {NAME_CHARACTERS} letters, digits, _, - and ., the first no - or ., and not like the id of a run",
        )
    return word


def read_profile(option: Option, word: str) -> str:
    """Return the name of a profile; the configuration decides whether it exists."""
    if not word or word == "--":
        raise _bad(word, "the name of a profile")
    return word


def read_lock(option: Option, word: str) -> str:
    """Return the name of a lock, or the absolute path of its file."""
    if not word.startswith("/"):
        try:
            return read_name(option, word)
        except BadValueError as error:
            raise BadValueError(f"{error}; or an absolute path") from None
    if not word.isprintable() or word.rpartition("/")[2] in ("", ".", ".."):
        raise _bad(word, "a name, or the absolute path of a file, of printable characters")
    return word


def read_mode(option: Option, word: str) -> int:
    """Return the mode of a file from octal digits. Its owner must be able to read and write the file."""
    is_octal = 3 <= len(word) <= 4 and all(one in "01234567" for one in word)
    if not is_octal or int(word, 8) > 0o777 or int(word, 8) & 0o600 != 0o600:
        raise _bad(word, "a mode in octal digits with which the owner can read and write (600, 660, 666)")
    return int(word, 8)


def read_host(option: Option, word: str) -> str:
    """Return the name of a machine, as uname(2) returns it."""
    if not word or word == "--" or len(word) > NAME_CHARACTERS or not word.isprintable():
        raise _bad(word, "the name of a host, as `uname -n` prints it")
    return word


def read_count(option: Option, word: str) -> int:
    """Return a whole number from 0 on."""
    if _whole(word) < 0:
        raise _bad(word, "a number from 0 on")
    return _whole(word)


def read_bundle(option: Option, word: str) -> int:
    """Return the number of tasks of a bundle."""
    if _whole(word) < 1:
        raise _bad(word, "a number from 1 on")
    return _whole(word)


def read_slots(option: Option, word: str) -> int:
    """Return the number of runs that may have a lock at once."""
    if not 1 <= _whole(word) <= MOST_SLOTS:
        raise _bad(word, f"a number from 1 to {MOST_SLOTS}")
    return _whole(word)


def read_stamps(option: Option, word: str) -> "str | None":
    """Return `iso`, `elapsed`, or a format of strftime(3) that has a percent sign; None for `off`."""
    if word in OFF_WORDS:
        return None
    if word not in ("iso", "elapsed") and "%" not in word:
        raise _bad(word, "iso, elapsed, off or a format of strftime (%H:%M:%S)")
    return word


def read_text(option: Option, word: str) -> str:
    """Return the text, which may be any one line."""
    if "\n" in word or "\r" in word:
        raise _bad(word, "a text without an end of a line")
    return word


def read_lines(option: Option, word: str) -> "int | None":
    """Return a number of lines from 1 on, 0 for all lines, or None for `off`."""
    if word in OFF_WORDS or word == "whole":
        return 0 if word == "whole" else None
    if _whole(word) < 1:
        raise _bad(word, "a number of lines from 1 on, whole or off")
    return _whole(word)


def read_names(option: Option, word: str) -> "tuple[str, ...]":
    """Return names of environment variables, which have commas between them (POSIX, XBD 8.1)."""
    parts = tuple(word.split(","))
    if not all(part.isascii() and part.isidentifier() for part in parts):
        raise _bad(word, "names of variables with commas between (PATH,LANG)")
    return parts


def read_words(option: Option, word: str) -> "tuple[str, ...]":
    """Return the words as they are."""
    return tuple(word.split(WORD_SEPARATOR))


def read_patterns(option: Option, word: str) -> "tuple[str, ...]":
    """Return regular expressions, each once; the pattern `off` switches the default rules off."""
    patterns = tuple(dict.fromkeys(word.split(WORD_SEPARATOR)))
    from supervise.text.redaction import flaw_of

    for pattern in patterns:
        why = flaw_of(pattern)
        if why is not None:
            error = _bad(pattern, "a regular expression (as Python's re has them), or off")
            raise BadValueError(f"{error}{why and f': {why}'}")
    return patterns


def read_flag(option: Option, word: str) -> bool:
    """Return the value of a flag in the environment or the configuration; on the command line a flag has no value."""
    if word.lower() not in FLAG_WORDS:
        raise _bad(word, "1, true, yes or on; 0, false, no or off")
    return FLAG_WORDS[word.lower()]


def read_evidences(option: Option, word: str) -> "tuple[str, ...]":
    """Return signs of access as they were written, each once: `output`, `port=127.0.0.1:8080`."""
    from supervise.options import access_kinds

    signs = word.split(WORD_SEPARATOR)
    for sign in signs:
        takes = access_kinds.flaw_of(sign)
        if takes:
            name = sign.partition("=")[0]
            is_known = any(kind.name == name for kind in access_kinds.KINDS)
            raise _bad(sign, takes, () if is_known else access_kinds.WORDS, name)
    return tuple(dict.fromkeys(signs))


def read_hooks(option: Option, word: str) -> "tuple[str, ...]":
    """Return hooks as they were written, each once: `settled=mail root`. The command is not shown in an error."""
    hooks = word.split(WORD_SEPARATOR)
    for hook in hooks:
        event, equals, command = hook.partition("=")
        if not equals or event not in HOOK_EVENTS:
            takes = f"EVENT=COMMAND, where EVENT is {', '.join(HOOK_EVENTS[:-1])} or {HOOK_EVENTS[-1]}"
            raise _bad(event, takes, () if event in HOOK_EVENTS else HOOK_EVENTS)
        if not command.strip():
            raise _bad(hook, f"a shell command after {event}=")
    return tuple(dict.fromkeys(hooks))


def read_untils(option: Option, word: str) -> "tuple[tuple[str, str], ...]":
    """Return what a wait is for, each once: pairs of `end`, `access`, `idle` or `match`, and the argument or ''."""
    found = []
    for one in dict.fromkeys(word.split(WORD_SEPARATOR)):
        name, equals, argument = one.partition("=")
        if name + equals not in option.choices:
            raise _bad(one, "end, access, idle=DURATION or match=REGEX", option.choices, name)
        if name == "idle" and not duration(argument):
            raise _bad(one, f"idle= and {DURATION_FORMS} longer than 0")
        if name == "match":
            from supervise.options import access_kinds

            takes = access_kinds.flaw_of(one)
            if takes:
                raise _bad(one, takes if argument else "match= and a regular expression")
        found.append((name, argument))
    return tuple(found)


READERS: "dict[str, Callable[[Option, str], object]]" = {
    "limit": read_limit,
    "cap": read_cap,
    "delay": read_delay,
    "step": read_step,
    "marks": read_marks,
    "signal": read_signal,
    "choice": read_choice,
    "when": read_when,
    "set": read_set,
    "percent": read_percent,
    "codes": read_codes,
    "evidences": read_evidences,
    "hooks": read_hooks,
    "untils": read_untils,
    "path": read_path,
    "prom": read_prom,
    "check": read_check,
    "name": read_name,
    "size": read_size,
    "room": read_room,
    "memory": read_memory,
    "profile": read_profile,
    "host": read_host,
    "lock": read_lock,
    "mode": read_mode,
    "count": read_count,
    "bundle": read_bundle,
    "slots": read_slots,
    "causes": read_causes,
    "lines": read_lines,
    "stamps": read_stamps,
    "text": read_text,
    "names": read_names,
    "words": read_words,
    "patterns": read_patterns,
    "flag": read_flag,
}


def read(option: Option, word: str) -> object:
    """Return the value of the word for the option.

    Raises BadValueError.
    """
    return READERS[option.kind](option, word)
