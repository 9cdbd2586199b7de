"""What values derive from: a class that becomes a frozen dataclass with its first instance, not when it is imported.

`dataclass` writes and compiles six methods a class, which takes 0.3 ms. A run imports some 200 such classes and uses
half of them.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field
from threading import RLock
from typing import Any, ClassVar, dataclass_transform

_completing = RLock()


class _Fields:
    """Completes a class whose fields are read before it has an instance: by `fields`, or by a class derived from it."""

    def __get__(self, _: object, owner: type) -> Any:
        if owner is Frozen:
            raise AttributeError
        _complete(owner)
        return owner.__dict__["__dataclass_fields__"]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Frozen:
    """A value: each class derived from it is a frozen dataclass.

    The methods here are those of a class that is not complete. They complete it, and call what `dataclass` wrote.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = _Fields()  # type: ignore[assignment]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if any(base is not Frozen and issubclass(base, Frozen) for base in cls.__bases__):
            # At once: it would inherit the methods of the class between, not those here.
            _complete(cls)

    def __init__(self, *values: Any, **named: Any) -> None:
        _complete(type(self))
        self.__init__(*values, **named)  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        _complete(type(self))
        return self.__eq__(other)

    def __hash__(self) -> int:
        _complete(type(self))
        return self.__hash__()

    def __repr__(self) -> str:
        _complete(type(self))
        return self.__repr__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores what another process has pickled, which calls no `__init__`."""
        _complete(type(self))
        self.__dict__.update(state)


def _complete(kind: type) -> None:
    with _completing:
        if not isinstance(kind.__dict__.get("__dataclass_fields__"), dict):
            dataclass(frozen=True)(kind)
