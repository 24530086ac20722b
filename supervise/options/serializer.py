"""Values as TOML and JSON without the libraries, whose import would cost more than the start of a short command."""

from _json import encode_basestring, encode_basestring_ascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def toml(values: "Mapping[str, object]") -> str:
    """Return a TOML document with bare keys. A value is text, a number, a list of texts, or a table; None is left out.

    Text must consist of characters alone (see `marked`).
    """
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    lines = [f"{key} = {_toml_value(value)}\n" for key, value in plain.items() if value is not None]
    for key, table in values.items():
        if isinstance(table, dict) and table:
            lines += f"\n[{key}]\n", toml(table)
    return "".join(lines)


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a basic string of TOML except for DEL (TOML 1.0, String).
        return encode_basestring(value).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml_value, value))}]"
    return _number(value) if isinstance(value, (int, float)) else repr(value)


def json(value: object) -> str:
    """Return the value as json.dumps writes it, in ASCII.

    Dates, NaN and infinity become null, because JSON has no form for them. A record that supervise did not write may
    hold them.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{encode_basestring_ascii(key)}: {json(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(json, value))}]"
    # NaN minus NaN is NaN, and infinity minus infinity is NaN too.
    return _number(value) if isinstance(value, (int, float)) and value - value == 0 else "null"


def _number(value: float) -> str:
    """Return the digits. A member of an IntEnum has a repr with its name, so the repr of int is used."""
    return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)


def marked(text: str) -> str:
    r"""Return the text with `\xff` for each byte that is not UTF-8, as in the report."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(map(_marked, text))
    return text


def _marked(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        # os.fsdecode stores the byte 0xff as U+DCFF (PEP 383).
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if 0xD800 <= number <= 0xDFFF else character
