"""Reads `signed_by` of mirrors.yaml, and the files that it names."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.oci.spec import load_json
from reconciler.regex import compile_regex
from reconciler.signatures.signers import Identity, TrustedKey

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath
    from reconciler.signatures.signers import Signer

MAX_KEY_BYTES = 64 * 1024
MAX_ROOT_BYTES = 4 * 1024 * 1024
ROOT = "application/vnd.dev.sigstore.trustedroot"


def read_signed_by(
    document: Document, place: KeyPath, value: Any, locate: Callable[[KeyPath, str], Path], *, read_files: bool
) -> tuple[Signer, ...]:
    """Reads the valid signers at `place`, and records what is wrong with the others.

    locate      resolves the path that is written at a place
    read_files  whether to read the files; if not, keys have no bytes
    """
    entries = [(place, value)] if isinstance(value, dict) else [((*place, n), one) for n, one in enumerate(value)]
    return tuple(
        signer
        for inner, entry in entries
        if not document.wrong(inner) and (signer := _signer(document, inner, entry, locate, read_files=read_files))
    )


def _signer(
    document: Document,
    place: KeyPath,
    entry: dict[str, Any],
    locate: Callable[[KeyPath, str], Path],
    *,
    read_files: bool,
) -> Signer | None:
    file = next((key for key in ("key", "trusted_root") if key in entry), None)
    path = locate((*place, file), entry[file]) if file else None
    body = b""
    try:
        if path and read_files:
            body = _read(path, MAX_KEY_BYTES if file == "key" else MAX_ROOT_BYTES)
        if file == "key":
            return _key(document, place, entry, body)
        if body:
            _check_root(body, entry["trusted_root"])
    except Malformed as error:
        document.problem((*place, file) if file else place, str(error))
        return None
    return _identity(document, place, entry, path)


def _key(document: Document, place: KeyPath, entry: dict[str, Any], body: bytes) -> TrustedKey:
    if "issuer" in entry:
        document.problem(
            (*place, "issuer"), "is only valid with identity; remove it, or list the key as an entry of its own"
        )
    if body and find_spec("cryptography"):
        # cryptography is an optional extra: without it the key is not checked before signatures are.
        from reconciler.signatures.keys import load_key

        load_key(body, entry["key"])
    return TrustedKey(entry["key"], body)


def _identity(document: Document, place: KeyPath, entry: dict[str, Any], trusted_root: Path | None) -> Identity | None:
    if "identity" in entry:
        return Identity(entry["identity"], entry["issuer"], trusted_root=trusted_root)
    try:
        compile_regex(entry["identity_regex"])
    except ValueError:
        document.problem(
            (*place, "identity_regex"), "RE2 rejects it; RE2 supports neither lookaround nor backreferences"
        )
        return None
    return Identity(entry["identity_regex"], entry["issuer"], is_regex=True, trusted_root=trusted_root)


def _read(path: Path, limit: int) -> bytes:
    """Reads a file. Raises `Malformed` for an empty one, and for one of more than `limit` bytes."""
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except OSError as error:
        raise Malformed(str(path), f"cannot be read: {error.strerror}") from None
    if not body or len(body) > limit:
        raise Malformed(str(path), f"is {'empty' if not body else f'larger than {limit} bytes'}")
    return body


def _check_root(body: bytes, name: str) -> None:
    match load_json(body, name):
        case {"mediaType": str(media_type)} if media_type.startswith(ROOT):
            pass
        case _:
            raise Malformed(name, f"is not a Sigstore trusted root: its mediaType must begin with {ROOT}")
