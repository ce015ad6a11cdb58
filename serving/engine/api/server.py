"""The routes of one engine process."""

import time

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from serving.engine import metrics
from serving.engine.api.chat import ChatWriter
from serving.engine.api.completion import CompletionWriter
from serving.engine.api.endpoint import Desk, Dialect, Endpoint
from serving.engine.api.intake import Intake
from serving.engine.api.problems import Problem
from serving.engine.api.wire import ChatBody, CompletionBody

JSON = "application/json"


def application(desk: Desk, intake: Intake) -> Starlette:
    """The ASGI application over a running engine."""
    chat = Dialect("chat", "chatcmpl-", ChatBody, intake.chat, ChatWriter)
    completion = Dialect("text_completion", "cmpl-", CompletionBody, intake.completion, CompletionWriter)
    pages = Pages(desk, intake.max_model_len)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", Endpoint(chat, desk), methods=["POST"]),
            Route("/v1/completions", Endpoint(completion, desk), methods=["POST"]),
            Route("/v1/models", pages.models),
            Route("/health", pages.health),
            Route("/metrics", pages.metrics),
        ],
        exception_handlers={HTTPException: _not_here},
    )


class Pages:
    """The routes that generate nothing."""

    def __init__(self, desk: Desk, max_model_len: int) -> None:
        self._desk = desk
        self._max_model_len = max_model_len
        self._created = int(time.time())

    async def models(self, _request: HttpRequest) -> Response:
        """The one model that is served, with its context length as vLLM shows it."""
        model = {
            "id": self._desk.model,
            "object": "model",
            "created": self._created,
            "owned_by": "tokenjoule",
            "max_model_len": self._max_model_len,
        }
        return Response(msgspec.json.encode({"object": "list", "data": [model]}), media_type=JSON)

    async def health(self, _request: HttpRequest) -> Response:
        """200 while the engine thread lives, 503 afterwards."""
        alive = self._desk.service.engine.alive
        document = {"status": "ok" if alive else "engine stopped", "model": self._desk.model}
        return Response(msgspec.json.encode(document), status_code=200 if alive else 503, media_type=JSON)

    async def metrics(self, _request: HttpRequest) -> Response:
        """Prometheus text."""
        page = metrics.render(self._desk.service.engine.counters, self._desk.engine, self._desk.model)
        return Response(page, headers={"content-type": metrics.CONTENT_TYPE})


async def _not_here(request: HttpRequest, error: Exception) -> Response:
    """404 and 405 in the API's error shape."""
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    code = "method_not_allowed" if error.status_code == 405 else "not_found"
    problem = Problem(error.status_code, f"{where}: {error.detail}", code=code)
    return Response(problem.body, status_code=error.status_code, headers=error.headers, media_type=JSON)
