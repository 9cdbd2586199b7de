"""Opens what a call names: the mirrors file, and the store in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.mirrors.load import load_mirrors
from reconciler.target.digest_by_tag import open_target

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.stores import Stores


def load(file: Path) -> Mirrors:
    """Loads the mirrors file, with the environment's variables filled in. Raises `MirrorsInvalid`."""
    return load_mirrors(file, os.environ)


def open_bucket(mirrors: Mirrors) -> Stores:
    """Opens the store of a mirrors file. Sends nothing yet."""
    return open_target(mirrors.store, os.environ)
