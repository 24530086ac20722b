"""Secrets in reported items: each text of an item except supervise's own words is redacted, once for all faces.

The types of the items say which texts those are: `str` is text of others, or a sentence that may hold some, and a
`Literal` is a word of supervise's own. A list of fields by hand would miss the next new item.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, get_args, get_type_hints

from supervise.faces.report_items import ReportItem
from supervise.text.redaction import Redaction

T = TypeVar("T")


class SecretMask:
    """Redacts the items of one run."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._texts: dict[type, tuple[tuple[str, Callable[[Any], Any]], ...]] = {}
        """For each class, how each of its fields is redacted; fields without text are left out."""

    def __call__(self, item: ReportItem) -> ReportItem:
        """Return the item with *** in place of its secrets; an item without secrets is returned itself."""
        return self._masked(item)

    def prepare(self, kinds: Iterable[type]) -> None:
        """Read the types of these classes now: that takes 0.1 ms for each, once."""
        for kind in kinds:
            self._maskers(kind)

    def _masked(self, value: T) -> T:
        if isinstance(value, tuple):
            return tuple(map(self._masked, value))  # type: ignore[return-value]  # each item keeps its class
        if not is_dataclass(value) or isinstance(value, type):
            return value
        changed = {}
        for name, mask in self._maskers(type(value)):
            old = getattr(value, name)
            new = mask(old)
            if new is not old and new != old:
                changed[name] = new
        return replace(value, **changed) if changed else value

    def _maskers(self, kind: type) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        if kind not in self._texts:
            hints = get_type_hints(kind)
            maskers = ((one.name, self._masker(one.name, hints[one.name])) for one in fields(kind))
            self._texts[kind] = tuple((name, masker) for name, masker in maskers if masker)
        return self._texts[kind]

    def _masker(self, name: str, hint: object) -> Callable[[Any], Any] | None:
        parts = _parts(hint)
        if str in parts:
            mask = self._redaction.name if name == "name" else self._redaction.text
            return lambda value: mask(value) if isinstance(value, str) else value
        return self._masked if any(map(is_dataclass, parts)) else None


def _parts(hint: object) -> set[object]:
    """Return the types of which a hint is made: Process for `tuple[Process, ...]`, Exit for `Exit | None`."""
    return {part for one in get_args(hint) for part in _parts(one)} or {hint}
