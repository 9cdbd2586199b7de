"""Only signed images get through, whatever a plan says, and how many requests that costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.apply.outcome import Done, Failed
from reconciler.errors import BadAnswer, Denied, ExtraMissing, NotFound, SignatureRefused
from reconciler.mirrors.model import Defaults
from reconciler.mirrors.patterns import Exact, Glob
from reconciler.oci.referrers import is_attachment_tag
from reconciler.oci.spec import Descriptor, Digest, Platform
from reconciler.plan.plan_json import parse_plan, serialise_plan
from reconciler.plan.signatures import gate_for
from reconciler.signatures import gate as gate_module
from reconciler.signatures.find import find_signatures
from reconciler.signatures.formats import BUNDLE, MAX_SIGNATURES
from reconciler.signatures.gate import OPEN, Gate
from reconciler.signatures.signers import Refused, TrustedKey, Unchecked, Verified
from reconciler.sources.image_layout import ImageLayout
from reconciler.target.index_json import parse as parse_index
from reconciler.target.layout import MIRROR_INDEX, manifest_key
from tests.bench import V1, V2, V3, Bench, check_visible
from tests.memory import Fault, Killed, MemorySource, described, mirror, mirrors
from tests.parts.images import OCI_EMPTY, artifact, write_layout
from tests.parts.signatures import BUNDLE as BUNDLE_TYPE
from tests.parts.signatures import (
    SAID,
    bundle_image,
    ec_key,
    fallback_index,
    fallback_tag,
    key_bundle,
    payload_for,
    public_pem,
    sig_image,
    sig_tag,
    simple,
    statement_for,
)

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.plan.plan import Plan
    from tests.parts.images import Image

KEY = ec_key()
SIGNER = TrustedKey("cosign.pub", public_pem(KEY))
GATE = Gate({"a": (SIGNER,), "library/x": (SIGNER,)})


def signature(one: Image) -> dict[str, Image]:
    """What cosign adds to a repository for one image."""
    return {sig_tag(one.digest): sig_image(simple(KEY, payload_for(one.digest)))}


def bench(*signed: Image, **tags: Image) -> Bench:
    made = Bench.of(a={**tags, **{tag: one for image in signed for tag, one in signature(image).items()}}, b={"1": V1})
    made.gate = GATE
    return made


def guarded(*tags: Exact | Glob) -> Mirror:
    return replace(mirror("a", *tags), signed_by=(SIGNER,))


def plan(bench: Bench, **kwargs: Any) -> Plan:
    return bench.plan(guarded(), mirror("b"), **kwargs)


def test_what_is_signed_is_published_and_what_is_not_is_refused() -> None:
    one = bench(V1, **{"1": V1, "latest": V1, "2": V2})
    made = plan(one)
    guarded_one, open_one = made.repositories
    assert [(change.tag, change.signature) for change in guarded_one.changes] == [
        ("1", Verified("key cosign.pub")),
        ("latest", Verified("key cosign.pub")),
    ]
    why = "not signed by key cosign.pub: no signature is attached to it"
    assert guarded_one.refused == (Refused("2", Digest.parse(V2.digest), why),)
    assert guarded_one.error == "memory/a: refused, since they are not signed as signed_by requires: 2"
    assert guarded_one.troubles[1] == f"memory/a:2@{V2.digest}: {why}"
    assert [change.signature for change in open_one.changes] == [None]
    assert parse_plan(serialise_plan(made).encode(), "it") == made
    assert {(type(outcome), outcome.target, outcome.change.tag) for outcome in one.apply(made)} == {
        (Done, "a", "1"),
        (Done, "a", "latest"),
        (Done, "b", "1"),
    }
    assert manifest_key("a", "2") not in one.store.objects
    check_visible(one.store)


def test_a_tag_that_moves_to_an_image_without_a_signature_stays_where_it_is_and_nothing_is_pruned() -> None:
    one = bench(V1, **{"1": V1, "0": V1})
    one.apply(plan(one))
    one = one.again()
    one.sources["a"].images["1"] = V2
    del one.sources["a"].images["0"]
    made = plan(one)
    assert [repository.changes for repository in made.repositories] == [(), ()]
    assert [refused.tag for refused in made.repositories[0].refused] == ["1"]
    one.apply(made)
    recorded = parse_index(one.store.objects[MIRROR_INDEX], "it").repositories["a"].tags
    assert {tag: str(state.digest) for tag, state in recorded.items()} == {"1": V1.digest, "0": V1.digest}


def test_an_apply_checks_whatever_the_plan_says() -> None:
    one = bench(V1, **{"1": V1, "2": V2})
    one.gate = OPEN
    untrue = one.plan(mirror("a"))
    assert [change.tag for change in untrue.repositories[0].changes if not is_attachment_tag(change.tag)] == ["1", "2"]
    one.gate = GATE
    outcomes = {outcome.change.tag: outcome for outcome in one.apply(untrue)}
    assert isinstance(outcomes["1"], Done)
    failed = outcomes["2"]
    assert isinstance(failed, Failed)
    assert failed.error.endswith("not signed by key cosign.pub: no signature is attached to it")
    assert manifest_key("a", Digest.parse(V2.digest)) not in one.store.objects, "not a byte of it"


def test_a_signature_that_is_gone_when_the_plan_is_applied_is_missed() -> None:
    one = bench(V1, **{"1": V1})
    made = plan(one)
    del one.sources["a"].images[sig_tag(V1.digest)]
    assert [type(outcome) for outcome in one.apply(made) if outcome.target == "a"] == [Failed]
    assert not [key for key in one.store.objects if key.startswith("v2/a/")]


def test_an_image_is_checked_once_however_many_tags_it_has_and_not_again_when_it_is_there() -> None:
    one = bench(V1, **{"1": V1, "1.0": V1, "latest": V1})
    made = plan(one)
    asked = one.sources["a"].asked
    assert asked("resolve").count(sig_tag(V1.digest)) == 1
    one.apply(made)
    assert asked("resolve").count(sig_tag(V1.digest)) == 2, "once more, and for real"
    one = one.again()
    assert not plan(one).has_changes
    assert sorted(one.sources["a"].asked("resolve")) == ["1", "1.0", "latest"]
    assert one.sources["a"].asked("manifest") == []


def test_recheck_looks_at_what_is_mirrored_too() -> None:
    one = bench(V1, **{"1": V1})
    one.apply(plan(one))
    assert plan(one, recheck=True).repositories[0].error is None
    del one.sources["a"].images[sig_tag(V1.digest)]
    assert plan(one).repositories[0].error is None
    made = plan(one, recheck=True).repositories[0]
    assert ([refused.tag for refused in made.refused], made.changes, made.unchanged) == (["1"], (), 1)


def test_more_of_a_signed_image_is_covered_by_its_signature() -> None:
    one = bench(V1, **{"1": V1})
    few = replace(guarded(), platforms=(Platform.parse("linux/amd64"),))
    one.apply(one.plan(few))
    made = one.plan(guarded())
    assert [(c.reason, c.signature) for c in made.repositories[0].changes] == [
        ("platforms: linux/amd64 -> all", Verified("key cosign.pub"))
    ]
    assert [type(outcome) for outcome in one.apply(made)] == [Done]


def test_what_a_killed_run_has_left_is_checked_before_it_is_published_again() -> None:
    one = bench(V1, V2, **{"1": V1})
    one.apply(plan(one))
    killed = one.again(fault=Fault(14, Killed()))
    killed.sources["a"].images["1"] = V2
    with pytest.raises(Killed):
        killed.apply(plan(killed))
    later = killed.again()
    later.store.seconds += 10_000
    assert parse_index(later.store.objects[MIRROR_INDEX], "it").repositories["a"].pending == {"1"}
    del later.sources["a"].images[sig_tag(V2.digest)]
    made = plan(later)
    assert [refused.digest for refused in made.repositories[0].refused] == [Digest.parse(V2.digest)]
    later.apply(made)
    recorded = parse_index(later.store.objects[MIRROR_INDEX], "it").repositories["a"]
    assert str(recorded.tags["1"].digest) == V1.digest


@pytest.mark.parametrize("error", [Denied("it", "no"), BadAnswer("it", "nonsense")])
def test_signatures_that_cannot_be_read_are_an_error_of_the_tag(error: Denied | BadAnswer) -> None:
    one = bench(V1, V3, **{"1": V1, "3": V3})
    one.sources["a"].failing[sig_tag(V1.digest)] = error
    made = plan(one).repositories[0]
    assert [change.tag for change in made.changes] == ["3"]
    assert (made.error, made.refused) == (str(error), ())


@pytest.mark.parametrize("wrong", [b"other bytes", NotFound("it", "gone")])
def test_a_payload_that_is_not_there_does_not_keep_another_from_counting(wrong: bytes | NotFound) -> None:
    two = sig_image(simple(ec_key(), payload_for(V2.digest)), simple(KEY, payload_for(V1.digest)))
    one = bench(**{"1": V1, sig_tag(V1.digest): two})
    payload = next(digest for digest, body in two.blobs.items() if body == payload_for(V2.digest))
    one.sources["a"].broken[payload] = [wrong]
    assert plan(one).repositories[0].error is None


@pytest.mark.parametrize("by", SAID)
def test_a_bundle_is_found_by_the_tag_that_stands_in_for_the_list(by: str) -> None:
    bundle = bundle_image(key_bundle(KEY, statement_for(V1.digest)), V1)
    one = bench(**{"1": V1, fallback_tag(V1.digest): fallback_index(bundle, by=by)})
    made = plan(one)
    assert made.repositories[0].changes[0].signature == Verified("key cosign.pub")
    assert {type(outcome) for outcome in one.apply(made)} == {Done}


@pytest.mark.parametrize("by", SAID)
def test_what_is_not_a_bundle_is_passed_over_in_the_list_behind_the_tag(by: str) -> None:
    """By its own type it is one or is not, whatever the list says of it, or does not say."""
    note = artifact("application/vnd.example.note", [("text/plain", b"x")], V1)
    typed_by_layer = artifact("", [(BUNDLE_TYPE, key_bundle(KEY, statement_for(V1.digest)))], V1)
    one = bench(**{"1": V1, fallback_tag(V1.digest): fallback_index(note, typed_by_layer, by=by)})
    assert plan(one).repositories[0].changes[0].signature == Verified("key cosign.pub")
    one.sources["a"].images[fallback_tag(V1.digest)] = fallback_index(note, by="cosign 3.0.6")
    (refused,) = plan(one).repositories[0].refused
    assert refused.why == "not signed by key cosign.pub: no signature is attached to it"


def test_a_list_from_the_registry_itself_is_believed() -> None:
    """Only the lists that clients write themselves are known to be wrong."""
    bundle = bundle_image(key_bundle(KEY, statement_for(V1.digest)), V1)
    hub = Hub({"1": V1, "bundle": bundle})
    hub.listed = (replace(described(bundle), artifact_type=OCI_EMPTY),)
    with pytest.raises(SignatureRefused, match="no signature is attached"):
        GATE.verify("library/x", hub, Digest.parse(V1.digest), "it")
    assert hub.asked("manifest") == []


def test_a_registry_that_takes_the_tag_for_the_digest_names_no_referrers() -> None:
    one = bench(**{"1": V1, fallback_tag(V1.digest): V1})
    (refused,) = plan(one).repositories[0].refused
    assert refused.why == "not signed by key cosign.pub: no signature is attached to it"


def test_a_bundle_in_a_layout_is_found_by_its_subject(tmp_path: Path) -> None:
    """As cosign has it where the registry lists referrers, and no tag names the bundle."""
    bundle = bundle_image(key_bundle(KEY, statement_for(V1.digest)), V1)
    write_layout(tmp_path, {"1": V1, "bundle": bundle})
    source = ImageLayout("oci:images", tmp_path)
    assert GATE.verify("library/x", source, Digest.parse(V1.digest), "it") == Verified("key cosign.pub")


def test_what_is_malformed_is_a_reason_and_keeps_nothing_else_from_counting() -> None:
    bundle = bundle_image(key_bundle(KEY, statement_for(V1.digest)), V1)
    torn = bundle_image(b"{", V1)
    listed = fallback_index(torn, V2, bundle)
    one = bench(**{"1": V1, sig_tag(V1.digest): V2, fallback_tag(V1.digest): listed})
    assert plan(one).repositories[0].changes[0].signature == Verified("key cosign.pub")
    one.sources["a"].images[fallback_tag(V1.digest)] = V2
    (refused,) = plan(one).repositories[0].refused
    assert ".sig: expected a manifest with layers" in refused.why
    one.sources["a"].images[fallback_tag(V1.digest)] = fallback_index(torn)
    assert "not JSON" in plan(one).repositories[0].refused[0].why
    one.sources["a"].images[fallback_tag(V1.digest)] = sig_image()
    assert "expected an index of its referrers" in plan(one).repositories[0].refused[0].why


class Hub(MemorySource):
    """Docker Hub, where reading a manifest counts; with the list of referrers, or without."""

    listed: tuple[Descriptor, ...] | None = None

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        super().referrers(subject)
        return self.listed


def look(hub: Hub, one: Image) -> Unchecked | Verified:
    return GATE.inspect("library/x", "docker.io/library/x", hub, Digest.parse(one.digest), "it")


def test_a_plan_spends_no_pull_on_signatures_at_docker_hub() -> None:
    bundle = bundle_image(b"{}", V1)
    hub = Hub({"1": V1, **signature(V1)})
    assert isinstance(look(hub, V1), Unchecked)
    hub.images = {"1": V1}
    hub.listed = (described(V2), replace(described(bundle), artifact_type=f"{BUNDLE}.v0.3+json"))
    assert isinstance(look(hub, V1), Unchecked)
    hub.listed *= MAX_SIGNATURES + 1
    assert isinstance(look(hub, V1), Unchecked), "apply says that they are too many"
    hub.listed = None
    hub.images[fallback_tag(V1.digest)] = fallback_index(bundle)
    assert isinstance(look(hub, V1), Unchecked)
    for nothing in ((described(V2),), None):
        hub.listed, hub.images = nothing, {"1": V1}
        with pytest.raises(Exception, match="no signature is attached to it"):
            look(hub, V1)
    assert {operation.kind for operation in hub.operations} == {"resolve", "referrers"}


def test_an_apply_reads_them_there_before_anything_is_published() -> None:
    hub = Hub({"1": V1, sig_tag(V1.digest): sig_image(simple(ec_key(), payload_for(V1.digest)))})
    with pytest.raises(Exception, match="was not made with this key"):
        GATE.verify("library/x", hub, Digest.parse(V1.digest), "it")
    assert OPEN.verify("library/x", hub, Digest.parse(V1.digest), "it") is None


def test_tags_of_signatures_are_no_images_unless_they_are_named() -> None:
    one = bench(V1, **{"1": V1})
    assert [change.tag for change in plan(one).repositories[0].changes] == ["1"]
    named = one.plan(guarded(Exact(sig_tag(V1.digest)))).repositories[0]
    assert [refused.tag for refused in named.refused] == [sig_tag(V1.digest)]
    assert is_attachment_tag(fallback_tag(V1.digest))
    assert not is_attachment_tag("sha256-abc")


def test_without_the_packages_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "find_spec", lambda name: None)
    assert gate_for(mirrors(mirror("a"))) is OPEN
    with pytest.raises(ExtraMissing, match=r"signed_by needs packages.* extra `signatures`"):
        gate_for(mirrors(mirror("a"), guarded()))


def test_a_target_that_mirrors_yaml_does_not_name_has_the_defaults() -> None:
    """As in a saved plan that somebody has edited."""
    gate = gate_for(replace(mirrors(mirror("b")), defaults=Defaults(signed_by=(SIGNER,))))
    assert gate.verify("b", MemorySource({}), Digest.parse(V1.digest), "it") is None
    with pytest.raises(SignatureRefused):
        gate.verify("other", MemorySource({}), Digest.parse(V1.digest), "it")


def test_a_digest_too_long_for_a_tag_has_no_simple_signature() -> None:
    hub = Hub({})
    digest = Digest.of(b"", "sha512")
    assert list(find_signatures(hub, digest, "it")) == []
    assert hub.asked("resolve") == [f"sha512-{digest.hex[:64]}"]
