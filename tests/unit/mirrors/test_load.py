"""mirrors.yaml: what is read from it, every message about what is wrong in it, and hostile files."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from reconciler.access.config import TokenConfig
from reconciler.edge.config import EdgeConfig, MissSource
from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.document import MAX_BYTES
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.parse import parse_document
from reconciler.mirrors.patterns import Entry, Exact, Glob, Kept, Pinned, Regex, Semver
from reconciler.mirrors.schedule import Cron, Every, Schedule
from reconciler.mirrors.schema_check import MAX_PROBLEMS
from reconciler.mirrors.schema_files import load_schema
from reconciler.oci.spec import Digest, Platform
from reconciler.stores.buckets import R2, R2_PRICES, S3
from reconciler.stores.folder import Folder

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

ROOT = Path(__file__).parents[3]
HEAD = "version: 1\nstore: {type: file, path: ./m}\n"


def load(folder: Path, text: str | bytes, environ: dict[str, str] | None = None) -> Mirrors:
    path = folder / "mirrors.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_mirrors(path, environ)


def problems(folder: Path, text: str | bytes, environ: dict[str, str] | None = None) -> list[str]:
    """The problems without the path before them."""
    with pytest.raises(MirrorsInvalid) as caught:
        load(folder, text, environ)
    return [str(problem).removeprefix(f"{folder}/mirrors.yaml:") for problem in caught.value.problems]


def test_a_whole_file(tmp_path: Path) -> None:
    mirrors = load(
        tmp_path,
        """\
version: 1
store:
  type: r2
  account_id: ${ACCOUNT}
  bucket: ${BUCKET:-cr-example}
  jurisdiction: eu
  public_url: https://cr.example.com/
  state_bucket: cr-state
registries:
  index.docker.io: {username_env: U, password_env: P}
  127.0.0.1:5000: {plain_http: true, ca_file: ca.pem, max_connections: 3}
defaults:
  platforms: [linux/arm64/v8, linux/amd64]
  prune: false
  retain: 36h
  referrers: {types: ["application/spdx*", "*.sbom"]}
mirrors:
  - source: alpine
    tags:
      - latest
      - 3.20@sha256:%s
      - glob: "3.*"
      - regex: 'v?3\\.\\d+'
      - {semver: ">=3.18 <4", newest: 5, prereleases: true, variant: "al*"}
    exclude: [{glob: "*-rc*"}]
    immutable: [{semver: "*"}]
    platforms: all
    prune: true
    retain: 2w
    referrers: false
  - {source: "oci:./images", target: my/images, tags: [a]}
