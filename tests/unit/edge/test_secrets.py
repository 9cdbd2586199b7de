"""The hashes of tokens as secrets of the Worker, against the simulated API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from reconciler.access.token import new_token
from reconciler.edge.script import secret_name
from reconciler.edge.secrets import KEY, WorkerTokens
from reconciler.errors import EdgeError
from tests.parts.cloudflare_api import WorkerScript

if TYPE_CHECKING:
    from reconciler.edge.cloudflare import Cloudflare
    from tests.parts.cloudflare_api import CloudflareApi

FORM = {"metadata": {"compatibility_date": "2026-07-30", "bindings": []}, "worker.js": ""}


def test_a_token_is_a_secret_of_the_worker_beside_one_key(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    api.scripts["w"] = script = WorkerScript()
    script.upload(FORM)
    tokens = WorkerTokens(cloudflare, "w")
    made = new_token()
    tokens.add("ci", made.hashed)
    tokens.add("team-a", made.hashed)
    tokens.add("ci", made.hashed)
    assert [one["name"] for one in script.bindings] == [KEY, "ACCESS_TOKEN_TEAM_A", "ACCESS_TOKEN_CI"]
    assert set(tokens.names()) == {"ci", "team-a"}
    tokens.remove("ci")
    assert set(tokens.names()) == {"team-a"}
    assert not any(made.hashed in one for one in api.requests())


def test_without_a_worker_it_says_what_to_run_first(api: CloudflareApi, cloudflare: Cloudflare) -> None:
    assert not api.scripts
    with pytest.raises(EdgeError, match="does not exist; run `r2mirror edge apply` first"):
        WorkerTokens(cloudflare, "w").add("ci", "0" * 64)


def test_a_secret_has_a_name_that_a_worker_can_read() -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*", secret_name("team-a-2"))
