"""`r2mirror diff`, written out as a person reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from jsonschema import Draft202012Validator

from reconciler.access.config import TokenConfig
from reconciler.cli.render.review import review_document, review_markdown, review_text
from reconciler.edge.config import EdgeConfig, MissSource
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.model import Defaults, Failed, Mirror, Mirrors, Namespace
from reconciler.mirrors.notifiers import Notifier
from reconciler.mirrors.patterns import AnyOf, Entry, Exact, Glob, Kept, Locked, Pinned, Regex, Semver
from reconciler.mirrors.rename import Rename
from reconciler.mirrors.review import Edit, review
from reconciler.mirrors.schedule import Cron, Every
from reconciler.mirrors.schema_files import load_schema
from reconciler.oci.spec import Digest, Platform
from reconciler.signatures.signers import Identity, TrustedKey
from reconciler.sources.config import MirrorHost, RegistryConfig
from reconciler.stores.buckets import R2, S3
from reconciler.stores.folder import Folder
from reconciler.stores.image_layout import LayoutStore
from reconciler.stores.registry import Creation, Deletion, RegistryStore
from tests.parts.configurations import configuration_types
from tests.parts.images import image, write_layout
from tests.world import InProcess

if TYPE_CHECKING:
    from reconciler.stores.config import StoreConfig

OLD = """\
version: 1
store: {type: file, path: /m}
mirrors:
  - {source: alpine, tags: [latest, "3.17", {glob: "3.1*"}]}
  - {source: busybox, tags: [latest]}
  - {source: nginx, tags: [latest]}
"""
NEW = """\
version: 1
store: {type: s3, bucket: abc}
registries: {ghcr.io: {max_connections: 4}}
mirrors:
  - {source: nginx, target: web/nginx, tags: [latest], prune: false}
  - source: alpine
    tags: [{glob: "3.2*"}, latest, {semver: ">1", newest: 3, variant: "a*"}]
    platforms: [linux/amd64]
