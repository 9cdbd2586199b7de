"""Pushes to a real registry that notifies the port of `watch`."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reconciler.mirrors.patterns import Glob
from reconciler.serve.server import in_background, listen, web_server
from reconciler.triggers.port import PROBES, Port
from tests.memory import mirror, mirrors
from tests.parts.docker_registry import start_docker_registry
from tests.parts.images import app, push
from tests.parts.webhooks import notifying

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.mirrors.model import Mirrors
    from reconciler.triggers.gathering import Targets

SECRET = "a-secret-of-some-length"


@dataclass
class Watch:
    """What the port belongs to."""

    watched: Mirrors
    runs: queue.Queue[tuple[str, Targets]] = field(default_factory=queue.Queue)

    def reasons(self) -> list[str]:
        return []

    def files(self) -> dict[str, Mirrors]:
        return {"mirrors.yaml": self.watched}

    def wake(self, file: str, targets: Targets) -> None:
        self.runs.put((file, targets))


def test_a_push_to_a_registry_wakes_the_mirrors_of_its_repository(tmp_path: Path) -> None:
    sources = ("registry.internal:5000/team/app", "registry.internal:5000/team/other")
    watch = Watch(mirrors(*(replace(mirror(one.split("/")[-1], Glob("*")), source=one) for one in sources)))
    port = Port(watch, watch.files, watch.wake, environ={"R2MIRROR_HOOK_DISTRIBUTION_SECRET": SECRET})
    with listen("127.0.0.1", 0) as listener:
        server = web_server(port.application(), listener, probes=PROBES, access_log=False)
        notifications = notifying(f"http://127.0.0.1:{listener.getsockname()[1]}", SECRET)
        with in_background(server, listener), start_docker_registry(tmp_path, notifications) as registry:
            push(app("1"), registry.host, "team/app", "1")
            assert watch.runs.get(timeout=10) == ("mirrors.yaml", frozenset({"app"}))
            push(app("1"), registry.host, "team/unknown", "1")
            push(app("2"), registry.host, "team/other", "2")
            assert watch.runs.get(timeout=10) == ("mirrors.yaml", frozenset({"other"}))
    assert watch.runs.empty(), "the blobs, and what nothing mirrors, wake nothing"
    assert port.counts["/hooks/distribution", "unknown"] > 0
    assert port.counts["/hooks/distribution", "ignored"] > 0
    assert port.counts["/hooks/distribution", "invalid"] == port.counts["/hooks/distribution", "refused"] == 0
