"""`notify` of mirrors.yaml -> who is notified of what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.mirrors.notifiers import DEFAULT_ON, Notifier
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath

_NAME = expression(r"[A-Za-z_][A-Za-z0-9_]{0,254}")

# What is there instead may be the secret itself, so it is not quoted.
_NOT_A_NAME = (
    "is not the name of an environment variable, e.g. {}; the value itself is a secret: set that variable to it, and "
    "keep it out of the file"
)


def read_notifiers(document: Document) -> Iterator[Notifier]:
    """Yields the notifiers; records what is wrong with them."""
    seen: set[str] = set()
    for number, entry in enumerate(document.value.get("notify") or [] if not document.wrong(("notify",)) else []):
        place: KeyPath = ("notify", number)
        for key, example in (("url_env", "R2MIRROR_NOTIFY_URL"), ("secret_env", "R2MIRROR_NOTIFY_SECRET")):
            if key in entry and not _NAME.fullmatch(entry[key]):
                document.problem((*place, key), _NOT_A_NAME.format(example))
        if "secret_env" in entry and entry["kind"] != "webhook":
            document.problem((*place, "secret_env"), "is only valid with kind webhook; remove it", at_key=True)
        if entry["url_env"] in seen:
            document.problem((*place, "url_env"), "is that of another notifier; put both lists under its `on`")
        seen.add(entry["url_env"])
        yield Notifier(entry["kind"], entry["url_env"], tuple(entry.get("on", DEFAULT_ON)), entry.get("secret_env"))
