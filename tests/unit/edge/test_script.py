"""The Worker as it is uploaded: its name, and a version that changes with all that it consists of, and with nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.access.config import TokenConfig
from reconciler.edge.config import EdgeConfig, MissSource, on_miss_json
from reconciler.edge.script import (
    ACCESS,
    MAIN_MODULE,
    VERSION,
    route_pattern,
    script_name,
    wanted_script,
    worker_modules,
)

EDGE = EdgeConfig("example.com", "cr.example.com", worker=True)
PRIVATE = replace(EDGE, access={"ci": TokenConfig("ci", ("*",))})
MODULES = {MAIN_MODULE: b"export default {}"}


def test_it_counts_pulls_in_the_bucket_of_the_state() -> None:
    for buckets, counted in ((["cr"], "cr"), (["cr", "cr-state"], "cr-state")):
        bindings = {one["name"]: one for one in wanted_script(EDGE, buckets, "eu", MODULES).metadata["bindings"]}
        assert bindings["BUCKET"]["bucket_name"] == "cr"
        assert bindings["COUNTS"] == {
            "type": "r2_bucket", "name": "COUNTS", "bucket_name": counted, "jurisdiction": "eu"
        }  # fmt: skip


def test_sources_of_misses_are_a_variable() -> None:
    edge = replace(EDGE, on_miss=(MissSource("quay.io/a", "m/a", "https://quay.io/v2/a"),))
    script = wanted_script(edge, ["cr"], "default", MODULES)
    bindings = {one["name"]: one for one in script.metadata["bindings"]}
    text = '[{"target":"m/a","url":"https://quay.io/v2/a"}]'
    assert bindings["ON_MISS"] == {"type": "plain_text", "name": "ON_MISS", "text": text}
    assert script.version != wanted_script(EDGE, ["cr"], "default", MODULES).version
    fetched = replace(edge.on_miss[0], limit=9, tokens=("https://quay.io",))
    proxy = {"target": "m/a", "url": "https://quay.io/v2/a", "limit": 9, "tokens": ["https://quay.io"]}
    assert json.loads(on_miss_json([fetched])) == [proxy]


def test_the_modules_are_installed_with_the_package() -> None:
    assert MAIN_MODULE in worker_modules()
    assert all(name.endswith(".js") and body for name, body in worker_modules().items())


def test_the_version_changes_with_every_part_of_an_upload() -> None:
    versions = [
        wanted_script(EDGE, ["cr"], "default", MODULES).version,
        wanted_script(EDGE, ["cr"], "eu", MODULES).version,
        wanted_script(EDGE, ["other"], "default", MODULES).version,
        wanted_script(PRIVATE, ["cr"], "default", MODULES).version,
        wanted_script(EDGE, ["cr"], "default", {MAIN_MODULE: b"export default {};"}).version,
        wanted_script(EDGE, ["cr"], "default", {**MODULES, "more.js": b""}).version,
    ]
    assert len(set(versions)) == len(versions)
    assert wanted_script(EDGE, ["cr"], "default", dict(MODULES)).version == versions[0]


def test_the_worker_knows_its_version_and_keeps_secrets() -> None:
    script = wanted_script(EDGE, ["cr"], "eu", MODULES)
    bucket, _, version = script.metadata["bindings"]
    assert bucket == {"type": "r2_bucket", "name": "BUCKET", "bucket_name": "cr", "jurisdiction": "eu"}
    assert version == {"type": "plain_text", "name": VERSION, "text": script.version}
    assert script.metadata["annotations"] == {"workers/tag": script.version}
    assert script.metadata["keep_bindings"] == ["secret_text"]


def test_the_worker_of_a_private_mirror_knows_its_tokens_and_no_secret() -> None:
    (*_, access, _) = wanted_script(PRIVATE, ["cr"], "default", MODULES).metadata["bindings"]
    text = '{"ci":{"repositories":["*"],"expires":null}}'
    assert access == {"type": "plain_text", "name": ACCESS, "text": text}


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?", fullmatch=True)


@given(st.lists(LABELS, min_size=2, max_size=4).map(".".join))
def test_each_hostname_has_a_valid_name_of_its_own(hostname: str) -> None:
    name = script_name(hostname)
    assert re.fullmatch(r"r2mirror-[a-z0-9][a-z0-9-]*[a-z0-9]", name)
    assert len(name) <= 63
    # A dot and a hyphen look the same in the name.
    assert name != script_name(hostname.replace(".", "-", 1))
    assert route_pattern(hostname) == f"{hostname}/*"


def test_names_stay_what_they_are() -> None:
    """They are in people's accounts: a name that changes is a Worker removed and another one added."""
    assert script_name("cr.example.com") == "r2mirror-cr-example-com-f51b490a"
    assert script_name(replace(EDGE, hostname="a.b").hostname).startswith("r2mirror-a-b-")
