"""Who is notified of runs, as mirrors.yaml declares it. Pure."""

from __future__ import annotations

from reconciler.frozen import Frozen

FAILURE, RECOVERED, CHANGE, PRUNE, QUOTA, MOVED, DRIFT = (
    "failure",
    "recovered",
    "change",
    "prune",
    "quota",
    "moved",
    "drift",
)
OCCASIONS = (FAILURE, RECOVERED, CHANGE, PRUNE, QUOTA, MOVED, DRIFT)
DEFAULT_ON = (FAILURE, RECOVERED)


class Notifier(Frozen):
    """One entry of `notify`.

    kind        how it is notified, e.g. `webhook`
    url_env     the environment variable that holds the URL, which is a secret
    on          of what, of `OCCASIONS`
    secret_env  the environment variable that holds the key of the signatures; None: nothing is signed
    """

    kind: str
    url_env: str
    on: tuple[str, ...] = DEFAULT_ON
    secret_env: str | None = None
