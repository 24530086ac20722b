"""Secrets in the words of a command: what is shown instead of them, everywhere but to the command itself.

By default, by plain string work (`re` would cost more than the start of a short command):

    --password VALUE, --password=VALUE      an option whose name ends with one of NAMES, not one of `--no-...`
    PASSWORD=VALUE, DB_PASSWORD=VALUE       the same without dashes, also within a word: `sh -c 'TOKEN=abc make'`
    scheme://user:PASS@host                 the password of a URL (RFC 3986, 3.2.1)

With `--redact PATTERN` also what a regular expression finds; see `Redaction`.  A secret that was found in the words of
a command is masked in whatever else is told of the run, too: in the reason of an error, say, or the name of a process.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

    Span = tuple[int, int]
    """From which character to which, the last one not included."""

MASK = "***"
OFF = "off"
"""The pattern that switches the default rules off."""
SECRET_NAMES = ("password", "passwd", "token", "secret", "api-key", "apikey")
"""What the names of secrets end with, in lower case and with `-` for `_`."""
SUSPECT_PARTS = ("passw", "token", "secret", "key", "://")
"""Where none of these is in the lower-case text, the default rules find nothing."""
SECRET_CHARACTERS = 4
"""Characters of a secret that is masked also where it stands in other text: a shorter one would blot out half of it."""
PROCESS_NAME_BYTES = 15
"""Bytes that the kernel keeps of the name of a process (TASK_COMM_LEN, proc(5))."""
URL_PASSWORD_CHARACTERS = 256
"""Characters within which the end of a URL's password is looked for, so that long text costs time in proportion."""
NAME_PUNCTUATION = "-_."
QUOTES = "'\""


def is_suspect(words: "Iterable[str]") -> bool:
    """Return whether the default rules may find anything in the words: a glance that costs a microsecond."""
    text = "\0".join(words).lower()
    return any(mark in text for mark in SUSPECT_PARTS)


