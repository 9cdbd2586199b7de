"""What a kind of webhook consists of: how a request proves where it is from, and how its payload is read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.triggers.hints import Hint
    from reconciler.triggers.payload import Payload
    from reconciler.triggers.secrets import Secret, Told


class Format(Frozen):
    """A kind of webhook.

    kind       its name in the path: /hooks/<kind>
    upstream   its name in messages
    proof      whether a request knows the secret; None: the body is signed with it
    parse      header fields by lower-case name, and the payload -> what was pushed. Raises `Malformed`
    signature  the header that has the signature of the body, in lower case
    """

    kind: str
    upstream: str
    parse: Callable[[Mapping[str, str], Payload], Iterable[Hint]]
    proof: Callable[[Secret, Told], bool] | None = None
    signature: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that has its secret, and whose presence switches it on."""
        return f"R2MIRROR_HOOK_{self.kind.upper()}_SECRET"
