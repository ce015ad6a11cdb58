"""``POST /v1/records/{relation}``: rows appended to runs, events, alerts and the like, checked against their schema."""

import asyncio
from typing import Any, Final

import anyio.to_thread
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from collector.answering.answering import CLIENT_LEFT
from collector.answering.query import Endpoint, bounded_body, decoded, refusal, unauthorised
from collector.ingesting.pipeline import Pipeline
from collector.receiving.access import allowed
from conventions.errors import MalformedPayload, Overloaded, PayloadTooLarge, StoreError
from conventions.plugins import unknown
from store import definitions, rows

MAX_BODY_BYTES: Final = 8 * 1_048_576


class Records(msgspec.Struct, frozen=True):
    """The body of an append."""

    rows: list[dict[str, Any]]


def records_endpoint(pipeline: Pipeline, token: str | None = None) -> Endpoint:
    """The endpoint. Answers ``{"accepted": n}`` when they are on disk; 400 names the wrong field, 404 the relations."""

    async def records(request: Request) -> Response:
        if not allowed(request, token):
            return unauthorised()
        relation = request.path_params["relation"]
        if relation not in definitions.RECORDS:
            return refusal(404, unknown("append-only relation", relation, list(definitions.RECORDS)))
        try:
            given = decoded(await bounded_body(request, MAX_BODY_BYTES), Records).rows
            table = await anyio.to_thread.run_sync(rows.table, relation, given)
            await asyncio.wrap_future(pipeline.submit_rows(relation, table))
            return JSONResponse({"accepted": len(given)})
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        except PayloadTooLarge as error:
            return refusal(413, str(error))
        except (MalformedPayload, rows.RowError) as error:
            return refusal(400, str(error))
        except (StoreError, Overloaded) as error:
            return refusal(503, str(error))

    return records
