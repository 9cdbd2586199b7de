"""What hypothesis draws for the pure modules: the field's words, whole indexes and plans, and hostile documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from reconciler.mirrors.selection import Tally
from reconciler.oci.referrers import CopiedAttachments, Record, cosign_tags
from reconciler.oci.spec import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Platform,
    is_repository,
)
from reconciler.plan.desire import Desired
from reconciler.plan.diff import Action, Change
from reconciler.plan.plan import Plan, RepositoryPlan
from reconciler.target.index import WRITER, Delivered, Held, LeftOut, MirrorIndex, RepositoryState, Sighting, TagState
from reconciler.target.layout import target_problem

MEDIA_TYPES = (*MANIFEST_TYPES, *INDEX_TYPES)

# Few of each, so that two draws often mean the same thing.
digests = st.builds(
    lambda algorithm, number: Digest.of(bytes([number]), algorithm),
    st.sampled_from(["sha256", "sha512"]),
    st.integers(0, 5),
)
tags = st.sampled_from(["latest", "1", "1.0", "1.0.1", "_", "V-2", "a" * 128, "manifests", "list"])
_components = st.sampled_from(
    ["a", "0", "a.b", "a_b", "a__b", "a---b", "library", "v2", "latest", "_mirror", "tags", "a..b"]
)
repositories = st.lists(_components, min_size=1, max_size=3).map("/".join).filter(is_repository)
targets = repositories.filter(lambda name: target_problem(name) is None)
platforms = st.builds(
    Platform,
    st.sampled_from(["linux", "windows"]),
    st.sampled_from(["amd64", "arm64", "arm"]),
    st.sampled_from(["", "v7", "v8"]),
)
platform_filters = st.none() | st.lists(platforms, min_size=1, max_size=3, unique=True).map(tuple)
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(microsecond=0, tzinfo=UTC))  # noqa: DTZ001 (hypothesis wants them naive)
sizes = st.integers(0, 2**40)
sources = st.sampled_from(["docker.io/library/alpine", "ghcr.io/a/b", "oci:images"])
reasons = st.none() | st.text(min_size=1, max_size=20)

descriptors = st.builds(Descriptor, st.sampled_from(MEDIA_TYPES), digests, sizes)
images = st.none() | st.dictionaries(platforms.map(str) | st.just("unknown"), sizes, min_size=1, max_size=3)
tag_states = st.builds(TagState, digests, st.sampled_from(MEDIA_TYPES), sizes, platform_filters, times, images)


@st.composite
def _records(draw: st.DrawFn) -> Record:
    record = {}
    for subject in draw(st.lists(digests, max_size=2)):
        along = {tag: draw(descriptors) for tag in cosign_tags(subject)[: draw(st.integers(0, 2))]}
        record[subject] = CopiedAttachments(
            draw(st.frozensets(digests, max_size=2)),
            draw(st.frozensets(digests, max_size=1)),
            draw(st.none() | digests),
            MappingProxyType(along),
        )
    return MappingProxyType(record)


records = _records()
unknown = st.dictionaries(st.sampled_from(["first_seen", "history"]), st.integers() | st.text(), max_size=2).map(
    MappingProxyType
)
entries = st.none() | st.sampled_from(["0" * 64, "1" * 64])
left_outs = st.builds(LeftOut, st.none(), st.text(max_size=5)) | st.builds(
    LeftOut, digests, st.text(max_size=5), platform_filters
)
sightings = st.lists(st.builds(Sighting, digests, times, st.none() | times), min_size=1, max_size=3).map(tuple)
holds = st.dictionaries(
    tags, st.builds(Held, st.none() | digests, times, st.text(max_size=5), st.text(max_size=5), entries), max_size=2
).map(MappingProxyType)
repository_states = st.builds(
    RepositoryState,
    sources,
    st.dictionaries(tags, tag_states, max_size=5).map(MappingProxyType),
    st.dictionaries(digests, times, max_size=3).map(MappingProxyType),
    st.frozensets(tags, max_size=3),
    st.dictionaries(digests, records, max_size=2).map(MappingProxyType),
    st.none() | st.sampled_from(["default", "team-a"]),
    st.dictionaries(tags, times, max_size=2).map(MappingProxyType),
    st.dictionaries(tags, left_outs, max_size=2).map(MappingProxyType),
    st.dictionaries(tags, sightings, max_size=2).map(MappingProxyType),
    holds,
    st.frozensets(tags, max_size=2),
    st.none() | st.builds(Delivered, st.text(max_size=5), st.integers(0, 10**6)),
    unknown,
)
indexes = st.builds(
    MirrorIndex,
    st.integers(0, 10**6),
    st.dictionaries(targets, repository_states, max_size=3).map(MappingProxyType),
    st.sampled_from([WRITER, WRITER + 1]),
    unknown,
)

changes = (
    st.builds(Change, st.just(Action.ADD), tags, st.none(), descriptors)
    | st.builds(Change, st.just(Action.UPDATE), tags, tag_states, descriptors, reasons)
    | st.builds(Change, st.just(Action.PRUNE), tags, st.none() | tag_states, st.none(), reasons)
)
warnings = st.lists(st.text(), max_size=2).map(tuple)
repository_plans = st.builds(
    RepositoryPlan,
    targets,
    sources,
    platform_filters,
    st.integers(0, 100),
    st.lists(changes, max_size=4).map(tuple),
    reasons,
    referrers=st.booleans(),
    warnings=warnings,
    tallies=st.lists(st.builds(Tally, st.text(), st.integers(0, 9), st.integers(0, 9)), max_size=2).map(tuple),
    held=holds,
    released=holds,
)
plans = st.builds(
    Plan,
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    st.integers(0, 10**6),
    st.none() | st.just('"etag"'),
    st.lists(repository_plans, max_size=3).map(tuple),
    warnings=warnings,
)


@st.composite
def desired_of(draw: st.DrawFn, index: MirrorIndex) -> Desired:
    """A repository as it should be, of the index or a new one: each of its tags wanted, kept or unwanted."""
    target = draw(st.sampled_from(sorted(index.repositories)) if index.repositories else targets)
    observed = index.repositories.get(target, RepositoryState("docker.io/library/alpine"))
    wanted = draw(st.dictionaries(tags | _any_of(observed.tags), descriptors, max_size=5))
    rest = sorted((observed.tags.keys() | observed.pending) - wanted.keys())
    unwanted = draw(st.lists(st.sampled_from(rest), unique=True)) if rest else []
    kept = dict.fromkeys((tag for tag in rest if tag not in unwanted), "prune: false")
    gone = dict.fromkeys(unwanted, "no pattern chooses it any more")
    return Desired(target, observed.source, draw(platform_filters), wanted, kept, gone)


def _any_of(names: Any) -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(names)) if names else st.nothing()


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_almost_descriptors = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from([*MEDIA_TYPES, "", "text/plain", "x"]) | json_values,
        "digest": digests.map(str) | st.text(max_size=80) | json_values,
        "size": st.integers() | json_values,
        "platform": st.just({"os": "linux", "architecture": "arm64"}) | json_values,
        "annotations": st.dictionaries(st.just("vnd.docker.reference.digest"), st.text(max_size=5)) | json_values,
        "urls": json_values,
    },
)
almost_manifests = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": st.sampled_from([1, 2]) | json_values,
        "mediaType": st.sampled_from([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST]) | json_values,
        "config": _almost_descriptors | json_values,
        "layers": st.lists(_almost_descriptors, max_size=3) | json_values,
        "manifests": st.lists(_almost_descriptors, max_size=3) | json_values,
        "subject": _almost_descriptors | json_values,
        "artifactType": st.sampled_from(["a/b", ""]) | json_values,
        "annotations": st.dictionaries(st.text(max_size=3), st.text(max_size=5)) | json_values,
    },
).map(lambda document: json.dumps(document).encode())
"""Bytes that look like a manifest at every first glance, and are one now and then."""
