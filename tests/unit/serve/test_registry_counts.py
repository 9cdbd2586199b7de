"""What `serve` counts: tags that clients resolve, and none of what it cannot parse."""

from __future__ import annotations

from datetime import date

from reconciler.oci.spec import Digest
from reconciler.pulls.counter import Counter
from reconciler.pulls.counts import parse_counts
from reconciler.target.layout import JSON_HEADERS, counts_key, manifest_headers, manifest_key, tags_key
from tests.memory import MemoryStore
from tests.parts.images import image
from tests.parts.serving import serving

APP = image({"a": "1"})
DAY = date(2026, 11, 26)


def test_tags_are_counted_and_nothing_else() -> None:
    store, kept = MemoryStore(), MemoryStore()
    for reference in ("1.0", Digest.parse(APP.digest)):
        store.put(manifest_key("team/app", reference), APP.body, manifest_headers(APP.media_type, reference))
    store.put(tags_key("team/app"), b'{"name":"team/app","tags":["1.0"]}', JSON_HEADERS)
    counter = Counter(kept, lambda: DAY)
    with serving(store, counter=counter) as served:
        for path, method in (
            ("team/app/manifests/1.0", "GET"),
            ("team/app/manifests/1.0", "HEAD"),
            ("team/app/manifests/2.0", "GET"),
            ("library/redis/manifests/7.4", "HEAD"),
            (f"team/app/manifests/{APP.digest}", "GET"),
            (f"team/app/manifests/sha256:{'0' * 64}", "GET"),
            ("team/app/manifests/-bad", "GET"),
            ("team/app/manifests/%1b%5b2J", "GET"),
            ("UPPER/manifests/1.0", "GET"),
            ("a/tags/manifests/1.0", "GET"),
            ("team/app/tags/list", "GET"),
            ("no/tags/list", "GET"),
        ):
            served.ask(f"/v2/{path}", method)
    counter.flush()
    [(key, body)] = kept.objects.items()
    counts = parse_counts(body, key)
    assert key.startswith(counts_key(DAY, "")[:-5])
    assert counts.pulled == {("team/app", "1.0"): 2}
    assert counts.missed == {("team/app", "2.0"): 1, ("library/redis", "7.4"): 1}
