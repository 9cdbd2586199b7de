"""Finds out what a registry can do, and leaves no trace there.

Nothing is pushed. An upload that is opened is cancelled, and what is asked to be deleted does not exist. An ability
that cannot be found out so, e.g. to mount a blob, stays as the registry's kind has it until it is first needed.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.registry.kinds import kind_of
from reconciler.registry.powers import Can, Says
from reconciler.registry.push import opened_by
from reconciler.registry.referrers import listed
from reconciler.registry.refusals import refused, told, wants_certificate

if TYPE_CHECKING:
    from reconciler.registry.host import TargetRegistry
    from reconciler.registry.kinds import RegistryKind
    from reconciler.registry.powers import Powers
    from reconciler.registry.repository import TargetRepository

_CANNOT = (400, 405, 501)


class Probed(Frozen):
    """What was found out.

    kind       the product
    powers     what it can do
    may_push   whether the login may open an upload; UNKNOWN if the repository is not there yet
    may_delete  whether the login may delete
    """

    kind: RegistryKind
    powers: Powers
    may_push: Can
    may_delete: Can


def probe(host: TargetRegistry, path: str) -> Probed:
    """Finds out what a registry can do in one of its repositories, and remembers it for the run.

    Raises `StoreError` and its kinds if the registry does not answer.
    """
    at = host.repository(path, may_delete=True)
    with told(at.name, at.registry.name):
        kind = _kind(at)
        _adopt(at, kind)
        may_push = _may_push(at)
        may_delete = _deletion(at)
    if host.cloud:
        at.known.note(Says.TABLE, {"tag_deletion": Can.YES})
    # The API is asked for a repository that may not exist: a refusal then says nothing.
    if may_push is Can.YES and at.known.powers.referrers is Can.UNKNOWN:
        listed(at, Digest.of(secrets.token_bytes(16)))
        at.known.note(Says.PROBED, {"referrers": at.known.powers.referrers})
    return Probed(kind, at.known.powers, may_push, may_delete)


def recognize(host: TargetRegistry) -> Powers:
    """Returns what a registry is known to be able to do, by its name and by its answer to `GET /v2/` without a login.

    Raises `StoreError` and its kinds.
    """
    at = host.repository("v2")
    with told(host.registry.name, host.registry.name):
        _adopt(at, _kind(at))
    return host.known.powers


def _kind(at: TargetRepository) -> RegistryKind:
    """Returns the row of the registry by its name and by what it answers to `GET /v2/`."""
    headers: Mapping[str, str] = at.registry.greeting()
    return kind_of(at.registry.name, headers)


def _adopt(at: TargetRepository, kind: RegistryKind) -> None:
    """Takes over what is known of the kind, where nothing better is known."""
    known = {name: can for name, can in kind.powers.abilities().items() if can is not Can.UNKNOWN}
    ours = at.known.powers.abilities()
    at.known.note(Says.TABLE, {name: can for name, can in known.items() if ours[name] is Can.UNKNOWN})


def _may_push(at: TargetRepository) -> Can:
    """Opens an upload and cancels it."""
    sent = at.patiently("POST", "blobs/uploads/", b"")
    if sent.status in (401, 403):
        return Can.NO
    if wants_certificate(sent):
        # Whatever comes after would be taken for what the registry can do.
        raise refused(sent, at.registry, at.name, "open an upload")
    if sent.status not in (201, 202):
        return Can.UNKNOWN
    session = opened_by(at, sent, at.name)
    with contextlib.suppress(Exception):
        at.registry.send("DELETE", session.location, at.scope, {})
    return Can.YES


def _deletion(at: TargetRepository) -> Can:
    """Asks to delete a tag and a digest that do not exist. Returns whether the login may delete."""
    may = Can.UNKNOWN
    nothing = {
        "tag_deletion": f"r2mirror-probe-{secrets.token_hex(8)}",
        "digest_deletion": str(Digest.of(secrets.token_bytes(16))),
    }
    for power, reference in nothing.items():
        status = at.patiently("DELETE", f"manifests/{reference}").status
        if status in (401, 403):
            return Can.NO
        if status in _CANNOT:
            at.known.note(Says.PROBED, {power: Can.NO})
        # What is not there was looked for. But a registry that does not know the way answers so, too (Nexus).
        elif status in (202, 404) and at.known.powers.abilities()[power] is Can.UNKNOWN:
            at.known.note(Says.PROBED, {power: Can.YES})
            may = Can.YES
    return may
