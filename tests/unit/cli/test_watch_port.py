"""The port of watch: what it needs, and the metrics of all files."""

from __future__ import annotations

import builtins
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from reconciler.access.file import Hashes, write_hashes
from reconciler.cli.serving import Counting
from reconciler.cli.watch_port import answering, exposed, make_recorder
from reconciler.errors import ExtraMissing, UsageError
from reconciler.mirrors.patterns import Glob
from reconciler.pulls.counts import parse_counts
from reconciler.serve.guards import FileGuard
from reconciler.stores.folder import Folder
from reconciler.triggers import gathering
from reconciler.watch.inbox import Inbox
from reconciler.watch.status import Status
from tests.memory import mirror, mirrors
from tests.parts.private import ACCESS, HASHES, KEY, basic
from tests.parts.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.watch.watched_file import WatchedFile

AT = datetime(2026, 11, 26, 3, tzinfo=UTC)
STATUS = Status("a.yaml", mirrors(mirror("app", Glob("*"))), next_run=AT)


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """An installation without some packages."""
    imports: Callable[..., Any] = builtins.__import__

    def importing(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith(("reconciler.metrics.recorder", "reconciler.serve", "reconciler.triggers.port")):
            raise ModuleNotFoundError(f"No module named {names[0]!r}", name=names[0])
        return imports(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", importing)


def opened(status: Status, inbox: Inbox, number: int | None) -> Any:
    files = [(cast("WatchedFile", SimpleNamespace(status=status)), inbox)]
    return answering(files, make_recorder(), "127.0.0.1", number, serve=False, log=False)


def test_without_a_port_nothing_is_needed_and_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "uvicorn")
    with answering([], None, "127.0.0.1", None, serve=False, log=False):
        pass


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    without(monkeypatch, "prometheus_client")
    assert make_recorder() is None
    assert "there is no /metrics: /metrics needs packages that are not installed" in capsys.readouterr().err
    without(monkeypatch, "uvicorn")
    with (
        pytest.raises(ExtraMissing, match="the port of watch needs packages"),
        answering([], None, "127.0.0.1", 0, serve=False, log=False),
    ):
        pass


def test_the_metrics_have_the_state_of_each_file() -> None:
    recorder = make_recorder()
    assert recorder
    bad = replace(STATUS, file="b.yaml", bad_edit="line 5", next_run=None)
    body, kind = exposed(recorder, {("/run", "queued"): 2}, [STATUS, bad])
    lines = body.decode().splitlines()
    assert kind.startswith("text/plain; version=0.0.4")
    assert 'r2mirror_file_valid{file="a.yaml"} 1.0' in lines
    assert 'r2mirror_file_valid{file="b.yaml"} 0.0' in lines
    (next_run,) = [one for one in lines if one.startswith("r2mirror_next_run_timestamp_seconds{")]
    assert next_run.startswith('r2mirror_next_run_timestamp_seconds{file="a.yaml"} ')
    assert float(next_run.split()[1]) == AT.timestamp()
    assert 'r2mirror_triggers_total{path="/run",result="queued"} 2.0' in lines


def test_the_port_answers_for_the_files_and_wakes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2MIRROR_RUN_TOKEN", "a-token-of-some-length")
    monkeypatch.setattr(gathering, "SECONDS", 0.0)
    number, inbox = free_port(), Inbox()
    with (
        opened(replace(STATUS, bad_edit="line 5: secret", late_at=AT), inbox, number),
        httpx.Client(base_url=f"http://127.0.0.1:{number}", trust_env=False) as client,
    ):
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "a.yaml was edited and cannot be used" in ready.text
        assert "secret" not in ready.text
        login = {"Authorization": "Bearer a-token-of-some-length"}
        assert client.post("/run", params={"only": "app"}, headers=login).status_code == 202
        inbox.wait(10)
        assert inbox.take_targets() == ("app",)
        counted = 'r2mirror_triggers_total{path="/run",result="queued"} 1.0'
        assert counted in client.get("/metrics").text.splitlines()
        assert client.get("/v2/").status_code == 404, "without --serve there is no registry"


def test_what_is_served_is_counted_and_measured(tmp_path: Path) -> None:
    number = free_port()
    served = replace(STATUS, mirrors=replace(STATUS.mirrors, store=Folder(tmp_path / "mirror", None)))
    files = [(cast("WatchedFile", SimpleNamespace(status=served)), Inbox())]
    counting = Counting(folder=tmp_path / "counts")
    with (
        answering(files, make_recorder(), "127.0.0.1", number, serve=True, counting=counting, log=False),
        httpx.Client(base_url=f"http://127.0.0.1:{number}", trust_env=False) as client,
    ):
        assert client.get("/v2/app/manifests/1").status_code == 404
        lines = client.get("/metrics").text.splitlines()
        assert 'r2mirror_served_requests_total{endpoint="manifests",status="4xx"} 1.0' in lines
        assert 'r2mirror_served_tags_total{result="missed"} 1.0' in lines
    [written] = (tmp_path / "counts").glob("_mirror/pulls/*/*.json")
    assert parse_counts(written.read_bytes(), "it").missed == {("app", "1"): 1}


def test_the_registry_asks_for_a_login_as_the_file_has_it_now_and_probes_ask_for_none(tmp_path: Path) -> None:
    number, tokens = free_port(), tmp_path / "tokens.json"
    write_hashes(tokens, Hashes(KEY, HASHES))
    served = replace(STATUS, mirrors=replace(STATUS.mirrors, store=Folder(tmp_path / "mirror", None)))
    access = dict(ACCESS)
    guard = FileGuard(lambda: access, tokens)
    files = [(cast("WatchedFile", SimpleNamespace(status=served)), Inbox())]
    with (
        answering(files, make_recorder(), "127.0.0.1", number, serve=True, guard=guard, log=False),
        httpx.Client(base_url=f"http://127.0.0.1:{number}", trust_env=False) as client,
    ):
        for path in ("/healthz", "/readyz", "/metrics"):
            assert client.get(path).status_code == 200
        challenge = client.get("/v2/").headers["www-authenticate"]
        assert challenge == f'Bearer realm="http://127.0.0.1:{number}/token",service="127.0.0.1:{number}"'
        login = {"Authorization": basic("team-a")}
        assert client.get("/token", headers=login).json()["token"]
        assert [
            client.get(f"/v2/{name}/app/tags/list", headers=login).status_code for name in ("team-a", "team-b")
        ] == [
            404,
            403,
        ]
        del access["team-a"]
        assert client.get("/v2/team-a/app/tags/list", headers=login).status_code == 401


def test_one_place_for_counts() -> None:
    with pytest.raises(UsageError, match="two places"):
        Counting(in_store=True, folder=Path("counts"))
