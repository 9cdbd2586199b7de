"""`notify`: names of variables, and no secret in the file nor in a message about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.notifiers import Notifier
from reconciler.mirrors.review import review

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


def load(folder: Path, *notify: dict[str, Any]) -> Mirrors:
    document = {
        "version": 1,
        "store": {"type": "file", "path": "./mirror"},
        "notify": notify,
        "mirrors": [{"source": "docker.io/library/alpine", "tags": ["3.20"]}],
    }
    (folder / "mirrors.yaml").write_text(json.dumps(document))
    return load_mirrors(folder / "mirrors.yaml", {})


def test_notifiers(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {"kind": "apprise", "url_env": "CHAT"},
        {"kind": "webhook", "url_env": "HOOK", "secret_env": "KEY", "on": ["drift"]},
    )
    assert found.notifiers == (
        Notifier("apprise", "CHAT", ("failure", "recovered")),
        Notifier("webhook", "HOOK", ("drift",), "KEY"),
    )


SECRET = "https://hooks.example.com/s3cr3t"


@pytest.mark.parametrize(
    ("notify", "why"),
    [
        ({"kind": "webhook", "url": SECRET, "url_env": "HOOK"}, "is a secret; put it into an environment variable"),
        (
            {"kind": "webhook", "url_env": SECRET},
            "is not the name of an environment variable, e.g. R2MIRROR_NOTIFY_URL",
        ),
        ({"kind": "webhook", "url_env": "HOOK", "secret_env": SECRET}, "is not the name of an environment variable"),
        ({"kind": "apprise", "url_env": "HOOK", "secret_env": "KEY"}, "is only valid with kind webhook"),
        ({"kind": "webhook", "url_env": "OTHER"}, "is that of another notifier"),
        ({"kind": "mail", "url_env": "HOOK"}, "apprise"),
        ({"kind": "webhook"}, "url_env"),
        ({"kind": "webhook", "url_env": "HOOK", "on": ["success"]}, "success"),
        ({"kind": "webhook", "url_env": "HOOK", "on": []}, "on"),
        ({"kind": "webhook", "url_env": 3}, "url_env"),
        ("HOOK", "notify"),
    ],
)
def test_what_is_wrong_is_said_without_the_secret(tmp_path: Path, notify: Any, why: str) -> None:
    with pytest.raises(MirrorsInvalid) as raised:
        load(tmp_path, {"kind": "apprise", "url_env": "OTHER"}, notify)
    assert why in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


def test_an_edit_shows_in_the_review(tmp_path: Path) -> None:
    before = load(tmp_path, {"kind": "webhook", "url_env": "HOOK"})
    after = load(
        tmp_path, {"kind": "webhook", "url_env": "HOOK", "on": ["failure"]}, {"kind": "apprise", "url_env": "CHAT"}
    )
    edits = [(edit.about, edit.name, edit.kind, edit.words) for edit in review(before, after)]
    assert edits == [
        ("notifier", "CHAT", "added", ("kind: apprise", "url_env: CHAT")),
        ("notifier", "HOOK", "changed", ("on: - recovered",)),
    ]
