"""What was acknowledged is seen by who asks next: reading waits until it is in the store, for so long.

Beyond the bound, and when the store takes nothing, settling and backups are refused; queries are answered from what is
stored, and a header says that it is not all. A query with ``Cache-Control: max-age=N`` (RFC 9111, 5.2.1.1) is content
without the last N seconds: a page of many statements waits for none of them.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from collector.ingesting.pipeline import Pipeline
from collector.receiving.access import allowed
from collector.receiving.receive import Endpoint
from conventions.errors import StoreError

QUERY_WAIT_S: Final = 5.0
WHOLE_WAIT_S: Final = 60.0
BEHIND_HEADER: Final = "tokenjoule-behind"
RETRY_AFTER_S: Final = "5"
_MAX_AGE: Final = re.compile(r"(?:^|,)\s*max-age=\"?(\d{1,9})\"?\s*(?:,|$)", re.IGNORECASE)


async def behind(pipeline: Pipeline, within_s: float, max_age_s: float = 0.0) -> str:
    """Why something acknowledged ``max_age_s`` before this call is not in the store; empty when all is."""
    try:
        await asyncio.wait_for(asyncio.wrap_future(pipeline.caught_up(max_age_s)), within_s)
    except TimeoutError:
        return f"what was acknowledged before is not all in the store after {within_s:g} s"
    except StoreError as error:
        return f"what was acknowledged before is not all in the store: {error}"
    return ""


def after_all(endpoint: Endpoint, pipeline: Pipeline, token: str | None) -> Endpoint:
    """``endpoint`` over everything that was acknowledged before the request, else 503."""

    async def whole(request: Request) -> Response:
        why = await behind(pipeline, WHOLE_WAIT_S) if allowed(request, token) else ""
        if why:
            return JSONResponse({"error": f"{why}; try again"}, 503, {"retry-after": RETRY_AFTER_S})
        return await endpoint(request)

    return whole


def after_most(endpoint: Endpoint, pipeline: Pipeline, tokens: Sequence[str | None]) -> Endpoint:
    """``endpoint`` over everything that was acknowledged before the request, or before the age that it asks for.

    A header says so if it is not.
    """

    async def fresh(request: Request) -> Response:
        may = any(allowed(request, token) for token in tokens)
        why = await behind(pipeline, QUERY_WAIT_S, max_age_s(request)) if may else ""
        response = await endpoint(request)
        if why:
            response.headers[BEHIND_HEADER] = why.replace("\n", " ").encode("ascii", "replace").decode("ascii")
        return response

    return fresh


def max_age_s(request: Request) -> float:
    """How old an answer may be; 0, nothing left out, unless the request says so in a way that can be read."""
    found = _MAX_AGE.search(request.headers.get("cache-control", ""))
    return float(found[1]) if found else 0.0
