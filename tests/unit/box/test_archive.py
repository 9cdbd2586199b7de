"""The bytes of a box: tar reads them, and no other head is taken for one."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.box.archive import BLOCK, END, manifest_head, padded, parse_manifest_head, places
from reconciler.box.contents import Content
from reconciler.errors import Malformed
from reconciler.oci.spec import Digest


@given(st.lists(st.binary(max_size=2000), max_size=5, unique=True), st.sampled_from(["sha256", "sha512"]))
def test_tar_lists_and_reads_it(bodies: list[bytes], algorithm: str) -> None:
    manifest = b"{}\n"
    contents = [Content(Digest.of(body, algorithm), len(body)) for body in bodies]
    written = io.BytesIO()
    written.write(manifest_head(Digest.of(manifest), len(manifest)) + manifest.ljust(padded(len(manifest)), b"\0"))
    for place, body in zip(places(len(manifest), contents), bodies, strict=True):
        assert written.tell() == place.start
        written.write(place.head + body.ljust(padded(len(body)), b"\0"))
        assert written.tell() == place.end
    written.write(END)
    written.seek(0)
    with tarfile.open(fileobj=written, mode="r:") as archive:
        names = archive.getnames()
        assert names[0] == f"r2mirror-box.{Digest.of(manifest).hex}.json"
        assert names[1:] == [f"blobs/{algorithm}/{one.digest.hex}" for one in contents]
        for name, body in zip(names[1:], bodies, strict=True):
            found = archive.extractfile(name)
            assert found
            assert found.read() == body


def test_an_entry_may_be_larger_than_tar_once_allowed() -> None:
    (place,) = places(0, [Content(Digest.of(b""), 1 << 40)])
    assert tarfile.TarInfo.frombuf(place.head, "utf-8", "strict").size == 1 << 40


HEAD = manifest_head(Digest.of(b"x"), 1)


@pytest.mark.parametrize("at", range(BLOCK))
def test_no_byte_of_the_first_head_may_differ_unseen(at: int) -> None:
    assert parse_manifest_head(HEAD) == (Digest.of(b"x"), 1)
    for bit in (1, 0x80):
        wrong = bytearray(HEAD)
        wrong[at] ^= bit
        with pytest.raises(Malformed):
            parse_manifest_head(bytes(wrong))


@pytest.mark.parametrize("head", [b"", bytes(BLOCK), HEAD[:-1], b"\xff" * BLOCK])
def test_what_is_no_head(head: bytes) -> None:
    with pytest.raises(Malformed):
        parse_manifest_head(head)
