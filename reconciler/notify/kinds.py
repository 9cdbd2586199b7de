"""The kinds of notifiers. A new one is a function here and its name in `schema/mirrors.schema.json`."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from reconciler.http.posting import PostFailed, post
from reconciler.notify.cloud_events import EXPECTED_KEY, event_body, parse_secret, signed_headers
from reconciler.notify.texts import text, title

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.mirrors.notifiers import Notifier
    from reconciler.notify.told import Message

POST_TIMEOUT = 4.0

Send: TypeAlias = "Callable[[Notifier, str, Mapping[str, str], Message, Finished], None]"
"""Sends a message to the URL that is given. Raises `NotSent`."""


class NotSent(Exception):
    """A message could not be delivered; the text says why, and holds no secret."""


def by_webhook(notifier: Notifier, url: str, environ: Mapping[str, str], message: Message, run: Finished) -> None:
    """Posts the message as an event of CloudEvents."""
    key = None
    if notifier.secret_env:
        key = parse_secret(environ.get(notifier.secret_env, ""))
        if key is None:
            raise NotSent(f"{notifier.secret_env} does not hold a valid secret: {EXPECTED_KEY}")
    identity = f"msg_{secrets.token_hex(16)}"
    body = event_body(message, run, identity)
    try:
        post(url, body, signed_headers(body, identity, int(time.time()), key), POST_TIMEOUT)
    except PostFailed as error:
        raise NotSent(str(error)) from None


def by_apprise(
    notifier: Notifier,  # noqa: ARG001 as `Send` has it
    url: str,
    environ: Mapping[str, str],  # noqa: ARG001
    message: Message,
    run: Finished,
) -> None:
    """Sends title and text through Apprise."""
    try:
        import apprise
    except ModuleNotFoundError as error:
        if error.name != "apprise":
            raise
        raise NotSent("kind apprise needs packages that are not installed; install r2mirror's extra `notify`") from None
    # Its log quotes URLs.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    service = apprise.Apprise()
    if not service.add(url):
        raise NotSent("Apprise does not know this kind of URL; see https://github.com/caronc/apprise/wiki")
    if not service.notify(title=title(message, run), body=text(message, run), body_format=apprise.NotifyFormat.TEXT):
        raise NotSent("the service did not accept the message; check the URL with `apprise -vv -b test URL`")


KINDS: Mapping[str, Send] = {"apprise": by_apprise, "webhook": by_webhook}
