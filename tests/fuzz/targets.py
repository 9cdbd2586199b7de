"""The targets: each takes an input and raises one of our own errors, or accepts it and checks a property."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import httpx

from reconciler.errors import BadAnswer, Malformed, MirrorsInvalid
from reconciler.finding.found import Found
from reconciler.finding.image import Image
from reconciler.finding.kinds import KINDS, find_in_text
from reconciler.http.patience import parse_retry_after
from reconciler.http.reason import LONGEST, reason
from reconciler.imports.formats import parse_foreign
from reconciler.imports.formats import translate as translate_foreign
from reconciler.lockfile.parse import parse_lockfile
from reconciler.lockfile.text import lockfile_text
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.ranges import compile_range
from reconciler.mirrors.selection import select
from reconciler.mirrors.typed import parse_typed
from reconciler.oci.referrers import parse_fallback
from reconciler.oci.spec import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Platform,
    RepositoryName,
    is_repository,
    is_tag,
    load_json,
    parse_manifest,
)
from reconciler.plan.plan_json import parse_plan, serialise_plan
from reconciler.plan.tags import choose as choose_tags
from reconciler.pulls.counts import counts_bytes, parse_counts
from reconciler.serve.answers import byte_range, is_current, page
from reconciler.signatures.formats import (
    SIMPLE_SIGNING,
    Bundle,
    Simple,
    bundles,
    parse_bundle,
    parse_bundle_layer,
    parse_signature_layers,
    simple_signature,
)
from reconciler.signatures.judgement import judge
from reconciler.signatures.keyless import load_trust
from reconciler.signatures.signers import Identity, TrustedKey
from reconciler.sources.auth import check_realm, check_redirect, choose, parse_challenges, parse_token, token_request
from reconciler.sources.blobs import to_skip
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from reconciler.sources.helm_chart import make_artifact
from reconciler.sources.helm_index import parse_index
from reconciler.sources.hints import check_hint, hinted
from reconciler.sources.keychain import Keychain
from reconciler.sources.paging import next_page
from reconciler.target.index_json import parse, serialise
from reconciler.target.layout import (
    LOCK,
    BlobKey,
    ManifestKey,
    ReferrersKey,
    TagsKey,
    blob_key,
    manifest_key,
    parse_key,
    referrers_key,
    tags_key,
)
from reconciler.target.lock import LIFETIME, read_lock
from reconciler.triggers.formats import FORMATS
from reconciler.triggers.hints import Hint, Upstreams
from reconciler.triggers.payload import parse_payload
from reconciler.triggers.secrets import Secret, Told, in_authorization, in_query
from tests.fuzz import logins
from tests.fuzz.boxes import ENTRIES, box, check_signature, open_box, pack, signature_file
from tests.fuzz.inputs import mutated_bytes, mutated_tree
from tests.memory import MemoryStore, put_json
from tests.parts.charts import archive
from tests.parts.foreign import FILES as FOREIGN
from tests.parts.signatures import (
    ISSUER,
    WORKFLOW,
    Sigstore,
    SimpleLayer,
    ec_key,
    key_bundle,
    payload_for,
    public_pem,
    simple,
    statement_for,
)
from tests.parts.webhooks import DISTRIBUTION, DOCKER_HUB, GITHUB, HARBOR, HARBOR_EVENT, QUAY

if TYPE_CHECKING:
    from random import Random

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SCRATCH = Path(tempfile.gettempdir())
REGISTRY = "https://registry.example.com"
DIGEST = "sha256:" + "a" * 64
TAG = {
    "digest": DIGEST,
    "mediaType": INDEX_TYPES[0],
    "size": 9,
    "platforms": ["linux/amd64"],
    "synced_at": "2026-11-20T10:00:00Z",
}
INDEX = {
    "version": 1,
    "serial": 3,
    "updated_at": "2026-11-20T10:00:00Z",
    "generator": "r2mirror",
    "repositories": {
        "library/alpine": {
            "source": "docker.io/library/alpine",
            "tags": {"3.20": TAG, "latest": {**TAG, "platforms": "all"}},
            "retired": {DIGEST: "2026-11-20T10:00:00Z"},
            "pending": ["3.21"],
        }
    },
}
AFTER = {"digest": DIGEST, "mediaType": INDEX_TYPES[0], "size": 9}
PLAN = {
    "version": 1,
    "mirrors_sha256": "0" * 64,
    "index": {"serial": 3, "etag": '"e"'},
    "repositories": [
        {
            "target": "library/alpine",
            "source": "docker.io/library/alpine",
            "platforms": "all",
            "unchanged": 1,
            "error": None,
            "changes": [
                {
                    "action": "add",
                    "tag": "1",
                    "before": None,
                    "after": AFTER,
                    "signature": {"status": "verified", "by": "key cosign.pub"},
                },
                {"action": "update", "tag": "2", "before": TAG, "after": AFTER, "reason": "platforms: + linux/386"},
                {"action": "prune", "tag": "3", "before": TAG, "after": None, "reason": "no longer at the source"},
            ],
            "refused": [{"tag": "4", "digest": DIGEST, "reason": "no signature is attached to it"}],
        }
    ],
    "summary": {"add": 1, "update": 1, "prune": 1, "unchanged": 1, "errors": 0},
}
DESCRIPTOR = {"mediaType": MANIFEST_TYPES[0], "digest": DIGEST, "size": 500}
IMAGE = {"schemaVersion": 2, "mediaType": MANIFEST_TYPES[0], "config": DESCRIPTOR, "layers": [DESCRIPTOR, DESCRIPTOR]}
MANY = {
    "schemaVersion": 2,
    "mediaType": INDEX_TYPES[0],
    "manifests": [
        {**DESCRIPTOR, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {**DESCRIPTOR, "annotations": {"vnd.docker.reference.digest": DIGEST}},
    ],
}
MIRRORS = {
    "version": 1,
    "store": {
        "type": "r2",
        "account_id": "${ID:-0123456789abcdef0123456789abcdef}",
        "bucket": "b-1",
        "public_url": "https://cr.example.com",
    },
    "registries": {"docker.io": {"username_env": "U", "password_env": "P", "max_connections": 8}},
    "defaults": {"platforms": ["linux/amd64"], "prune": True, "retain": "7d"},
    "mirrors": [
        {
            "source": "docker.io/library/alpine",
            "target": "library/alpine",
            "tags": [
                "latest",
                f"3.20@{DIGEST}",
                {"glob": "3.2*"},
                {"regex": r"v?3\.\d+"},
                {"semver": ">=3.18 <4", "newest": 5, "prereleases": False},
            ],
            "exclude": [{"glob": "*-rc*"}],
            "immutable": [{"semver": ">=0"}],
            "platforms": "all",
            "prune": False,
            "signed_by": [
                {"identity": "a@b", "issuer": "https://c"},
                {"identity_regex": ".*@b", "issuer": "https://c"},
            ],
        }
    ],
}
NEWER = {
    "version": 1,
    "name": "team-a",
    "vars": {"proxy": "cache.example.com/hub", "stable": ">=3.18 <4"},
    "history": "30d",
    "schedule": {"cron": "17 3 * * *", "timezone": "Europe/Berlin"},
    "stores": {
        "public": {"type": "s3", "bucket": "b-1", "region": "eu-central-1", "state_bucket": "b-2"},
        "office": {"type": "oci", "path": "./images.tar"},
        "prod": {
            "type": "registry",
            "registry": "r.example.com",
            "prefix": "x",
            "state": {"type": "file", "path": "s"},
        },
    },
    "registries": {
        "docker.io": {"mirrors": [{"host": "c.example.com", "resolve": True}], "rate": 2, "quota_reserve": 5}
    },
    "notify": [{"kind": "apprise", "url_env": "NOTIFY_URL"}],
    "defaults": {"target_prefix": "m", "rename": "{tag}-x", "exclude": ["edge"], "when_gone": "prune"},
    "mirrors": [
        {
            "source": ["${vars.proxy}/library/alpine", "quay.io/a/b"],
            "target": "{name}",
            "tags": [
                {"regex": "v?(3.*)", "semver": "${vars.stable}", "per": "minor", "lines": 2, "newest": 1},
                "latest",
            ],
            "rename": "{without_v}",
            "referrers": {"types": ["application/spdx+json"]},
            "min_age": {"age": "3d", "except": ["nightly"], "seen_by": ["index"]},
            "stores": ["public", "prod"],
            "schedule": {"every": "30m"},
        },
        {"source": "quay.io/p/*", "exclude_repositories": ["*-x"], "max_repositories": 5, "tags": [{"glob": "*"}]},
        {"source": "helm:https://charts.example.com/stable//nginx", "target": "c/{name}", "tags": ["1.0"]},
    ],
}
PRIVATE = {
    **MIRRORS,
    "edge": {
        "zone": "example.com",
        "worker": True,
        "access": {
            "ci": {"repositories": ["*"]},
            "team-a": {"repositories": ["team-a/*", "x"], "expires": "2027-01-31"},
        },
    },
}
HOLDER = {
    "owner": "host:1:x",
    "command": "r2mirror apply",
    "since": "2026-11-20T09:00:00Z",
    "renewed": "2026-11-20T10:00:00Z",
    "until": "2026-11-20T10:02:00Z",
}
FILES = (
    (
        "# syntax=docker/dockerfile:1\nARG A=alpine:3.20 B='${A}'\nFROM --platform=x ${B:-${A}} AS b\nRUN <<E\nx\nE\n"
        "COPY \\\n --from=b / /\nRUN --mount=type=bind,from=busybox:1 x\n"
    ),
    "services:\n  a: &a {image: 'x/${B:-y:${C-1}}'}\n  b: {<<: *a, volumes: [{type: image, source: z}]}\n  c: *a\n",
    (
        'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: "quay.io/x/y:1"\n    args: [--a=quay.io/b/c:2]\n'
        "    env: [{value: ghcr.io/a/b:1}]\n  sidecar: {image: {registry: r.io, repository: a, tag: b}}\n---\nimages: [{name: a, newTag: b}]\n"
    ),
    (
        "jobs:\n  a:\n    runs-on: x\n    container: ${{ matrix.i }}\n    strategy: {matrix: {i: [a, b]}}\n    services: {a: b}\n"
        "    steps: [{uses: docker://x:1}]\n"
    ),
    'stages: [a]\nvariables: {A: "${A}$B"}\nimage: $A\njob: {image: {name: "x:$A"}, services: [{name: y}]}\n',
    "services: {a: {build: {dockerfile_inline: 'FROM x:1 AS b\n\n  FROM $$A ${B:-y}\n\n  COPY --from=b z'}}}\n",
    '{"resource": {"docker_image": {"x": [{"name": "nginx:1", "image": "${a}"}]}}, "variable": {"a": {"default": "quay.io/a/b:1"}}}\n',
    'resource "docker_image" "x" {\n  name = "nginx:1"\n  image = "quay.io/a/b:1"\n  y = { image = "${a}", x = 1 }\n}\n',
    '{{ if x }}\n- image: "{{ .x }}"\n  image: quay.io/a/b:1\n{{ end }}\n',
    "alpine\nsee docker://quay.io/a/b:1, (ghcr.io/c/d@sha256:" + "a" * 64 + ")\n",
)
WEBHOOK_SECRET = Secret("0123456789abcdef")
LISTED = ("3.18", "3.20", "3.20.1-rc1", "latest", "v3.19", "edge")


class Target(NamedTuple):
    """`make` gives an input, `feed` takes it: it raises a `MirrorError`, or returns after proving what has to hold."""

    make: Callable[[Random], bytes]
    feed: Callable[[bytes], None]


def trees(*seeds: Any, nested: bool = True) -> Callable[[Random], bytes]:
    return lambda rng: mutated_tree(rng, rng.choice(seeds), nested=nested)


def texts(*seeds: str) -> Callable[[Random], bytes]:
    return lambda rng: mutated_bytes(rng, rng.choice(seeds).encode())


def mirrors_file(body: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=SCRATCH, suffix=".yaml") as file:
        file.write(body)
        file.flush()
        mirrors = load_mirrors(Path(file.name), {"U": "u", "P": "p"})
    for mirror in mirrors.mirrors:
        chosen = select(mirror.tags, mirror.exclude, mirror.immutable, LISTED).chosen
        named = {one.tag for one in mirror.tags if hasattr(one, "tag")}
        assert {one.tag for one in chosen} <= named | set(LISTED)
        assert parse_key(manifest_key(mirror.target, "latest")) == ManifestKey(mirror.target, "latest")


def version_range(body: bytes) -> None:
    try:
        compiled = compile_range(body.decode("latin-1"))
    except ValueError as error:
        raise Malformed("it", str(error)) from None
    assert compiled.largest >= 0
    for numbers in ((), (3, 18), (2**70, 1, 2, 3, 4)):
        assert compiled.contains(numbers) == compiled.contains((*numbers, 0, 0, 0, 0, 0, 0)), "what is not written is 0"


def typed(body: bytes) -> None:
    patterns = parse_typed([part.decode("utf-8", "surrogateescape") for part in body.split(b"\n")])
    assert {row.tag for row in choose_tags("it", patterns, (), LISTED).rows} == set(LISTED)


def files(body: bytes) -> None:
    """A file of any kind, read as each of them: what is found is an image, and stands where it is said to."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed("it", str(error)) from None
    for kind in (None, *KINDS):
        for one in find_in_text(text, "it", kind, env=True):
            assert one.line >= 1
            assert one.column >= 1
            if isinstance(one, Found):
                assert Image.parse(str(one.image)) == one.image
                assert text[one.start : one.end] == one.written
                assert text.count("\n", 0, one.start) == one.line - 1


