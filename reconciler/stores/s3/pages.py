"""Ends listings that a server would page through forever."""

from __future__ import annotations

from reconciler.errors import StoreError

MAX_EMPTY = 1000
"""Empty pages in a row. A server may send some for objects that were removed."""


class Pages:
    """Detects a listing that repeats itself. `what` names it in errors."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._seen: set[tuple[str, str]] = set()
        self._empty = 0

    def turn(self, token: str, first: str | None) -> None:
        """Notes a page that is not the last: the token of the next one, and the first key of this one, if any.

        Raises `StoreError` if one of the two was seen before, or after too many empty pages.
        """
        came = {("token", token)} if first is None else {("token", token), ("first", first)}
        self._empty = 0 if first is not None else self._empty + 1
        if came & self._seen:
            raise StoreError(self._what, "the server sent the same page of a listing twice; check the server")
        if self._empty > MAX_EMPTY:
            raise StoreError(self._what, f"the server sent {self._empty} empty pages of a listing; check the server")
        self._seen |= came
