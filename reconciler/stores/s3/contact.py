"""The first answer of a server: until it comes, a wrong setting is likelier than a passing fault.

    mistake   finds the setting that a failed connection points to
    Contact   knows whether a server has answered yet, and how long to wait for it

A server that has answered once exists: requests that fail later are retried.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator

logger = logging.getLogger(__name__)

TELL_AFTER = 10.0
"""Seconds without a first answer after which the log says what is waited for."""


class Contact:
    """Knows whether the server that messages call `name` has answered yet. Safe to share between threads.

    patience  seconds to wait for its first answer, all attempts together
    """

    def __init__(self, name: str, patience: float) -> None:
        self.answered = False
        self._name = name
        self._patience = patience
        self._since = 0.0
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def asked(self) -> None:
        """Notes that a request is sent. If no answer comes for `TELL_AFTER` seconds, the log says so."""
        with self._lock:
            if self.answered or self._timer:
                return
            self._since = time.monotonic()
            self._timer = threading.Timer(TELL_AFTER, self._tell)
            self._timer.daemon = True
            self._timer.start()

    def heard(self) -> None:
        """Notes that an answer came, whatever it says."""
        self.answered = True
        self.left()

    def left(self) -> None:
        """Notes that nothing waits for the answer any more."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
                self._timer = None

    def is_hopeless(self, error: BaseException, attempt: float) -> bool:
        """Whether a retry after `error` is of no use; another attempt may take `attempt` seconds."""
        if is_untrusted(error):
            return True
        if self.answered:
            return False
        return mistake(error) is not None or time.monotonic() - self._since + attempt > self._patience

    def _tell(self) -> None:
        logger.warning(
            "%s has not answered for %.0f s; its first answer is waited for %.0f s in all",
            self._name,
            TELL_AFTER,
            self._patience,
        )


def is_untrusted(error: BaseException) -> bool:
    """Whether a connection failed because of the certificate that the server showed."""
    return any(isinstance(one, ssl.SSLCertVerificationError) for one in _causes(error))


def mistake(error: BaseException) -> str | None:
    """Says how to fix a connection that retries will not; None for any other failure."""
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return (
                    "its certificate is not trusted; check the endpoint, or have this system trust the authority that "
                    "signed it (a file in SSL_CERT_FILE or AWS_CA_BUNDLE does as well)"
                )
            case ssl.SSLError(reason=str(reason)) if reason in _NOT_TLS:
                return "what listens there does not speak TLS; write http:// in endpoint_url, or another port"
            case ssl.SSLError():
                return "no TLS connection could be made; check the account, the jurisdiction or the endpoint"
            case socket.gaierror():
                return "its name cannot be looked up; check the account, the jurisdiction or the endpoint, and the DNS"
            case ConnectionRefusedError():
                return "nothing listens at this address and port; check the endpoint, and that the server runs"
            case _:
                pass
    return None


_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""What OpenSSL calls an answer in plain HTTP."""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields the error and its causes, innermost last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
