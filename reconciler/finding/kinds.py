"""The kinds of files in which images are found. A new kind is a module of its own and a row in `KINDS`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.finding.compose import find_in_compose
from reconciler.finding.dockerfile import find_in_dockerfile
from reconciler.finding.fields import find_in_nomad, find_in_template, find_in_terraform
from reconciler.finding.github import find_in_github
from reconciler.finding.gitlab import find_in_gitlab
from reconciler.finding.manifests import find_in_manifests
from reconciler.finding.plain import find_in_plain
from reconciler.finding.terraform_json import find_in_terraform_json
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.finding.found import Item


class Kind(Frozen):
    """A kind of file.

    name   for messages
    find   finds the images in a text
    file   matches the paths of such files, with / between folders
    looks  matches the texts of such files, where the path does not tell; None: it always does
    needs  what each text with an image has in it, in lower case; it is not parsed without
    """

    name: str
    find: Callable[[str, str], Iterator[Item]]
    file: re.Pattern[str]
    looks: re.Pattern[str] | None = None
    needs: str = ""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.MULTILINE)


MANIFESTS = Kind(
    "manifests",
    find_in_manifests,
    _pattern(r"\.(?:ya?ml|json)\Z"),
    _pattern(
        r"""^[ \t]*(?:-[ \t]+)?["']?(?:apiVersion|kind|\w*image|repository)["']?[ \t]*:|^[ \t]*[\[{][ \t\r\n]*["'\[{]"""
    ),
    needs="image",
)
PLAIN = Kind("text", find_in_plain, _pattern(r"(?:^|/)[^/]*images?[^/]*\.(?:txt|list|lst)\Z"))

KINDS: tuple[Kind, ...] = (
    Kind(
        "Dockerfile",
        find_in_dockerfile,
        # Not the sources of a program that is called after them, nor `Dockerfile.dockerignore`.
        re.compile(
            r"(?:^|/)(?:(?:Dockerfile|Containerfile)(?:[.-](?!(?:[^/]*\.)?(?:dockerignore|md|sh)\Z)[^/]*)?"
            r"|dockerfile|containerfile|[^/]+\.(?:[Dd]ockerfile|[Cc]ontainerfile))\Z"
        ),
        re.compile(
            r"\A(?:[ \t]*(?:#[^\n]*)?\n|[ \t]*ARG[ \t][^\n]*\n)*[ \t]*(?:FROM|from)[ \t]+[^\s=:]+[^\n=]*(?:\n|\Z)"
        ),
        needs="from",
    ),
    Kind(
        "GitHub workflow",
        find_in_github,
        _pattern(r"(?:^|/)(?:\.github/workflows/[^/]+|action)\.ya?ml\Z"),
        _pattern(r"^[ \t]+runs-on:"),
    ),
    Kind(
        "GitLab pipeline",
        find_in_gitlab,
        _pattern(r"(?:^|/)(?:[^/]*\.gitlab-ci\.ya?ml|\.gitlab/ci/[^/]+\.ya?ml)\Z"),
        _pattern(r"^(?:stages|before_script):"),
    ),
    Kind("Nomad job", find_in_nomad, _pattern(r"\.nomad(?:\.hcl)?\Z"), _pattern(r'^job[ \t]+"'), needs="image"),
    Kind(
        "Terraform",
        find_in_terraform,
        _pattern(r"\.(?:tf|tofu|hcl)\Z"),
        _pattern(r'^(?:resource|module|variable|provider)[ \t]+"'),
        needs="image",
    ),
    Kind("Terraform JSON", find_in_terraform_json, _pattern(r"\.(?:tf|tofu)\.json\Z"), needs="image"),
    Kind("devcontainer", find_in_template, _pattern(r"(?:^|/)\.?devcontainer\.json\Z"), needs="image"),
    Kind(
        "compose file",
        find_in_compose,
        _pattern(r"(?:^|/)(?:docker-)?compose(?:[.-][^/]*)?\.ya?ml\Z"),
        # Not the values of a chart, which may have services, too.
        _pattern(r"\A(?![\s\S]*^[ \t]*(?:repository|apiVersion):)[\s\S]*?^services:[ \t]*(?:#.*)?\r?$"),
    ),
    MANIFESTS,
    PLAIN,
)


def kind_of_file(path: str) -> Kind | None:
    """Returns the kind that a path tells, None for a file that is not searched."""
    return next((kind for kind in KINDS if kind.file.search(path)), None)


def kind_of_text(text: str) -> Kind:
    """Returns the kind that a text looks like; plain text if none."""
    return next((kind for kind in KINDS if kind.looks and kind.looks.search(text)), PLAIN)


def kind_in(text: str, kind: Kind | None) -> Kind:
    """Returns the kind of a text in a file of some kind; without one, what it looks like."""
    kind = kind or kind_of_text(text)
    if kind is not MANIFESTS:
        return kind
    # Compose files and pipelines are YAML with any name.
    return next((one for one in _ALSO_YAML if one.looks and one.looks.search(text)), MANIFESTS)


def find_in_text(
    text: str,
    file: str,
    kind: Kind | None,
    *,
    env: bool = False,
    values: Callable[[], Mapping[str, str]] = dict,
) -> Iterator[Item]:
    """Finds the images in a text; without a kind, in what it looks like.

    env     whether values of environment variables and arguments in manifests are searched, too
    values  returns those of the variables in a compose file
    """
    kind = kind_in(text, kind)
    if kind is MANIFESTS and env:
        return find_in_manifests(text, file, env=True)
    if kind.needs and kind.needs not in text.lower():
        return iter(())
    if kind.find is find_in_compose:
        return find_in_compose(text, file, values())
    return kind.find(text, file)


_ALSO_YAML = tuple(kind for kind in KINDS if kind.name in ("GitHub workflow", "GitLab pipeline", "compose file"))
