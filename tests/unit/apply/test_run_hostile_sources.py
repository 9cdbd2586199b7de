"""Sources that misbehave, each through the whole pipeline, beside one that does not.

Whatever a source does: nothing wrong is published, nothing is pruned, no credential goes where it does not belong, the
error names what happened, and the other repositories are done.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from reconciler.apply.apply import apply
from reconciler.apply.outcome import Done, Failed
from reconciler.apply.settings import Resources, Settings
from reconciler.http import speed
from reconciler.http.patience import Patience
from reconciler.mirrors.model import Defaults, Mirror, Mirrors
from reconciler.mirrors.patterns import Glob
from reconciler.plan.plan import plan_for
from reconciler.plan.resolve import resolve
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from reconciler.sources.registry import Registry
from reconciler.sources.repository import RegistrySource
from reconciler.stores.folder import Folder, FolderStore
from reconciler.target.in_store import InStore
from reconciler.target.index_json import parse
from reconciler.target.layout import MIRROR_INDEX
from reconciler.target.ledger import read_index
from tests.bench import Silent
from tests.parts.images import OCI_INDEX, OCI_MANIFEST, Image, digest_of, image, index
from tests.parts.logins import Given
from tests.parts.lying_registry import LyingRegistry, start_lying_registry
from tests.parts.scripted_server import Answer
from tests.world import from_folder, walk

if TYPE_CHECKING:
    from reconciler.apply.outcome import Event
    from reconciler.plan.plan import Plan

USER, PASSWORD, TOKEN = "canary-user", "canary-password", "canary-token"
BASE = {"base": bytes(range(256)) * 20}


def app(version: str) -> Image:
    return index(*(image(BASE, {"v": version}, platform=f"linux/{name}") for name in ("amd64", "arm64")))


V1, V2, V3, HEALTHY = (app(name) for name in ("1", "2", "3", "healthy"))
LAYER = list(V3.children[0].blobs)[-1]
CHILD = V3.children[0]
TAGS = "/v2/team/lying/tags/list?n=1000"


def manifest(reference: str) -> str:
    return f"/v2/team/lying/manifests/{reference}"


def blob(digest: str) -> str:
    return f"/v2/team/lying/blobs/{digest}"


@dataclass
class Scene:
    """A lying registry, whose `1` and `2` were mirrored soundly before, another host, and a folder as the bucket."""

    lying: LyingRegistry
    elsewhere: LyingRegistry
    folder: Path
    stack: ExitStack
    sleeps: list[float] = field(default_factory=list)

    def serve(self, repository: str, **tags: Image) -> None:
        headers = {"Content-Type": OCI_INDEX}
        self.lying.on(f"GET /v2/{repository}/tags/list?n=1000", Answer(body=json.dumps({"tags": list(tags)}).encode()))
        for tag, one in tags.items():
            for each in one.manifests():
                for reference in (tag, each.digest) if each is one else (each.digest,):
                    headers = {"Content-Type": each.media_type, "Docker-Content-Digest": each.digest}
                    for method in ("HEAD", "GET"):
                        path = f"{method} /v2/{repository}/manifests/{reference}"
                        self.lying.on(path, Answer(200, headers, each.body))
            for digest, body in one.all_blobs().items():
                self.lying.on(f"GET /v2/{repository}/blobs/{digest}", Answer(body=body))

    def run(self) -> tuple[Plan, list[Event]]:
        """A new process: plan and apply."""
        registry = Registry(
            self.lying.host,
            RegistryConfig(plain_http=True),
            Given(Credentials(USER, PASSWORD)),
            Patience(attempts=3, sleep=self.sleeps.append),
        )
        self.stack.callback(registry.close)
        entries = tuple(
            Mirror(f"{self.lying.host}/team/{name}", name, (Glob("*"),), (), (), None, True, timedelta(days=7))
            for name in ("lying", "healthy")
        )
        mirrors = Mirrors(Folder(self.folder, None), {}, entries, Defaults(), self.folder, "0" * 64)
        store = FolderStore(self.folder)

        def open_source(source: str) -> RegistrySource:
            return RegistrySource(registry, source.partition("/")[2])

        with ThreadPoolExecutor(4) as one, ThreadPoolExecutor(4) as two:
            observed = read_index(store)
            desired = resolve(mirrors, lambda: observed.index, open_source, one)
            plan = plan_for(desired, observed.index, observed.etag, mirrors.sha256)
            resources = Resources(open_source, InStore(store, store), one, two, Silent())
            return plan, list(apply(plan, resources, Settings("apply", lambda _: timedelta(days=7))))


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(speed, "WINDOW", 0.2)
    with ExitStack() as stack:
        scene = Scene(
            stack.enter_context(start_lying_registry()),
            stack.enter_context(start_lying_registry()),
            tmp_path / "mirror",
            stack,
        )
        scene.serve("team/lying", **{"1": V1, "2": V2})
        scene.serve("team/healthy", **{"1": HEALTHY})
        scene.run()
        scene.serve("team/lying", **{"2": V2, "3": V3})
        scene.serve("team/healthy", **{"1": HEALTHY, "new": V1})
        scene.lying.asked.clear()
        yield scene


def answers(*rules: tuple[str, Answer]) -> Callable[[Scene], None]:
    def lie(scene: Scene) -> None:
        for path, answer in rules:
            for method in ("GET", "HEAD") if "/manifests/" in path else ("GET",):
                scene.lying.on(f"{method} {path}", answer)

    return lie


def body_of(body: bytes, media_type: str = OCI_MANIFEST) -> Answer:
    """A manifest that is as it says: its digest is right, whatever is in it."""
    return Answer(200, {"Content-Type": media_type, "Docker-Content-Digest": digest_of(body)}, body)


def tag_3(body: bytes, media_type: str = OCI_MANIFEST) -> Callable[[Scene], None]:
    return answers((manifest("3"), body_of(body, media_type)), (manifest(digest_of(body)), body_of(body, media_type)))


def nested_without_end(scene: Scene) -> None:
    """Each index has one more index in it; 40 of them."""
    inner: Image = image({"x": "1"})
    for _ in range(40):
        inner = index(inner)
        answers((manifest(inner.digest), body_of(inner.body, OCI_INDEX)))(scene)
    answers((manifest("3"), body_of(inner.body, OCI_INDEX)))(scene)


def claims_to_contain_itself(scene: Scene) -> None:
    entry = {"mediaType": OCI_INDEX, "digest": f"sha256:{'5' * 64}", "size": 300}
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode().ljust(300)
    tag_3(body, OCI_INDEX)(scene)
    answers((manifest(f"sha256:{'5' * 64}"), Answer(200, {"Content-Type": OCI_INDEX}, body)))(scene)


def link_loop(scene: Scene) -> None:
    page = Answer(200, {"Link": f'<{TAGS}&last=3>; rel="next"'}, b'{"tags": ["2", "3"]}')
    answers((TAGS, page), (f"{TAGS}&last=3", page))(scene)


def link_elsewhere(scene: Scene) -> None:
    answers((TAGS, Answer(200, {"Link": f'<{scene.elsewhere.url}/next>; rel="next"'}, b'{"tags": ["2"]}')))(scene)


def challenge(scene: Scene, realm: str) -> None:
    scene.lying.by_request[f"GET {TAGS}"].clear()
    answers((TAGS, Answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})))(scene)


def realm_elsewhere(scene: Scene) -> None:
    challenge(scene, "https://token.example.com/token")


def realm_over_http(scene: Scene) -> None:
    challenge(scene, "http://token.example.com/token")


def redirect(scene: Scene, to: str) -> None:
    scene.lying.wants = (f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}", 'Basic realm="r"')
    answers((blob(LAYER), Answer(307, {"Location": to})))(scene)


def redirect_elsewhere(scene: Scene) -> None:
    """To a host that answers, and wants to know who asks."""
    scene.elsewhere.on("GET /layer", Answer(401, {"WWW-Authenticate": 'Basic realm="give it to me"'}))
    redirect(scene, f"{scene.elsewhere.url.replace('127.0.0.1', 'localhost')}/layer")


def wants_token(scene: Scene, token: str = TOKEN) -> None:
    scene.lying.wants = (f"Bearer {TOKEN}", f'Bearer realm="{scene.lying.url}/token",service="s"')
    for name, given in (("lying", token), ("healthy", TOKEN)):
        query = urlencode({"service": "s", "scope": f"repository:team/{name}:pull", "account": USER})
        scene.lying.on(f"GET /token?{query}", Answer(body=json.dumps({"token": given}).encode()))


def redirect_with_a_token(scene: Scene) -> None:
    redirect_elsewhere(scene)
    wants_token(scene)


def token_that_is_none(scene: Scene) -> None:
    """One that no header can have."""
    wants_token(scene, f"{TOKEN} ")


def redirect_to_metadata(scene: Scene) -> None:
    redirect(scene, "http://169.254.169.254/latest/meta-data/")


def redirect_to_a_file(scene: Scene) -> None:
    redirect(scene, "file:///etc/passwd")


def moves_while_copied(scene: Scene) -> None:
    """HEAD still says the old image, and by the time it is fetched the registry has forgotten it."""
    answers(*((manifest(each.digest), Answer(404)) for each in V3.manifests()))(scene)
    scene.lying.on(
        f"HEAD {manifest('3')}", Answer(200, {"Content-Type": OCI_INDEX, "Docker-Content-Digest": V3.digest}, V3.body)
    )


def without_its_type(one: Image) -> bytes:
    return json.dumps({name: value for name, value in json.loads(one.body).items() if name != "mediaType"}).encode()


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
MANIFEST = json.loads(CHILD.body)
LIES: dict[str, tuple[Callable[[Scene], None], str]] = {
    "a manifest with another digest": (
        answers((manifest(CHILD.digest), body_of(V1.children[0].body))),
        f"of {V1.children[0].digest}",
    ),
    "a blob with another digest": (answers((blob(LAYER), Answer(body=bytes(len(V3.all_blobs()[LAYER]))))), "digest is"),
    "a short blob": (answers((blob(LAYER), Answer(body=V3.all_blobs()[LAYER][:-1]))), "after 94 of 95 bytes"),
    "a blob that is cut off": (answers((blob(LAYER), Answer(body=V3.all_blobs()[LAYER], cut=5))), "breaks off"),
    "a blob that does not end": (answers((blob(LAYER), Answer(body=bytes(65536), repeat=2000))), "is longer than"),
    "a blob that is longer": (answers((blob(LAYER), Answer(body=V3.all_blobs()[LAYER] + b"x"))), "is longer than"),
    "a manifest of more than 4 MiB": (tag_3(CHILD.body.ljust(4 * 1024 * 1024 + 1)), "4194304"),
    "a manifest that does not end": (
        answers((manifest(CHILD.digest), Answer(200, {"Content-Type": OCI_MANIFEST}, bytes(65536), repeat=2000))),
        "more than",
    ),
    "JSON that is nested deeply": (tag_3(DEEP), "nested too deeply"),
    "a number without end": (tag_3(b'{"schemaVersion":2,"layers":[{"size":' + b"9" * 100_000 + b"}]}"), "not JSON"),
    "a number beyond all numbers": (tag_3(CHILD.body.replace(b'"size":', b'"size":1e999,"was":')), "size"),
    "a size beyond reason": (
        tag_3(json.dumps({**MANIFEST, "layers": [{**MANIFEST["layers"][0], "size": 10**40}]}).encode()),
        "out of range",
    ),
    "a key twice": (tag_3(b'{"schemaVersion":2,"schemaVersion":2,"layers":[]}'), "twice"),
    "an index that claims to contain itself": (claims_to_contain_itself, "bytes of this digest"),
    "indexes nested without end": (nested_without_end, "nested more than"),
    "an image announced as an index": (tag_3(CHILD.body, OCI_INDEX), "announced as"),
    "an index announced as an image": (tag_3(V3.body, OCI_MANIFEST), "announced as"),
    "an image without a type announced as an index": (tag_3(without_its_type(CHILD), OCI_INDEX), "of the other kind"),
    "an index without a type announced as an image": (tag_3(without_its_type(V3), OCI_MANIFEST), "of the other kind"),
    "an image and an index at once": (
        tag_3(json.dumps({**MANIFEST, "manifests": [], "mediaType": OCI_MANIFEST}).encode()),
        "could be read as either",
    ),
    "a schema 1 image": (tag_3(b'{"schemaVersion":1}', OCI_MANIFEST), "schema 1"),
    "pages in a circle": (link_loop, "circle"),
    "a next page elsewhere": (link_elsewhere, "leads elsewhere"),
    "a tag list that is none": (answers((TAGS, Answer(body=b'{"tags": {"1": 2}}'))), "tag list"),
    "a tag list without tags": (answers((TAGS, Answer(body=b'{"tags": []}'))), "lists no tags at all"),
    "a token realm elsewhere": (realm_elsewhere, "another party's"),
    "a token realm over plain http": (realm_over_http, "is plain http"),
    "a redirect to a host that wants a password": (redirect_elsewhere, "answered 401"),
    "a redirect to a host that wants a token": (redirect_with_a_token, "answered 401"),
    "a token that is none": (token_that_is_none, "has no token"),
    "a redirect to a link-local address": (redirect_to_metadata, "169.254.169.254"),
    "a redirect to a file": (redirect_to_a_file, "redirects to file:"),
    "a tag that moves while it is copied": (moves_while_copied, "no such manifest"),
    "a limit that stays": (answers((manifest("3"), Answer(429, {"Retry-After": "600"}))), "try again in 600 s"),
    "a list behind a limit that stays": (answers((TAGS, Answer(429))), "429"),
    "errors that stay": (answers((blob(LAYER), Answer(500))), "500"),
    "headers that trickle": (answers((manifest("3"), Answer(pause=0.01, slow_headers=True))), "bytes a second"),
    "a blob that trickles": (answers((blob(LAYER), Answer(body=bytes(100_000), pause=0.005))), "bytes a second"),
    "headers without end": (
        answers((manifest("3"), Answer(raw=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, repeat=1000))),
        "do not end",
    ),
    "an answer that quotes what it was asked": (
        answers((manifest("3"), Answer(raw=f"HTTP/1.1 200 OK\r\nAuthorization {PASSWORD}\r\n\r\n".encode()))),
        "illegal header line",
    ),
    "a blob that is gone": (answers((blob(LAYER), Answer(404))), "no such blob"),
}


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_affects_no_other_repository_and_is_named(lie: str, scene: Scene) -> None:
    tell, why = LIES[lie]
    tell(scene)
    plan, events = scene.run()

    read = from_folder(scene.folder)
    index = parse(read(MIRROR_INDEX), "it").repositories
    assert set(index["lying"].tags) == {"1", "2"}, "nothing is pruned, nothing wrong is published"
    assert set(index["healthy"].tags) == {"1", "new"}, "the others are done"
    for target, tags in (("lying", "12"), ("healthy", ("1", "new"))):
        assert json.loads(read(f"v2/{target}/tags/list"))["tags"] == list(tags)
    everything_is_whole(scene.folder)
    assert not (scene.folder / "v2/lying/manifests/3").exists()

    errors = [repository.error for repository in plan.repositories if repository.error]
    errors += [event.error for event in events if isinstance(event, Failed)]
    assert [error for error in errors if why in error and "lying" in error], errors
    assert [(one.target, one.change.tag) for one in events if isinstance(one, Done)] == [("healthy", "new")]
    for error in errors:
        assert "canary" not in error
    followed = {"/layer"} if "to a host" in lie else set()
    assert {asked.path for asked in scene.elsewhere.asked} == followed
    for asked in scene.elsewhere.asked:
        assert "authorization" not in asked.headers
        assert "canary" not in asked.path + asked.body.decode()


def test_a_tag_that_moves_while_it_is_copied_is_one_image_or_the_other(scene: Scene) -> None:
    moved = app("moved")
    scene.serve("team/lying", **{"2": V2, "3": moved})
    before, after = (
        Answer(200, {"Content-Type": OCI_INDEX, "Docker-Content-Digest": one.digest}, one.body) for one in (V3, moved)
    )
    scene.lying.on(f"HEAD {manifest('3')}", before, after)
    for seen in ({V3.digest, moved.digest}, {moved.digest}):
        scene.run()
        tags = parse(from_folder(scene.folder)(MIRROR_INDEX), "it").repositories["lying"].tags
        assert set(tags) == {"1", "2", "3"}
        assert str(tags["3"].digest) in seen
        everything_is_whole(scene.folder)


@pytest.mark.parametrize("head", [{"Content-Length": "7"}, {"Content-Type": OCI_MANIFEST}], ids=["length", "type"])
def test_the_bytes_say_what_was_published_whatever_head_said(head: dict[str, str], scene: Scene) -> None:
    told = {"Content-Type": OCI_INDEX, "Docker-Content-Digest": V3.digest, "Content-Length": str(V3.size), **head}
    answers((f"HEAD {manifest('3')}", Answer(200, told)))(scene)
    scene.run()
    published = parse(from_folder(scene.folder)(MIRROR_INDEX), "it").repositories["lying"].tags["3"]
    assert (published.media_type, published.size) == (OCI_INDEX, V3.size)
    everything_is_whole(scene.folder)
    plan, _ = scene.run()
    assert not [one for repository in plan.repositories for one in repository.changes]


def test_tags_that_break_the_grammar_are_no_tags(scene: Scene) -> None:
    names = ["2", "3", "-x", "../../etc/passwd", "a/b", "a b", "x" * 200, "", "sha256:" + "0" * 64, "t\n"]
    answers((TAGS, Answer(body=json.dumps({"tags": names}).encode())))(scene)
    scene.run()
    read = from_folder(scene.folder)
    assert json.loads(read("v2/lying/tags/list"))["tags"] == ["1", "2", "3"], "1 is gone at the source, and kept"
    everything_is_whole(scene.folder)
    assert {path.name for path in (scene.folder / "v2/lying/manifests").iterdir() if ":" not in path.name} == {
        "1",
        "2",
        "3",
    }


@pytest.mark.slow
def test_a_thousand_tags_behind_a_limit_do_not_wait_a_thousand_times(scene: Scene) -> None:
    names = [str(number) for number in range(1000)]
    answers((TAGS, Answer(body=json.dumps({"tags": names}).encode())))(scene)
    for name in names:
        answers((manifest(name), Answer(429, {"Retry-After": "600"})))(scene)
    plan, _ = scene.run()
    assert [repository for repository in plan.repositories if repository.error]
    assert sum(scene.sleeps) <= 60 * 3 * 16, "those that were on their way at first, and nobody else"


def everything_is_whole(folder: Path) -> None:
    read = from_folder(folder)
    for path in folder.glob("v2/*/manifests/*"):
        walk(read, path.parts[-3], path.name)
