"""``POST /v1/measure``: one shipped metric with parameters, so that a dashboard needs no right to run SQL."""

from datetime import UTC, datetime
from typing import Final, Literal

import anyio
import anyio.to_thread
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from analytics import metric
from analytics.idling import Idling
from analytics.metric import Dimension, Filters, Window
from collector.answering.answering import CLIENT_LEFT, answered
from collector.answering.query import Endpoint, bounded_body, decoded, refusal, status_of, unauthorised
from collector.receiving.access import allowed
from conventions.errors import MalformedPayload, PayloadTooLarge, PluginError, QueryRefused
from store.limits import Limits
from store.writing import Store

MAX_BODY_BYTES: Final = 65_536
NARROWEST_S: Final = 1e-6
"""Of a time bucket: the store's times are whole microseconds."""


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests count, as ``analytics.metric.Filters``."""

    tiers: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body. Times are ISO 8601, UTC unless they carry a zone."""

    metric: str
    start: datetime
    end: datetime
    by: tuple[Dimension, ...] = ()
    filters: Chosen = Chosen()
    bucket_s: float | None = None
    idle: str = "separate"
    reservations: dict[str, float] = {}
    format: Literal["arrow", "json", "csv"] = "arrow"


def measure_endpoint(
    store: Store, limits: Limits, slots: anyio.CapacityLimiter, query_token: str | None, measure_token: str | None
) -> Endpoint:
    """The endpoint; the query token opens it too. Answers 400 with the reason, 401, 413, and 504 at the time limit."""

    async def measure(request: Request) -> Response:
        if not (allowed(request, query_token) or (measure_token and allowed(request, measure_token))):
            return unauthorised()
        try:
            asked = decoded(await bounded_body(request, MAX_BODY_BYTES), Question)
            sql, parameters = await anyio.to_thread.run_sync(_statement, store, asked)
            return await answered(store.untrusted(sql, parameters, limits), asked.format, request, slots)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        except (PayloadTooLarge, MalformedPayload, QueryRefused, PluginError) as error:
            return refusal(status_of(error), str(error))

    return measure


def _statement(store: Store, asked: Question) -> tuple[str, dict[str, object]]:
    """SQL and parameters. Raises ``PluginError`` for an unknown metric, ``MalformedPayload`` for an empty window."""
    window = _window(asked)
    if asked.bucket_s is not None and not asked.bucket_s >= NARROWEST_S:
        raise MalformedPayload(f"bucket_s must be positive, a microsecond at least, got {asked.bucket_s:g}")
    chosen = Filters(asked.filters.tiers, asked.filters.tenants, asked.filters.models, asked.filters.runs)
    try:
        idling = Idling(asked.idle, asked.reservations)
    except ValueError as error:
        raise MalformedPayload(str(error)) from None
    named = metric.parameters(window, asked.by, chosen, asked.bucket_s, idling)
    told = metric.load(asked.metric)
    shape = metric.shape_of(store, [told.name], window, chosen, asked.bucket_s)
    return metric.statement(told, idling, shape), named


def _window(asked: Question) -> Window:
    start, end = _utc(asked.start), _utc(asked.end)
    if start >= end:
        raise MalformedPayload(f"the window is empty: start {start.isoformat()} is not before end {end.isoformat()}")
    return Window(start, end)


def _utc(moment: datetime) -> datetime:
    try:
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise MalformedPayload(f"{moment.isoformat()} is out of range in UTC: ask for years 1 to 9999") from None
