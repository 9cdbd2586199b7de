"""Loads the certificate and the key with which we identify ourselves to one registry over TLS (mutual TLS)."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from reconciler.errors import Unreachable
from reconciler.frozen import Frozen

_MISMATCH = "MISMATCH"
"""In OpenSSL's reasons for a key of another certificate: KEY_VALUES_MISMATCH, KEY_TYPE_MISMATCH."""


class ClientIdentity(Frozen):
    """The paths of a certificate, with those of its issuers if needed, and of its key. Both in PEM."""

    cert: Path
    key: Path


class WrongFile(Frozen):
    """Which key of mirrors.yaml names a file that cannot be used, and why. Never quotes the file."""

    key: str
    why: str


def wrong_file(identity: ClientIdentity) -> WrongFile | None:
    """Returns what is wrong with the files of an identity; None if they can be used."""
    for key, path in (("client_cert", identity.cert), ("client_key", identity.key)):
        why = _unreadable(path)
        if why:
            return WrongFile(key, f"{path} cannot be read: {why}")
    return _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), identity)


def identified(context: ssl.SSLContext, identity: ClientIdentity, name: str) -> ssl.SSLContext:
    """Adds an identity to a TLS context, for the registry `name`. Raises `Unreachable` if it is not valid."""
    wrong = wrong_file(identity) or _load(context, identity)
    if wrong:
        raise Unreachable(name, f"its {wrong.key} is not usable: {wrong.why}")
    return context


def _unreadable(path: Path) -> str | None:
    if path.exists() and not path.is_file():
        return "it is not a file"
    try:
        path.open("rb").close()
    except OSError as error:
        return error.strerror
    return None


def _load(context: ssl.SSLContext, identity: ClientIdentity) -> WrongFile | None:
    asked: list[bool] = []
    try:
        # Without a function for the passphrase, OpenSSL asks for it on the terminal.
        context.load_cert_chain(identity.cert, identity.key, _no_passphrase(asked))
    except (OSError, ssl.SSLError) as error:
        if asked:
            return WrongFile(
                "client_key",
                f"{identity.key} is encrypted; decrypt it, e.g. with openssl pkey -in KEY -out DECRYPTED, and "
                "protect it by its permissions",
            )
        if _MISMATCH in str(error):
            return WrongFile("client_key", f"{identity.key} is not the key of the certificate in {identity.cert}")
        return _not_pem(identity)
    return None


def _no_passphrase(asked: list[bool]) -> Callable[[], str]:
    def answer() -> str:
        asked.append(True)
        return ""

    return answer


def _not_pem(identity: ClientIdentity) -> WrongFile:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=identity.cert)
    except (OSError, ssl.SSLError):
        return WrongFile("client_cert", f"{identity.cert} does not contain a certificate in PEM")
    return WrongFile("client_key", f"{identity.key} does not contain a private key in PEM")
