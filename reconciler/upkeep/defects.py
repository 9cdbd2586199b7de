"""What can be wrong with an object of the bucket. Pure."""

from __future__ import annotations

from enum import StrEnum

from reconciler.frozen import Frozen


class DefectKind(StrEnum):
    MISSING = "missing"
    WRONG_SIZE = "wrong size"
    WRONG_BYTES = "wrong bytes"
    WRONG_HEADERS = "wrong headers"
    OUT_OF_STEP = "out of step"
    UNKNOWN = "unknown"


class Defect(Frozen):
    """One object that is not as it should be.

    target  its repository, None if it belongs to none
    detail  what was expected and what was found
    """

    target: str | None
    key: str
    kind: DefectKind
    detail: str


NOT_CHOSEN = "no entry of mirrors.yaml chooses it: it may be another writer's, and is left alone"
"""Why a tag is not adopted where others write as well."""
