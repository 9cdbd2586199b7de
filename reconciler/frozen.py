"""What values derive from: a frozen dataclass whose methods are not written and compiled when its class is imported.

`dataclass` writes and compiles six methods a class, which takes 0.3 ms. A run imports some 200 such classes and uses
half of them. Here `__init__` alone is written, for the first instance, and the other methods are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from threading import RLock
from typing import Any, ClassVar, NoReturn, dataclass_transform

_completing = RLock()

_NOTHING = staticmethod(lambda _: ())
"""What is compared of a value without fields."""


class _Fields:
    """The fields of a class that is not complete, for `fields` and for classes derived from it."""

    def __get__(self, _: object, owner: type[Frozen]) -> Any:
        if owner is Frozen:
            raise AttributeError
        _complete(owner)
        return owner.__dict__["__dataclass_fields__"]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Frozen:
    """A value: each class derived from it is what `@dataclass(frozen=True)` would make of it."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = _Fields()  # type: ignore[assignment]
    __compared__: ClassVar[Any] = _NOTHING
    __hashed__: ClassVar[Any] = _NOTHING

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__dataclass_fields__ = _Fields()  # type: ignore[assignment]
        if "__init__" not in cls.__dict__:
            cls.__init__ = _first_init  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return bool(self.__compared__(self) == self.__compared__(other))

    def __hash__(self) -> int:
        return hash(self.__hashed__(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
        return f"{type(self).__qualname__}({shown})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores what another process has pickled, which calls no `__init__`."""
        _complete(type(self))
        self.__dict__.update(state)


def _first_init(self: Frozen, *values: Any, **named: Any) -> None:
    _complete(type(self))
    self.__init__(*values, **named)  # type: ignore[misc]


def _complete(kind: type[Frozen]) -> None:
    """Finds the fields of a class and writes its `__init__`, once."""
    with _completing:
        if isinstance(kind.__dict__["__dataclass_fields__"], dict):
            return
        # Without methods: it then only collects the fields, also of the classes above.
        dataclass(init=False, repr=False, eq=False)(kind)
        found = fields(kind)
        kind.__compared__ = _getter(one.name for one in found if one.compare)
        kind.__hashed__ = _getter(one.name for one in found if (one.compare if one.hash is None else one.hash))
        if kind.__dict__.get("__init__") is _first_init:
            kind.__init__ = _written_init(kind, found)  # type: ignore[method-assign]


def _getter(names: Iterator[str]) -> Any:
    known = tuple(names)
    return attrgetter(*known) if known else _NOTHING


def _written_init(kind: type, found: tuple[Field[Any], ...]) -> Callable[..., None]:
    """Writes `__init__` as `dataclass` does: a default is an argument's, a factory is called where that is missing."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING}
    takes, does = [], []
    for one in sorted(found, key=lambda one: bool(one.kw_only)):
        name, default, value = one.name, "", one.name
        if one.default is not MISSING:
            known[f"_default_{name}"] = one.default
            default = f"=_default_{name}"
        elif one.default_factory is not MISSING:
            known[f"_make_{name}"] = one.default_factory
            default, value = "=_missing", f"_make_{name}() if {name} is _missing else {name}"
        if one.kw_only and "*" not in takes:
            takes.append("*")
        takes.append(f"{name}{default}")
        does.append(f"_set(self, {name!r}, {value})")
    if hasattr(kind, "__post_init__"):
        does.append("self.__post_init__()")
    exec(f"def __init__(self, {', '.join(takes)}): {'; '.join(does) or 'pass'}", known)  # noqa: S102 names of fields
    made: Callable[..., None] = known["__init__"]
    return made
