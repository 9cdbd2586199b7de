"""Answers /metrics: beside other paths, or on a port of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

Metrics: TypeAlias = Callable[[], tuple[bytes, str]]
"""Returns the metrics and their Content-Type."""


def measured(metrics: Metrics) -> Starlette:
    """Builds an application that answers /metrics alone."""
    return Starlette(routes=[metrics_route(metrics)])


def metrics_route(metrics: Metrics) -> Route:
    """Returns the route of /metrics."""
    return Route("/metrics", partial(_answer, metrics))


def _answer(metrics: Metrics, _: Request) -> Response:
    body, content_type = metrics()
    return Response(body, headers={"Content-Type": content_type})
