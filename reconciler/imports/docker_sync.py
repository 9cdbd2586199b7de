"""Translates docker-sync's config.yaml (Altinity)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports import rules
from reconciler.imports.drafts import Destination, Draft, Translation
from reconciler.imports.durations import every
from reconciler.imports.names import host_named, parse_destination, parse_reference, variable_in
from reconciler.imports.reading import WITHOUT_MEANING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.drafts import Entry
    from reconciler.imports.reading import At

KNOWN = {
    "maxErrors": f"{WITHOUT_MEANING}: a run goes on with other images after an error",
    "maxerrors": f"{WITHOUT_MEANING}: a run goes on with other images after an error",
    "s3": f"{WITHOUT_MEANING}: `r2mirror apply --help` has what can be set for a run",
    "logging": f"{WITHOUT_MEANING}: see --log-format and --verbose",
    "telemetry": f"{WITHOUT_MEANING}: see `r2mirror apply --metrics-file` and docs/operations.md",
    "ecr": f"{WITHOUT_MEANING}: the region of ECR is part of its registry's name",
    "region": f"{WITHOUT_MEANING}: the region of ECR is part of its registry's name",
    "username": "is a credential and not copied: name an environment variable as username_env under `registries`",
    "password": "is a credential and not copied: name an environment variable as password_env under `registries`",
    "token": "is a credential and not copied: name environment variables under `registries`",
    "helper": f"{WITHOUT_MEANING}: ECR's credentials come from the AWS environment",
}


def is_docker_sync(value: Any) -> bool:
    """Returns whether a parsed file is one of docker-sync's."""
    sync = value.get("sync") if isinstance(value, dict) else None
    return isinstance(sync, dict) and bool({"images", "registries"} & set(sync))


def translate(files: Sequence[At]) -> Translation:
    """Translates files of docker-sync's, which its `mergeYaml` would merge."""
    translation = Translation()
    for top in files:
        sync = top.inner("sync")
        if sync:
            interval = sync.text("interval")
            if every(interval):
                translation.top["schedule"] = {"every": every(interval)}
            elif interval:
                sync.at("interval").note(f"{interval[:40]!r} is not a time that mirrors.yaml can say; write e.g. 30m")
            for registry in sync.each("registries"):
                _registry(translation, registry)
            for image in sync.each("images"):
                _image(translation, image)
        top.reading.note_unread(KNOWN)
    return translation


def _registry(translation: Translation, registry: At) -> None:
    registry.text("name")
    url, auth = registry.text("url"), registry.inner("auth")
    if not auth:
        return
    for key in auth.keys():  # noqa: SIM118 it is not a dict
        if auth.value.get(key) in ("", None):
            auth.text(key)
    user, password = (variable_in(str(auth.value.get(key) or "")) for key in ("username", "password"))
    if user and password and host_named(url):
        auth.text("username")
        auth.text("password")
        translation.registry(host_named(url), username_env=user, password_env=password)


def _image(translation: Translation, image: At) -> None:
    source = image.needed("source")
    settings: dict[str, Any] = {}
    if image.flag("purge"):
        settings["prune"] = True
    mutable, ignored = image.texts("mutableTags"), image.texts("ignoredTags")
    if "*" not in mutable:
        # A tag that is at the target already is not copied again, unless it is said to change.
        changing = [entry for tag in mutable for entry in _entries(image.at("mutableTags"), tag)]
        settings["immutable"] = [{**rules.EVERYTHING, **({"exclude": changing} if changing else {})}]
    listed = image.texts("tags")
    tags = [entry for tag in listed for entry in _entries(image.at("tags"), tag) if tag not in ignored]
    if not listed:
        tags = [rules.EVERYTHING]
    patterns = [{**one, "exclude": list(ignored)} if ignored and isinstance(one, dict) else one for one in tags]
    targets = list(image.items("targets"))
    try:
        repository = parse_reference(source).repository if source else ""
    except Malformed as error:
        image.at("source").problem(str(error))
        return
    if repository and not targets:
        image.note("there are no targets")
    for target in targets if repository else ():
        _target(translation, image, target, Draft(image, repository, tuple(patterns), settings=settings))


def _target(translation: Translation, image: At, target: At, draft: Draft) -> None:
    text = target.text()
    kind, *fields = text.split(":")
    try:
        if kind in ("r2", "s3") and len(fields) == 3:
            keys = (
                (("type", "r2"), ("account_id", fields[0])) if kind == "r2" else (("type", "s3"), ("region", fields[0]))
            )
            if re.match(r"https?$", fields[0]):
                target.note("an endpoint's URL: write it as endpoint_url of a store")
                return
            destination, path = Destination((*keys, ("bucket", fields[1]))), fields[2]
        else:
            destination, path, _ = parse_destination(text)
    except Malformed as error:
        target.problem(str(error))
        return
    if draft.tags:
        translation.drafts.append(
            Draft(image, draft.source, draft.tags, path, destination, draft.settings),
        )


def _entries(at: At, tag: str) -> list[Entry]:
    if tag == "@semver":
        return [{"regex": rules.MASTERMINDS_VERSION}]
    if "*" not in tag:
        return [tag]
    try:
        return [{"glob": rules.path_match(tag)}]
    except ValueError as error:
        at.note(f"{tag[:90]!r} is not translated: {error}")
        return []
