"""Sources `oci:PATH` and `oci:PATH//REPOSITORY`: OCI image layouts in folders of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import Malformed, NotFound
from reconciler.oci.spec import is_repository
from reconciler.sources.names import Kind, SourceName

if TYPE_CHECKING:
    from reconciler.sources import Source
    from reconciler.sources.names import SourceSettings

PREFIX = "oci:"


def parse(text: str) -> SourceName:
    """Parses `oci:PATH`, with `//REPOSITORY` for a layout of several. Raises `Malformed` if the path is missing."""
    path = text.removeprefix(PREFIX)
    folder, _, repository = path.rpartition("//")
    if folder and is_repository(repository):
        return SourceName(text, place=PREFIX + folder, queue=PREFIX, path=folder, within=repository)
    if not path:
        raise Malformed(f"image layout {text!r}", f"names no folder; write e.g. {PREFIX}./images")
    return SourceName(text, place=text, queue=PREFIX, path=path)


class Layouts:
    """Opens image layouts."""

    def __init__(self, settings: SourceSettings) -> None:
        self._folder = settings.folder

    def open(self, name: SourceName) -> Source:
        from reconciler.sources.image_layout import ImageLayout

        path = Path(name.path or "")
        try:
            return ImageLayout(name.text, self._folder / path.expanduser(), name.within)
        except RuntimeError:  # from expanduser()
            user = path.parts[0].removeprefix("~")
            raise NotFound(name.text, f"there is no user {user} with a home folder") from None

    def close(self) -> None:
        """Does nothing: files are open only while they are read."""


KIND = Kind(PREFIX, parse, Layouts, "check the folder, and whether this user may read it")
