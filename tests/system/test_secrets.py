"""No secret in any output: canaries are planted in every source of secrets, and everything is searched for them."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.parts.images import OCI_MANIFEST, image
from tests.parts.lying_registry import LyingRegistry, start_lying_registry
from tests.parts.scripted_server import Answer
from tests.parts.seaweedfs import s3_store
from tests.world import World

if TYPE_CHECKING:
    from tests.parts.seaweedfs import S3Bucket

USER, PASSWORD = "canary-user-5f1e", "canary-password-0b7c"
TOKEN, SIGNATURE, IDENTITY = "canary-token-91aa", "canary-signature-77d2", "canary-identity-3c3c"
SESSION, PROXY = "canary-session-6e2f", "canary-proxy-a84d"
SCOPE = "scope=repository%3Ateam%2Fapp%3Apull"
APP = image({"app": "1"})
COMMANDS = (
    ("plan", "-vv", "--out", "plan.json"),
    ("plan", "-vv", "--format", "json"),
    ("apply", "-vv", "--yes", "plan.json"),
    ("apply", "-vv", "--yes"),
    ("verify", "-vv", "--deep", "--repair"),
    ("gc", "-vv"),
    ("adopt", "-vv", "--yes"),
    ("unlock", "-vv", "--yes"),
)
SHORT = (COMMANDS[0], COMMANDS[2])


@dataclass
class Guarded:
    """A registry that wants a token, whose blobs are at signed URLs elsewhere."""

    registry: LyingRegistry
    storage: LyingRegistry

    def serve(self, token: Answer, blob: Answer | None = None) -> None:
        lying = self.registry
        lying.wants = (f"Bearer {TOKEN}", f'Bearer realm="{lying.url}/token",service="lying"')
        for account in ("", f"account={USER}&"):
            lying.on(f"GET /token?{account}service=lying&{SCOPE}", token)
            lying.on(f"GET /token?service=lying&{SCOPE}&{account}".rstrip("&"), token)
        lying.on("POST /token", token)
        lying.on("GET /v2/team/app/tags/list?n=1000", Answer(body=b'{"tags": ["1"]}'))
        headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": APP.digest}
        for method in ("HEAD", "GET"):
            for reference in ("1", APP.digest):
                lying.on(f"{method} /v2/team/app/manifests/{reference}", Answer(200, headers, APP.body))
        for digest, body in APP.blobs.items():
            signed = f"/{digest}?X-Amz-Signature={SIGNATURE}"
            lying.on(f"GET /v2/team/app/blobs/{digest}", Answer(307, {"Location": f"{self.storage.url}{signed}"}))
            self.storage.on(f"GET {signed}", blob or Answer(body=body))


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    with start_lying_registry() as registry, start_lying_registry() as storage:
        yield Guarded(registry, storage)


@dataclass
class Search:
    """What came out of the commands, and where else to look."""

    world: World
    planted: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def run(self, *, codes: tuple[int, ...], commands: tuple[tuple[str, ...], ...] = COMMANDS) -> None:
        (self.world.folder / "tmp").mkdir(exist_ok=True)
        environ = {**self.world.environment, "TMPDIR": str(self.world.folder / "tmp")}
        for command in commands:
            done = subprocess.run(
                self.world.command(*command),
                cwd=self.world.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode in codes, f"{command}: {done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr
            self.said.append(f"{command}\n{done.stdout}\n{done.stderr}")

    def check(self, objects: Mapping[str, bytes]) -> None:
        """Nothing secret in what was said, in the bucket's objects, or in any file that was not there before."""
        pairs = [f"{USER}:{PASSWORD}", f":{PASSWORD}"]
        secrets = [USER, PASSWORD, TOKEN, SIGNATURE, IDENTITY, SESSION, PROXY, "test-secret-key"]
        needles = {*secrets, *(base64.b64encode(pair.encode()).decode() for pair in pairs), *map(quote, pairs)}
        texts = {f"output {number}": said.encode() for number, said in enumerate(self.said)}
        texts |= {f"object {key}": body for key, body in objects.items()}
        texts |= {
            str(path): path.read_bytes()
            for path in self.world.folder.rglob("*")
            if path.is_file() and path.name not in self.planted
        }
        assert len(texts) > len(self.said)
        for where, text in texts.items():
            for needle in needles:
                assert needle.encode() not in text, f"{needle} is in {where}:\n{text.decode(errors='replace')}"


