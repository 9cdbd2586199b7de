"""Plan and apply as a Python program uses them: no command line, nothing printed, what happens comes as events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.apply import apply_made
from reconciler.apply.outcome import Done, Replanned
from reconciler.apply.planned import Options, made_for_apply
from reconciler.errors import PlanRefused
from reconciler.mirrors.load import load_mirrors
from reconciler.plan.connections import connect
from reconciler.plan.make import in_silence, make
from reconciler.target.index_changes import claimed
from reconciler.target.ledger import read_index, write_index
from tests.parts.images import image, write_layout

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirrors:
    """A layout with one tag, to be mirrored into a folder."""
    write_layout(tmp_path / "layout", {"1.0": image({"a": "1"})})
    document = {
        "version": 1,
        "store": {"type": "file", "path": "./mirror"},
        "mirrors": [{"source": "oci:./layout", "target": "team/app", "tags": ["1.0"]}],
    }
    (tmp_path / "mirrors.yaml").write_text(json.dumps(document))
    return load_mirrors(tmp_path / "mirrors.yaml", {})


def test_a_plan_is_made_and_applied(mirrors: Mirrors, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with connect(mirrors, {}) as connections:
        made = make(mirrors, connections)
        with closing(apply_made(made, mirrors, connections, Options("a program"))) as events:
            done = [event for event in events if isinstance(event, Done)]
        again = make(mirrors, connections)
        assert list(apply_made(again, mirrors, connections, Options("a program"))) == []
    assert [(one.target, one.change.tag) for one in done] == [("team/app", "1.0")]
    assert (tmp_path / "mirror/v2/team/app/manifests/1.0").is_file()
    assert not again.plan.has_changes
    assert capfd.readouterr() == ("", "")


def test_stages_are_told(mirrors: Mirrors) -> None:
    told: list[str] = []

    def stage(words: str) -> AbstractContextManager[None]:
        told.append(words)
        return in_silence(words)

    with connect(mirrors, {}) as connections:
        made_for_apply(mirrors, connections, Options("a program"), stage)
    assert told == ["Resolving tags ..."]


def test_an_index_that_moved_on_refuses_the_plan_or_has_it_made_again(mirrors: Mirrors) -> None:
    with connect(mirrors, {}) as connections:
        made = make(mirrors, connections)
        state = connections.target.state
        write_index(state, read_index(state), lambda index: claimed(index, "other", "oci:./other", "another"))
        with pytest.raises(PlanRefused, match="the mirror index has moved on"):
            list(apply_made(made, mirrors, connections, Options("a program")))
        events = list(apply_made(made, mirrors, connections, Options("a program", plan_again=True)))
    replanned = [event for event in events if isinstance(event, Replanned)]
    assert [one.plan.has_changes for one in replanned] == [True]
    assert any(isinstance(event, Done) for event in events)


def test_neither_needs_the_command_line() -> None:
    code = (
        "import sys; import reconciler.apply.apply, reconciler.plan.estimate;"
        "assert not {'typer', 'rich', 'reconciler.cli'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ), timeout=60)
