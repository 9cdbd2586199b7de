"""Makes the OCI artifact of a chart that `helm push` makes: the same bytes for the same chart, always. Pure.

The manifest has the .tgz as a layer, its provenance file as another one, and Chart.yaml as JSON as its config. One
thing differs: helm's annotation `created` is the time of the .tgz file on the disk that it was pushed from; here it is
that of Chart.yaml within the .tgz, which is when the chart was packaged.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.sources.helm_yaml import Reader

if TYPE_CHECKING:
    from reconciler.sources.helm_yaml import Value

CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"

MAX_CHART_YAML = 1024 * 1024
MAX_UNPACKED = 128 * 1024 * 1024
"""Bytes of a .tgz that are unpacked until its Chart.yaml is found."""

_TITLE = "org.opencontainers.image."


class Artifact(Frozen):
    """A chart as an OCI artifact.

    blobs  what its manifest refers to, except for the .tgz
    """

    manifest: bytes
    chart: Digest
    blobs: Mapping[Digest, bytes]

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(OCI_MANIFEST, Digest.of(self.manifest), len(self.manifest))


def make_artifact(archive: bytes, provenance: bytes | None, name: str, version: str, what: str) -> Artifact:
    """Makes the artifact of a .tgz. Raises `Malformed` unless it is the chart `name` of this version."""
    body, created = _chart_yaml(archive, what)
    config = config_of(Reader(body, f"{what}: Chart.yaml").value(), what)
    if (config.get("name"), config.get("version")) != (name, version):
        raise Malformed(
            what, f"expected the chart {name} {version}, the .tgz has {config.get('name')} {config.get('version')}"
        )
    if provenance is not None and Digest.of(archive).hex.encode() not in provenance:
        raise Malformed(what, "its provenance file (.prov) is about another .tgz; it does not have this digest")
    return artifact_of(config, _described(CHART, archive), provenance, created)


def artifact_of(
    config: Mapping[str, Any], chart: Descriptor, provenance: bytes | None, created: str | None
) -> Artifact:
    """Makes the artifact of a chart with this config, e.g. from `config_of`."""
    body = _go_json(config)
    blobs = {Digest.of(body): body}
    layers = [chart]
    if provenance is not None:
        blobs[Digest.of(provenance)] = provenance
        layers.append(_described(PROVENANCE, provenance))
    annotations = _annotations(config, created)
    manifest = {
        "schemaVersion": 2,
        "config": _entry(_described(CONFIG, body)),
        "layers": [_entry(one) for one in sorted(layers, key=lambda one: str(one.digest))],
        **({"annotations": annotations} if annotations else {}),
    }
    return Artifact(_go_json(manifest), chart.digest, blobs)


def _described(media_type: str, body: bytes) -> Descriptor:
    return Descriptor(media_type, Digest.of(body), len(body))


def _entry(one: Descriptor) -> dict[str, Any]:
    return {"mediaType": one.media_type, "digest": str(one.digest), "size": one.size}


def _go_json(value: Any) -> bytes:
    """Writes JSON as Go does, to the byte."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


class _Bounded:
    """Unpacks a gzip file up to `MAX_UNPACKED` bytes, as a file that `tarfile` reads."""

    def __init__(self, archive: bytes) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._packed = archive
        self._left = MAX_UNPACKED

    def read(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size and self._packed and not self._inflate.eof:
            out += self._inflate.decompress(self._packed, size - len(out))
            self._packed = self._inflate.unconsumed_tail
        self._left -= len(out)
        if self._left < 0:
            raise OSError(f"has more than {MAX_UNPACKED} bytes before its Chart.yaml")
        return bytes(out)


def _chart_yaml(archive: bytes, what: str) -> tuple[bytes, str | None]:
    """Returns the chart's Chart.yaml, and when it was packaged."""
    try:
        with tarfile.open(fileobj=_Bounded(archive), mode="r|") as unpacked:  # type: ignore[call-overload]  # it only reads
            for member in unpacked:
                parts = [part for part in member.name.split("/") if part not in ("", ".")]
                if not member.isreg() or len(parts) != 2 or parts[1] != "Chart.yaml":
                    continue
                if member.size > MAX_CHART_YAML:
                    raise Malformed(what, f"its Chart.yaml is larger than {MAX_CHART_YAML} bytes")
                file = unpacked.extractfile(member)
                return file.read() if file else b"", _moment(member.mtime)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise Malformed(what, f"is not a chart: {error}") from None
    raise Malformed(what, "is not a chart: it has no Chart.yaml")


def _moment(seconds: float) -> str | None:
    try:
        return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}" if seconds > 0 else None
    except (OverflowError, ValueError, OSError):
        return None