def objects(bucket: S3Bucket) -> dict[str, bytes]:
    client = bucket.client()
    return {key: client.get_object(Bucket=bucket.bucket, Key=key)["Body"].read() for key in bucket.stored_keys()}


def world_of(tmp_path: Path, guarded: Guarded, bucket: S3Bucket, environ: Mapping[str, str]) -> World:
    folder = tmp_path / "user"
    folder.mkdir()
    registries = {guarded.registry.host: {"plain_http": True}}
    world = World(folder, s3_store(bucket), registries, {**bucket.environ(), **environ})
    world.mirrors({"source": f"{guarded.registry.host}/team/app", "tags": [{"glob": "*"}]})
    return world


def from_environment(world: World, host: str) -> dict[str, str]:
    world.registries = {host: {"plain_http": True, "username_env": "MY_USER", "password_env": "MY_PASSWORD"}}
    world.mirrors({"source": f"{host}/team/app", "tags": [{"glob": "*"}]})
    return {"MY_USER": USER, "MY_PASSWORD": PASSWORD}


def from_config(world: World, host: str) -> dict[str, str]:
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (world.folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": pair}}}))
    return {}


def from_identity_token(world: World, host: str) -> dict[str, str]:
    (world.folder / "config.json").write_text(json.dumps({"auths": {host: {"identitytoken": IDENTITY}}}))
    return {}


def from_helper(world: World, host: str) -> dict[str, str]:
    (world.folder / "bin").mkdir()
    helper = world.folder / "bin" / "docker-credential-canary"
    answer = json.dumps({"ServerURL": host, "Username": USER, "Secret": PASSWORD})
    helper.write_text(
        f"#!/bin/sh\necho \"$0 $*\" >> '{world.folder}/helper-arguments'\ncat > /dev/null\necho '{answer}'\n"
    )
    helper.chmod(0o755)
    (world.folder / "config.json").write_text(json.dumps({"credHelpers": {host: "canary"}}))
    return {"PATH": f"{world.folder / 'bin'}:/usr/bin:/bin"}


ORIGINS = {
    "environment": from_environment,
    "config.json": from_config,
    "identity token": from_identity_token,
    "helper": from_helper,
}
ECHO = json.dumps({"errors": [{"message": f"{USER} {PASSWORD} {IDENTITY} {TOKEN}"}]}).encode()
TROUBLE = {
    "all is well": (Answer(body=json.dumps({"token": TOKEN, "expires_in": 300}).encode()), None, (0,)),
    "the token server refuses and says them": (Answer(401, {"X-Said": PASSWORD}, ECHO), None, (0, 1)),
    "the token is none": (Answer(body=ECHO), None, (0, 1)),
    "the signed address refuses": (
        Answer(body=json.dumps({"token": TOKEN}).encode()),
        Answer(403, {"X-Said": SIGNATURE}, SIGNATURE.encode()),
        (0, 1),
    ),
    "the signed address sends other bytes": (
        Answer(body=json.dumps({"token": TOKEN}).encode()),
        Answer(body=SIGNATURE.encode()),
        (0, 1),
    ),
}


@pytest.mark.parametrize(
    ("origin", "trouble"),
    [*((origin, "all is well") for origin in ORIGINS), *(("environment", trouble) for trouble in list(TROUBLE)[1:])],
)
def test_a_source_s_credentials_stay_where_they_are(
    origin: str, trouble: str, tmp_path: Path, guarded: Guarded, s3_bucket: S3Bucket
) -> None:
    token, blob, codes = TROUBLE[trouble]
    guarded.serve(token, blob)
    world = world_of(tmp_path, guarded, s3_bucket, {})
    world.environ = {**world.environ, **ORIGINS[origin](world, guarded.registry.host)}
    search = Search(world, {"config.json", "docker-credential-canary"})
    search.run(codes=codes, commands=COMMANDS if origin == "environment" and trouble == "all is well" else SHORT)
    search.check(objects(s3_bucket))
    sent = [asked for asked in guarded.registry.asked if asked.path.startswith("/token")]
    wanted = IDENTITY if origin == "identity token" else base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert any(wanted in asked.headers.get("authorization", "") or wanted in asked.body.decode() for asked in sent)
    for asked in guarded.storage.asked:
        assert "authorization" not in asked.headers
    if origin == "helper":
        assert (world.folder / "helper-arguments").read_text().split("\n")[0].endswith("docker-credential-canary get")


def test_the_bucket_s_credentials_stay_where_they_are(tmp_path: Path, guarded: Guarded, s3_bucket: S3Bucket) -> None:
    guarded.serve(Answer(body=json.dumps({"token": TOKEN}).encode()))
    wrong = {"R2_SECRET_ACCESS_KEY": PASSWORD, "AWS_SESSION_TOKEN": SESSION}
    search = Search(world_of(tmp_path, guarded, s3_bucket, wrong))
    search.run(codes=(1,), commands=COMMANDS[3:])
    search.check(objects(s3_bucket))
    assert all("error:" in said for said in search.said)


def test_a_profile_s_credentials_stay_where_they_are(tmp_path: Path, guarded: Guarded, s3_bucket: S3Bucket) -> None:
    guarded.serve(Answer(body=json.dumps({"token": TOKEN}).encode()))
    world = world_of(tmp_path, guarded, s3_bucket, {"AWS_PROFILE": "canary"})
    world.environ = {"AWS_PROFILE": "canary"}
    (world.folder / ".aws").mkdir()
    (world.folder / ".aws" / "credentials").write_text(
        f"[canary]\naws_access_key_id = {s3_bucket.access_key}\naws_secret_access_key = {PASSWORD}\n"
    )
    search = Search(world, {"credentials"})
    search.run(codes=(1,), commands=SHORT)
    search.check(objects(s3_bucket))


@pytest.mark.parametrize("of", ["source", "store"])
def test_a_proxy_s_password_is_not_told(of: str, tmp_path: Path, guarded: Guarded, s3_bucket: S3Bucket) -> None:
    guarded.serve(Answer(body=json.dumps({"token": TOKEN}).encode()))
    proxies = {"HTTP_PROXY": f"http://{USER}:{PROXY}@127.0.0.1:1", "HTTPS_PROXY": f"http://{USER}:{PROXY}@127.0.0.1:1"}
    world = world_of(tmp_path, guarded, s3_bucket, {**{k.lower(): v for k, v in proxies.items()}, **proxies})
    world.environ = {**world.environ, "NO_PROXY": "", "no_proxy": ""}
    if of == "source":
        world.store = {"type": "file", "path": "./mirror"}
        world.mirrors({"source": f"{guarded.registry.host}/team/app", "tags": ["1"]})
    search = Search(world)
    search.run(codes=(1,), commands=COMMANDS[:1])
    search.check(objects(s3_bucket))
    assert "127.0.0.1" in search.said[0]


@pytest.mark.parametrize(
    "store",
    [
        {"type": "s3", "bucket": "b", "endpoint_url": "http://me:${SECRET}@127.0.0.1:1"},
        {"type": "s3", "bucket": "b", "endpoint_url": "http://127.0.0.1:1/?key=${SECRET}"},
        {"type": "s3", "bucket": "${SECRET}/x", "endpoint_url": "http://127.0.0.1:1"},
        {"type": "r2", "bucket": "b", "account_id": "${SECRET}"},
        {"type": "file", "path": "./x", "public_url": "https://me:${SECRET}@example.com"},
    ],
    ids="-".join,
)
def test_a_secret_in_the_wrong_place_is_not_told(
    store: dict[str, str], tmp_path: Path, guarded: Guarded, s3_bucket: S3Bucket
) -> None:
    world = world_of(tmp_path, guarded, s3_bucket, {"SECRET": PASSWORD})
    world.store = store
    world.mirrors({"source": f"{guarded.registry.host}/team/app", "tags": ["1"]})
    search = Search(world)
    search.run(codes=(0, 1), commands=COMMANDS[:1])
    search.check({})
