"""Secrets in the words of a command, and the text that is shown instead of them.

By default the secrets are found by plain string work, as `re` would cost more than the start of a short command:

    --password VALUE, --password=VALUE      an option whose name ends with one of SECRET_NAMES, except `--no-...`
    PASSWORD=VALUE, DB_PASSWORD=VALUE       the same without dashes, also within a word: `sh -c 'TOKEN=abc make'`
    scheme://user:PASS@host                 the password of a URL (RFC 3986, 3.2.1)

With `--redact PATTERN` the matches of a regular expression are secrets too; see `Redaction`. A secret that was found in
the words of a command is also masked in all other reported text: in the reason of an error, in the name of a process.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

    Span = tuple[int, int]
    """The first character, and the one after the last."""

MASK = "***"
OFF = "off"
"""The pattern that switches the default rules off."""
SECRET_NAMES = ("password", "passwd", "token", "secret", "api-key", "apikey")
"""What the name of a secret ends with, in lower case and with `-` for `_`."""
SUSPECT_PARTS = ("passw", "token", "secret", "key", "://")
"""The default rules find nothing in a text that has none of these in lower case."""
SECRET_CHARACTERS = 4
"""The fewest characters of a secret that is masked in other text: a shorter secret would mask half of that text."""
PROCESS_NAME_BYTES = 15
"""Bytes that the kernel keeps of the name of a process (TASK_COMM_LEN, proc(5))."""
URL_PASSWORD_CHARACTERS = 256
"""Characters in which the end of a URL's password is searched for, so that the time grows in proportion to the text."""
NAME_PUNCTUATION = "-_."
QUOTES = "'\""


def is_suspect(words: "Iterable[str]") -> bool:
    """Return whether the default rules may find a secret in the words, in about a microsecond."""
    text = "\0".join(words).lower()
    return any(mark in text for mark in SUSPECT_PARTS)


