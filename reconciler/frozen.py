"""What values derive from: a frozen dataclass whose methods are not written and compiled when its class is imported.

`dataclass` writes and compiles six methods a class, which takes 0.3 ms. A run imports some 200 such classes, and makes
a few instances of half of them. Here all methods are shared, and `__init__` is written for a class with many instances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from inspect import get_annotations
from operator import attrgetter, ge, gt, le, lt
from threading import RLock
from typing import Any, ClassVar, NoReturn, dataclass_transform

_FEW = 32
"""Instances that the shared `__init__` makes in the time in which another could be written, and half saved."""

_completing = RLock()

_set = object.__setattr__

_NOTHING = staticmethod(lambda _: ())
"""What is compared of a value without fields."""


class _Completed:
    """What a class has once it is complete, which happens when it is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, _: object, owner: type[Frozen]) -> Any:
        if owner is Frozen:
            raise AttributeError(self._name)
        _complete(owner)
        return owner.__dict__[self._name]


_FIELDS, _MATCHED, _COMPARED, _HASHED = map(
    _Completed, ("__dataclass_fields__", "__match_args__", "__compared__", "__hashed__")
)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Frozen:
    """A value: each class derived from it is what `@dataclass(frozen=True)` would make of it."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = _FIELDS  # type: ignore[assignment]
    __compared__: ClassVar[Any] = _COMPARED
    __hashed__: ClassVar[Any] = _HASHED

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # In each class, since what a class has when it is complete would be found in those derived from it.
        cls.__dataclass_fields__ = _FIELDS  # type: ignore[assignment]
        cls.__match_args__ = _MATCHED  # type: ignore[attr-defined, misc]
        cls.__compared__ = _COMPARED
        cls.__hashed__ = _HASHED
        if "__init__" not in cls.__dict__:
            cls.__init__ = _shared_init  # type: ignore[assignment]

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


class _Call:
    """How a class is called, found without completing it.

    positional  the names of its fields that may be given by position
    defaults    of all its fields in their order; MISSING where a call gives the value, or a factory makes it
    left        instances until `__init__` is written
    """

    def __init__(self, kind: type[Frozen]) -> None:
        declared = dict(_declared(kind))
        spelled = {name: one for name, one in declared.items() if isinstance(one, Field)}
        self.positional = [name for name in declared if not (name in spelled and spelled[name].kw_only is True)]
        self.defaults = declared | {name: one.default for name, one in spelled.items()}
        made = {name: one.default_factory for name, one in spelled.items()}
        self.factories = {name: make for name, make in made.items() if make is not MISSING}
        self.required = {name for name, one in self.defaults.items() if one is MISSING} - self.factories.keys()
        self.left = _FEW


def _declared(kind: type[Frozen]) -> Iterator[tuple[str, Any]]:
    """Yields the fields of a class and of those above, each with its default or its `field()`."""
    for base in reversed(kind.__mro__):
        if not issubclass(base, Frozen):
            continue
        if isinstance(base.__dict__["__dataclass_fields__"], dict):
            yield from ((one.name, one) for one in fields(base))
        else:
            for name, annotation in get_annotations(base).items():
                if not str(annotation).startswith(("ClassVar", "typing.ClassVar")):
                    yield name, base.__dict__.get(name, MISSING)


def _shared_init(self: Frozen, *values: Any, **named: Any) -> None:
    kind = type(self)
    call = kind.__dict__.get("__called__") or _prepared(kind)
    given = dict(zip(call.positional, values, strict=False)) | named
    once = len(given) == len(values) + len(named)
    if not (call.left and once and call.required <= given.keys() <= call.defaults.keys()):
        # Of a wrong call, what is written says what is wrong in Python's words.
        _write_init(kind)
        self.__init__(*values, **named)  # type: ignore[misc]
        return
    call.left -= 1
    for name in call.factories.keys() - given.keys():
        given[name] = call.factories[name]()
    for name, default in call.defaults.items():
        _set(self, name, given.get(name, default))
    if hasattr(kind, "__post_init__"):
        self.__post_init__()  # type: ignore[attr-defined]


def _prepared(kind: type[Frozen]) -> _Call:
    with _completing:  # Completing a class takes the `field()` of a field away.
        call = kind.__called__ = _Call(kind)  # type: ignore[attr-defined]
    return call


def _complete(kind: type[Frozen]) -> None:
    """Finds the fields of a class as `dataclass` does, once."""
    with _completing:
        if isinstance(kind.__dict__["__dataclass_fields__"], dict):
            return
        # Without methods: it then only collects the fields, also of the classes above.
        dataclass(init=False, repr=False, eq=False, match_args=False)(kind)
        found = fields(kind)
        kind.__match_args__ = tuple(one.name for one in found if not one.kw_only)  # type: ignore[attr-defined, misc]
        kind.__compared__ = _getter(one.name for one in found if one.compare)
        kind.__hashed__ = _getter(one.name for one in found if (one.compare if one.hash is None else one.hash))


def _write_init(kind: type[Frozen]) -> None:
    with _completing:
        if kind.__dict__["__init__"] is _shared_init:
            kind.__init__ = _written_init(kind, fields(kind))  # type: ignore[method-assign]


def _getter(names: Iterator[str]) -> Any:
    known = tuple(names)
    return attrgetter(*known) if known else _NOTHING


def _written_init(kind: type, found: tuple[Field[Any], ...]) -> Callable[..., None]:
    """Writes `__init__` as `dataclass` does: a default is an argument's, a factory is called where that is missing."""
    known: dict[str, Any] = {"_set": _set, "_missing": MISSING}
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


def _by(compare: Callable[[Any, Any], bool]) -> Callable[[Any, object], bool]:
    def compared(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compare(self.__compared__(self), self.__compared__(other))

    return compared


class Ordered(Frozen):
    """A value that sorts by its fields in their order, as with `dataclass(frozen=True, order=True)`."""

    __lt__, __le__, __gt__, __ge__ = map(_by, (lt, le, gt, ge))
