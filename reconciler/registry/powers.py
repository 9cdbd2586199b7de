"""What a registry can do, as far as it is known: by its kind, by probes, or because it has done it. Pure."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import fields, replace
from enum import Enum
from typing import Any

from reconciler.frozen import Frozen


class Can(Enum):
    """Whether a registry can do something."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Says(Enum):
    """How it is known what a registry can do."""

    TABLE = "known of this product"
    PROBED = "probed"
    USED = "it was used"


class Powers(Frozen):
    """What one registry can do.

    tag_deletion      deletes a tag and leaves the other tags of its digest
    digest_deletion   deletes a manifest by its digest, with all its tags
    mount             takes a blob from another of its repositories
    monolithic        takes a whole blob with one PUT
    chunked           takes a blob in several PATCHes
    referrers         lists referrers itself (`GET /v2/<name>/referrers/<digest>`)
    immutable         may refuse to overwrite a tag
    creates           makes a repository at the first push
    most_at_once      the bytes that it takes with one request; None: no limit known
    largest_blob      in bytes; None: no limit known
    rate              the requests a second that it allows; None: no limit known
    path_parts        the parts that the path of a repository may have; None: any number
    """

    tag_deletion: Can = Can.UNKNOWN
    digest_deletion: Can = Can.UNKNOWN
    mount: Can = Can.UNKNOWN
    monolithic: Can = Can.UNKNOWN
    chunked: Can = Can.UNKNOWN
    referrers: Can = Can.UNKNOWN
    immutable: Can = Can.UNKNOWN
    creates: Can = Can.UNKNOWN
    most_at_once: int | None = None
    largest_blob: int | None = None
    rate: float | None = None
    path_parts: int | None = None

    def abilities(self) -> Mapping[str, Can]:
        """Returns the abilities by their names in this class, for a report."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Can)}


class Known:
    """The powers of one registry, as they become known in a run. Shared by all threads."""

    def __init__(self, powers: Powers) -> None:
        self._powers = powers
        self._says: dict[str, Says] = {}
        self._lock = threading.Lock()

    @property
    def powers(self) -> Powers:
        return self._powers

    def says(self, power: str) -> Says:
        """Returns how a power is known."""
        return self._says.get(power, Says.TABLE)

    def learn(self, **known: Any) -> None:
        """Replaces fields of the powers with what its use has shown."""
        self.note(Says.USED, known)

    def note(self, says: Says, known: Mapping[str, Any]) -> None:
        """Replaces fields of the powers."""
        with self._lock:
            self._powers = replace(self._powers, **known)
            self._says |= dict.fromkeys(known, says)

    def takes_at_most(self, size: int) -> None:
        """Notes the largest body of a request that the registry may take."""
        with self._lock:
            most = self._powers.most_at_once
            self._powers = replace(self._powers, most_at_once=size if most is None else min(size, most))