def manifest(body: bytes) -> None:
    for media_type in (*MANIFEST_TYPES, *INDEX_TYPES, "application/json"):
        with suppress(Malformed):
            assert parse_manifest(body, media_type, "it").media_type in (*MANIFEST_TYPES, *INDEX_TYPES)
    parse_manifest(body, "", "it")


def mirror_index(body: bytes) -> None:
    index = parse(body, "it")
    assert parse(serialise(index, NOW, "fuzz"), "it") == index


def plan(body: bytes) -> None:
    made = parse_plan(body, "it")
    assert parse_plan(serialise_plan(made).encode(), "it") == made


def lock(body: bytes) -> None:
    store = MemoryStore()
    put_json(store, LOCK, body)
    holder = read_lock(store)
    assert holder is not None
    assert holder.left <= LIFETIME


def challenges(body: bytes) -> None:
    headers = body.decode("latin-1").split("\n")
    challenge = choose(parse_challenges(headers))
    if challenge and challenge.scheme != "basic":
        for credentials in (None, Credentials("canary", "secret")):
            check_realm(challenge.parameters.get("realm", ""), REGISTRY, has_credentials=credentials is not None)
            request = token_request(challenge, "repository:a:pull", credentials)
            assert "secret" not in request.url
            check_realm(request.url, REGISTRY, has_credentials=credentials is not None)