"""


EDGE = """\
version: 1
store: {type: r2, account_id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bucket: abc, public_url: "https://cr.example.com"}
edge: {zone: example.com}
mirrors: [{source: a/b, tags: [x]}]
"""


def test_an_edge(tmp_path: Path) -> None:
    without = EDGE.replace("edge: {zone: example.com}\n", "")
    assert review_text(edits(tmp_path, EDGE, EDGE.replace("example.com}", "example.com, cache: false}"))) == (
        "~ edge cr.example.com\n    cache: true -> false\nmirrors.yaml: 0 added, 1 changed, 0 removed.\n"
    )
    assert review_text(edits(tmp_path, EDGE, without)) == (
        "- edge cr.example.com\n"
        "    its rules stay in the zone: `r2mirror edge apply --remove` with the old file removes them\n"
        "mirrors.yaml: 0 added, 0 changed, 1 removed.\n"
    )
    assert [edit.kind for edit in edits(tmp_path, without, EDGE)] == ["added"]


def edits(folder: Path, old: str, new: str) -> tuple[Edit, ...]:
    (folder / "old.yaml").write_text(old)
    (folder / "new.yaml").write_text(new)
    return review(load_mirrors(folder / "old.yaml", None), load_mirrors(folder / "new.yaml", None))


def test_an_edit_in_words(tmp_path: Path) -> None:
    found = edits(tmp_path, OLD, NEW)
    assert review_text(found) == (
        "~ library/alpine\n"
        "    platforms: all -> linux/amd64\n"
        '    tags: + glob "3.2*"; + semver ">1", variant "a*", newest 3; - 3.17; - glob "3.1*"\n'
        "- library/busybox\n"
        "    no longer mirrored from docker.io/library/busybox; the next apply prunes its tags\n"
        "- library/nginx\n"
        "    no longer mirrored from docker.io/library/nginx; the next apply prunes its tags\n"
        "    that source is now mirrored to web/nginx\n"
        "+ web/nginx\n"
        "    source: docker.io/library/nginx\n"
        "    tags: latest\n"
        "    platforms: all\n"
        "    prune: false\n"
        "    retain: 7d\n"
        "+ registry ghcr.io\n"
        "    max_connections: 4\n"
        "~ store\n"
        "    bucket: not set -> abc\n"
        "    path: /m -> not set\n"
        "    type: file -> s3\n"
        "mirrors.yaml: 2 added, 2 changed, 2 removed.\n"
    )
    Draft202012Validator(load_schema("review")).validate(review_document(found))
    assert review_markdown(found).startswith(
        "**mirrors.yaml: 2 added, 2 changed, 2 removed.**\n"
        "\n"
        "- `-` **library/busybox**\n"
        "  - no longer mirrored from docker.io/library/busybox; the next apply prunes its tags\n"
    )
    assert '+ `glob "3.2*"`; + `semver ">1", variant "a*", newest 3`; - `3.17`' in review_markdown(found)


NAMESPACE = Namespace("quay.io/a/*", "a/*", (Exact("1"),), (), (), None, True, timedelta(days=7))
MIRROR = Mirror("docker.io/a/b", "a/b", (Exact("1"),), (), (), None, True, timedelta(days=7))
STORES: tuple[StoreConfig, ...] = (
    R2("a" * 32, "abc", "default", None, None),
    S3("abc", None, None, None, None),
    Folder(Path("/m"), None),
    RegistryStore("registry.example.com", Folder(Path("/m"), None), create=Creation()),
    LayoutStore(Path("/m")),
)


def mirrors(**settings: Any) -> Mirrors:
    given: dict[str, Any] = {"store": STORES[2], "registries": {}, "mirrors": (MIRROR,), "defaults": Defaults()}
    return Mirrors(**{**given, "folder": Path("/"), "sha256": "0" * 64, **settings})


OTHERS_OF_NOTHING: dict[str, Any] = {
    "platforms": (Platform("linux", "amd64"),),
    "newest": 4,
    "lines": 4,
    "per": ("minor",),
    "floating": True,
    "order": "text",
    "min_age": MinAge(timedelta(days=1)),
    "rename": Rename("{tag}-mirror"),
    "schedule": Every(timedelta(hours=1)),
    "jitter": timedelta(minutes=1),
    "max_connections": 4,
    "ca_file": Path("/x"),
    "client_cert": Path("/x"),
    "client_key": Path("/x"),
    "trusted_root": Path("/x"),
    "lifecycle_policy_file": Path("/x"),
}
OTHERS: dict[type, Callable[[Any], Any]] = {
    bool: lambda value: not value,
    int: lambda value: value + 1,
    str: lambda value: f"{value}x",
    type(Path()): lambda value: value / "x",
    timedelta: lambda value: 2 * value,
    Digest: lambda _: Digest("sha256", "f" * 64),
    tuple: lambda _: (Exact("x"),),
    Kept: lambda _: Kept(newest=4),
    Folder: lambda value: replace(value, path=value.path / "x"),
    Creation: lambda value: replace(value, scan_on_push=not value.scan_on_push),
    Deletion: lambda _: Deletion.UNTAG,
}


def other(value: Any, name: str) -> Any:
    """A value of the same type that means something else."""
    if value is None or name == "per":
        return OTHERS_OF_NOTHING.get(name, "x")
    if name == "seen_by":
        return ("index", "another")
    if name == "mirrors":
        return (MirrorHost("a.example.com"), MirrorHost("b.example.com", "hub", resolves=True))
    return (TrustedKey("k.pub", b""),) if name == "signed_by" else OTHERS[type(value)](value)


def variants(thing: Any, *, left_out: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any]]:
    """A thing with one field changed, for each of its fields."""
    for field in fields(thing):
        if field.compare and field.name not in left_out:
            value = getattr(thing, field.name)
            changed = (
                (("team", "x"),) if isinstance(thing, Creation) and field.name == "tags" else other(value, field.name)
            )
            yield field.name, replace(thing, **{field.name: changed})


PATTERNS = (
    Exact("1"),
    Pinned("1", Digest("sha256", "a" * 64)),
    Glob("1*"),
    Regex("1.*"),
    Semver(">=1"),
    AnyOf((Glob("1*"), Glob("2*"))),
    Entry((Glob("1*"),)),
)
KEPT = Kept(2)
EDGE_CONFIG = EdgeConfig("example.com", "cr.example.com")
MISS_SOURCE = MissSource("quay.io/a", "a", "https://quay.io/v2/a")
TOKEN = TokenConfig("ci", ("a/*",))
NOTIFIER = Notifier("webhook", "HOOK", secret_env="KEY")
SIGNERS = (TrustedKey("a.pub", b""), Identity("me@example.com", "https://issuer.example.com"))
MIN_AGE = MinAge(timedelta(days=3))
SCHEDULES = (Every(timedelta(hours=2)), Cron("17 3 * * *"))
MIRROR_HOST = MirrorHost("cache.example.com")
# Of a key only the name is in the file.
CHANGED = [
    ("name", mirrors(), mirrors(name="team")),
    ("history", mirrors(), mirrors(history=timedelta(days=30))),
    ("schedule", mirrors(), mirrors(schedule=Every(timedelta(hours=1)))),
    *(
        (f"{type(schedule).__name__} {name}", mirrors(schedule=schedule), mirrors(schedule=one))
        for schedule in SCHEDULES
        for name, one in variants(schedule)
    ),
    *((f"mirror {name}", mirrors(mirrors=(MIRROR,)), mirrors(mirrors=(one,))) for name, one in variants(MIRROR)),
    *(
        (f"namespace {name}", mirrors(namespaces=(NAMESPACE,)), mirrors(namespaces=(one,)))
        for name, one in variants(NAMESPACE)
    ),
    *(
        (f"{type(store).__name__} {name}", mirrors(store=store), mirrors(store=one))
        for store in STORES
        for name, one in variants(store)
    ),
    *(
        (f"Creation {name}", mirrors(store=STORES[3]), mirrors(store=replace(STORES[3], create=one)))  # type: ignore[type-var]
        for name, one in variants(Creation())
    ),
    *(
        (f"registry {name}", mirrors(registries={"a.b": RegistryConfig()}), mirrors(registries={"a.b": one}))
        for name, one in variants(RegistryConfig())
    ),
    *(
        (
            f"mirror host {name}",
            mirrors(registries={"a.b": RegistryConfig(mirrors=(MIRROR_HOST,))}),
            mirrors(registries={"a.b": RegistryConfig(mirrors=(one,))}),
        )
        for name, one in variants(MIRROR_HOST)
    ),
    *(
        (f"notifier {name}", mirrors(notifiers=(NOTIFIER,)), mirrors(notifiers=(one,)))
        for name, one in variants(NOTIFIER)
    ),
    *((f"edge {name}", mirrors(edge=EDGE_CONFIG), mirrors(edge=one)) for name, one in variants(EDGE_CONFIG)),
    *(
        (
            f"source of misses {name}",
            mirrors(edge=replace(EDGE_CONFIG, on_miss=(MISS_SOURCE,))),
            mirrors(edge=replace(EDGE_CONFIG, on_miss=(one,))),
        )
        # The others follow from it, from `target_prefix` and from `registries`.
        for name, one in variants(MISS_SOURCE, left_out=frozenset({"target", "url", "tokens"}))
    ),
    *(
        (f"token {name}", mirrors(access={"ci": TOKEN}), mirrors(access={one.name: one}))
        for name, one in variants(TOKEN)
    ),
    *(
        (
            f"{type(pattern).__name__} {name} in {key}",
            mirrors(),
            mirrors(mirrors=(replace(MIRROR, **cast("Any", {key: (one,)})),)),
        )
        for pattern in PATTERNS
        for name, one in variants(pattern)
        for key in ("tags", "exclude", "immutable")
    ),
    *(
        (
            f"kept {name}",
            mirrors(mirrors=(replace(MIRROR, tags=(Entry((Glob("1*"),), kept=KEPT),)),)),
            mirrors(mirrors=(replace(MIRROR, tags=(Entry((Glob("1*"),), kept=one),)),)),
        )
        for name, one in variants(KEPT)
    ),
    *(
        (
            f"{type(signer).__name__} {name}",
            mirrors(mirrors=(replace(MIRROR, signed_by=(signer,)),)),
            mirrors(mirrors=(replace(MIRROR, signed_by=(one,)),)),
        )
        for signer in SIGNERS
        for name, one in variants(signer, left_out=frozenset({"pem"}))
    ),
    *(
        (
            f"min_age {name}",
            mirrors(mirrors=(replace(MIRROR, min_age=MIN_AGE),)),
            mirrors(mirrors=(replace(MIRROR, min_age=one),)),
        )
        for name, one in variants(MIN_AGE)
    ),
    *((f"defaults {name}", mirrors(), mirrors(defaults=one)) for name, one in variants(Defaults())),
]


@pytest.mark.parametrize(("old", "new"), [one[1:] for one in CHANGED], ids=[one[0] for one in CHANGED])
def test_no_field_of_any_configuration_changes_unseen(old: Mirrors, new: Mirrors) -> None:
    assert review(old, new)
    assert not review(old, old)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: type(pattern).__name__)
def test_each_field_of_a_pattern_is_in_its_spelling(pattern: Any) -> None:
    spelled = [str(one) for _, one in variants(pattern)]
    assert len({str(pattern), *spelled}) == len(fields(pattern)) + 1


HEAD = "version: 1\nstore: {type: file, path: ./m}\nmirrors:\n"
WORDS = {
    "newest: 3": 'semver "1", newest 3',
    "newest: 1, per: minor": 'semver "1", newest 1, per minor',
    "newest: 1, per: [major, variant], lines: 2": 'semver "1", newest 1, per major and variant, lines 2',
    "newest: 3, floating: true": 'semver "1", newest 3, floating true',
    "newest: 3, floating: false": 'semver "1", newest 3, floating false',
    "newest: 3, order: number": 'semver "1", newest 3, order number',
    "variant: [alpine, '']": 'semver "1", variant "alpine" or ""',
    "exclude: [1.2.3, {glob: '*-rc*'}]": 'semver "1", except 1.2.3 or glob "*-rc*"',
    "regex: ['a.*', 'b.*']": '(regex "a.*" or regex "b.*") and semver "1"',
}


@pytest.mark.parametrize(("keys", "words"), WORDS.items())
def test_each_key_of_an_entry_is_told_in_words(keys: str, words: str, tmp_path: Path) -> None:
    old = f"{HEAD}  - {{source: alpine, tags: [{{semver: '1'}}]}}\n"
    new = f"{HEAD}  - {{source: alpine, tags: [{{semver: '1', {keys}}}]}}\n"
    found = edits(tmp_path, old, new)
    assert f'    tags: + {words}; - semver "1"\n' in review_text(found)
    assert f'tags: + `{words}`; - `semver "1"`' in review_markdown(found)


def test_what_many_mirrors_have_in_common_is_said_once(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(8)]
    entries = "".join(f"  - {{source: {name}, tags: [latest]}}\n" for name in names)
    old = f"version: 1\nstore: {{type: file, path: /m}}\ndefaults: {{platforms: [linux/amd64]}}\nmirrors:\n{entries}"
    new = old.replace("linux/amd64]", "linux/amd64, linux/arm/v7]").replace(
        "source: a7,", "source: a7, referrers: true,"
    )
    found = edits(tmp_path, old, new)
    assert review_text(found) == (
        "~ defaults (8 mirrors)\n"
        "    platforms: + linux/arm/v7\n"
        "    library/a0, library/a1, library/a2, library/a3, library/a4 and 3 more\n"
        "~ library/a7\n"
        "    referrers: false -> true\n"
        "mirrors.yaml: 0 added, 9 changed, 0 removed.\n"
    )
    assert len(review_document(found)["edits"]) == 9, "JSON has each mirror for itself"


def test_a_pattern_is_shown_to_the_letter_and_cannot_be_markup(tmp_path: Path) -> None:
    pattern = r"a`*_b_*[x](https://e.example)|@team ![i](https://e.example/i.png)"
    old = "version: 1\nstore: {type: file, path: /m}\nmirrors: [{source: a, tags: [x]}]\n"
    found = edits(tmp_path, old, old.replace("[x]", f"[{{glob: {pattern!r}}}]"))
    assert f'+ ``glob "{pattern}"``' in review_markdown(found)


def test_order_and_formatting_mean_nothing(tmp_path: Path) -> None:
    other = """\
