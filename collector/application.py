"""The collector's HTTP interface: which path is answered by what (ARCHITECTURE, "HTTP of the collector")."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.answering.answering import CONCURRENT_QUERIES
from collector.answering.backup import backup_endpoint
from collector.answering.freshness import after_all, after_most
from collector.answering.measure import measure_endpoint
from collector.answering.query import query_endpoint
from collector.answering.records import records_endpoint
from collector.decoding.signals import Signal
from collector.ingesting.pipeline import Pipeline
from collector.ingesting.storing import STOPPED
from collector.receiving.access import allowed
from collector.receiving.intake import Intake
from collector.receiving.receive import Endpoint, Receiver
from collector.settings import TokenSettings
from collector.settling.settle import Settler
from store.limits import Limits
from store.writing import Store

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes answer with; built by ``__main__``."""

    store: Store
    settler: Settler
    settling: "asyncio.Task[None]"
    pipeline: Pipeline
    intake: Intake
    signals: Sequence[Signal]
    tokens: TokenSettings
    backups: Path | None = None


def application(parts: Parts) -> ASGIApp:
    """The ASGI application over ``parts``."""
    receivers = {f"/v1/{signal.name}": Receiver(signal, parts.intake) for signal in parts.signals}
    return _receiving_first(receivers, _routed(parts, receivers))


def _receiving_first(receivers: Mapping[str, Receiver], others: ASGIApp) -> ASGIApp:
    """OTLP straight to its receiver: routes and middleware cost some 60 µs of CPU time per request."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        receiver = receivers.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        await (receiver or others)(scope, receive, send)

    return app


def _routed(parts: Parts, receivers: Mapping[str, Receiver]) -> Starlette:
    return Starlette(
        routes=[
            *(Route(path, receiver, methods=["POST"]) for path, receiver in receivers.items()),
            *(
                Route(path, _told_apart(endpoint, parts.tokens.given), methods=["POST"])
                for path, endpoint in {**_reading(parts), **_administering(parts)}.items()
            ),
            Route("/health", _health_endpoint(parts)),
            Route("/metrics", _metrics_endpoint(parts.intake)),
        ]
    )


def _told_apart(endpoint: Endpoint, given: Sequence[str]) -> Endpoint:
    """``endpoint``, answering 403 where it would 401 to who carries one of the tokens ``given`` to this collector."""

    async def answer(request: Request) -> Response:
        response = await endpoint(request)
        if response.status_code == 401 and any(allowed(request, token) for token in given):
            return JSONResponse({"error": "this token opens another part of the collector"}, status_code=403)
        return response

    return answer


def _reading(parts: Parts) -> dict[str, Endpoint]:
    """Queries and metrics; together they have ``CONCURRENT_QUERIES`` slots."""
    slots, tokens = anyio.CapacityLimiter(CONCURRENT_QUERIES), parts.tokens
    query = query_endpoint(parts.store, Limits(), tokens.query, slots)
    measure = measure_endpoint(parts.store, Limits(), slots, tokens.query, tokens.measure)
    measuring = [tokens.query, *([tokens.measure] if tokens.measure else [])]
    return {
        "/v1/query": after_most(query, parts.pipeline, [tokens.query]),
        "/v1/measure": after_most(measure, parts.pipeline, measuring),
    }


def _administering(parts: Parts) -> dict[str, Endpoint]:
    """What needs the admin token."""
    token = parts.tokens.admin
    backup = backup_endpoint(parts.store, parts.backups, token)
    return {
        "/v1/records/{relation}": records_endpoint(parts.pipeline, token),
        "/v1/backup": after_all(backup, parts.pipeline, token),
        "/v1/settle": after_all(_settle_endpoint(parts), parts.pipeline, token),
    }


def _settle_endpoint(parts: Parts) -> Endpoint:
    async def settle(request: Request) -> Response:
        if not allowed(request, parts.tokens.admin):
            return JSONResponse({"error": "send the admin token as 'Authorization: Bearer ...'"}, status_code=401)
        return JSONResponse({"settled_until_ns": await parts.settler.settle_now()})

    return settle


def _health_endpoint(parts: Parts) -> Endpoint:
    async def health(_request: Request) -> Response:
        if not parts.pipeline.alive:
            return JSONResponse({"status": STOPPED}, status_code=503)
        if parts.settling.done():
            return JSONResponse({"status": "settling has stopped: restart the collector"}, status_code=503)
        trouble = parts.pipeline.trouble
        return JSONResponse({"status": f"nothing is stored at the moment: {trouble}" if trouble else "ok"})

    return health


def _metrics_endpoint(intake: Intake) -> Endpoint:
    async def metrics(_request: Request) -> Response:
        return Response(intake.counters.text(), media_type=PROMETHEUS_TEXT)

    return metrics
