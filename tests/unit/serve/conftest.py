from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.target.layout import BLOB_HEADERS, CATALOG, JSON_HEADERS, blob_key
from tests.parts.serving import LARGE, LARGE_SIZE, Watched


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    store = Watched(tmp_path / "mirror")
    chunks = (bytes([number]) * (LARGE_SIZE // 6) for number in range(6))
    store.upload(blob_key("a", LARGE), chunks, LARGE_SIZE, LARGE, BLOB_HEADERS)
    store.put(CATALOG, b'{"repositories":["a"]}', JSON_HEADERS)
    return store