class Redaction:
    r"""What is to be hidden of one run, and the words in which it was looked for.

    A pattern is a regular expression of Python's `re`, searched for in each word of the command, and in each word that
    begins with `-` together with the next one, with a space between: `--pin (\d+)`.  Where it has groups, what they
    match is masked, else the whole match.
    """

    def __init__(self, patterns: "Iterable[str]" = ()) -> None:
        """Compile the patterns; raises re.error for an invalid one, though the options' reader checks all."""
        patterns = tuple(patterns)
        self._has_rules = OFF not in patterns
        self._patterns: tuple[re.Pattern[str], ...] = ()
        if own := [one for one in patterns if one != OFF]:
            import re as expressions

            self._patterns = tuple(map(expressions.compile, own))
        self._secrets: list[str] = []
        """The secrets of at least LEAST characters, the longest first."""
        self.has_found = False
        """A word that was looked at has a secret in it."""

    def words(self, words: "list[str]") -> "list[str]":
        """Return the words of a command as they are shown; their secrets are known from now on."""
        spans: list[list[Span]] = [self._in_word(word) for word in words]
        for at, word in enumerate(words[:-1]):
            if word[:1] != "-" or word == "--":
                continue
            after = words[at + 1]
            if self._has_rules and _is_secret_option(word) and after != "--":
                spans[at + 1] = [(0, len(after))]
            for begin, end in self._matches(f"{word} {after}"):
                border = len(word) + 1
                spans[at] += [(begin, min(end, len(word)))] if begin < len(word) else []
                spans[at + 1] += [(max(begin, border) - border, end - border)] if end > border else []
        for word, found in zip(words, spans, strict=True):
            self._learn(word, found)
        return [self._known(_masked(word, found)) for word, found in zip(words, spans, strict=True)]

    def word(self, word: str) -> str:
        """Return one word as it is shown: of an option's value, or `NAME=VALUE` of the environment."""
        return self.words([word])[0]

    def text(self, text: str) -> str:
        """Return free text as it is shown: without the secrets that are known, and without what the rules find.

        The patterns are not searched for in it: text of others must not make a regular expression run for long.
        """
        text = self._known(text)
        return _masked(text, _in_text(text) if self._has_rules and is_suspect((text,)) else [])

    def name(self, name: str) -> str:
        """Return the name of a process as it is shown, also where the kernel has cut a secret at its end."""
        name = _masked(self.text(name), self._matches(name[:PROCESS_NAME_BYTES]) if self._patterns else [])
        if len(name.encode("utf-8", "surrogateescape")) >= PROCESS_NAME_BYTES:
            for secret in self._secrets:
                for size in range(min(len(secret), len(name)), SECRET_CHARACTERS - 1, -1):
                    if name.endswith(secret[:size]):
                        return name[:-size] + MASK
        return name

    def _in_word(self, word: str) -> "list[Span]":
        spans = self._matches(word)
        if self._has_rules and is_suspect((word,)):
            name, equals, value = word.partition("=")
            # A word of several, TOKEN=$(get) make, is a shell's.
            is_shells = value[:1] in ("$", "`") and " " in value
            if equals and _is_secret_name(name.lstrip("-")) and name[:3] != "---" and not is_shells:
                spans.append((len(name) + 1, len(word)))
            else:
                spans += _in_text(word)
        return spans

    def _matches(self, text: str) -> "list[Span]":
        found = []
        for pattern in self._patterns:
            for match in pattern.finditer(text):
                groups = [match.span(group) for group in range(1, pattern.groups + 1)] or [match.span()]
                found += [(begin, end) for begin, end in groups if begin < end]
        return found

    def _learn(self, word: str, spans: "list[Span]") -> None:
        if not spans:
            return
        for begin, end in spans:
            self.has_found = self.has_found or begin < end
            secret = _unquoted(word[begin:end])
            if len(secret) >= SECRET_CHARACTERS and secret not in self._secrets:
                self._secrets.append(secret)
        self._secrets.sort(key=len, reverse=True)

    def _known(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def flaw_of(pattern: str) -> "str | None":
    """Return why that is no pattern, '' for an empty one; None where it is a pattern."""
    if not pattern:
        return ""
    import re
    import warnings

    # Python warns on stderr of a pattern that may mean something else in a later Python; the user has not asked.
    warnings.simplefilter("ignore")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


def _masked(text: str, spans: "list[Span]") -> str:
    """Return the text with a mask for each span; spans that touch make one."""
    parts: list[str] = []
    at = 0
    for begin, end in sorted(spans):
        if end <= at or begin == end:
            continue
        if begin > at or not parts:
            parts += [text[at:begin], MASK]
        at = end
    return "".join([*parts, text[at:]])


def _is_secret_option(word: str) -> bool:
    name = word.lstrip("-")
    return 1 <= len(word) - len(name) <= 2 and _is_secret_name(name)


def _is_secret_name(name: str) -> bool:
    plain = name.lower().replace("_", "-")
    is_name = all(one.isalnum() or one in NAME_PUNCTUATION for one in name)
    return is_name and plain.endswith(SECRET_NAMES) and not plain.startswith("no-")


def _in_text(text: str) -> "list[Span]":
    """Return where the default rules find a secret within a text: a word that holds many, or a line."""
    return [*_passwords_of_urls(text), *_named(text)]


def _passwords_of_urls(text: str) -> "list[Span]":
    found, at = [], text.find("://")
    while at >= 0:
        begin = at + 3
        end = _end_of(text, begin, "/ \t\r\n'\"<>`\\")
        mark = text.rfind("@", begin, end)
        colon = text.find(":", begin, mark if mark >= 0 else end)
        if colon >= 0 and mark < 0 and text[begin] != "[" and not text[colon + 1 : end].isdigit() and colon + 1 < end:
            # What follows the colon is no port, so it may be a password with a `/` in it that was not escaped.
            end = _end_of(text, end, " \t\r\n'\"<>`")
            mark = text.find("@", colon, end)
        if colon >= 0 and mark > colon + 1:
            found.append((colon + 1, mark))
        at = text.find("://", begin)
    return found


def _end_of(text: str, begin: int, ends: str) -> int:
    """Return where the first of those characters stands, or the end of the text, and no further than FAR."""
    end = begin
    while end < len(text) and end - begin < URL_PASSWORD_CHARACTERS and text[end] not in ends:
        end += 1
    return end


def _named(text: str) -> "list[Span]":
    # Only ASCII is lowered: there a letter in lower case is as long as it was.
    lower = "".join(one.lower() if one.isascii() else one for one in text).replace("_", "-")
    found = []
    for name in SECRET_NAMES:
        at = lower.find(name)
        while at >= 0:
            end = at + len(name)
            span = _value_after(text, at, end)
            if span:
                found.append(span)
            at = lower.find(name, span[1] if span else end)
    return found


def _value_after(text: str, at: int, end: int) -> "Span | None":
    """Return where the value of the name is that ends there; None where it is not the name of a value."""
    if text[end : end + 1] not in ("=", " ", "\t"):
        return None
    begin = at
    while begin and (text[begin - 1].isalnum() or text[begin - 1] in NAME_PUNCTUATION):
        begin -= 1
    name = text[begin:end]
    is_option = name[:1] == "-"
    if not _is_secret_name(name.lstrip("-")):
        return None
    start = end + 1
    opened = text[begin - 1 : begin]
    if text[end] == "=" and opened in ("'", '"') and (closed := text.find(opened, start)) >= 0:
        # The quote is opened before the name: '--password=a b'.
        return (start, closed) if closed > start and not (opened == '"' and text[start] in "$`") else None
    if text[end] != "=":
        if not is_option:
            return None
        while text[start : start + 1] in (" ", "\t"):
            start += 1
    stop = _end_of_shell_word(text, start)
    value = text[start:stop]
    # What a shell puts in its place later is no secret itself: --password "$PASSWORD".
    is_expansion = value.strip('"')[:1] in ("$", "`") and value[:1] != "'"
    is_shown = not value or is_expansion or value == "--" or value.startswith(MASK)
    return None if is_shown else (start, stop)


def _end_of_shell_word(text: str, start: int) -> int:
    """Return where the word of a shell ends that begins there (POSIX, XCU 2.2)."""
    quote, at = "", start
    while at < len(text):
        one = text[at]
        if one == "\\" and quote != "'":
            at += 1
        elif quote:
            quote = "" if one == quote else quote
        elif one in QUOTES:
            quote = one
        elif one in " \t\r\n;&|<>()":
            break
        at += 1
    # A quote that never ends was opened before the name: the end of that is the end of the value.
    if quote:
        at = start
        while at < len(text) and text[at] not in " \t\r\n;&|<>()'\"":
            at += 1
    return min(at, len(text))


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 2 and value[0] in QUOTES and value[-1] == value[0] else value
