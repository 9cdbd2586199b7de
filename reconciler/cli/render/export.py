"""What `r2mirror export` has written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.box.contents import point_document
from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import WIDE, Line, bold, rendered
from reconciler.words import count, size_words

if TYPE_CHECKING:
    from reconciler.box.export import Exported


def exported_text(found: Exported, *, color: bool = False, width: int = WIDE) -> str:
    """A line for each file, then what the box carries, and from which serial it leads to which."""
    manifest = found.manifest
    start = f"from serial {manifest.start.serial}" if manifest.start else "from nothing"
    size = size_words(found.size)
    files = [Line(str(path)) for path in (*found.paths, *([found.signature] if found.signature else []))]
    what = Line(f"{start} to serial {manifest.end.serial}, {found.digest}")
    repositories = count(len(manifest.repositories), "repository", "repositories")
    tags = f"{count(manifest.tags, 'tag')} of {repositories}"
    summary = bold(f"Exported {count(len(manifest.contents), 'object')} for {tags}, {size}.")
    return rendered([*files, what, summary], color=color, width=width)


def exported_document(found: Exported) -> dict[str, Any]:
    """An export as `schema/export.schema.json` has it."""
    manifest = found.manifest
    return {
        "version": 1,
        "files": [str(path) for path in found.paths],
        **({"signature": str(found.signature)} if found.signature else {}),
        "digest": str(found.digest),
        "from": point_document(manifest.start),
        "to": point_document(manifest.end),
        "repositories": len(manifest.repositories),
        "tags": manifest.tags,
        "objects": len(manifest.contents),
        "bytes": found.size,
    }


EXPORTED: View[Exported] = View(exported_text, exported_document)
