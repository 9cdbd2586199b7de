"""Sources `mirror:PATH//REPOSITORY`: repositories of a folder that r2mirror filled, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import Malformed, NotFound
from reconciler.oci.spec import is_repository
from reconciler.sources.names import Kind, SourceName

if TYPE_CHECKING:
    from reconciler.sources import Source
    from reconciler.sources.names import SourceSettings

PREFIX = "mirror:"


def split(text: str, prefix: str, outer: str) -> tuple[str, str]:
    """Splits `prefix:OUTER//REPOSITORY`. Raises `Malformed`; `outer` is an example of what comes first."""
    place, slashes, repository = text.removeprefix(prefix).rpartition("//")
    if not place or not slashes or not is_repository(repository):
        example = f"{prefix}{outer}//library/alpine"
        raise Malformed(f"source {text!r}", f"names no repository after //; write e.g. {example}")
    return place, repository


def parse(text: str) -> SourceName:
    """Parses `mirror:PATH//REPOSITORY`. Raises `Malformed` if one of them is missing."""
    path, repository = split(text, PREFIX, "../office")
    return SourceName(text, place=PREFIX + path, queue=PREFIX, path=path, within=repository)


class MirrorFolders:
    """Opens repositories of folders."""

    def __init__(self, settings: SourceSettings) -> None:
        self._folder = settings.folder

    def open(self, name: SourceName) -> Source:
        from reconciler.sources.served import ServedRepository
        from reconciler.stores.folder import FolderStore

        path = Path(name.path or "")
        try:
            folder = self._folder / path.expanduser()
        except RuntimeError:  # from expanduser()
            user = path.parts[0].removeprefix("~")
            raise NotFound(name.text, f"there is no user {user} with a home folder") from None
        return ServedRepository(name.text, FolderStore(folder), name.within or "")

    def close(self) -> None:
        """Does nothing: files are open only while they are read."""


KIND = Kind(PREFIX, parse, MirrorFolders, "check the folder, and whether this user may read it")
