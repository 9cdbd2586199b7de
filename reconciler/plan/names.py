"""Gives the chosen tags of a mirror their names in the store. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import SourceError, TagsCollide
from reconciler.frozen import Frozen
from reconciler.oci.spec import is_tag

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.mirrors.selection import Chosen
    from reconciler.target.index import RepositoryState


class Named(Frozen):
    """Chosen tags by their names in the store.

    chosen   those with a name of their own
    refused  name -> why no tag gets it; one that is not a valid tag is a name of none
    """

    chosen: Mapping[str, Chosen]
    refused: Mapping[str, SourceError]


def in_store(mirror: Mirror, chosen: Iterable[Chosen]) -> Named:
    """Returns the tags by their names. A name that several would have is given to none of them."""
    if mirror.rename is None:
        return Named({one.tag: one for one in chosen}, {})
    by_name: defaultdict[str, list[Chosen]] = defaultdict(list)
    for one in chosen:
        by_name[mirror.name_of(one.tag)].append(one)
    named, refused = {}, {}
    for name, some in by_name.items():
        if len(some) > 1 or not is_tag(name):
            refused[name] = _refusal(mirror, name, [one.tag for one in some])
        else:
            one = some[0]
            named[name] = replace(one, tag=name, source_tag=one.tag if name != one.tag else None)
    return Named(named, refused)


def _refusal(mirror: Mirror, name: str, tags: list[str]) -> SourceError:
    if not is_tag(name):
        return TagsCollide(f"{mirror.source}:{tags[0]}", f"rename makes {name[:140]!r} of it, which is not a valid tag")
    several = " and ".join((", ".join(tags[:-1]), tags[-1])) if len(tags) <= _SHOWN else _first_of(tags)
    return TagsCollide(
        mirror.source,
        f"rename makes {name} of {several}, so none of them is published; exclude all but one, or change rename",
    )


_SHOWN = 5


def _first_of(tags: list[str]) -> str:
    return f"{', '.join(tags[:_SHOWN])} and {len(tags) - _SHOWN} more"


def source_tags(mirror: Mirror, observed: RepositoryState) -> dict[str, str]:
    """Returns the names at the source of tags that are mirrored under the names that they have today, by those."""
    at_source = {tag: state.source_tag or tag for tag, state in observed.tags.items()}
    return {tag: source_tag for tag, source_tag in at_source.items() if mirror.name_of(source_tag) == tag}