def config_of(chart: Value, what: str) -> dict[str, Any]:
    """Returns Chart.yaml as helm writes it to JSON: the keys that helm knows, in its order. Raises `Malformed`."""
    if not isinstance(chart, dict):
        raise Malformed(what, "expected its Chart.yaml to have keys with values")
    fields = _Fields(chart, what)
    deprecated = fields.text("deprecated").lower() in ("true", "yes", "on")
    found = {
        "name": fields.text("name"),
        "home": fields.text("home"),
        "sources": fields.texts("sources"),
        "version": fields.text("version"),
        "description": fields.text("description"),
        "keywords": fields.texts("keywords"),
        "maintainers": [_filled(one.all("name", "email", "url")) for one in fields.each("maintainers")],
        "icon": fields.text("icon"),
        "apiVersion": fields.text("apiVersion") or "v1",
        "condition": fields.text("condition"),
        "tags": fields.text("tags"),
        "appVersion": fields.text("appVersion"),
        "deprecated": deprecated,
        "annotations": fields.map("annotations"),
        "kubeVersion": fields.text("kubeVersion"),
        "dependencies": [_dependency(one) for one in fields.each("dependencies")],
        "type": fields.text("type"),
    }
    return _filled(found)


def _dependency(fields: _Fields) -> dict[str, Any]:
    enabled = fields.text("enabled").lower() in ("true", "yes", "on")
    name, repository = fields.text("name"), fields.text("repository")
    found = {
        "condition": fields.text("condition"),
        "tags": fields.texts("tags"),
        "enabled": enabled,
        "import-values": [_sorted(one) for one in fields.values("import-values")],
        "alias": fields.text("alias"),
    }
    version = _filled({"version": fields.text("version")})
    # The only two that helm writes even if they are empty.
    return {"name": name, **version, "repository": repository, **_filled(found)}


def _sorted(value: Value) -> Value:
    """Sorts keys, as Go does where it knows no type."""
    match value:
        case dict():
            return {key: _sorted(one) for key, one in sorted(value.items())}
        case list():
            return [_sorted(one) for one in value]
        case _:
            return value


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}


class _Fields(Frozen):
    """The values of a mapping in Chart.yaml, each as the type that helm expects."""

    values_of: Mapping[str, Value]
    what: str

    def text(self, key: str) -> str:
        value = self.values_of.get(key)
        if not isinstance(value, str | None):
            raise Malformed(self.what, f"expected {key} in its Chart.yaml to be text")
        return _sanitised(value or "")

    def all(self, *keys: str) -> dict[str, str]:
        return {key: self.text(key) for key in keys}

    def values(self, key: str) -> Sequence[Value]:
        value = self.values_of.get(key)
        if not isinstance(value, list | None):
            raise Malformed(self.what, f"expected {key} in its Chart.yaml to be a list")
        return value or []

    def texts(self, key: str) -> list[str]:
        return [_Fields({key: one}, self.what).text(key) for one in self.values(key)]

    def each(self, key: str) -> list[_Fields]:
        found = []
        for one in self.values(key):
            if not isinstance(one, dict):
                raise Malformed(self.what, f"expected each of {key} in its Chart.yaml to have keys with values")
            found.append(_Fields(one, self.what))
        return found

    def map(self, key: str) -> dict[str, str]:
        value = self.values_of.get(key) or {}
        if not isinstance(value, dict) or not all(isinstance(one, str | None) for one in value.values()):
            raise Malformed(self.what, f"expected {key} in its Chart.yaml to be texts by name")
        return {name: str(one or "") for name, one in sorted(value.items())}


def _sanitised(text: str) -> str:
    """Writes all white space as a space and leaves out what cannot be printed, as helm does."""
    return "".join(" " if one.isspace() else one for one in text if one.isspace() or one.isprintable())


def _annotations(config: Mapping[str, Any], created: str | None) -> dict[str, str]:
    found = {
        "description": config.get("description", ""),
        "title": config.get("name", ""),
        "version": config.get("version", ""),
        "url": config.get("home", ""),
        "created": created or "",
        "source": next(iter(config.get("sources", ())), ""),
        "authors": ", ".join(map(_author, config.get("maintainers", ()))),
    }
    standard = {f"{_TITLE}{key}": value for key, value in found.items() if value.strip()}
    kept = {key: standard[key] for key in (f"{_TITLE}title", f"{_TITLE}version") if key in standard}
    return dict(sorted({**standard, **config.get("annotations", {}), **kept}.items()))


def _author(maintainer: Mapping[str, str]) -> str:
    email = maintainer.get("email")
    return f"{maintainer.get('name', '')}{f' ({email})' if email else ''}"