def redirect(body: bytes) -> None:
    check_redirect(body.decode("latin-1"), REGISTRY)


def token(body: bytes) -> None:
    assert parse_token(body, "it", 100.0).until > 100.0


def headers(body: bytes) -> None:
    text = body.replace(b"\n", b" ").replace(b"\r", b" ").replace(b"\0", b" ")
    asked = httpx.Request("GET", f"{REGISTRY}/v2/a/tags/list?n=1000")
    names = ("Link", "Retry-After", "Content-Range", "Content-Type", "Docker-Content-Digest", "Content-Length")
    answer = httpx.Response(206, headers=[(name.encode(), text) for name in names], request=asked)
    wait = parse_retry_after(answer.headers, NOW)
    assert wait is None or wait >= 0
    with suppress(BadAnswer):
        check_hint(answer, "it")
    hinted(answer)
    assert len(reason(body)) <= LONGEST + 3
    following = next_page(answer, f"{REGISTRY}/v2/a/tags/list")
    assert following is None or following.startswith(f"{REGISTRY}/v2/a/tags/list")
    to_skip(answer, 5, "it")


def names(body: bytes) -> None:
    text = body.decode("latin-1")
    match parse_key(text):
        case BlobKey(repository, digest):
            assert blob_key(repository, digest) == text
        case ManifestKey(repository, reference):
            assert manifest_key(repository, reference) == text
        case TagsKey(repository):
            assert tags_key(repository) == text
        case ReferrersKey(repository, subject):
            assert referrers_key(repository, subject) == text
        case None:
            pass
    for kind in (Digest, Platform):
        with suppress(Malformed):
            assert str(kind.parse(text)) == text
    assert RepositoryName.parse(str(RepositoryName.parse(text))) == RepositoryName.parse(text)


