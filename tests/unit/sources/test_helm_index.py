"""The index of a chart repository: what is read from it, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Malformed
from reconciler.oci.spec import Digest, is_tag
from reconciler.sources import helm_index
from reconciler.sources.helm_index import ChartVersion, parse_index

INDEX = b"""\
apiVersion: v1
entries:
  web:
  - apiVersion: v2
    annotations: {deep: "x"}
    created: "2024-01-01T00:00:00Z"
    digest: %(digest)s
    urls:
    - web-1.0.0+b.tgz
    - https://elsewhere.example.com/web.tgz
    version: 1.0.0+b
  - urls: [web-0.9.tgz]
    version: 0.9
  - urls: [again.tgz]
    version: "0.9"
  - urls: []
    version: 0.8.0
  - version: not a tag
    urls: [x.tgz]
  empty: []
  nothing:
generated: "2024-01-01T00:00:00Z"
""" % {b"digest": b"a" * 64}


def test_the_versions_of_every_chart() -> None:
    charts = parse_index(INDEX, "it")
    assert charts == {
        "web": (
            ChartVersion("1.0.0+b", "web-1.0.0+b.tgz", Digest("sha256", "a" * 64)),
            ChartVersion("0.9", "web-0.9.tgz", None),
        ),
        "empty": (),
        "nothing": (),
    }
    assert [one.tag for one in charts["web"]] == ["1.0.0_b", "0.9"]


def test_an_index_in_json() -> None:
    entry = {"version": "1.0.0", "urls": ["x.tgz"], "digest": f"sha256:{'b' * 64}"}
    charts = parse_index(json.dumps({"entries": {"web": [entry]}}).encode(), "it")
    assert charts["web"] == (ChartVersion("1.0.0", "x.tgz", Digest("sha256", "b" * 64)),)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "it: is empty"),
        (b"a: [", "it: is not YAML"),
        (b"\xff\xfe\x00", "it: is not YAML"),
        (b"- a", "it: expected keys with values"),
        (b"entries: {web: [{version: &a 1.0.0, urls: [*a]}]}", "it: has a YAML alias"),
        (b"entries: {web: [{version: 1.0.0, urls: [a], digest: xyz}]}", "expected the digest to be 64 hex digits, got 'xyz'"),
        (b"entries: {web: [{version: 1.0.0, urls: [%s]}]}" % (b"a" * 5000), "URL of more than 4096"),
        (b"entries: {web: [{version: 1.0.0, urls: %s}]}" % (b"[" * 100), "more than 32 levels deep"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(body: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        parse_index(body, "it")


def test_a_bomb_of_aliases_costs_nothing() -> None:
    bomb = b"a0: &a0 [x]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)
    )
    assert parse_index(bomb + INDEX, "it")["web"]


def test_too_many_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_index, "MAX_VERSIONS", 1)
    with pytest.raises(Malformed, match="more than 1 versions of charts"):
        parse_index(INDEX, "it")


VALUES = st.recursive(
    st.none() | st.text(max_size=8) | st.sampled_from(["1.0.0", "a" * 64, "x.tgz"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["entries", "web", "version", "urls", "digest"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES | st.binary(max_size=60).map(lambda body: body.decode("latin-1")))
def test_anything_is_read_or_refused(value: object) -> None:
    body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    try:
        charts = parse_index(body, "it")
    except Malformed:
        return
    assert all(is_tag(one.tag) for some in charts.values() for one in some)
