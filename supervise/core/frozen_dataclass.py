"""Frozen data classes that are made in a quarter of the time: a run that is no short one makes 65 of them.

The dataclass of the standard library writes and compiles six functions for each frozen class. Of these only `__init__`
differs in more than the names of the fields: here all classes share the others. Side by side, a class takes 0.16 ms
instead of 0.60, and 4 KB instead of 11. The type checker sees the standard library's: it is what refuses an assignment.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(*, frozen, slots):
        """Return a decorator that makes a class with these fields, equality, hash and text of a frozen dataclass."""
        assert frozen
        assert slots

        def make(cls):
            made = dataclasses.dataclass(slots=True, eq=False, repr=False)(cls)
            made.__eq__, made.__hash__, made.__repr__ = _equal, _hash, _text
            return made

        return make

    def _values(one):
        return tuple(getattr(one, name) for name in one.__dataclass_fields__)

    def _equal(one, other):
        return _values(one) == _values(other) if other.__class__ is one.__class__ else NotImplemented

    def _hash(one):
        return hash(_values(one))

    def _text(one):
        fields = ", ".join(f"{name}={getattr(one, name)!r}" for name in one.__dataclass_fields__)
        return f"{type(one).__qualname__}({fields})"


__all__ = ["dataclass"]
