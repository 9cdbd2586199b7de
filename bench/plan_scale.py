"""`python -m bench.plan_scale TAGS`: a plan from the bytes of a mirror index to its text, all unchanged but 10 tags."""

from __future__ import annotations

import resource
import sys
import time
from datetime import UTC, datetime

from reconciler.cli.render.plan import plan_text
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.desire import Desired
from reconciler.plan.plan import plan_for
from reconciler.target import index_json
from reconciler.target.index import MirrorIndex, RepositoryState, TagState

MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
TAGS_EACH = 500


def main() -> None:
    tags = int(sys.argv[1])
    body = _index(tags)
    before, started = _peak(), time.perf_counter()
    observed = index_json.parse(body, "bench")
    desired = [
        _desired(target, state, changed=10 if number == 0 else 0)
        for number, (target, state) in enumerate(observed.repositories.items())
    ]
    middle = time.perf_counter()
    made = plan_for(desired, observed, None, "0" * 64)
    text = plan_text(made)
    ended = time.perf_counter()
    assert made.counts["update"] == 10, text
    parsed, planned = middle - started, ended - middle
    print(
        f"{tags} tags: {parsed:.3f} s to parse and desire, {planned:.3f} s to plan and print; {before} to {_peak()} MiB"
    )


def _index(tags: int) -> bytes:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    repositories = {}
    for number in range(max(1, tags // TAGS_EACH)):
        state = {
            f"1.{tag}": TagState(
                Digest.of(f"{number}/{tag}".encode()), MEDIA_TYPE, 1000, None, now, _images(number, tag)
            )
            for tag in range(min(tags, TAGS_EACH))
        }
        repositories[f"team/app{number}"] = RepositoryState(f"docker.io/team/app{number}", state)
    return index_json.serialise(MirrorIndex(repositories=repositories), now, "bench")


def _images(number: int, tag: int) -> dict[str, int]:
    return {"linux/amd64": 3_000_000 + number * 1000 + tag, "linux/arm64": 4_000_000 + number * 1000 + tag}


def _desired(target: str, state: RepositoryState, changed: int) -> Desired:
    """What a source would say: everything as it is, but `changed` tags that point elsewhere."""
    wanted = {tag: observed.descriptor for tag, observed in state.tags.items()}
    for tag in list(wanted)[:changed]:
        wanted[tag] = Descriptor(MEDIA_TYPE, Digest.of(tag.encode()), 1000)
    return Desired(target, state.source, None, wanted, {}, {})


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
