"""Signatures and other attachments in a repository of their own: who is asked for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import NotFound, SignatureRefused
from reconciler.oci.spec import Descriptor, Digest
from reconciler.signatures.gate import Gate
from reconciler.signatures.signers import TrustedKey, Verified
from reconciler.sources.attached import AttachedElsewhere
from reconciler.sources.image_layout import ImageLayout
from tests.memory import Account, MemorySource, described
from tests.parts.images import image, write_layout
from tests.parts.signatures import ec_key, payload_for, public_pem, sig_image, sig_tag, simple

if TYPE_CHECKING:
    from reconciler.sources import Source

APP = image({"app": "1"})
DIGEST = Digest.parse(APP.digest)
KEY = ec_key()
SIGNATURE = sig_image(simple(KEY, payload_for(APP.digest)))
NAME = sig_tag(APP.digest)
GATE = Gate({"a": (TrustedKey("cosign.pub", public_pem(KEY)),)})


def layout(folder: Path, **tags: object) -> ImageLayout:
    write_layout(folder, tags)  # type: ignore[arg-type]
    return ImageLayout(folder.name, folder)


def test_a_signature_is_verified_from_there(tmp_path: Path) -> None:
    home, signatures = layout(tmp_path / "home", a=APP), layout(tmp_path / "signatures", **{NAME: SIGNATURE})

    def inspected(source: Source) -> object:
        return GATE.inspect("a", "oci:./home", source, DIGEST, "it")

    assert inspected(AttachedElsewhere(home, signatures)) == Verified("key cosign.pub")
    with pytest.raises(SignatureRefused):
        inspected(home)
    # What is attached in the image's own repository does not count then: it is not where it was said to be.
    with pytest.raises(SignatureRefused):
        inspected(AttachedElsewhere(signatures, home))


def test_pulls_count_where_a_manifest_comes_from() -> None:
    account = Account(left=5)
    home = MemorySource({"1": APP}, account=account)
    elsewhere = MemorySource({}, named={NAME: SIGNATURE})
    source = AttachedElsewhere(home, elsewhere)
    found = source.attachments(DIGEST, None)
    assert found.tags == {NAME: described(SIGNATURE)}
    assert source.manifest(described(SIGNATURE)) == SIGNATURE.body
    assert source.quota(described(SIGNATURE)) is None
    assert not account.pulls
    assert source.manifest(described(APP)) == APP.body
    assert account.pulls == [APP.digest]
    quota = source.quota(described(APP))
    assert quota
    assert quota.remaining == 4


def test_a_tag_is_the_images_and_a_tag_of_a_digest_is_not() -> None:
    home, elsewhere = MemorySource({"1": APP, NAME: APP}), MemorySource({"2": APP}, named={NAME: SIGNATURE})
    source = AttachedElsewhere(home, elsewhere)
    assert source.resolve("1") == described(APP)
    assert source.resolve(NAME) == described(SIGNATURE)
    with pytest.raises(NotFound):
        source.resolve("2")
    assert sorted(source.tags()) == sorted(home.images)


def test_a_blob_is_closed_with_what_reads_it(tmp_path: Path) -> None:
    body = b"x" * 3_000_000
    home = layout(tmp_path / "home", a=image(body))
    blob = Descriptor("a/b", Digest.of(body), len(body))
    chunks = AttachedElsewhere(home, home).blob(blob)
    assert next(chunks)
    chunks.close()
    assert list(chunks) == []


def test_an_image_is_looked_up_again_at_home_and_a_signature_elsewhere() -> None:
    home, elsewhere = MemorySource({"1": APP}), MemorySource({}, named={NAME: SIGNATURE})
    source = AttachedElsewhere(home, elsewhere)
    assert source.resolve_again("1", described(APP)) == described(APP)
    assert source.resolve_again(NAME, described(APP)) == described(SIGNATURE)
    assert (home.asked("resolve"), elsewhere.asked("resolve")) == (["1"], [NAME])
