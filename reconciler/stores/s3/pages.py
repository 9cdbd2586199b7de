"""A listing that comes in pages has to come to an end, whatever the server says of each page."""

from __future__ import annotations

from reconciler.errors import StoreError

MAX_EMPTY = 1000
"""Pages in a row with nothing on them. A server may send some, for what was removed."""


class Pages:
    """Finds out a listing that goes round in a circle. `what` names it in errors."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._seen: set[tuple[str, str]] = set()
        self._empty = 0

    def turn(self, token: str, first: str | None) -> None:
        """Notes a page that another one follows: the token for that one, and what this one begins with, if anything.

        Raises `StoreError` where one or the other has come before, or where nothing comes any more.
        """
        came = {("token", token)} if first is None else {("token", token), ("first", first)}
        self._empty = 0 if first is not None else self._empty + 1
        if came & self._seen:
            raise StoreError(self._what, "the server sent the same page of a listing twice; check the server")
        if self._empty > MAX_EMPTY:
            raise StoreError(self._what, f"the server sent {self._empty} empty pages of a listing; check the server")
        self._seen |= came
