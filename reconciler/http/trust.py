"""Loads the certificate authorities to trust: the public ones, and those that this system trusts as well.

    shared_trust  for all our TLS connections
    own_trust     a context of its own: the same, and the authorities of one file
    bundle        a file with the authorities, for libraries that open their own connections

A company puts its own authority into the system's bundle, where curl, skopeo and docker find it. SSL_CERT_FILE and
SSL_CERT_DIR replace all others, as they do for OpenSSL.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import certifi

from reconciler.errors import Unreachable

logger = logging.getLogger(__name__)

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep their bundle: Debian and Alpine, Fedora, openSUSE, newer Fedoras, the BSDs and macOS."""


FEWEST = 50
"""Certificates. A bundle with fewer does not hold the public authorities, of which there are more than 100."""


def shared_trust() -> ssl.SSLContext:
    """Returns the TLS context for all connections. It is loaded at the first use, once: that takes some 20 ms.

    Raises `Unreachable` if the environment names authorities that cannot be used.
    """
    return _shared(*_named_authorities())


def _load(file: str | None, folder: str | None) -> ssl.SSLContext:
    if file or folder:
        return _named(file or None, folder or None)
    context = ssl.create_default_context(cafile=certifi.where())
    found = _system_bundle()
    if found:
        try:
            context.load_verify_locations(cafile=found)
        except (OSError, ssl.SSLError) as error:
            # Not an error: most registries have certificates of public authorities, which are loaded already.
            logger.warning("%s: the certificates of this system cannot be used: %s", found, error)
    return context


_shared = cache(_load)


def own_trust(ca_file: Path | None, name: str) -> ssl.SSLContext:
    """Returns a TLS context of its own, which also trusts `ca_file`.

    The other authorities stay: the registry `name` may redirect to a CDN.
    """
    context = _load(*_named_authorities())
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(name, f"its ca_file {ca_file} cannot be used: {error}") from None
    return context


def bundle(environ: Mapping[str, str]) -> str | None:
    """Returns a file with all authorities of this system; None if it lacks the public ones."""
    if environ.get("SSL_CERT_FILE"):
        return environ["SSL_CERT_FILE"]
    found = _system_bundle()
    is_whole = found is not None and found.read_bytes().count(b"BEGIN CERTIFICATE") >= FEWEST
    return str(found) if is_whole else None


def _named_authorities() -> tuple[str | None, str | None]:
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


def _named(file: str | None, folder: str | None) -> ssl.SSLContext:
    variable = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
    try:
        if not file and folder and not Path(folder).is_dir():
            raise NotADirectoryError("there is no such folder")
        return ssl.create_default_context(cafile=file, capath=folder)
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(variable, f"the certificates in {file or folder} cannot be used: {error}") from None


def _system_bundle() -> Path | None:
    named = ssl.get_default_verify_paths().cafile
    return next((path for path in map(Path, filter(None, (*BUNDLES, named))) if path.is_file()), None)
