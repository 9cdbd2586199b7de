"""Which signatures count, each made for real: keys, certificates, logs, and everything that can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Malformed, SignatureRefused
from reconciler.oci.referrers import parse_fallback
from reconciler.oci.spec import Digest
from reconciler.signatures.formats import (
    BUNDLE,
    MAX_PAYLOAD,
    MAX_SIGNATURES,
    Bundle,
    SignatureLayer,
    Simple,
    bundles,
    parse_bundle,
    parse_bundle_layer,
    parse_signature_layers,
    simple_signature,
)
from reconciler.signatures.judgement import check, judge
from reconciler.signatures.keys import load_key
from reconciler.signatures.signers import Identity, Signer, TrustedKey, Verified
from tests.memory import described
from tests.parts.images import image
from tests.parts.signatures import (
    ISSUER,
    SIGNED_AT,
    WORKFLOW,
    Sigstore,
    SimpleLayer,
    bent,
    bundle_image,
    ec_key,
    fallback_index,
    key_bundle,
    message_bundle,
    payload_for,
    public_pem,
    sig_image,
    simple,
    statement_for,
)

if TYPE_CHECKING:
    from tests.parts.signatures import PrivateKey

ONE, OTHER = image({"v": "1"}), image({"v": "2"})
DIGEST = Digest.parse(ONE.digest)
KEY, STRANGER = ec_key(), ec_key()
SIGNER = TrustedKey("cosign.pub", public_pem(KEY))
SIGSTORE = Sigstore()


@pytest.fixture(scope="module")
def someone(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """The workflow that SIGSTORE vouches for."""
    root = SIGSTORE.write(tmp_path_factory.mktemp("sigstore") / "trusted_root.json")
    return Identity(WORKFLOW, ISSUER, trusted_root=root)


def parsed(layer: SimpleLayer) -> Simple:
    (place,) = parse_signature_layers(sig_image(layer).body, ".sig")
    assert isinstance(place, SignatureLayer)
    return simple_signature(place, layer.payload)


def bundled(body: bytes) -> Bundle:
    return parse_bundle(body, "bundle")


def refusal(signature: Simple | Bundle, signer: Signer, digest: Digest = DIGEST) -> str:
    with pytest.raises((SignatureRefused, Malformed)) as refused:
        check(signature, digest, signer)
    return refused.value.why


@pytest.mark.parametrize(
    "key",
    [KEY, rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()],
    ids=["ECDSA", "RSA", "Ed25519"],
)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_key_signs_in_the_simple_form_and_in_bundles(key: PrivateKey, algorithm: str) -> None:
    signed = image({"v": "1"}, algorithm=algorithm)
    digest, signer = Digest.parse(signed.digest), TrustedKey("cosign.pub", public_pem(key))
    check(parsed(simple(key, payload_for(signed.digest))), digest, signer)
    check(bundled(key_bundle(key, statement_for(signed.digest))), digest, signer)
    message = bundled(message_bundle(key, signed.body))
    if isinstance(key, ed25519.Ed25519PrivateKey) and algorithm == "sha256":
        assert "does not work with Ed25519" in refusal(message, signer, digest)
    elif algorithm == "sha512":
        assert "works for sha256 only" in refusal(message, signer, digest)
    else:
        check(message, digest, signer)


def test_an_identity_signs_in_the_simple_form_and_in_bundles(someone: Identity) -> None:
    times = {
        check(parsed(SIGSTORE.simple(payload_for(ONE.digest))), DIGEST, someone),
        check(bundled(SIGSTORE.bundle(statement_for(ONE.digest))), DIGEST, someone),
        check(bundled(SIGSTORE.message_bundle(ONE.body)), DIGEST, someone),
    }
    assert times == {SIGSTORE.time.replace(microsecond=0)}, "when the log took them up"


@pytest.mark.parametrize(
    ("identity", "whole", "part"),
    [
        ("someone@example.com", ".*@example.com", "@example.com"),
        (WORKFLOW, "https://github.com/acme/.*@refs/heads/[a-z]+", "https://github.com/acme/"),
    ],
)
def test_an_identity_may_be_an_expression_that_the_whole_of_it_matches(
    someone: Identity, identity: str, whole: str, part: str
) -> None:
    sigstore = replace(SIGSTORE, identity=identity)
    signatures = parsed(sigstore.simple(payload_for(ONE.digest))), bundled(sigstore.bundle(statement_for(ONE.digest)))
    for signature in signatures:
        check(signature, DIGEST, replace(someone, identity=whole, is_regex=True))
        assert f"it is by {identity}" in refusal(signature, replace(someone, identity=part, is_regex=True))
        assert f"it is by {identity}" in refusal(signature, replace(someone, identity=whole))


WITH_A_KEY: dict[str, tuple[Simple | Bundle, str]] = {
    "another key": (parsed(simple(STRANGER, payload_for(ONE.digest))), "was not made with this key"),
    "another image": (parsed(simple(KEY, payload_for(OTHER.digest))), f"is for another image, {OTHER.digest}"),
    "a payload put in its place": (
        replace(parsed(simple(KEY, payload_for(OTHER.digest))), payload=payload_for(ONE.digest)),
        "was not made with this key, or not for this payload",
    ),
    "no payload": (parsed(simple(KEY, b"{}")), "its payload names no image"),
    "a payload that is no JSON": (parsed(simple(KEY, b"\xff")), "not JSON"),
    "a payload with a key twice": (
        parsed(simple(KEY, payload_for(ONE.digest).replace(b'{"critical"', b'{"critical":{},"critical"', 1))),
        "same key twice",
    ),
    "a signature of another kind of key": (
        parsed(simple(ed25519.Ed25519PrivateKey.generate(), payload_for(ONE.digest))),
        "was not made with this key",
    ),
    "a keyless one": (bundled(SIGSTORE.bundle(statement_for(ONE.digest))), "has a certificate"),
    "a bundle by another key": (bundled(key_bundle(STRANGER, statement_for(ONE.digest))), "was not made with this key"),
    "a bundle for another image": (bundled(key_bundle(KEY, statement_for(OTHER.digest))), "is for another image"),
    "a statement of another kind": (
        bundled(key_bundle(KEY, statement_for(ONE.digest, "https://slsa.dev/provenance/v1"))),
        "is not a signature but the statement 'https://slsa.dev/provenance/v1'",
    ),
    "an envelope without a statement": (bundled(key_bundle(KEY, b"[]")), "its payload is not a statement"),
    "other bytes": (bundled(message_bundle(KEY, OTHER.body)), "was not made with this key, or for another image"),
}


@pytest.mark.parametrize("case", WITH_A_KEY)
def test_what_does_not_count_for_a_key(case: str) -> None:
    signature, why = WITH_A_KEY[case]
    assert why in refusal(signature, SIGNER)


def test_a_signature_for_another_repository_counts_for_the_image_is_the_same() -> None:
    check(parsed(simple(KEY, payload_for(ONE.digest, "registry.example.com/other/app"))), DIGEST, SIGNER)


def test_an_envelope_of_another_kind_does_not_count() -> None:
    from tests.parts import signatures as made

    payload = statement_for(ONE.digest)
    body = json.loads(key_bundle(KEY, payload))
    body["dsseEnvelope"]["payloadType"] = "text/plain"
    assert "was not made with this key" in refusal(bundled(json.dumps(body).encode()), SIGNER)
    signature = made.sign(KEY, made.pae(payload, "text/plain"))
    body["dsseEnvelope"]["signatures"] = [{"sig": made._b64(signature)}]
    assert "signs 'text/plain'" in refusal(bundled(json.dumps(body).encode()), SIGNER)


FORMS: dict[str, Callable[[Sigstore], Simple | Bundle]] = {
    "simple": lambda sigstore: parsed(sigstore.simple(payload_for(ONE.digest))),
    "bundle": lambda sigstore: bundled(sigstore.bundle(statement_for(ONE.digest))),
    "message": lambda sigstore: bundled(sigstore.message_bundle(ONE.body)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"identity": "https://github.com/mallory/app"}, "it is by https://github.com/mallory/app"),
        ({"issuer": "https://issuer.example.com"}, "its issuer is https://issuer.example.com"),
        ({"root_key": ec_key()}, "does not verify"),
        ({"ct_key": ec_key()}, "SCT verify failed"),
        ({"log_key": ec_key()}, "invalid signature"),
        ({"time": SIGNED_AT - timedelta(days=800)}, "does not verify"),
        ({"lifetime": timedelta(seconds=30)}, "does not verify"),
    ],
    ids=["identity", "issuer", "authority", "certificate log", "log", "before the authority", "expired"],
)
def test_what_does_not_count_for_an_identity(someone: Identity, form: str, change: dict[str, object], why: str) -> None:
    stranger = replace(SIGSTORE, **change)  # type: ignore[arg-type]  # fields by name
    assert why in refusal(FORMS[form](stranger), someone)


@pytest.mark.parametrize("form", FORMS)
def test_a_certificate_for_another_purpose_does_not_count(someone: Identity, form: str) -> None:
    server = replace(SIGSTORE, purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    assert "does not verify" in refusal(FORMS[form](server), someone)


@pytest.mark.parametrize("form", ["simple", "message"])
def test_a_log_entry_of_another_kind_does_not_count(someone: Identity, form: str) -> None:
    assert "hashedrekord" in refusal(FORMS[form](replace(SIGSTORE, kind="rekord")), someone)


def test_a_certificate_that_no_log_has_noted_does_not_count(someone: Identity) -> None:
    assert "signed certificate timestamp" in refusal(
        parsed(SIGSTORE.simple(payload_for(ONE.digest), noted=False)), someone
    )
    assert "signed certificate timestamp" in refusal(
        bundled(SIGSTORE.bundle(statement_for(ONE.digest), noted=False)), someone
    )


def test_a_signature_with_a_key_does_not_count_for_an_identity(someone: Identity) -> None:
    assert "has no certificate" in refusal(parsed(simple(KEY, payload_for(ONE.digest))), someone)
    assert "has no certificate" in refusal(bundled(key_bundle(KEY, statement_for(ONE.digest))), someone)


@pytest.mark.parametrize(
    ("bend", "why"),
    [
        ({"bundle": None}, "not in a transparency log"),
        ({"bundle": "{}"}, "expected a SignedEntryTimestamp and a Payload"),
        ({"bundle": "["}, "not JSON"),
        ({"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "does not verify"),
        ({"certificate": "none"}, "does not verify"),
        ({"chain": None}, ""),
    ],
)
def test_a_simple_keyless_signature_that_is_bent(someone: Identity, bend: dict[str, str | None], why: str) -> None:
    layer = bent(SIGSTORE.simple(payload_for(ONE.digest)), **bend)
    if why:
        assert why in refusal(parsed(layer), someone)
    else:
        check(parsed(layer), DIGEST, someone)


@pytest.mark.parametrize("name", ["certificate", "bundle"])
def test_text_that_has_no_bytes_verifies_nowhere(someone: Identity, name: str) -> None:
    layer = SIGSTORE.simple(payload_for(ONE.digest))
    refusal(parsed(bent(layer, **{name: "\ud800"})), someone)
    body = json.loads(key_bundle(KEY, statement_for(ONE.digest)))
    body["dsseEnvelope"]["payloadType"] = "\ud800"
    with pytest.raises(Malformed):
        bundled(json.dumps(body).encode())


def test_a_promise_of_the_log_is_for_one_signature_only(someone: Identity) -> None:
    mine, other = (SIGSTORE.simple(payload_for(one.digest)) for one in (ONE, OTHER))
    log = other.annotations["dev.sigstore.cosign/bundle"]
    assert "its log entry is of another signature" in refusal(parsed(bent(mine, bundle=log)), someone)
    late = json.loads(mine.annotations["dev.sigstore.cosign/bundle"])
    late["Payload"]["integratedTime"] += 1
    assert "invalid signature" in refusal(parsed(bent(mine, bundle=json.dumps(late))), someone)
    late["Payload"]["integratedTime"] = 2**60
    assert "expected a SignedEntryTimestamp" in refusal(parsed(bent(mine, bundle=json.dumps(late))), someone)


def test_the_certificate_has_to_be_that_of_the_signature(someone: Identity) -> None:
    mine, other = (SIGSTORE.simple(payload_for(ONE.digest)) for _ in range(2))
    certificate = other.annotations["dev.sigstore.cosign/certificate"]
    assert "was not made with this key" in refusal(parsed(bent(mine, certificate=certificate)), someone)


def test_one_of_several_signers_is_enough_and_the_first_that_counts_is_named(someone: Identity) -> None:
    mine = parsed(simple(KEY, payload_for(ONE.digest)))
    assert judge([mine], DIGEST, [someone, SIGNER], "it") == Verified("key cosign.pub")
    others: list[Simple | Malformed] = [
        Malformed(".sig", "is no JSON"),
        parsed(simple(STRANGER, payload_for(ONE.digest))),
    ]
    assert judge([*others, mine], DIGEST, [SIGNER], "it") == Verified("key cosign.pub")


def test_a_refusal_names_who_was_expected_and_what_is_wrong_with_what_came(someone: Identity) -> None:
    with pytest.raises(SignatureRefused) as refused:
        judge([parsed(simple(STRANGER, payload_for(ONE.digest)))], DIGEST, [SIGNER], "registry/app@sha256:1 (1.0)")
    assert str(refused.value) == (
        "registry/app@sha256:1 (1.0): not signed by key cosign.pub: "
        ".sig signature 1: was not made with this key, or not for this payload"
    )
    with pytest.raises(SignatureRefused, match="no signature is attached to it"):
        judge([], DIGEST, [SIGNER], "it")
    with pytest.raises(SignatureRefused, match="; and 15 more"):
        judge([Malformed(str(number), "no") for number in range(20)], DIGEST, [SIGNER, someone], "it")


def test_signatures_are_asked_for_one_by_one() -> None:
    asked = []

    def one_by_one() -> Iterator[Simple]:
        for number in range(3):
            asked.append(number)
            yield parsed(simple(KEY if number else STRANGER, payload_for(ONE.digest)))

    judge(one_by_one(), DIGEST, [SIGNER], "it")
    assert asked == [0, 1]


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"", "is not a public key in PEM format"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is not a public key in PEM format"),
        (b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "is a private key"),
        (public_pem(ec.generate_private_key(ec.SECP384R1())), "curve secp384r1"),
        (public_pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
    ],
)
def test_not_a_key_to_sign_images_with(pem: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        load_key(pem, "cosign.pub")


def test_a_list_that_is_too_long_is_not_looked_at() -> None:
    layers = [simple(KEY, b"{}")] * (MAX_SIGNATURES + 1)
    with pytest.raises(Malformed, match="has 51 signatures, more than 50"):
        parse_signature_layers(sig_image(*layers).body, ".sig")
    referrers = fallback_index(*(bundle_image(b"%d" % number, ONE) for number in range(MAX_SIGNATURES + 1)))
    with pytest.raises(Malformed, match="has 51 bundles, more than 50"):
        bundles(parse_fallback(referrers.body, described(referrers), "it"), "it", by_tag=True)


def test_a_bad_layer_leaves_the_others_as_they_are() -> None:
    body = json.loads(sig_image(*[simple(KEY, b"{}")] * 5).body)
    body["layers"][0]["size"] = MAX_PAYLOAD + 1
    body["layers"][1]["mediaType"] = "text/plain"
    body["layers"][2]["annotations"] = [1]
    body["layers"][3] = 3
    places = parse_signature_layers(json.dumps(body).encode(), ".sig")
    assert [one.name if isinstance(one, SignatureLayer) else one.why.partition(",")[0] for one in places] == [
        "its payload has 65537 bytes",
        "is text/plain",
        "expected annotations that are strings",
        "expected a descriptor with a digest and a size",
        ".sig signature 5",
    ]


def test_referrers_that_are_no_bundles_are_left_out() -> None:
    bundle = described(bundle_image(b"{}", ONE))
    kinds = ("application/spdx+json", "", f"{BUNDLE}.v0.3+json")
    assert len(bundles([replace(bundle, artifact_type=kind) for kind in kinds], "it")) == 1
    for wrong in (b"{}", b"[]", b'{"layers": []}'):
        with pytest.raises(Malformed):
            parse_bundle_layer(wrong, "it")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_are_a_signature_by_accident(body: bytes) -> None:
    for parse in (parse_signature_layers, parse_bundle_layer, parse_bundle):
        with pytest.raises(Malformed):
            parse(body, "it")


@given(st.sampled_from(["payload", "signature"]), st.integers(0, 2**16), st.integers(0, 7))
def test_no_bit_of_a_signature_can_be_another(field: str, place: int, bit: int) -> None:
    good = parsed(simple(KEY, payload_for(ONE.digest)))
    body = bytearray(good.payload if field == "payload" else good.signature)
    body[place % len(body)] ^= 1 << bit
    changed = replace(good, payload=bytes(body)) if field == "payload" else replace(good, signature=bytes(body))
    refusal(changed, SIGNER)


def test_a_root_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trusted_root.json"
    path.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    signature = parsed(SIGSTORE.simple(payload_for(ONE.digest)))
    assert "is not a Sigstore trusted root" in refusal(signature, Identity(WORKFLOW, ISSUER, trusted_root=path))
