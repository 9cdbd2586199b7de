"""Sources `helm:https://HOST/PATH//CHART`: charts of classic chart repositories, which have an index.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.oci.spec import is_repository
from reconciler.regex import expression
from reconciler.sources.config import RegistryConfig
from reconciler.sources.in_registry import open_registry
from reconciler.sources.names import Kind, SourceName

if TYPE_CHECKING:
    from reconciler.sources import Source
    from reconciler.sources.helm_repository import Chart, ChartRepository
    from reconciler.sources.names import SourceSettings
    from reconciler.sources.registry import Registry

PREFIX = "helm:"
_PLACE = expression(r"(?P<scheme>https?)://(?P<host>[^/@?#\s:]+(?::[0-9]{1,5})?)(?P<path>(?:/[A-Za-z0-9._~%+-]+)*)/?")
_CHART = expression(r"[A-Za-z0-9][A-Za-z0-9._-]{0,250}")


def parse(text: str) -> SourceName:
    """Parses `helm:https://HOST/PATH//CHART`. Raises `Malformed`."""
    place, _, chart = text.removeprefix(PREFIX).rpartition("//")
    found = _PLACE.fullmatch(place)
    if not found or not _CHART.fullmatch(chart):
        example = f"{PREFIX}https://charts.example.com/stable//nginx"
        raise Malformed(f"source {text!r}", f"names no chart of a repository; write e.g. {example}")
    at = f"{PREFIX}{found['scheme']}://{found['host']}{found['path']}"
    return SourceName(f"{at}//{chart}", place=at, queue=found["host"], within=chart if is_repository(chart) else None)


class ChartRepositories:
    """Opens charts. Those of one host share its connections, and those of one repository its index."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._hosts: dict[str, Registry] = {}
        self._repositories: dict[str, ChartRepository] = {}
        self._charts: dict[str, Chart] = {}

    def open(self, name: SourceName) -> Source:
        from reconciler.sources.helm_repository import Chart

        if name.place not in self._repositories:
            self._repositories[name.place] = self._opened(name.place.removeprefix(PREFIX))
        if name.text not in self._charts:
            chart = name.text.rpartition("//")[2]
            self._charts[name.text] = Chart(name.text, self._repositories[name.place], chart)
        return self._charts[name.text]

    def _opened(self, place: str) -> ChartRepository:
        from reconciler.sources.helm_repository import ChartRepository

        found = _PLACE.fullmatch(place)
        assert found, "for its name was parsed"
        origin = f"{found['scheme']}://{found['host']}"
        if origin not in self._hosts:
            self._hosts[origin] = open_registry(found["host"], self._settings, plain_http=found["scheme"] == "http")
        config = self._settings.registries.get(found["host"], RegistryConfig())
        return ChartRepository(self._hosts[origin], found["path"], config.redirects_to)

    def close(self) -> None:
        for host in self._hosts.values():
            host.close()


KIND = Kind(PREFIX, parse, ChartRepositories, "check the address of the chart repository, and the chart's name")