def requests(body: bytes) -> None:
    text = body.decode("latin-1")
    wanted = byte_range(text, 1000)
    assert wanted is None or not wanted or 0 <= wanted.start < wanted.stop <= 1000
    assert is_current(text, f'"{DIGEST}"') <= (DIGEST in text or text.strip() == "*")
    shown = page(["1", "2", "latest"], text, text)
    assert shown is None or text.isascii()


def docker_config(body: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        (Path(folder) / "config.json").write_bytes(body)
        Keychain("ghcr.io", RegistryConfig(), {"DOCKER_CONFIG": folder, "PATH": ""}).find("team/app")


def webhook(body: bytes) -> None:
    payload = parse_payload(body, "webhook")
    hints: list[Hint] = []
    refused = 0
    for one in FORMATS:
        try:
            hints += one.parse({"x-github-event": "package"}, payload)
        except Malformed:
            refused += 1
    for hint in hints:
        assert str(hint).isprintable()
        assert len(str(hint)) < 1000
        assert Upstreams({}).concerned(hint) == set()
        assert is_repository(hint.path)
    if refused == len(FORMATS):
        raise Malformed("webhook", "of no kind")


def chart_index(body: bytes) -> None:
    charts = parse_index(body, "it")
    assert all(is_tag(one.tag) for some in charts.values() for one in some)


def chart(body: bytes) -> None:
    with suppress(Malformed):
        make_artifact(body, None, "web", "1.0.0", "it")
    made = make_artifact(archive("web", {"Chart.yaml": body}), None, "web", "1.0.0", "it")
    assert parse_manifest(made.manifest, OCI_MANIFEST, "it").media_type == OCI_MANIFEST


CHART = {
    "apiVersion": "v2",
    "name": "web",
    "version": "1.0.0",
    "sources": ["https://example.com"],
    "maintainers": [{"name": "a", "email": "b"}],
    "annotations": {"a": "b"},
    "dependencies": [{"name": "c", "import-values": [{"a": "b"}]}],
}
CHART_INDEX = {"entries": {"web": [{"version": "1.0.0", "urls": ["a.tgz"], "digest": "a" * 64}]}}


def proof(body: bytes) -> None:
    text = body.decode("utf-8", "surrogateescape")
    told = Told({"authorization": text}, {"secret": text})
    assert WEBHOOK_SECRET.value in text or not in_authorization(WEBHOOK_SECRET, told)
    assert in_query(WEBHOOK_SECRET, told) == (text == WEBHOOK_SECRET.value)
    assert not WEBHOOK_SECRET.signs(body, text)
    if not in_authorization(WEBHOOK_SECRET, told):
        raise Malformed("webhook", "without its secret")


def signature(body: bytes) -> None:
    """Whatever is attached to an image: what counts has to name it."""
    for parse_one in (parse_signature_layers, parse_bundle_layer):
        with suppress(Malformed):
            parse_one(body, "it")
    with suppress(Malformed):
        bundles(parse_fallback(body, Descriptor(OCI_INDEX, Digest.of(body), len(body)), "it"), "it")
    document = load_json(body, "it")
    attached: Simple | Bundle
    if isinstance(document, dict) and "annotations" in document:
        layer = {**DESCRIPTOR, "mediaType": SIMPLE_SIGNING, "annotations": document["annotations"]}
        (place,) = parse_signature_layers(json.dumps({"layers": [layer]}).encode(), "it")
        if isinstance(place, Malformed):
            raise place
        payload = str(document.get("payload")).encode(errors="replace")
        attached = simple_signature(place, payload)
    else:
        attached = parse_bundle(body, "it")
        payload = attached.envelope[1] if attached.envelope else b""
    judge([attached], Digest.parse(DIGEST), [SIGNER, someone()], "it")
    assert DIGEST.partition(":")[2].encode() in payload


KEY, SIGSTORE = ec_key(), Sigstore()
SIGNER = TrustedKey("cosign.pub", public_pem(KEY))


@cache
def someone() -> Identity:
    """Whom SIGSTORE vouches for; its root is a file, as long as this process runs."""
    with tempfile.NamedTemporaryFile(dir=SCRATCH, suffix=".json") as file:
        file.write(SIGSTORE.trusted_root())
        file.flush()
        identity = Identity(WORKFLOW, ISSUER, trusted_root=Path(file.name))
        load_trust(identity.trusted_root)
    return identity


def layer_of(layer: SimpleLayer) -> dict[str, Any]:
    return {"payload": layer.payload.decode(), "annotations": layer.annotations}


SIGNATURES = (
    layer_of(simple(KEY, payload_for(DIGEST))),
    layer_of(SIGSTORE.simple(payload_for(DIGEST))),
    json.loads(key_bundle(KEY, statement_for(DIGEST))),
    json.loads(SIGSTORE.bundle(statement_for(DIGEST))),
)


def foreign(body: bytes) -> None:
    written = translate_foreign([parse_foreign(body, "config.yml")])
    if crc32(body) % 8:
        return  # It has been checked once, as it was written.
    with tempfile.NamedTemporaryFile(dir=SCRATCH, suffix=".yaml") as file:
        file.write(written.text.encode())
        file.flush()
        try:
            load_mirrors(Path(file.name), None, read_files=False)
        except MirrorsInvalid as error:
            raise AssertionError(f"the result is not valid: {error}") from error


def locked(body: bytes) -> None:
    lockfile, document = parse_lockfile(body, "mirrors.lock")
    again, _ = parse_lockfile(lockfile_text(lockfile).encode(), "mirrors.lock")
    assert again == lockfile
    assert all(("repositories", target) in document.written for target in lockfile.repositories)


def counts(body: bytes) -> None:
    found = parse_counts(body, "it")
    assert parse_counts(counts_bytes(NOW.date(), found), "it") == found
    assert all(one >= 0 for one in (*found.pulled.values(), *found.missed.values()))


LOCKED = {
    "version": 1,
    "repositories": {
        "library/alpine": {
            "source": "docker.io/library/alpine",
            "patterns": DIGEST,
            "tags": {"3.20": DIGEST, "3.21": f"{DIGEST} of v3.21 since 2026-11-20T10:00:00Z"},
            "waiting": {"3.22": f"{DIGEST} since 2026-11-20T10:00:00Z"},
        },
        "a/b": {"source": "quay.io/a/b", "patterns": DIGEST},
    },
}
COUNTS = {"version": 1, "day": "2026-11-20", "pulled": {"library/alpine": {"3.20": 5}}, "missed": {"a/b": {"x": 1}}}

TARGETS = {
    "mirrors.lock, its tree": Target(trees(LOCKED), locked),
    "mirrors.lock, its text": Target(
        lambda rng: mutated_bytes(rng, lockfile_text(parse_lockfile(json.dumps(LOCKED).encode(), "it")[0]).encode()),
        locked,
    ),
    "counts of pulls": Target(trees(COUNTS), counts),
    "newer keys of mirrors.yaml": Target(trees(NEWER, nested=False), mirrors_file),
    "the index of a chart repository": Target(trees(CHART_INDEX), chart_index),
    "a chart": Target(trees(CHART), chart),
    "mirrors.yaml, its tree": Target(trees(MIRRORS, PRIVATE), mirrors_file),
    "mirrors.yaml, its text": Target(
        lambda rng: mutated_bytes(rng, json.dumps(MIRRORS, indent=rng.choice([None, 1])).encode()), mirrors_file
    ),
    "files of other tools, their trees": Target(
        trees(*(parse_foreign(text.encode(), tool).value for tool, text in FOREIGN.items())), foreign
    ),
    "files of other tools, their text": Target(texts(*FOREIGN.values()), foreign),
    "ranges": Target(
        texts(">=3.18 <4 || ~1.2, !=v1.2.3", "v1.2 - 1.4.5.6 || ^0.0.x", ">=1.0.0-rc.1 <2-0 - 1.*", "~> 024.04-alpine"),
        version_range,
    ),
    "typed patterns": Target(
        texts(
            '{semver: ">=3.18 <4", newest: 3, per: minor}\nlatest', f"3.20@{DIGEST}", '{"glob": "3.*", exclude: [edge]}'
        ),
        typed,
    ),
    "files with images": Target(texts(*FILES), files),
    "manifests": Target(trees(IMAGE, MANY), manifest),
    "mirror index": Target(trees(INDEX), mirror_index),
    "saved plan": Target(trees(PLAN), plan),
    "lock": Target(trees(HOLDER), lock),
    "WWW-Authenticate": Target(
        texts(
            'Bearer realm="https://registry.example.com/token",service="s",scope="repository:a:pull"',
            'Basic realm="r"\nBearer realm="https://auth.example.com/t", error="invalid_token"',
            "Negotiate abc==, Bearer realm=https://x/y",
        ),
        challenges,
    ),
    "redirects": Target(texts("https://cdn.example.net:443/x?sig=1", "http://169.254.169.254/", "//host/x"), redirect),
    "token": Target(trees({"token": "t", "expires_in": 300, "access_token": "u"}), token),
    "headers": Target(
        texts(
            '</v2/a/tags/list?n=1&last=x>; rel="next"', "Wed, 21 Oct 2026 07:28:00 GMT", "bytes 5-9/10", "120", DIGEST
        ),
        headers,
    ),
    "signatures": Target(trees(*SIGNATURES), signature),
    "boxes": Target(box, open_box),
    "signatures of boxes": Target(signature_file, check_signature),
    "layouts": Target(trees(ENTRIES), pack),
    "names": Target(
        texts(f"v2/library/alpine/manifests/{DIGEST}", "v2/a/blobs/x", "docker.io/library/alpine", "linux/arm64/v8"),
        names,
    ),
    "requests": Target(texts("bytes=5-9", "bytes=-5", f'W/"{DIGEST}", "x"', "100"), requests),
    "logins": Target(logins.header, logins.authorization),
    "scopes of logins": Target(
        texts(
            "repository:team-a/app:pull,push registry:catalog:*", "repository(plugin):team-a/app:*\nrepository:x:pull"
        ),
        logins.scopes,
    ),
    "paths of logins": Target(
        texts(f"/v2/team-a/app/manifests/{DIGEST}", "/v2/_catalog", "/v2/a/b/tags/list", "/index.html"), logins.path
    ),
    "files of tokens": Target(trees(logins.TOKENS_FILE), logins.tokens_file),
    "webhooks": Target(trees(DOCKER_HUB, GITHUB, HARBOR, HARBOR_EVENT, QUAY, DISTRIBUTION), webhook),
    "proofs of webhooks": Target(
        texts(WEBHOOK_SECRET.value, f"Bearer {WEBHOOK_SECRET.value}", f"sha256={'a' * 64}"), proof
    ),
    "docker config.json": Target(
        trees({"auths": {"ghcr.io": {"auth": "dTpw"}}, "credHelpers": {"ghcr.io": "none"}, "credsStore": "none"}),
        docker_config,
    ),
}

MORE = {
    f"files of {tool}": Target(trees(parse_foreign(text.encode(), tool).value, nested=False), foreign)
    for tool, text in FOREIGN.items()
}
"""More inputs for what one of `TARGETS` feeds too."""
