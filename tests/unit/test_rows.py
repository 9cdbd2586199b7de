"""Tables whose rows are in modules of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from reconciler.rows import Rows


def test_a_row_is_loaded_when_it_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("row_a", "row_b"):
        (tmp_path / f"{name}.py").write_text(f"KIND = {name!r}\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    rows = Rows[str]({"a": "row_a:KIND", "b": "row_b:KIND"})
    assert (list(rows), len(rows), "a" in list(rows)) == (["a", "b"], 2, True)
    assert not {"row_a", "row_b"} & sys.modules.keys()
    assert rows["b"] == "row_b"
    assert {"row_a", "row_b"} & sys.modules.keys() == {"row_b"}
    with pytest.raises(KeyError):
        rows["c"]
    assert dict(rows) == {"a": "row_a", "b": "row_b"}
