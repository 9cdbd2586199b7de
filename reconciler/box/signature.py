"""Signs boxes, and verifies who signed them.

    BOX.sig    the signature of the manifest, which has the digest of everything else in the box

The file is what `cosign sign-blob --key` writes: the signature in base64, or a Sigstore bundle. It is beside the box,
so that equal states still give equal bytes, and so that other programs can sign, too.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import BoxInvalid, ExtraMissing, Malformed, SignatureRefused, UsageError
from reconciler.files import open_regular
from reconciler.regex import expression
from reconciler.signatures.formats import MAX_BUNDLE, decoded, parse_bundle

if TYPE_CHECKING:
    from reconciler.signatures.keys import PrivateKey, PublicKey

MAX_KEY_BYTES = 64 * 1024
_PART = expression(r"\.[0-9]{3}")


def signature_path(box: Path) -> Path:
    """Returns where the signature of a box is. `box` may be its first part."""
    whole = box.with_suffix("") if _PART.fullmatch(box.suffix) else box
    return whole.with_name(f"{whole.name}.sig")


def load_signing_key(path: Path) -> PrivateKey:
    """Loads the key of `--sign-key`. Raises `UsageError` if it cannot be used, `ExtraMissing` without the extra."""
    _check_extra("--sign-key")
    from reconciler.signatures.keys import load_private_key

    try:
        return load_private_key(_read(path, MAX_KEY_BYTES), str(path))
    except Malformed as error:
        raise UsageError(f"--sign-key: {error}") from None


def signature_of(manifest: bytes, key: PrivateKey) -> bytes:
    """Returns the content of the file that signs a box with this manifest."""
    from reconciler.signatures.keys import sign_message

    return base64.b64encode(sign_message(key, manifest)) + b"\n"


def load_trusted_keys(paths: Sequence[Path]) -> tuple[tuple[str, PublicKey], ...]:
    """Loads the keys of `--key`. Raises `UsageError` if one cannot be used, `ExtraMissing` without the extra."""
    if not paths:
        return ()
    _check_extra("--key")
    from reconciler.signatures.keys import load_key

    try:
        return tuple((str(path), load_key(_read(path, MAX_KEY_BYTES), str(path))) for path in paths)
    except Malformed as error:
        raise UsageError(f"--key: {error}") from None


def check_signed(manifest: bytes, box: Path, keys: Sequence[tuple[str, PublicKey]]) -> None:
    """Raises `BoxInvalid` unless one of the keys has signed the manifest of a box."""
    from reconciler.signatures.keys import check_message

    path = signature_path(box)
    if not path.exists():
        raise BoxInvalid(str(box), f"is not signed, and --key wants it to be: there is no {path}; nothing was done")
    try:
        signature = _parsed(_read(path, MAX_BUNDLE), str(path))
    except (Malformed, UsageError) as error:
        raise BoxInvalid(str(box), f"its signature cannot be read: {error}; nothing was done") from None
    for _, key in keys:
        try:
            return check_message(key, signature, manifest, str(path))
        except SignatureRefused:
            continue
    names = " or ".join(name for name, _ in keys)
    raise BoxInvalid(str(box), f"{path} is not a signature of {names} for this box; nothing was done")


def _parsed(body: bytes, what: str) -> bytes:
    if body.lstrip().startswith(b"{"):
        bundle = parse_bundle(body, what)
        if bundle.has_certificate or bundle.envelope:
            raise Malformed(what, "expected a bundle that `cosign sign-blob --key` has written")
        return bundle.signature
    return decoded("".join(body.decode(errors="replace").split()), what)


def _read(path: Path, limit: int) -> bytes:
    try:
        with open_regular(path, follow=True) as file:
            body = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if len(body) > limit:
        raise UsageError(f"{path}: is larger than {limit} bytes")
    return body


def _check_extra(option: str) -> None:
    if not find_spec("cryptography"):
        raise ExtraMissing(option, "signatures")
