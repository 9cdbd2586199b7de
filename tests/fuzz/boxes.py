"""What travels: boxes and their signatures, and the index of an image layout that others write to.

boxes        a box whose manifest, contents or bytes are changed; one that is opened is whole, byte for byte
signatures   the file beside a box; one that is accepted holds the signature, in one of its two forms
layouts      an index.json, packed into a tar; every tar reads it, and a name is in it once
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.box.archive import END, manifest_head, padded, parse_manifest_head, places
from reconciler.box.contents import Content, parse, serialise
from reconciler.box.opening import opened
from reconciler.box.signature import check_signed, signature_of, signature_path
from reconciler.errors import Malformed
from reconciler.oci.spec import Digest
from reconciler.signatures.keys import load_key
from reconciler.target.in_layout import InLayout
from reconciler.target.tar_contents import tar_chunks
from tests.fuzz.inputs import mutated_bytes, mutated_tree
from tests.memory import MemoryStore, put_json
from tests.parts.images import app, artifact
from tests.parts.signatures import ec_key, message_bundle, public_pem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

BODIES = (b"", b"a blob", b"x" * 600)
DIGESTS = tuple(Digest.of(body) for body in BODIES)
TAG = {"digest": str(DIGESTS[1]), "mediaType": "application/vnd.oci.image.index.v1+json", "size": 6}
MANIFEST = {
    "version": 1,
    "name": "default",
    "from": {"serial": 3, "root": str(DIGESTS[0])},
    "to": {"serial": 4, "root": str(DIGESTS[1])},
    "repositories": {
        "library/alpine": {
            "source": "docker.io/library/alpine",
            "tags": {"3.20": TAG},
            "attached": {"sha256-x.sig": TAG},
            "referrers": {str(DIGESTS[0]): str(DIGESTS[2])},
        }
    },
    "contents": [{"digest": str(digest), "size": len(body)} for digest, body in zip(DIGESTS, BODIES, strict=True)],
}


def box(rng: Random) -> bytes:
    """A box that is right but for its manifest, or for some of its bytes; sometimes it is whole."""
    body = json.dumps(MANIFEST).encode() if rng.random() < 0.5 else mutated_tree(rng, MANIFEST)
    try:
        contents: Iterable[Content] = parse(body).contents
    except Malformed:
        contents = parse(json.dumps(MANIFEST).encode()).contents
    bodies = dict(zip(DIGESTS, BODIES, strict=True))
    written = bytearray(manifest_head(Digest.of(body), len(body)) + body.ljust(padded(len(body)), b"\0"))
    for place in places(len(body), [one for one in contents if one.size < 10_000]):
        written += place.head + bodies.get(place.content.digest, b"").ljust(padded(place.content.size), b"\0")
    whole = bytes(written + END)
    return mutated_bytes(rng, whole) if rng.random() < 0.3 else whole


def open_box(body: bytes) -> None:
    path = Path(scratch().name) / "box.tar"
    path.write_bytes(body)
    with opened([path]) as found:
        _check_whole(body)
        assert parse(serialise(found.manifest)) == found.manifest
        for content in found.manifest.contents:
            read = b"".join(found.read(content.digest) or ())
            assert len(read) == content.size
            assert content.digest.matches(read)


@cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for as long as this process runs."""
    return tempfile.TemporaryDirectory()


def _check_whole(body: bytes) -> None:
    """The box has no other bytes than those that `export` writes for its manifest."""
    _, size = parse_manifest_head(body[:512])
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        names = archive.getnames()
    contents = parse(body[512 : 512 + size]).contents
    assert names[1:] == [f"blobs/{one.digest.algorithm}/{one.digest.hex}" for one in contents]


KEY = ec_key()
SIGNED = json.dumps(MANIFEST).encode()
TRUSTED = [("box.pub", load_key(public_pem(KEY), "box.pub"))]
PLAIN = signature_of(SIGNED, KEY)
BUNDLE = message_bundle(KEY, SIGNED)


def signature_file(rng: Random) -> bytes:
    match rng.randint(0, 4):
        case 0:
            return rng.choice([PLAIN, BUNDLE, PLAIN.replace(b"=", b""), b"\n".join(PLAIN.split(b"A"))])
        case 1:
            return mutated_bytes(rng, PLAIN)
        case 2:
            return mutated_tree(rng, json.loads(BUNDLE))
        case 3:
            return mutated_bytes(rng, BUNDLE)
        case _:
            return rng.randbytes(rng.randint(0, 200))


def check_signature(body: bytes) -> None:
    path = Path(scratch().name) / "signed.tar"
    signature_path(path).write_bytes(body)
    check_signed(SIGNED, path, TRUSTED)
    if body.lstrip().startswith(b"{"):
        found = base64.b64decode(json.loads(body)["messageSignature"]["signature"])
    else:
        found = base64.b64decode(b"".join(body.split()))
    assert found in (base64.b64decode(PLAIN), base64.b64decode(json.loads(BUNDLE)["messageSignature"]["signature"]))


IMAGES = (app("1", "linux/amd64", "linux/arm64"), artifact("application/vnd.example.note", [("text/plain", b"x")]))
ENTRIES = {
    "schemaVersion": 2,
    "manifests": [
        {**one.descriptor(), "annotations": {"org.opencontainers.image.ref.name": f"library/a:{number}"}}
        for number, one in enumerate(IMAGES)
    ],
}


def pack(body: bytes) -> None:
    """Packs a layout with this index.json, that has the images of ENTRIES."""
    blobs = {digest: one for image in IMAGES for digest, one in image.all_blobs().items()}
    blobs |= {one.digest: one.body for image in IMAGES for one in image.manifests()}
    store = MemoryStore({f"blobs/{digest.replace(':', '/')}": one for digest, one in blobs.items()})
    put_json(store, "index.json", body)
    packed = b"".join(tar_chunks(InLayout("oci:images", store, store).entries(), store))
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
        names = archive.getnames()
        assert names == sorted(set(names))
        listed = archive.extractfile("manifest.json")
        assert listed
        for row in json.loads(listed.read()):
            assert {row["Config"], *row["Layers"]} <= set(names)
