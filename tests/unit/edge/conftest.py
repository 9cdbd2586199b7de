"""A client of Cloudflare's API that never sleeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.edge.cloudflare import ApiToken, Cloudflare
from reconciler.http.patience import Patience
from tests.parts.cloudflare_api import ACCOUNT, TOKEN, CloudflareApi


@pytest.fixture
def pauses() -> list[float]:
    """The seconds that the client would have slept."""
    return []


@pytest.fixture
def cloudflare(api: CloudflareApi, pauses: list[float]) -> Iterator[Cloudflare]:
    patience = Patience(attempts=3, sleep=pauses.append)
    with Cloudflare(ApiToken(TOKEN), ACCOUNT, "default", api.url, patience) as cloudflare:
        yield cloudflare