"""
        % ("a" * 64),
        {"ACCOUNT": "0" * 32},
    )
    assert mirrors.store == R2("0" * 32, "cr-example", "eu", "https://cr.example.com", "cr-state")
    assert set(mirrors.registries) == {"docker.io", "127.0.0.1:5000"}
    local = mirrors.registries["127.0.0.1:5000"]
    assert (local.plain_http, local.ca_file, local.max_connections) == (True, tmp_path / "ca.pem", 3)
    alpine, images = mirrors.mirrors
    assert (alpine.source, alpine.target) == ("docker.io/library/alpine", "library/alpine")
    assert alpine.tags == (
        Exact("latest"),
        Pinned("3.20", Digest("sha256", "a" * 64)),
        Glob("3.*"),
        Regex(r"v?3\.\d+"),
        Entry((Semver(">=3.18 <4", True, "al*"),), kept=Kept(newest=5)),
    )
    assert (alpine.exclude, alpine.immutable) == ((Glob("*-rc*"),), (Semver("*"),))
    assert (alpine.platforms, alpine.prune, alpine.retain) == (None, True, timedelta(weeks=2))
    assert (images.source, images.target) == ("oci:./images", "my/images")
    assert images.platforms == (Platform("linux", "amd64"), Platform("linux", "arm64", "v8"))
    assert (images.prune, images.retain, mirrors.defaults.prune) == (False, timedelta(hours=36), False)
    assert (alpine.referrers, alpine.referrer_types) == (False, ())
    assert (images.referrers, images.referrer_types) == (True, ("*.sbom", "application/spdx*"))


def test_the_kinds_of_store(tmp_path: Path) -> None:
    mirrors = "\nmirrors: [{source: a/b, tags: [x]}]"
    s3 = load(tmp_path, "version: 1\nstore: {type: s3, bucket: abc, endpoint_url: 'http://127.0.0.1:1'}" + mirrors)
    assert s3.store == S3("abc", None, "http://127.0.0.1:1", None, None)
    assert load(tmp_path, HEAD + mirrors).store == Folder(tmp_path / "m", None)


def mirror(rest: str) -> str:
    return f"{HEAD}mirrors:\n  - source: alpine\n    {rest}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (mirror("tags: [3.20]"), '5:12: mirrors[0].tags[0]: YAML reads this as the number 3.2; write it in quotes: "3.20"'),
        (mirror("tags: [true]"), '5:12: mirrors[0].tags[0]: YAML reads this as the boolean true; write it in quotes'),
        (mirror("tags: [~]"), "5:12: mirrors[0].tags[0]: expected text or keys with values, but the value is empty"),
        (mirror("tags: []"), "5:11: mirrors[0].tags: is empty; write for example"),
        (mirror("tags: [a/b]"), "5:12: mirrors[0].tags[0]: 'a/b' is not a valid tag"),
        (mirror('tags: ["3.*"]'), "for a pattern write glob"),
        (mirror("tags: [a@sha256:12]"), "5:12: mirrors[0].tags[0]: digest 'sha256:12': expected sha256:<64 hex"),
        (mirror("tags: [{regex: '(?=a)'}]"), "5:20: mirrors[0].tags[0].regex: RE2 rejects it: invalid perl operator: (?="),
        (mirror("tags: [{semver: '>1-slim'}]"), "5:21: mirrors[0].tags[0].semver: '>1-slim' is not a valid range of versions: '-slim' cannot stand in a range; write semver: \">1\" and variant: slim"),
        (mirror("tags: [{newest: 3}]"), "5:12: mirrors[0].tags[0]: expected at least one of glob, regex, semver"),
        (mirror("tags: [{glob: a, variant: b}]"), "5:22: mirrors[0].tags[0].variant: is only valid with semver"),
        (mirror("tags: [{glob: a, lines: 3}]"), "5:29: mirrors[0].tags[0].lines: is only valid with per: major or per: minor"),
        (mirror("tags: [{glob: a, per: major}]"), "5:27: mirrors[0].tags[0].per: is only valid with newest or lines"),
        (mirror("tags: [{glob: a, exclude: ['*']}]"), "5:31: mirrors[0].tags[0].exclude: '*' is not a valid tag"),
        (mirror("tags: [{semvr: a}]"), "5:13: mirrors[0].tags[0].semvr: unknown key in pattern; did you mean semver?"),
        (mirror("tags: [{semver: '*', newest: 0}]"), "mirrors[0].tags[0].newest: expected 1 or more, got 0"),
        (mirror("tagz: [a]"), "5:5: mirrors[0].tagz: unknown key in entry of mirrors; did you mean tags?"),
        (mirror("tags: [a]\n    platforms: [linux]"), "6:17: mirrors[0].platforms[0]: platform 'linux': expected os/arch"),
        (mirror("tags: [a]\n    platforms: none"), "6:16: mirrors[0].platforms: expected all, got none"),
        (mirror("tags: ['>=3.18']"), 'for a pattern write semver: ">=3.18"'),
        (mirror("tags: [{semver: '1', newest: 1, per: day}]"), "per: expected one of major, minor, variant, got day"),
        (mirror('tags: [{regex: "\\d"}]'), "double the backslash, or write the text in single quotes"),
        (mirror("tags: [a]\n    retain: 7 days"), '6:13: mirrors[0].retain: "7 days" does not have the expected form'),
        (mirror("tags: [a]\n    target: a/tags/b"), "6:13: mirrors[0].target: 'a/tags/b' cannot be a target: 'tags' is reserved"),
        (mirror("tags: [a]\n    target: _mirror"), "cannot be a target: expected lower-case"),
        (mirror("tags: [edge]\n    exclude: [{glob: e*}]"), "5:12: mirrors[0].tags[0]: edge is named here and excluded on line 6"),
        (mirror("tags:\n      - a@sha256:{}\n      - a@sha256:{}".format("0" * 64, "1" * 64)), "7:9: mirrors[0].tags[1]: a is also pinned to another digest on line 6"),
        (mirror("tags: [a]\n    exclude: [a@sha256:%s]" % ("0" * 64)), "digests are not allowed here; use a"),
        (mirror("tags: [a]\n    source: b"), "6:5: mirrors[0].source: duplicate key, first used on line 4"),
        (mirror("tags: [a]\n  - {source: x/alpine, target: library/alpine, tags: [b]}"), "is also the target of mirrors[0] on line 4"),
        (mirror("tags: [{semver: '*', newest: 5.0}]"), "5:34: mirrors[0].tags[0].newest: expected a whole number, got 5.0"),
        (mirror("tags: [{semver: '1 - 2 - 3'}]"), "5:21: mirrors[0].tags[0].semver: '1 - 2 - 3' is not a valid range of versions: '-' is not a version"),
        (mirror('tags: [a]\n    retain: "7d\\n"'), "6:13: mirrors[0].retain: contains a line break"),
        (mirror('tags: ["\\ud800"]'), "5:12: mirrors[0].tags[0]: contains the character U+D800"),
        (mirror('tags: [a]\n    "\\e[31m": 1'), "6:5: mirrors[0].?: the key contains the character U+001B"),
        (mirror("tags: [%s]" % ("a," * 2001)), "5:11: mirrors[0].tags: has 2001 entries, the maximum is 2000"),
        (mirror("tags: [{regex: %s}]" % ("a" * 1001)), "5:20: mirrors[0].tags[0].regex: has 1001 characters, the maximum is 1000"),
        (mirror(r"tags: [{regex: '\pL{1000}'}]"), "mirrors[0].tags[0].regex: RE2 rejects it: pattern too large"),
        (mirror("tags: [{3: a}]"), "5:13: mirrors[0].tags[0].3: unknown key in pattern"),
        (f"{HEAD}defaults: {{exclude: [{{regex: '('}}]}}\nmirrors: [{{source: a/b, tags: [x]}}]", "3:30: defaults.exclude[0].regex: RE2 rejects it"),
        (f"{HEAD}registries: {{ghcr.io: {{token: x}}}}\nmirrors: [{{source: a/b, tags: [x]}}]", "token: there is no key for secrets: username_env and password_env name"),
        (f"{HEAD}registries: {{ghcr.io: {{ca_file: ~nobody-of-that-name/ca.pem}}}}\nmirrors: [{{source: a/b, tags: [x]}}]", "begins with an unknown home folder"),
        (f"{HEAD}mirrors: [{{source: 'a b', tags: [x]}}]", "3:20: mirrors[0].source: repository 'a b'"),
        (f"{HEAD}mirrors: [{{source: 'a/b:1', tags: [x]}}]", "a repository has no tag or digest"),
        (f"{HEAD}mirrors: [{{source: 'oci:x', tags: [x]}}]", "mirrors[0].target: is missing; this source has no repository path"),
        ("5", "1:1: expected keys with values, got 5"),
        (f"{HEAD}mirrors: [x]", "3:11: mirrors[0]: expected keys with values, got x"),
        ("-1", "1:1: expected keys with values, got -1"),
        (mirror("tags: [a]\n    referrers: {types: [[a], b]}"), "mirrors[0].referrers.types[0]: expected"),
        ("version: 1\nstore: {type: [registry], registry: r.io, state: {type: file}}\nmirrors: [{source: a/b, tags: [x]}]", "2:15: store.type: expected"),
        (f"{HEAD}mirrors: [!!python/object:os.system x]", "is not supported here; write a plain value"),
        (f"{HEAD}mirrors: [{{source: a/b, tags: [x]}}]\n? [a]\n: b", "4:3: ?: a key must be a plain word"),
        (f"{HEAD}mirrors: [{{source: a/b, tags: [x]}}]\n<<: {{a: b}}", "merge keys (<<) are not supported"),
        (f"{HEAD}mirrors: [{{source: a/b, tags: [x]}}]\nmirrorz: []", "4:1: mirrorz: unknown key in mirrors.yaml; did you mean mirrors?"),
        (f"{HEAD}registries: {{'a/b': {{}}}}\nmirrors: [{{source: a/b, tags: [x]}}]", "registries.a/b: expected a registry's host"),
        (f"{HEAD}registries: {{ghcr.io: {{username_env: U}}}}\nmirrors: [{{source: a/b, tags: [x]}}]", "username_env: is only valid with password_env; add password_env, or"),
        (f"{HEAD}registries: {{ghcr.io: {{password: x}}}}\nmirrors: [{{source: a/b, tags: [x]}}]", "password: unknown key in entry of registries"),
        (f"{HEAD}registries: {{docker.io: {{}}, index.docker.io: {{}}}}\nmirrors: [{{source: a/b, tags: [x]}}]", "are the same registry; keep one"),
        ("version: 2\nstore: {type: file, path: m}\nmirrors: [{source: a/b, tags: [x]}]", "1:10: version: expected 1, got 2"),
        ("version: 1\nmirrors: [{source: a/b, tags: [x]}]", "store: is missing; write for example store: "),
        ("version: 1\nstore: {}\nmirrors: [{source: a/b, tags: [x]}]", "2:1: store.type: is missing; write for example type: r2"),
        ("version: 1\nstore: {type: r2, bucket: abc, account_id: '${A}', jurisdiction: uk}\nmirrors: [{source: a/b, tags: [x]}]", "expected one of default, eu, us, fedramp, fedramp-high, got uk"),
        ("version: 1\nstore: {type: r2, bucket: abc, account_id: '${A}', jurisdiction: '${J:-uk}'}\nmirrors: [{source: a/b, tags: [x]}]", "what ${J:-uk} stands for is not a valid jurisdiction"),
        ("version: 1\nstore: {type: file, path: m, public_url: 'https://x:99999'}\nmirrors: [{source: a/b, tags: [x]}]", "is not a URL; write for example"),
        ("version: 1\nstore: {type: r3}\nmirrors: [{source: a/b, tags: [x]}]", "2:15: store.type: expected one of r2, s3, file, registry, oci, got r3"),
        ("version: 1\nstore: {type: s3, bucket: A_B}\nmirrors: [{source: a/b, tags: [x]}]", "2:27: store.bucket: is not a valid bucket name: expected 3 to 63"),
        ("version: 1\nstore: {type: r2, bucket: abc, account_id: x}\nmirrors: [{source: a/b, tags: [x]}]", "account_id: is not a valid account ID: expected 32 hex digits"),
        ("version: 1\nstore: {type: s3, bucket: abc, secret_key: x}\nmirrors: [{source: a/b, tags: [x]}]", "there is no key for secrets: credentials come from"),
        ("version: 1\nstore: {type: file, path: m, public_url: cr.example.com}\nmirrors: [{source: a/b, tags: [x]}]", "is not a URL; write for example"),
        ("version: 1\nstore: {type: file, path: '${1}'}\nmirrors: [{source: a/b, tags: [x]}]", "contains a variable that does not have the form"),
        ("version: 1\nstore: {type: s3, bucket: abc, endpoint_url: 'https://s3.example.com/abc/'}\nmirrors: [{source: a/b, tags: [x]}]", "2:46: store.endpoint_url: has the name of the bucket in it"),
        ("version: 1\nstore: {type: s3, bucket: abc, endpoint_url: 'https://abc.s3.eu-west-1.amazonaws.com'}\nmirrors: [{source: a/b, tags: [x]}]", "store.endpoint_url: has the name of the bucket in it"),
        ("version: 1\nstore: {type: s3, bucket: abc, endpoint_url: 'https://abc.0.r2.cloudflarestorage.com'}\nmirrors: [{source: a/b, tags: [x]}]", "store.endpoint_url: has the name of the bucket in it"),
    ],
)  # fmt: skip
def test_each_problem_has_its_place_and_what_to_write(text: str, expected: str, tmp_path: Path) -> None:
    found = problems(tmp_path, text)
    assert any(expected in problem for problem in found), found


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "version: 2\nstore: {type: file, public_url: x}\nmirrors:\n  - source: alpine\n"
        "    tags: [3.20, {regex: '('}, '/', {semver: abc}]\n    platforms: [linux]\n    nonsense: 1\n",
    )
    assert [problem.split(": ")[1] for problem in found] == [
        "version",
        "store.path",
        "store.public_url",
        "mirrors[0].tags[0]",
        "mirrors[0].tags[1].regex",
        "mirrors[0].tags[2]",
        "mirrors[0].tags[3].semver",
        "mirrors[0].platforms[0]",
        "mirrors[0].nonsense",
    ]


@pytest.mark.parametrize(
    "url", ["https://s3.example.com/storage/v1/s3", "https://abc.example.com", "http://abc:9000", "https://s3.abc.com"]
)
def test_an_endpoint_that_only_resembles_the_bucket_s_is_one(url: str, tmp_path: Path) -> None:
    text = f"version: 1\nstore: {{type: s3, bucket: abc, endpoint_url: '{url}'}}\n"
    store = load(tmp_path, f"{text}mirrors: [{{source: x/alpine, tags: [a]}}]\n").store
    assert isinstance(store, S3)
    assert store.endpoint_url == url


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        (f"type: r2, bucket: abc, account_id: {'a' * 32}", True),
        (f"type: s3, bucket: abc, endpoint_url: 'https://{'0' * 32}.eu.r2.cloudflarestorage.com'", True),
        ("type: s3, bucket: abc, endpoint_url: 'https://s3.example.com'", False),
        ("type: s3, bucket: abc", False),
        ("type: file, path: m", False),
    ],
)
def test_which_stores_have_r2_s_prices(store: str, tmp_path: Path, *, expected: bool) -> None:
    text = f"version: 1\nstore: {{{store}}}\nmirrors: [{{source: x/alpine, tags: [a]}}]\n"
    found = load(tmp_path, text).store
    assert found.is_at_r2 is expected
    assert found.prices == (R2_PRICES if expected else None)


@pytest.mark.parametrize("other", ["tags: [3.20]", "tags: [a], platforms: [linux]"])
def test_one_target_twice_is_seen_whatever_else_is_wrong(other: str, tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        f"{HEAD}mirrors:\n  - {{source: x/a, target: t, {other}}}\n  - {{source: x/b, target: t, tags: [b]}}\n",
    )
    assert len(found) == 2
    assert found[1].startswith("5:27: mirrors[1].target: target t is also the target of mirrors[0] on line 4")


def test_each_mistake_gives_one_message(tmp_path: Path) -> None:
    for text in ("tags: [{semvr: a}]", "tags: [!what x]", "tags: [~]", "tags: [{glob: ''}]", "tags: a"):
        assert len(problems(tmp_path, mirror(text))) == 1, text


def test_a_name_that_a_counted_exclusion_may_take_is_not_a_contradiction(tmp_path: Path) -> None:
    text = mirror("tags: ['1.0', '2.0']\n    exclude: [{semver: '*', newest: 1}]")
    assert len(load(tmp_path, text).mirrors) == 1


def test_no_value_of_a_variable_and_no_password_is_told(tmp_path: Path) -> None:
    text = "version: 1\nstore: {type: s3, bucket: '${B}', public_url: 'https://:hunter2@x.y', endpoint_url: '${E}'}\nmirrors: [{source: a/b, tags: [x]}]"
    found = problems(tmp_path, text, {"B": "HUNTER2", "E": "hunter2"})
    assert [problem.split(": ")[1] for problem in found] == ["store.bucket", "store.public_url", "store.endpoint_url"]
    assert "hunter2" not in " ".join(found).lower()


def test_what_a_mirror_does_not_say_is_what_the_schema_says(tmp_path: Path) -> None:
    (one,) = load(tmp_path, mirror("tags: [a]")).mirrors
    keys = load_schema("mirrors")["$defs"]["mirror"]["properties"]
    (every,) = load(tmp_path, mirror("tags: [a]").replace("alpine", "quay.io/a/*")).namespaces
    said = "".join(f"\n    {key}: {json.dumps(keys[key]['default'])}" for key in keys if "default" in keys[key])
    whole = mirror(f"tags: [a]{said}").replace("alpine", "quay.io/a/*")
    assert load(tmp_path, whole).namespaces == (every,)
    said = "".join(line for line in said.splitlines(keepends=True) if "_repositories" not in line)
    assert load(tmp_path, mirror(f"tags: [a]{said}")).mirrors == (one,)


def test_every_key_of_the_schema_has_a_description_and_an_example_that_fits() -> None:
    schema = load_schema("mirrors")
    registry: Any = Registry()
    registry = registry.with_resource(schema["$id"], Resource.from_contents(schema))
    tables = {"": schema["properties"]}
    tables |= {f"/$defs/{name}": one["properties"] for name, one in schema["$defs"].items() if "properties" in one}
    for where, keys in tables.items():
        for name, key in keys.items():
            if "$ref" not in key:
                assert key["description"], name
                validator = Draft202012Validator(
                    {"$ref": f"{schema['$id']}#{where}/properties/{name}"}, registry=registry
                )
                assert [error for example in key["examples"] for error in validator.iter_errors(example)] == [], name


def test_variables_are_filled_in_where_they_may_be(tmp_path: Path) -> None:
    text = "version: 1\nstore: {type: s3, bucket: '${B}', region: '${R:-eu}'}\nmirrors: [{source: a, tags: [b]}]"
    store = load(tmp_path, text, {"B": "from-env"}).store
    assert isinstance(store, S3)
    assert (store.bucket, store.region) == ("from-env", "eu")
    assert problems(tmp_path, text, {}) == [
        "2:27: store.bucket: the environment variable B is not set; set it, or write ${B:-default}"
    ]
    assert isinstance(load(tmp_path, text, None).store, S3), "validate does without them"
    assert "'${B}' is not a valid tag" in problems(tmp_path, text.replace("[b]", "['${B}']"))[0]


def test_the_places_that_a_registry_may_send_us_to(tmp_path: Path) -> None:
    text = f"{HEAD}mirrors: [{{source: a, tags: [b]}}]\nregistries: {{r.example.com: {{redirects_to: [%s], token_servers: [%s]}}}}"
    right = "10.0.0.5, 10.0.0.0/8, 'MinIO.example.com:9000', 'http://minio:9000', '[fd00::5]:9000', 'fd00::/8'"
    config = load(tmp_path, text % (right, "auth.example.com")).registries["r.example.com"]
    places = ("10.0.0.5", "10.0.0.0/8", "minio.example.com:9000", "http://minio:9000", "[fd00::5]:9000", "fd00::/8")
    assert (config.redirects_to, config.token_servers) == (places, ("auth.example.com",))
    wrong = [
        "'300.0.0.0/8'",
        "a/b",
        "'http://10.0.0.0/8'",
        "'u:p@host'",
        "'host:99999'",
        "'host:0'",
        "'ftp://host'",
        "'a b'",
    ]
    told = problems(tmp_path, text % (", ".join(wrong), "'*.example.com'"))
    assert [line.split(": ")[1] for line in told] == [
        *(f"registries.r.example.com.redirects_to[{number}]" for number in range(len(wrong))),
        "registries.r.example.com.token_servers[0]",
    ]
    assert all("is not a host, host:port or network" in line for line in told)


def test_the_example_at_the_top_is_valid() -> None:
    mirrors = load_mirrors(ROOT / "mirrors.yaml", None)
    assert {"library/alpine", "clickhouse/clickhouse-server"} <= {mirror.target for mirror in mirrors.mirrors}


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "comments only": b"# nothing\n",
    "a NUL byte": b"version: 1\n\0",
    "not UTF-8": b"version: \xff",
    "UTF-16": "version: 1".encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbfversion: 1",
    "a tab": b"version: 1\n\tstore: x",
    "two documents": b"a: 1\n---\nb: 1\n",
    "deep flow": b"[" * 100_000,
    "deep blocks": b"- " * 100_000,
    "deep mappings": b"{a: " * 50_000,
    "laughs": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 9)) for c in range(97, 110)),
    "an alias to itself": b"a: &a [*a]\n",
    "many values": b"[" + b"a," * 120_000 + b"]",
    "a huge number": b"version: " + b"9" * 5_000,
    "an open quote": b'a: "' + b"x" * 200_000,
    "only escapes": b'"\\' * 80_000,
    "an unknown YAML": b"%YAML 9.9\n---\na: 1",
    "many wrong values": mirror("tags: [%s]" % ("3.20," * 20_000)).encode(),
    "many wrong names": mirror("tags: [%s]" % ("/," * 2_000)).encode(),
    "many unknown keys": mirror("tags: [a]\n" + "".join(f"    k{n}: 1\n" for n in range(12_000))).encode(),
    "one key many times": (HEAD + "mirrors: []\n" * 12_000).encode(),
    "one target many times": (HEAD + "mirrors: [" + "{source: a, tags: [b]}," * 2_700 + "]").encode(),
    "names against patterns": mirror(
        "tags: [{}/]\n    exclude: [{}]".format("".join(f"t{n}," for n in range(1_999)), "{glob: '*a*b*c'}," * 100)
    ).encode(),
    "many costly expressions": mirror(
        "tags: [{}]".format("".join(f"{{regex: '\\pL{{1000}}{n}'}}," for n in range(800)))
    ).encode(),
    "a huge range": mirror(f"tags: [{{semver: '{' || '.join(map(str, range(20_000)))}'}}]").encode(),
    "a huge expression": mirror("tags: [{regex: '%s'}]" % ("(a|b)?" * 40_000)).encode(),
    "a huge glob": mirror("tags: [{glob: '%s'}]" % ("*a*" * 60_000)).encode(),
    "50 MB": b"x" * 50_000_000,
    "50 MB of mirrors": b"version: 1\nmirrors:\n" + b"  - {source: a, tags: [b]}\n" * 1_900_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.slow
def test_a_hostile_file_gets_a_clear_error_in_time(name: str, tmp_path: Path) -> None:
    """In a process of its own, for its time and its memory: 2 s of CPU and 200 MB resident are the bar."""
    (tmp_path / "mirrors.yaml").write_bytes(HOSTILE[name])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    script = (
        "import atexit, sys; from reconciler.cli.main import main\n"
        "sys.argv = ['r2mirror', 'validate']\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "atexit.register(lambda: print(status().partition('VmHWM:')[2].split()[0], file=sys.stderr))\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = min(cpu.ru_utime - before.ru_utime, time.monotonic() - started)
    assert done.returncode == 1
    assert done.stdout.startswith("mirrors.yaml:"), done.stdout
    assert "Traceback" not in done.stderr
    assert int(done.stderr.split()[-1]) < 200 * 1024, "resident, in KiB"
    assert spent < 2


def test_a_file_that_is_wrong_all_over_is_given_up(tmp_path: Path) -> None:
    found = problems(tmp_path, mirror("tags: [%s]" % ("3.20," * 1_500)))
    assert len(found) == MAX_PROBLEMS + 1
    assert found[0] == f"1:1: more than {MAX_PROBLEMS} problems; only some of them are shown"


@pytest.mark.slow
def test_the_largest_file_that_is_taken_is_read_in_time(tmp_path: Path) -> None:
    line = "  - {source: registry.example.com/team/app%04d, tags: [latest, {glob: '1.*'}]}\n"
    text = HEAD + "mirrors:\n" + "".join(line % number for number in range(2_000))
    started = time.process_time()
    assert len(load(tmp_path, text).mirrors) == 2_000
    assert time.process_time() - started < 20
    assert len(text) < MAX_BYTES


@pytest.mark.parametrize("name", ["missing", "folder"])
def test_not_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(MirrorsInvalid, match=r"does not exist|Is a directory"):
        load_mirrors(tmp_path / name, None)


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("alpine"))
words = st.sampled_from(
    ["version", "store", "mirrors", "type", "r2", "file", "path", "source", "tags", "glob", "semver", "registries", "x"]
)
values: Any = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


def test_keys_of_the_user_and_anchors_in_them(tmp_path: Path) -> None:
    file = tmp_path / "mirrors.yaml"
    file.write_text(
        "x-lists: {both: &both [linux/amd64, linux/arm64]}\n"
        "version: 1\nstore: {type: file, path: ./m}\nmirrors: [{source: a, tags: [b], platforms: *both}]\n"
    )
    (mirror,) = load_mirrors(file, {}).mirrors
    assert mirror.platforms == (Platform("linux", "amd64"), Platform("linux", "arm64"))


@given(st.dictionaries(words, values, max_size=6))
@pytest.mark.slow
def test_no_shape_of_a_file_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> None:
    folder = tmp_path_factory.getbasetemp() / "shapes"
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(MirrorsInvalid):
        load(folder, json.dumps(document))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_are_a_traceback(body: bytes) -> None:
    with contextlib.suppress(MirrorsInvalid):
        parse_document(body, "mirrors.yaml")


R2_STORE = f"version: 1\nmirrors: [{{source: a/b, tags: [x]}}]\nstore: {{type: r2, account_id: {'a' * 32}, bucket: cr-example, public_url: '%s'}}\n"
CR = R2_STORE % "https://cr.example.com"


def test_an_edge_has_the_hostname_of_the_public_url_and_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, CR).edge is None
    assert load(tmp_path, f"{CR}edge: {{zone: example.com}}\n", {}).edge == EdgeConfig(
        "example.com", "cr.example.com", None, None, cache=True
    )
    whole = f'edge: {{zone: {"a" * 32}, hostname: cr.example.com, min_tls: "1.3", location: weur, cache: false}}\n'
    assert load(tmp_path, f"{CR}{whole}", {}).edge == EdgeConfig("a" * 32, "cr.example.com", "1.3", "weur", cache=False)
    experimental = load(tmp_path, f"{CR}edge: {{zone: example.com, digest_by_tag: experimental}}\n", {})
    assert experimental.edge == EdgeConfig("example.com", "cr.example.com", digest_by_tag=True)
    assert isinstance(experimental.store, R2)
    assert experimental.store.digest_by_tag
    worker = load(tmp_path, f"{CR}edge: {{zone: example.com, worker: true}}\n", {}).edge
    assert worker == EdgeConfig("example.com", "cr.example.com", worker=True)
    variable = "edge: {zone: example.com}\n"
    assert load(tmp_path, f"{R2_STORE % '${URL}'}{variable}").edge is None, "its hostname is not known yet"
    environ = {"URL": "https://cr.example.com/"}
    assert load(tmp_path, f"{R2_STORE % '${URL}'}{variable}", environ).edge == EdgeConfig(
        "example.com", "cr.example.com"
    )


def test_tokens_go_with_any_store_and_with_an_edge(tmp_path: Path) -> None:
    access = "access: {ci: {repositories: ['*']}, a: {repositories: [a/*, b], expires: 2027-01-31}}"
    tokens = {"ci": TokenConfig("ci", ("*",)), "a": TokenConfig("a", ("a/*", "b"), date(2027, 1, 31))}
    alone = load(tmp_path, f"{HEAD}mirrors: [{{source: a/b, tags: [x]}}]\nedge: {{{access}}}\n")
    assert (alone.edge, alone.access) == (None, tokens)
    both = load(tmp_path, f"{CR}edge: {{zone: example.com, worker: true, {access}}}\n", {})
    assert (both.edge, both.access) == (EdgeConfig("example.com", "cr.example.com", worker=True), tokens)
    assert both.edge
    assert both.edge.access == tokens
    (found,) = problems(tmp_path, f"{CR}edge: {{zone: example.com, {access}}}\n", {})
    assert "edge.access: needs `worker: true`: without the Worker everyone can read the bucket" in found
    many = {f"t{number}": {"repositories": ["x" * 200]} for number in range(50)}
    (found,) = problems(
        tmp_path, f"{CR}edge: {json.dumps({'zone': 'example.com', 'worker': True, 'access': many})}\n", {}
    )
    assert "bytes as JSON; a Worker takes 5000: use fewer or shorter globs" in found
    (found,) = problems(tmp_path, f"{CR}edge: {{zone: example.com, worker: true, min_tls: '1.3', {access}}}\n", {})
    assert "edge.min_tls: is not valid with `access`: the domain is the Worker's then" in found


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ("{}", "edge.access: {} should be non-empty"),
        ("{A: {repositories: ['*']}}", "edge.access.A: A does not have the expected form"),
        ("{a: {}}", "edge.access.a.repositories: is missing"),
        ("{a: {repositories: []}}", "edge.access.a.repositories: is empty"),
        ("{a: {repositories: [A/*]}}", 'edge.access.a.repositories[0]: "A/*" does not have the expected form'),
        ("{a: {repositories: ['*'], expires: 2027-02-31}}", "edge.access.a.expires: 2027-02-31 is not a day"),
        ("{a: {repositories: ['*'], expires: soon}}", "edge.access.a.expires: soon does not have the expected form"),
        (
            "{a: {repositories: ['*'], token: r2m_x}}",
            "edge.access.a.token: is not kept in this file; `r2mirror edge token create` makes",
        ),
    ],
)
def test_what_is_wrong_with_a_token(access: str, message: str, tmp_path: Path) -> None:
    (found,) = problems(tmp_path, f"{HEAD}mirrors: [{{source: a/b, tags: [x]}}]\nedge: {{access: {access}}}\n", {})
    assert message in found


LONG = "a" * 200


def on_miss(*sources: str, more: str = "worker: true") -> str:
    return f"edge: {{zone: example.com, {more}, on_miss: {{mode: redirect, sources: [{', '.join(sources)}]}}}}\n"


def test_misses_are_redirected_to_where_the_layout_has_them(tmp_path: Path) -> None:
    edge = load(tmp_path, f"{CR}{on_miss('docker.io/library', 'quay.io/c/b', 'quay.io/c')}", {}).edge
    assert edge
    assert edge.on_miss == (
        MissSource("docker.io/library", "library", "https://registry-1.docker.io/v2/library"),
        MissSource("quay.io/c/b", "c/b", "https://quay.io/v2/c/b"),
        MissSource("quay.io/c", "c", "https://quay.io/v2/c"),
    )
    prefixed = f'{CR}defaults: {{target_prefix: "m/{{registry}}"}}\n{on_miss("quay.io/a", "docker.io/a")}'
    edge = load(tmp_path, prefixed, {}).edge
    assert edge
    assert [one.target for one in edge.on_miss] == ["m/docker.io/a", "m/quay.io/a"]


def test_misses_are_fetched_with_tokens_of_the_servers_that_are_known(tmp_path: Path) -> None:
    registries = "registries: {quay.io: {token_servers: [sso.example.com, 10.0.0.0/8, 'http://plain.example']}}\n"
    said = "{mode: proxy, sources: [docker.io/library, quay.io/c, gcr.io/d]}"
    edge = load(tmp_path, f"{CR}{registries}edge: {{zone: example.com, worker: true, on_miss: {said}}}\n", {}).edge
    assert edge
    assert {one.name: (one.limit, one.tokens) for one in edge.on_miss} == {
        "docker.io/library": (120, ("https://registry-1.docker.io", "https://auth.docker.io")),
        "quay.io/c": (120, ("https://quay.io", "https://sso.example.com")),
        "gcr.io/d": (120, ("https://gcr.io",)),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{CR}{on_miss('quay.io/x', more='worker: false')}",
            "4:42: edge.on_miss: needs `worker: true`: only the Worker knows the sources",
        ),
        *(
            (f"{CR}{on_miss(wrong)}", f"4:77: edge.on_miss.sources[0]: {wrong!r} is not part of a registry")
            for wrong in (
                "quay.io",
                "docker.io",
                "quay.io/a:1",
                "quay.io/../b",
                "https://quay.io/a",
                "quay.io/a/",
                "q.io/A",
            )
        ),
        (
            f"{CR}{on_miss('quay.io/x', 'gcr.io/x')}",
            "4:88: edge.on_miss.sources[1]: is x in the mirror, and so is quay.io/x; remove one of them",
        ),
        (
            f"{CR}{on_miss('quay.io/a')}",
            "4:77: edge.on_miss.sources[0]: would answer for a/b, which is mirrored from docker.io/a/b, with quay.io/a/b",
        ),
        (
            f"{CR}edge: {{zone: example.com, worker: true, on_miss: {{mode: store, sources: [q.io/c]}}}}\n",
            "4:57: edge.on_miss.mode: expected one of redirect, proxy, got store",
        ),
        (
            f"{CR}edge: {{zone: example.com, worker: true, on_miss: {{mode: redirect, limit: 9, sources: [q.io/c]}}}}\n",
            "4:74: edge.on_miss.limit: needs `mode: proxy`: clients that are redirected are not limited",
        ),
        (
            f"{CR}{on_miss(*(f'{number}.example/{LONG}{number}' for number in range(30)))}",
            "4:50: edge.on_miss: has 13441 bytes as JSON; a Worker takes 5000",
        ),
        (f"{CR}edge: {{}}\n", "4:1: edge.zone: is missing; write for example zone: example.com"),
        (f"{CR}edge:\n", "5:1: edge: expected keys with values, but the value is empty; write for example"),
        (f"{CR}edge: {{zone: example.com, zones: 1}}\n", "4:27: edge.zones: unknown key in edge; did you mean zone?"),
        (f"{CR}edge: {{zone: example.com, min_tls: 1.2}}\n", '4:36: edge.min_tls: expected one of "1.0"'),
        (f"{CR}edge: {{zone: example.com, location: mars}}\n", "4:37: edge.location: expected one of wnam, enam"),
        (
            f"{CR}edge: {{zone: example.com, digest_by_tag: true}}\n",
            "4:42: edge.digest_by_tag: expected one of experimental",
        ),
        (
            f"{CR}edge: {{zone: example.com, worker: true, cache: false}}\n",
            "4:48: edge.cache: is not valid with `worker: true`: the Worker caches by digest only; remove one of them",
        ),
        (f"{CR}edge: {{zone: Example_com}}\n", "4:14: edge.zone: 'Example_com' is not a valid zone: expected a name"),
        (f"{CR}edge: {{zone: example.org}}\n", "4:7: edge.hostname: cr.example.com is not in the zone example.org"),
        (f"{CR}edge: {{zone: r.example.com}}\n", "4:7: edge.hostname: cr.example.com is not in the zone r.example.com"),
        (
            f"{CR}edge: {{zone: example.com, hostname: c.example.com}}\n",
            "4:37: edge.hostname: c.example.com is not the host of store.public_url, cr.example.com; make the two the same",
        ),
        (
            f"{CR}edge: {{zone: example.com, hostname: 'a\" or true or \"'}}\n",
            "4:37: edge.hostname: 'a\" or true or \"' is not a valid hostname",
        ),
        (
            f"{R2_STORE % 'https://cr.example.com/sub'}edge: {{zone: example.com}}\n",
            "4:7: edge.hostname: store.public_url has the path /sub, but a custom domain shows a bucket at /; remove it",
        ),
        (
            f"{R2_STORE % 'https://pub-1.r2.dev'}edge: {{zone: r2.dev}}\n",
            "4:7: edge.hostname: pub-1.r2.dev is Cloudflare's own: rules do not work there",
        ),
        (
            f"version: 1\nmirrors: [{{source: a/b, tags: [x]}}]\nstore: {{type: r2, account_id: {'a' * 32}, bucket: cr-example}}\nedge: {{zone: a.com}}\n",
            "4:7: edge.hostname: is missing; write for example hostname: cr.example.com, or set store.public_url",
        ),
        (
            f"{HEAD}mirrors: [{{source: a/b, tags: [x]}}]\nedge: {{zone: example.com, hostname: cr.example.com}}\n",
            "4:1: edge: is only valid with a store of type r2; remove it or change store.type",
        ),
    ],
)
def test_what_is_wrong_with_an_edge(text: str, message: str, tmp_path: Path) -> None:
    found = problems(tmp_path, text, {})
    assert len(found) == 1, found
    assert found[0].startswith(message)


def test_the_hash_of_an_entry_changes_with_what_it_says_alone(tmp_path: Path) -> None:
    def entry(mirror: str, more: str = "") -> str:
        file = tmp_path / "mirrors.yaml"
        file.write_text(f"version: 1\nstore: {{type: file, path: ./m}}\n{more}mirrors:\n  - {mirror}\n")
        return load_mirrors(file, {}).mirrors[0].entry

    one = entry("{source: alpine, tags: [latest]}")
    assert len(one) == 64
    assert entry("{tags: ['latest'], source: alpine} # as before", "defaults: {prune: false}\n") == one
    assert entry("{source: alpine, tags: [latest, edge]}") != one


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("min_age: 3d", MinAge(timedelta(days=3))),
        ("min_age: 0s", None),
        ("min_age: {age: 1w, except: [nightly]}", MinAge(timedelta(days=7), exempt=(Exact("nightly"),))),
        ("min_age: {age: 3d, seen_by: [index, push]}", MinAge(timedelta(days=3), ("index", "push"))),
    ],
)
def test_a_waiting_time(tmp_path: Path, written: str, expected: MinAge | None) -> None:
    assert load(tmp_path, mirror(f"tags: [a]\n    {written}")).mirrors[0].min_age == expected


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("min_age: 400d", "mirrors[0].min_age: 400d is longer than a year"),
        ("min_age: {except: [a]}", "mirrors[0].min_age"),
        ("min_age: {age: 3d, seen_by: [log]}", "log needs signed_by with an identity"),
        ("min_age: {age: 3d, seen_by: [created]}", "mirrors[0].min_age.seen_by[0]"),
        ("min_age: {age: 3d, except: [{regex: '('}]}", "mirrors[0].min_age.except[0].regex"),
    ],
)
def test_a_waiting_time_that_cannot_be(tmp_path: Path, written: str, problem: str) -> None:
    assert any(problem in one for one in problems(tmp_path, mirror(f"tags: [a]\n    {written}")))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("17 3 * * *", Cron("17 3 * * *")),
        ("{cron: 17 3 * * *, timezone: Europe/Berlin}", Cron("17 3 * * *", "Europe/Berlin")),
        ("{every: 30m, jitter: 0s}", Every(timedelta(minutes=30), timedelta())),
    ],
)
def test_a_schedule_of_the_file_and_of_a_mirror(tmp_path: Path, written: str, expected: Schedule) -> None:
    found = load(tmp_path, f"{mirror('tags: [a]')}\n    schedule: {written}\nschedule: {written}")
    assert found.schedule == found.mirrors[0].schedule == expected


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("nightly", "schedule: 'nightly' is not a cron expression of five fields"),
        ("{cron: 61 * * * *}", "schedule.cron: '61 * * * *' is not a valid cron expression: bad minute"),
        ("{cron: 17 3 * * *, timezone: Berlin}", "schedule.timezone: 'Berlin' is not the name of a time zone"),
        ("{cron: 17 3 * * *, jitter: 2d}", "schedule.jitter: 2d is longer than a day"),
        ("{every: 1s}", "schedule.every: 1s is not between 10s and a year"),
        ("{every: 30m, jitter: 1h}", "schedule.jitter: has to be shorter than `every`"),
        ("{every: 30m, timezone: UTC}", "schedule"),
        ("{every: 30m, cron: 17 3 * * *}", "schedule: "),
        ("{}", "schedule: "),
    ],
)
def test_a_schedule_that_cannot_be(tmp_path: Path, written: str, problem: str) -> None:
    assert any(problem in one for one in problems(tmp_path, f"{mirror('tags: [a]')}\nschedule: {written}"))
    found = problems(tmp_path, mirror(f"tags: [a]\n    schedule: {written}"))
    assert any(f"mirrors[0].{problem}" in one for one in found)


def test_where_attachments_are(tmp_path: Path) -> None:
    text = mirror("tags: [a]\n    referrers_from: ghcr.io/Org/x").replace("Org", "org")
    found = load(tmp_path, f"{text}\n  - {{source: busybox, tags: [a]}}")
    assert [one.referrers_from for one in found.mirrors] == ["ghcr.io/org/x", None]
    assert list(found.attached.values()) == ["ghcr.io/org/x"]
    by_default = load(tmp_path, f"{mirror('tags: [a]')}\ndefaults: {{referrers_from: org/x}}")
    assert list(by_default.attached.values()) == ["docker.io/org/x"]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("referrers_from: oci:./x", "mirrors[0].referrers_from: 'oci:./x' is not a repository at a registry"),
        ("referrers_from: ghcr.io/a:1", "mirrors[0].referrers_from: repository 'ghcr.io/a:1'"),
        (
            "referrers_from: ghcr.io/x\n  - {source: alpine, target: c, tags: [a]}",
            "mirrors[1].referrers_from: mirrors[0] on line 4 mirrors docker.io/library/alpine too, with ghcr.io/x; write the same",
        ),
    ],
)
def test_where_attachments_cannot_be(tmp_path: Path, written: str, problem: str) -> None:
    found = problems(tmp_path, mirror(f"tags: [a]\n    {written}"))
    assert any(problem in one for one in found), found


def test_several_sources(tmp_path: Path) -> None:
    text = mirror("tags: [a]").replace("source: alpine", "source: [alpine, quay.io/org/alpine]")
    (one,) = load(tmp_path, text).mirrors
    assert one.source == "docker.io/library/alpine"
    assert one.target == "library/alpine"
    assert one.sources == ("docker.io/library/alpine", "quay.io/org/alpine")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("[]", "mirrors[0].source: is empty; write for example docker.io/library/alpine"),
        ("[alpine, docker.io/alpine]", "mirrors[0].source[1]: docker.io/library/alpine is there already; remove one"),
        ("[alpine, a:1]", "mirrors[0].source[1]: repository 'a:1'"),
        ("[a:1, alpine]", "mirrors[0].source[0]: repository 'a:1'"),
        ("[alpine, 5]", "mirrors[0].source[1]: YAML reads this as the number 5"),
        (
            "[alpine, quay.io/a]\n  - {source: alpine, target: c, tags: [a]}",
            "mirrors[1].source: mirrors[0] on line 4 mirrors docker.io/library/alpine too, followed by quay.io/a; write",
        ),
    ],
)
def test_wrong_sources(tmp_path: Path, source: str, problem: str) -> None:
    text = f"{HEAD}mirrors:\n  - tags: [a]\n    source: {source}\n"
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert problem in found[0]


def test_a_namespace(tmp_path: Path) -> None:
    more = "tags: [a]\n    exclude_repositories: ['*-test']\n    max_repositories: 7\n    target: 'prom/{name}'"
    text = mirror(more).replace("alpine", "quay.io/prometheus/*")
    found = load(tmp_path, text)
    (one,) = found.namespaces
    assert found.mirrors == ()
    assert (one.source, one.target, one.max_repositories) == ("quay.io/prometheus/*", "prom/*", 7)
    assert one.leaves_out("a-test")
    (hub,) = load(tmp_path, mirror("tags: [a]").replace("alpine", "grafana/*")).namespaces
    assert (hub.source, hub.target) == ("docker.io/grafana/*", "grafana/*")
    (whole,) = load(tmp_path, mirror("tags: [a]").replace("alpine", "registry.example.com/*")).namespaces
    assert (whole.source, whole.target) == ("registry.example.com/*", "*")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{source: 'quay.io/*/a', tags: [a]}", "expected [registry/]path of lower-case letters"),
        ("{source: 'oci:./a/*', tags: [a]}", "only repositories at registries can be named by `/*`"),
        ("{source: 'quay.io/UP/*', tags: [a]}", "expected [registry/]path of lower-case letters"),
        ("{source: ['quay.io/a/*', alpine], tags: [a]}", "has to be the only source"),
        ("{source: [alpine, 'quay.io/a/*'], tags: [a]}", "has to be the only source"),
        ("{source: 'quay.io/a/*', target: b, tags: [a]}", "has to contain the name of each repository once"),
        ("{source: 'quay.io/a/*', target: '{name}/{name}', tags: [a]}", "has to contain the name of each repository"),
        ("{source: 'quay.io/a/*', target: 'UP/{name}', tags: [a]}", "cannot be a target"),
        ("{source: quay.io/a/b, target: 'a/*', tags: [a]}", "* is only for a source that ends with /*"),
        ("{source: alpine, tags: [a], max_repositories: 5}", "is only valid with a source that ends with /*"),
        ("{source: alpine, tags: [a], exclude_repositories: [b]}", "is only valid with a source that ends with /*"),
        ("{source: 'quay.io/a/*', tags: [a], max_repositories: 1001}", "1000"),
        ("{source: 'r.io/a/*', tags: [a]}\n  - {source: 'r.io/a/*', target: 'x/*', tags: [a]}", "keep only one"),
        (
            "{source: 'r.io/a/*', tags: [a]}\n  - {source: 'r.io/a/b/*', target: 'x/*', tags: [a]}",
            "mirrors[1].source: mirrors[0] on line 4 has repositories of r.io/a/b/* too; add b/* to exclude_repositories",
        ),
        ("{source: 'r.io/a/*', tags: [a]}\n  - {source: 's.io/a/*', tags: [a]}", "is also the target of mirrors[0]"),
    ],
)
def test_a_namespace_that_cannot_be(tmp_path: Path, entry: str, problem: str) -> None:
    found = problems(tmp_path, f"{HEAD}mirrors:\n  - {entry}\n")
    assert len(found) == 1, found
    assert problem in found[0]


def test_a_namespace_within_another_that_leaves_it_out(tmp_path: Path) -> None:
    entries = "  - {source: 'r.io/a/*', exclude_repositories: ['b/*'], tags: [a]}\n  - {source: 'r.io/a/b/*', target: 'x/*', tags: [a]}\n"
    assert len(load(tmp_path, f"{HEAD}mirrors:\n{entries}").namespaces) == 2