class Redaction:
    r"""The rules by which secrets of one run are found, and the secrets that were found.

    A pattern is a regular expression of Python's `re`. It is searched for in each word of the command, and in each word
    that begins with `-` together with the next word and a space between: `--pin (\d+)`. If the pattern has groups,
    their matches are masked, otherwise the whole match.
    """

    def __init__(self, patterns: "Iterable[str]" = ()) -> None:
        """Compile the patterns.

        Raises re.error for an invalid pattern, which the reader of the option refuses before.
        """
        patterns = tuple(patterns)
        self._has_rules = OFF not in patterns
        self._patterns: tuple[re.Pattern[str], ...] = ()
        if own := [one for one in patterns if one != OFF]:
            import re as expressions

            self._patterns = tuple(map(expressions.compile, own))
        self._secrets: list[str] = []
        """The secrets of at least SECRET_CHARACTERS characters, the longest first."""
        self.has_found = False
        """A word that was searched has a secret."""

    @property
    def has_patterns(self) -> bool:
        """Return whether there are patterns of the user."""
        return bool(self._patterns)

    def words(self, words: "list[str]") -> "list[str]":
        """Return the words of a command as they are shown, and remember their secrets."""
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
        """Return one word as it is shown: the value of an option, or `NAME=VALUE` of the environment."""
        return self.words([word])[0]

    def hide(self, secret: str) -> None:
        """Remember a secret that is no word of the command."""
        if len(secret) >= SECRET_CHARACTERS and secret not in self._secrets:
            self._secrets.append(secret)
            self._secrets.sort(key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return text as it is shown, without the remembered secrets and without what the default rules find.

        Patterns are not searched for in it: text of others could make a regular expression run for long.
        """
        text = self._known(text)
        return _masked(text, _in_text(text) if self._has_rules and is_suspect((text,)) else [])

    def output(self, data: bytes) -> bytes:
        """Return output of the command as others may see it; the patterns are searched for in it, too.

        The caller has to bound the time: hostile output can make the search run for long.
        """
        text = data.decode("utf-8", "surrogateescape")
        return self.text(_masked(text, self._matches(text))).encode("utf-8", "surrogateescape")

    def may_change(self, data: bytes) -> bool:
        """Return whether `output` may find a secret in these bytes, in a short time."""
        lower = data.lower()
        has_marks = self._has_rules and any(mark.encode() in lower for mark in SUSPECT_PARTS)
        return has_marks or bool(self._patterns) or any(os.fsencode(secret) in data for secret in self._secrets)

    def name(self, name: str) -> str:
        """Return the name of a process as it is shown, even if the kernel has cut it in the middle of a secret."""
        name = _masked(self.text(name), self._matches(name[:PROCESS_NAME_BYTES]) if self._patterns else [])
        if len(name.encode("utf-8", "surrogateescape")) >= PROCESS_NAME_BYTES:
            for secret in self._secrets:
                for size in range(min(len(secret), len(name)), SECRET_CHARACTERS - 1, -1):
                    if name.endswith(secret[:size]):
                        return name[:-size] + MASK
        return name

    def _in_word(self, word: str) -> "list[Span]":
        """Return where the word has secrets, by the patterns and the default rules."""
        spans = self._matches(word)
        if self._has_rules and is_suspect((word,)):
            name, equals, value = word.partition("=")
            # A word with several parts, TOKEN=$(get) make, is a script for a shell.
            is_shells = value[:1] in ("$", "`") and " " in value
            if equals and _is_secret_name(name.lstrip("-")) and name[:3] != "---" and not is_shells:
                spans.append((len(name) + 1, len(word)))
            else:
                spans += _in_text(word)
        return spans

    def _matches(self, text: str) -> "list[Span]":
        """Return where the patterns match."""
        found = []
        for pattern in self._patterns:
            for match in pattern.finditer(text):
                groups = [match.span(group) for group in range(1, pattern.groups + 1)] or [match.span()]
                found += [(begin, end) for begin, end in groups if begin < end]
        return found

    def _learn(self, word: str, spans: "list[Span]") -> None:
        """Remember the secrets at these spans of the word."""
        if not spans:
            return
        for begin, end in spans:
            self.has_found = self.has_found or begin < end
            self.hide(_unquoted(word[begin:end]))

    def _known(self, text: str) -> str:
        """Return the text without the secrets that are remembered."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def flaw_of(pattern: str) -> "str | None":
    """Return why the text is no regular expression, '' if it is empty; None if it is a regular expression."""
    if not pattern:
        return ""
    import re
    import warnings

    # Python warns on stderr about a pattern that may mean something else in a later Python; users cannot act on that.
    warnings.simplefilter("ignore")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


def _masked(text: str, spans: "list[Span]") -> str:
    """Return the text with a mask for each span; spans that touch get one mask."""
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
    """Return whether the word is an option whose value is a secret."""
    name = word.lstrip("-")
    return 1 <= len(word) - len(name) <= 2 and _is_secret_name(name)


def _is_secret_name(name: str) -> bool:
    """Return whether the name is that of a secret."""
    plain = name.lower().replace("_", "-")
    is_name = all(one.isalnum() or one in NAME_PUNCTUATION for one in name)
    return is_name and plain.endswith(SECRET_NAMES) and not plain.startswith("no-")


def _in_text(text: str) -> "list[Span]":
    """Return where the default rules find a secret within a text of several words."""
    return [*_passwords_of_urls(text), *_named(text)]


def _passwords_of_urls(text: str) -> "list[Span]":
    """Return where the passwords of URLs are."""
    found, at = [], text.find("://")
    while at >= 0:
        begin = at + 3
        end = _end_of(text, begin, "/ \t\r\n'\"<>`\\")
        mark = text.rfind("@", begin, end)
        colon = text.find(":", begin, mark if mark >= 0 else end)
        if colon >= 0 and mark < 0 and text[begin] != "[" and not text[colon + 1 : end].isdigit() and colon + 1 < end:
            # The text after the colon is no port, so it may be a password with a `/` in it that was not escaped.
            end = _end_of(text, end, " \t\r\n'\"<>`")
            mark = text.find("@", colon, end)
        if colon >= 0 and mark > colon + 1:
            found.append((colon + 1, mark))
        at = text.find("://", begin)
    return found


def _end_of(text: str, begin: int, ends: str) -> int:
    """Return where the first of the characters `ends` stands, or the end of the text.

    The search goes no further than URL_PASSWORD_CHARACTERS.
    """
    end = begin
    while end < len(text) and end - begin < URL_PASSWORD_CHARACTERS and text[end] not in ends:
        end += 1
    return end


def _named(text: str) -> "list[Span]":
    # Only ASCII is lowered, as only there the length of a letter stays the same.
    """Return where the values of the names of secrets are."""
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
    """Return where the value of the name that ends at `end` stands; None if the name has no value or is no secret's."""
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
        # The quote begins before the name: '--password=a b'.
        return (start, closed) if closed > start and not (opened == '"' and text[start] in "$`") else None
    if text[end] != "=":
        if not is_option:
            return None
        while text[start : start + 1] in (" ", "\t"):
            start += 1
    stop = _end_of_shell_word(text, start)
    value = text[start:stop]
    # An expansion is no secret itself: --password "$PASSWORD".
    is_expansion = value.strip('"')[:1] in ("$", "`") and value[:1] != "'"
    is_shown = not value or is_expansion or value == "--" or value.startswith(MASK)
    return None if is_shown else (start, stop)


def _end_of_shell_word(text: str, start: int) -> int:
    """Return where the shell word that begins at `start` ends (POSIX, XCU 2.2)."""
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
    # A quote without an end was opened before the name, so the value ends at the next delimiter.
    if quote:
        at = start
        while at < len(text) and text[at] not in " \t\r\n;&|<>()'\"":
            at += 1
    return min(at, len(text))


def _unquoted(value: str) -> str:
    """Return the value without the quotes around it."""
    return value[1:-1] if len(value) > 2 and value[0] in QUOTES and value[-1] == value[0] else value
