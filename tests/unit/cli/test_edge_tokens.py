"""`r2mirror edge token` as a user runs it: a token is printed once, and is in no file and no message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.access.file import read_hashes
from reconciler.access.token import hash_of
from reconciler.mirrors.schema_files import load_schema
from tests.world import InProcess


@pytest.fixture
def world(tmp_path: Path) -> InProcess:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "docker.io/library/alpine", "tags": ["latest"]})
    tokens = {
        "ci": {"repositories": ["*"]},
        "old": {"repositories": ["*"], "expires": "2020-01-31"},
        "team-a": {"repositories": ["team-a/*", "x"], "expires": "2099-01-31"},
    }
    path = tmp_path / "mirrors.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "edge": {"access": tokens}}))
    return world


def test_a_token_is_printed_once_and_only_its_hash_is_kept(world: InProcess) -> None:
    made = world.run("edge", "token", "create", "ci", "--access", "tokens.json")
    token = made.stdout.strip()
    assert made.stdout == f"{token}\n", "a shell's prompt does not follow it on its line"
    assert token.startswith("r2m_")
    assert len(token) == len("r2m_") + 43
    assert token not in made.stderr
    file = world.folder / "tokens.json"
    assert read_hashes(file).hashes == {"ci": hash_of(token.encode())}
    assert token not in file.read_text()
    assert "ended" not in made.stderr
    again = world.run("edge", "token", "create", "ci", "--access", "tokens.json")
    assert again.stdout.strip() != token
    assert "the earlier token of ci has ended" in again.stderr
    assert read_hashes(file).hashes.keys() == {"ci"}


def test_a_list_says_who_can_log_in(world: InProcess) -> None:
    world.run("edge", "token", "create", "ci", "--access", "tokens.json")
    assert world.run("edge", "token", "list", "--access", "tokens.json").stdout == (
        "ci      active                      *\nold     no token  until 2020-01-31  *\nteam-a  no token  until 2099-01-31  team-a/* x\n"
    )
    document = json.loads(world.run("edge", "token", "list", "--access", "tokens.json", "--format", "json").stdout)
    Draft202012Validator(load_schema("tokens")).validate(document)
    assert [one["state"] for one in document["tokens"]] == ["active", "no token", "no token"]


def test_a_revoked_token_is_gone(world: InProcess) -> None:
    world.run("edge", "token", "create", "ci", "--access", "tokens.json")
    assert "revoked the token of ci" in world.run("edge", "token", "revoke", "ci", "--access", "tokens.json").stderr
    again = world.run("edge", "token", "revoke", "ci", "--access", "tokens.json", code=1)
    assert "ci: tokens.json has no token of this name" in again.stderr


def test_a_name_has_to_be_declared_first(world: InProcess) -> None:
    refused = world.run("edge", "token", "create", "cd", "--access", "tokens.json", code=1)
    assert (
        "cd: mirrors.yaml has no such name in edge.access, only ci, old, team-a; add it there first" in refused.stderr
    )
    assert not (world.folder / "tokens.json").exists()
    world.mirrors({"source": "docker.io/library/alpine", "tags": ["latest"]})
    refused = world.run("edge", "token", "list", "--access", "tokens.json", code=1)
    assert (
        "mirrors.yaml: has no edge.access; add it, e.g. `edge: {access: {ci: {repositories: ['*']}}}`" in refused.stderr
    )


def test_without_a_file_or_an_edge_there_is_no_place_for_a_token(world: InProcess) -> None:
    refused = world.run("edge", "token", "create", "ci", code=1)
    assert "there is no edge whose Worker keeps tokens; name the file of `serve --access`" in refused.stderr


def test_serve_refuses_what_would_let_nobody_in(world: InProcess) -> None:
    refused = world.run("serve", "--port", "0", "--access", "none.json", code=1)
    assert "none.json: cannot be read: No such file or directory" in refused.stderr
    world.mirrors({"source": "docker.io/library/alpine", "tags": ["latest"]})
    refused = world.run("serve", "--port", "0", "--access", "none.json", code=1)
    assert "--access: mirrors.yaml has no edge.access, which says what each token may pull" in refused.stderr


def test_a_token_that_has_expired_already_comes_with_a_warning(world: InProcess) -> None:
    made = world.run("edge", "token", "create", "old", "--access", "tokens.json")
    assert (
        "warning: mirrors.yaml has old expire on 2020-01-31: until that is changed, this token is refused"
        in made.stderr
    )


def test_a_damaged_file_is_left_as_it_is(world: InProcess) -> None:
    file = world.folder / "tokens.json"
    file.write_text('{"key"')
    for command in (("create", "ci"), ("revoke", "ci"), ("list",)):
        refused = world.run("edge", "token", *command, "--access", "tokens.json", code=1)
        assert "tokens.json: is not a valid file of tokens; expected" in refused.stderr
        assert "restore it, or remove it and create each token anew" in refused.stderr
    assert file.read_text() == '{"key"'
