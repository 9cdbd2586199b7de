"""What a kind of store calls its requests, how many of them an operation sends, and what they cost. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias

from reconciler.frozen import Frozen

Parts: TypeAlias = "Callable[[int], int]"
"""In how many parts an object of so many bytes is written; 0: in one request."""


class Requests(Frozen):
    """The requests of a kind of store that counts them: the store's names for them, and their limits.

    put             writes an object in one request
    copy            has the server copy an object in one request
    begin           begins an object that is written in parts
    part            sends one part, or has the server copy it
    complete        ends an object that is written in parts
    list            lists a page of keys
    get             reads an object
    delete          removes several objects
    keys_listed     the keys in one page
    keys_deleted    the keys that one request removes
    parts_sent      counts the parts of an object that is sent
    parts_copied    counts the parts of an object that the server copies
    """

    put: str
    copy: str
    begin: str
    part: str
    complete: str
    list: str
    get: str
    delete: str
    keys_listed: int
    keys_deleted: int
    parts_sent: Parts
    parts_copied: Parts

    @property
    def class_a(self) -> tuple[str, ...]:
        """The names of requests that write or list: what every cloud charges most for."""
        return (self.put, self.copy, self.begin, self.part, self.complete, self.list)

    @property
    def class_b(self) -> tuple[str, ...]:
        """The names of requests that read."""
        return (self.get,)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order in which they are shown. Removals come last: they are free."""
        return (*self.class_a, *self.class_b, self.delete)

    def sending(self, size: int) -> Counter[str]:
        """The requests that send an object of so many bytes."""
        return self._in_parts(self.parts_sent(size), self.put)

    def copying(self, size: int) -> Counter[str]:
        """The requests that have the server copy an object of so many bytes."""
        return self._in_parts(self.parts_copied(size), self.copy)

    def listing(self, keys: int) -> Counter[str]:
        """The requests that list so many keys. A listing of none takes one too."""
        return Counter({self.list: max(1, math.ceil(keys / self.keys_listed))})

    def deleting(self, keys: int) -> Counter[str]:
        """The requests that remove so many objects at once."""
        return Counter({self.delete: math.ceil(keys / self.keys_deleted)})

    def _in_parts(self, parts: int, whole: str) -> Counter[str]:
        if not parts:
            return Counter({whole: 1})
        return Counter({self.begin: 1, self.part: parts, self.complete: 1})


class Prices(Frozen):
    """The list prices of a store in US dollars, and what of each is free in a month for a whole account.

    whose         whose prices they are, e.g. `R2`
    as_of         the month in which they were looked up
    storage       the price of a GB-month
    class_a       the price of a million requests that write or list
    class_b       the price of a million requests that read
    free_storage  the GB-months that are free
    free_class_a  the millions of requests that are free
    free_class_b  the millions of requests that are free
    """

    whose: str
    as_of: str
    storage: float
    class_a: float
    class_b: float
    free_storage: int
    free_class_a: int
    free_class_b: int


class RequestCounts(Frozen):
    """How many requests of each name are sent, and of each class that a store bills."""

    by_name: Mapping[str, int]
    class_a: int
    class_b: int


def counted(requests: Requests, sent: Mapping[str, int]) -> RequestCounts:
    """Returns the counts of all names, zero for those that are not in `sent`."""
    by_name = {name: sent.get(name, 0) for name in requests.names}
    class_a = sum(by_name[name] for name in requests.class_a)
    return RequestCounts(by_name, class_a, sum(by_name[name] for name in requests.class_b))
