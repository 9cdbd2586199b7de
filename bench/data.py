"""The data of the benchmarks: generated anew for each run, from a seed, so that every tool gets the same bytes."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator

import httpx

from tests.parts.images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, digest_of, image, index, push

MIB = 1024 * 1024


def push_big(host: str, repository: str, layers: int, mib: int) -> None:
    """One image of `layers` random layers of `mib` MiB each, streamed to the registry; its tag is `1`."""
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    descriptors = []
    with httpx.Client(base_url=f"http://{host}/v2/{repository}/", trust_env=False, timeout=600) as client:
        for number in range(layers):
            digest = hashlib.sha256()
            for block in _random_blocks(number, mib):
                digest.update(block)
            name = f"sha256:{digest.hexdigest()}"
            _push_blob(client, name, _random_blocks(number, mib))
            descriptors.append({"mediaType": OCI_LAYER, "digest": name, "size": mib * MIB})
        _push_blob(client, digest_of(config), iter([config]))
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": descriptors,
        }
        body = json.dumps(manifest).encode()
        client.put("manifests/1", content=body, headers={"Content-Type": OCI_MANIFEST}).raise_for_status()


def push_many(host: str, repository: str, tags: int, mib: int) -> None:
    """`tags` indexes of two platforms each; together they have `mib` MiB of unique layers, most of them shared."""
    shared = [random.Random(number).randbytes(mib * MIB // 4) for number in range(3)]
    own = mib * MIB // 4 // tags
    for number in range(tags):
        layers = [*shared, random.Random(1000 + number).randbytes(own)]
        platforms = [image(*layers, platform=platform) for platform in ("linux/amd64", "linux/arm64")]
        push(index(*platforms), host, repository, f"1.{number}")


def push_wide(host: str, repositories: int, tags: int) -> None:
    """Many repositories with many tags each, all of one small image."""
    small = image({"bin/app": "v1"})
    for number in range(repositories):
        repository = f"wide/app{number:03}"
        push(small, host, repository, "1.0")
        with httpx.Client(base_url=f"http://{host}/v2/{repository}/manifests/", trust_env=False) as client:
            for tag in range(1, tags):
                headers = {"Content-Type": small.media_type}
                client.put(f"1.{tag}", content=small.body, headers=headers).raise_for_status()


def _random_blocks(seed: int, mib: int) -> Iterator[bytes]:
    source = random.Random(seed)
    for _ in range(mib // 16 or 1):
        yield source.randbytes(min(mib, 16) * MIB)


def _push_blob(client: httpx.Client, digest: str, blocks: Iterator[bytes]) -> None:
    begun = client.post("blobs/uploads/").raise_for_status()
    location = httpx.URL(client.base_url).join(begun.headers["Location"]).copy_merge_params({"digest": digest})
    client.put(location, content=blocks, headers={"Content-Type": "application/octet-stream"}).raise_for_status()
