"""Answers that say no, in OpenAI's error shape: ``{"error": {message, type, param, code}}``."""

from collections.abc import Mapping
from typing import Final

import msgspec

INVALID: Final = "invalid_request_error"
RETRY_AFTER_S: Final = 1


class Problem(Exception):
    """A request that is not answered. ``code`` is also the span's ``error.type``."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        kind: str = INVALID,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self._error = {"message": message, "type": kind, "param": param, "code": code}

    @property
    def body(self) -> bytes:
        """The JSON document."""
        return msgspec.json.encode({"error": self._error})


def invalid(message: str, param: str | None, code: str = "invalid_value") -> Problem:
    """400: a field that cannot be used."""
    return Problem(400, message, code=code, param=param)


def unsupported(param: str, what: str) -> Problem:
    """400: a parameter that would change the answer and that this engine does not implement."""
    return invalid(f"{param}: {what}", param, code="unsupported_parameter")


def context_too_long(num_prompt: int, num_output: int | None, limit: int, param: str) -> Problem:
    """400 with the numbers."""
    wanted = f"{num_prompt} prompt tokens" + (f" and {num_output} output tokens" if num_output else "")
    message = f"This model's maximum context length is {limit} tokens, but you requested {wanted}."
    return invalid(f"{message} Shorten the prompt or lower max_tokens.", param, code="context_length_exceeded")


def unknown_model(asked: str, served: str) -> Problem:
    """404: another model than the one that is loaded."""
    message = f"The model {asked!r} does not exist here: choose from {served}"
    return Problem(404, message, code="model_not_found", param="model")


def queue_full(num_waiting: int) -> Problem:
    """503 with Retry-After: more waiting requests than the settings allow."""
    return Problem(
        503,
        f"{num_waiting} requests are waiting already; retry later",
        code="queue_full",
        kind="overloaded_error",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def engine_down() -> Problem:
    """503: the engine thread is gone; the process should be restarted."""
    return Problem(503, "the engine has stopped", code="engine_stopped", kind="server_error")


def engine_failed() -> Problem:
    """500: the step that this request was part of failed."""
    return Problem(500, "the model failed on this request", code="engine_error", kind="server_error")


def cancelled() -> Problem:
    """503: the engine let go of the request, because its caller left or the process is stopping."""
    return Problem(503, "the request was cancelled", code="cancelled", kind="server_error")


def body_too_large(limit: int) -> Problem:
    """413: counted while it is read."""
    return Problem(413, f"the body is larger than {limit} bytes", code="body_too_large")