version: 1
store:
  type: file
  path: /m
mirrors:
  - source: docker.io/library/nginx
    target: library/nginx
    tags: ["latest"]
  - source: docker.io/busybox
    tags: [latest]
  - source: alpine
    platforms: all
    tags:
      - {glob: "3.1*"}
      - "3.17"  # the old one
      - latest
"""
    assert edits(tmp_path, OLD, other) == ()
    assert review_text(()) == "mirrors.yaml: no change in meaning.\n"


@pytest.mark.parametrize("prune", ["true", "false"])
def test_what_becomes_of_a_mirror_that_goes(prune: str, tmp_path: Path) -> None:
    (busybox,) = (
        edit
        for edit in edits(
            tmp_path,
            OLD,
            OLD.replace("  - {source: busybox, tags: [latest]}\n", "") + f"defaults: {{prune: {prune}}}\n",
        )
        if edit.name == "library/busybox"
    )
    assert ("prunes its tags" in busybox.words[0]) == (prune == "true")


def test_a_new_file_adds_everything(tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(NEW)
    found = review(None, load_mirrors(tmp_path / "new.yaml", None))
    assert {edit.kind for edit in found} == {"added"}
    assert {edit.name for edit in found} >= {"web/nginx", "library/alpine", "ghcr.io", "store"}


def test_one_command_writes_the_whole_comment(tmp_path: Path) -> None:
    write_layout(tmp_path / "images", {"a": image({"a": "1"}), "b": image({"b": "2"})})
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["a", "b"]})
    world.run("plan", "--out", "plan.json")
    (tmp_path / "empty.yaml").touch()
    whole = world.run("review", "empty.yaml", "mirrors.yaml", "--plan", "plan.json").stdout
    assert whole.startswith("<!-- r2mirror -->\n\n**mirrors.yaml: ")
    assert "**Plan: 2 to add, 0 to update, 0 to prune; 0 unchanged.**" in whole
    assert len(world.run("review", "empty.yaml", "mirrors.yaml", "--max-chars", "1000").stdout) <= 1000
    assert "Plan:" not in world.run("review", "empty.yaml", "mirrors.yaml").stdout
    assert "plan.json" in world.run("review", "empty.yaml", "mirrors.yaml", "--plan", "../plan.json", code=1).stderr


def test_the_command(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {})
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    assert "~ library/alpine" in world.run("diff", "old.yaml", "new.yaml", "--detailed-exitcode", code=2).stdout
    assert world.run("diff", "old.yaml", "old.yaml", "--detailed-exitcode").stdout.endswith("no change in meaning.\n")
    assert world.run("diff", "old.yaml", "new.yaml", "--format", "json").stdout.startswith('{\n  "version": 1')
    assert world.run("diff", "old.yaml", "new.yaml", "--format", "markdown").stdout.startswith("**mirrors.yaml")
    assert "missing.yaml" in world.run("diff", "old.yaml", "missing.yaml", code=1).stderr


def test_a_new_name_says_what_becomes_of_the_repositories() -> None:
    assert review_text(review(mirrors(), mirrors(name="team-b"))) == (
        "~ name\n    name: default -> team-b\n"
        "    its repositories still belong to default: r2mirror adopt gives them to team-b\n"
        "mirrors.yaml: 0 added, 1 changed, 0 removed.\n"
    )


def test_a_shorter_history_is_shown() -> None:
    assert review_text(review(mirrors(), mirrors(history=timedelta(days=30)))) == (
        "~ history\n    history: 400d -> 30d\nmirrors.yaml: 0 added, 1 changed, 0 removed.\n"
    )


def test_a_waiting_time_that_is_lowered_is_said_to_be() -> None:
    long, short = (replace(MIRROR, min_age=MinAge(timedelta(days=days), exempt=(Glob("n*"),))) for days in (3, 1))
    assert review_text(review(mirrors(mirrors=(long,)), mirrors(mirrors=(short,)))) == (
        '~ a/b\n    min_age: 3d, except glob "n*" -> 1d, except glob "n*"\n'
        "    min_age is lowered: images that wait are published sooner, after 1d\n"
        "mirrors.yaml: 0 added, 1 changed, 0 removed.\n"
    )
    gone = review_text(review(mirrors(mirrors=(long,)), mirrors()))
    assert "published sooner, after no time at all" in gone
    assert "lowered" not in review_text(review(mirrors(mirrors=(short,)), mirrors(mirrors=(long,))))


def test_no_type_of_configuration_is_left_out_of_the_test_of_reviews() -> None:
    varied = {
        type(one)
        for one in (
            MIRROR,
            NAMESPACE,
            *STORES,
            Creation(),
            *PATTERNS,
            KEPT,
            *SIGNERS,
            RegistryConfig(),
            MIRROR_HOST,
            EDGE_CONFIG,
            MISS_SOURCE,
            TOKEN,
            NOTIFIER,
            Defaults(),
            MIN_AGE,
            Rename("{tag}-mirror"),
            *SCHEDULES,
        )
    }
    # Not in the file: what a run finds, and what mirrors.lock has.
    assert {Mirrors, Failed, Locked, *varied} == configuration_types()


def test_no_field_of_the_file_as_a_whole_is_left_out_of_the_test_of_reviews() -> None:
    names = {field.name for field in fields(Mirrors)}
    varied = {name for name in names for _, old, new in CHANGED if getattr(old, name) != getattr(new, name)}
    assert names - varied == {"failed", "folder", "include", "label", "sha256", "store_name", "stores"}, (
        "where the file is, how it is written, and what a run finds"
    )


def test_stores_are_shown_by_their_names() -> None:
    one, other = STORES[0], STORES[1]
    before = mirrors(store=one, stores={"public": one, "office": other}, mirrors=(MIRROR,))
    after = mirrors(store=one, stores={"public": one}, mirrors=(replace(MIRROR, stores=("public",)),))
    found = {(edit.about, edit.name, edit.kind): edit.words for edit in review(before, after)}
    assert found == {
        ("mirror", MIRROR.target, "changed"): ("stores: + public",),
        ("store", "office", "removed"): ("what it holds stays; no apply changes it any more",),
    }


def test_the_order_of_mirrors_counts() -> None:
    hosts = (MirrorHost("a.example.com", "hub"), MirrorHost("b.example.com", resolves=True))
    before, after = (RegistryConfig(mirrors=one) for one in (hosts, hosts[::-1]))
    (edit,) = review(mirrors(registries={"a.b": before}), mirrors(registries={"a.b": after}))
    spelled = ("a.example.com/hub", "b.example.com (resolve: true)")
    assert edit.words == (f"mirrors: {', '.join(spelled)} -> {', '.join(spelled[::-1])}",)
