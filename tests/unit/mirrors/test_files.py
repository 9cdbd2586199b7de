"""mirrors.yaml and what it includes, read as one: places, clashes, policy, hashes, and files that are in the way."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.files import MAX_INCLUDED_BYTES, hash_of_files
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.review import review

TOP = "version: 1\nstore: {type: file, path: ./m}\ninclude: [teams/*.yaml]\n"
ALPINE = "mirrors:\n- {source: docker.io/library/alpine, tags: [latest]}\n"
NGINX = "version: 1\nmirrors:\n- {source: docker.io/library/nginx, tags: [latest]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "teams").mkdir()
    (tmp_path / "mirrors.yaml").write_text(TOP)
    (tmp_path / "teams/a.yaml").write_text(NGINX)
    return tmp_path


def problems(folder: Path) -> list[str]:
    with pytest.raises(MirrorsInvalid) as caught:
        load_mirrors(folder / "mirrors.yaml", {})
    return [str(one).replace(f"{folder}/", "") for one in caught.value.problems]


def test_included_mirrors_come_after_the_files_own(folder: Path) -> None:
    (folder / "mirrors.yaml").write_text(TOP + ALPINE)
    (folder / "teams/b.yaml").write_text(NGINX.replace("nginx", "redis"))
    found = load_mirrors(folder / "mirrors.yaml", {})
    assert [one.target for one in found.mirrors] == ["library/alpine", "library/nginx", "library/redis"]


def test_a_move_between_files_is_no_edit_for_a_review(folder: Path) -> None:
    before = load_mirrors(folder / "mirrors.yaml", {})
    (folder / "teams/a.yaml").rename(folder / "teams/b.yaml")
    after = load_mirrors(folder / "mirrors.yaml", {})
    assert review(before, after) == ()
    (folder / "teams/b.yaml").write_text(NGINX.replace("latest", "'1.27'"))
    (edit,) = review(before, load_mirrors(folder / "mirrors.yaml", {}))
    assert (edit.name, edit.kind) == ("library/nginx", "changed")


def test_every_problem_of_every_file_has_its_place(folder: Path) -> None:
    (folder / "mirrors.yaml").write_text(TOP + ALPINE + "extra: 1\n")
    (folder / "teams/a.yaml").write_text("version: 1\nname: a\nmirrors:\n- {source: Nginx, tags: [latest]}\n")
    (folder / "teams/b.yaml").write_text("version: 1\nmirrors: [\n")
    (folder / "teams/c.yaml").write_text("version: 1\ninclude: [x]\nmirrors: []\n")
    (folder / "teams/d.yaml").mkdir()
    found = problems(folder)
    assert [one.partition(" ")[0] for one in found] == [
        "mirrors.yaml:6:1:",
        "teams/a.yaml:2:1:",
        "teams/a.yaml:4:12:",
        "teams/b.yaml:3:1:",
        "teams/c.yaml:2:1:",
        "teams/c.yaml:3:10:",
        "teams/d.yaml:1:1:",
    ]
    assert "name: is only valid in the file that includes this one; move it there" in found[1]
    assert "include: is only valid in the file that includes this one" in found[4]


def test_one_target_in_two_files_names_both_places(folder: Path) -> None:
    (folder / "mirrors.yaml").write_text(TOP + "mirrors:\n- {source: quay.io/library/nginx, tags: [latest]}\n")
    assert problems(folder) == [
        (
            "teams/a.yaml:3:12: mirrors[0].source: target library/nginx is also the target of mirrors[0] on line 5 of "
            "mirrors.yaml; give one of them another target, or put their tags into one mirror"
        )
    ]


def test_a_tag_that_the_including_file_excludes_names_its_line_there(folder: Path) -> None:
    (folder / "mirrors.yaml").write_text(TOP + "defaults:\n  exclude: [latest]\n")
    assert problems(folder) == [
        (
            "teams/a.yaml:3:44: mirrors[0].tags[0]: latest is named here and excluded on line 5 of mirrors.yaml; "
            "remove one of the two"
        )
    ]


def test_attachments_of_one_source_are_in_one_place_in_all_files(folder: Path) -> None:
    (folder / "mirrors.yaml").write_text(
        TOP + "mirrors:\n- {source: docker.io/library/nginx, target: n, tags: [latest], referrers_from: ghcr.io/o/s}\n"
    )
    (one,) = problems(folder)
    assert "teams/a.yaml:3:3: mirrors[0].referrers_from: mirrors[0] on line 5 of mirrors.yaml mirrors" in one


def test_defaults_are_inherited_and_may_be_narrowed_by_a_file_and_by_a_mirror(folder: Path) -> None:
    (folder / "mirrors.yaml").write_text(TOP + "defaults: {min_age: 3d, retain: 1d}\n" + ALPINE)
    (folder / "teams/a.yaml").write_text(
        "version: 1\ndefaults: {min_age: 7d, prune: false, retain: 2d}\nmirrors:\n"
        "- {source: a.example/a, tags: [latest]}\n"
        "- {source: a.example/b, tags: [latest], min_age: 4d, prune: true}\n"
    )
    alpine, first, second = load_mirrors(folder / "mirrors.yaml", {}).mirrors
    assert [one.min_age.age.days if one.min_age else 0 for one in (alpine, first, second)] == [3, 7, 4]
    assert [one.prune for one in (alpine, first, second)] == [True, False, True]
    assert [one.retain for one in (alpine, first, second)] == [timedelta(days=days) for days in (1, 2, 2)]


def test_defaults_are_not_widened_by_a_file_nor_by_a_mirror(folder: Path) -> None:
    key = "signed_by: {identity: a, issuer: i}"
    (folder / "mirrors.yaml").write_text(f"{TOP}defaults: {{min_age: 3d, prune: false, {key}}}\n")
    (folder / "teams/a.yaml").write_text(
        "version: 1\ndefaults: {min_age: 2d, prune: true, signed_by: []}\nmirrors:\n"
        "- {source: a.example/a, tags: [latest], min_age: 0s, signed_by: {identity: b, issuer: i}}\n"
    )
    assert [one.removeprefix("teams/a.yaml:") for one in problems(folder)] == [
        "2:21: defaults.min_age: is wider than min_age: 3d of mirrors.yaml; an included file may only narrow it",
        "2:32: defaults.prune: is wider than prune: false of mirrors.yaml; an included file may only narrow it",
        (
            "2:49: defaults.signed_by: requires no signature, and so is wider than identity a of i of mirrors.yaml; "
            "an included file may only narrow it"
        ),
        "4:50: mirrors[0].min_age: is wider than min_age: 3d of mirrors.yaml; an included file may only narrow it",
        (
            "4:65: mirrors[0].signed_by: trusts identity b of i, and so is wider than identity a of i of mirrors.yaml; "
            "an included file may only narrow it"
        ),
    ]


def test_paths_in_an_included_file_start_where_those_of_the_including_file_do(folder: Path) -> None:
    (folder / "keys").mkdir()
    (folder / "keys/k.pub").write_text("x")
    (folder / "teams/a.yaml").write_text(f"{NGINX.strip()[:-1]}, signed_by: {{key: keys/other.pub}}}}\n")
    (one,) = problems(folder)
    assert "keys/other.pub: cannot be read" in one


def test_stores_are_those_of_the_including_file(folder: Path) -> None:
    stores = "stores: {here: {type: file, path: ./m}, there: {type: file, path: ./n}}"
    (folder / "mirrors.yaml").write_text(TOP.replace("store: {type: file, path: ./m}", stores))
    (folder / "teams/a.yaml").write_text(NGINX.replace("latest]", "latest], stores: [there]"))
    here, there = load_mirrors(folder / "mirrors.yaml", {}).targets()
    assert (len(here.mirrors), len(there.mirrors)) == (0, 1)


def test_a_link_that_leads_out_of_the_folder_is_refused_and_one_inside_is_not(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside.yaml"
    outside.write_text(NGINX)
    (folder / "teams/b.yaml").symlink_to(outside)
    assert problems(folder) == [
        (
            "mirrors.yaml:3:11: include[0]: teams/b.yaml is a link that leads out of the folder of this file; "
            "move the file here"
        )
    ]
    (folder / "teams/b.yaml").unlink()
    (folder / "redis.yaml").write_text(NGINX.replace("nginx", "redis"))
    (folder / "teams/b.yaml").symlink_to(folder / "redis.yaml")
    assert len(load_mirrors(folder / "mirrors.yaml", {}).mirrors) == 2


def test_a_pipe_among_the_files_does_not_block(folder: Path) -> None:
    os.mkfifo(folder / "teams/b.yaml")
    (one,) = problems(folder)
    assert "teams/b.yaml:1:1: cannot be read" in one


def test_all_files_together_have_a_bound(folder: Path) -> None:
    for number in range(5):
        (folder / f"teams/{number}.yaml").write_text(f"{NGINX}# {'x' * (MAX_INCLUDED_BYTES // 5 + 10)}\n")
    assert "mirrors.yaml:3:10: include: the files have more than 1024 KiB together; include fewer" in problems(folder)


def test_the_hash_is_of_all_files(folder: Path) -> None:
    path = folder / "mirrors.yaml"

    def hashed() -> str:
        found = load_mirrors(path, {})
        assert hash_of_files(path, found.include) == found.sha256
        return found.sha256

    seen = {hashed()}
    (folder / "teams/a.yaml").write_text(f"{NGINX}# an edit\n")
    seen.add(hashed())
    (folder / "teams/b.yaml").write_text(NGINX.replace("nginx", "redis"))
    seen.add(hashed())
    (folder / "teams/b.yaml").rename(folder / "teams/c.yaml")
    seen.add(hashed())
    path.write_text(f"{TOP}# an edit\n")
    seen.add(hashed())
    assert len(seen) == 5
    assert hash_of_files(folder / "none.yaml", ()) == ""
