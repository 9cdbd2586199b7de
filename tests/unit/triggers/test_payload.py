"""Fields of a payload, and the bounds of everything in it."""

from __future__ import annotations

import pytest

from reconciler.errors import Malformed
from reconciler.triggers.payload import MAX_BODY, MAX_ENTRIES, MAX_TEXT, MAX_VALUES, Payload, parse_payload


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "it: not JSON: "),
        (b"[" * 100_000 + b"]" * 100_000, "it: JSON nested too deeply"),
        (b"[" + b"0," * MAX_VALUES + b"0,0]", f"it: JSON with more than {MAX_VALUES} values"),
        (b" " * (MAX_BODY + 1), f"it: its body has more than {MAX_BODY} bytes"),
        (b'{"a": 1, "a": 2}', "it: a JSON object has the same key twice"),
        (b"\xff\xfe", "it: not JSON: "),
    ],
)
def test_a_body_that_is_not_json_of_a_bounded_size_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_payload(body, "it")
    assert str(caught.value).startswith(message)


def test_fields_have_bounds_too() -> None:
    payload = Payload({"text": "x" * (MAX_TEXT + 1), "entries": [0] * (MAX_ENTRIES + 1), "no": None}, "it")
    with pytest.raises(Malformed, match="it, text: a string of more than"):
        payload.text("text")
    with pytest.raises(Malformed, match="it, entries: an array of more than"):
        payload.entries("entries")
    assert payload.entries("no") == payload.entries("missing") == []
    assert payload.text("no", "deeper", default="-") == "-"
