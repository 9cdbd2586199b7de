"""Keeps the hashes of tokens as secrets of the Worker of a private mirror. Cloudflare never shows a secret again."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from reconciler.access.token import new_key
from reconciler.edge.script import TOKEN, secret_name
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.edge.cloudflare import Cloudflare

KEY = "ACCESS_KEY"


class WorkerTokens(Frozen):
    """The tokens of a Worker. Each method raises `EdgeError`, and names what to do if there is no such Worker yet."""

    cloudflare: Cloudflare
    script: str

    @property
    def place(self) -> str:
        return f"the Worker {self.script}"

    def names(self) -> Collection[str]:
        """Lists the names that have a hash."""
        secrets = self.cloudflare.secrets(self.script)
        return {one.removeprefix(TOKEN).lower().replace("_", "-") for one in secrets if one.startswith(TOKEN)}

    def add(self, name: str, hashed: str) -> bool:
        """Sets the hash of a token, and before the first one the signing key. Returns whether the name had one."""
        former = self.cloudflare.secrets(self.script)
        if KEY not in former:
            self.cloudflare.set_secret(self.script, KEY, new_key().value)
        self.cloudflare.set_secret(self.script, secret_name(name), hashed)
        return secret_name(name) in former

    def remove(self, name: str) -> None:
        self.cloudflare.remove_secret(self.script, secret_name(name))
