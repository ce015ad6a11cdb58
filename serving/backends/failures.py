"""How an attempt on a backend fails, in the words that spans, counters and clients see."""

from typing import Literal

from conventions.errors import UpstreamError

Outcome = Literal["answered", "refused", "failed", "cancelled"]
"""``refused``: the backend did not take the request, or its answer was not good enough; ``failed``: it took it and did
not finish it."""

RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})


class AttemptFailed(UpstreamError):
    """One try that gave the client no byte.

    ``error_type`` is of a small fixed set (an HTTP status as text, or a name); ``status`` is what the client is told
    when no other try follows; ``body`` is the backend's own answer, if there was one, with its ``content_type``.
    """

    def __init__(
        self, message: str, *, error_type: str, status: int, outcome: Outcome, retryable: bool, reachable: bool = True
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.status = status
        self.outcome: Outcome = outcome
        self.retryable = retryable
        self.reachable = reachable
        self.body: bytes | None = None
        self.content_type = "application/json"
        self.retry_after: str | None = None


def unreachable(name: str, *, resolved: bool) -> AttemptFailed:
    """No connection: nobody listens, or the name does not resolve. The address is not the client's business."""
    return AttemptFailed(
        f"backend {name!r} cannot be reached: " + ("nothing accepts connections" if resolved else "unknown host"),
        error_type="connection_refused" if resolved else "name_not_resolved",
        status=502, outcome="refused", retryable=True, reachable=False,
    )  # fmt: skip


def connect_timeout(name: str, seconds: float) -> AttemptFailed:
    """The connection was not made in time."""
    return AttemptFailed(
        f"backend {name!r} did not accept a connection within {seconds:g} s",
        error_type="connect_timeout", status=504, outcome="refused", retryable=True, reachable=False,
    )  # fmt: skip


def read_timeout(name: str, seconds: float) -> AttemptFailed:
    """The backend was silent for too long. Not retried: it may still be computing the answer."""
    return AttemptFailed(
        f"backend {name!r} sent nothing for {seconds:g} s",
        error_type="read_timeout", status=504, outcome="failed", retryable=False,
    )  # fmt: skip


def connection_lost(name: str, why: str) -> AttemptFailed:
    """The connection broke after the request was sent. Not retried: the backend may have computed the answer."""
    return AttemptFailed(
        f"backend {name!r} closed the connection before its answer was complete: {why}",
        error_type="connection_lost", status=502, outcome="failed", retryable=False,
    )  # fmt: skip


def out_of_protocol(name: str, why: str) -> AttemptFailed:
    """The backend answered with something that is not the OpenAI protocol."""
    return AttemptFailed(
        f"backend {name!r} answered out of protocol: {why}",
        error_type="out_of_protocol", status=502, outcome="failed", retryable=False,
    )  # fmt: skip


def status_answer(name: str, status: int, body: bytes, content_type: str, retry_after: str | None) -> AttemptFailed:
    """The backend answered with an error status; its body goes to the client when no other try follows."""
    if status in (401, 403):
        return _unauthorised(name, status)
    refused = status < 500 or status == 503
    failure = AttemptFailed(
        f"backend {name!r} answered with HTTP status {status}",
        error_type=str(status), status=status, outcome="refused" if refused else "failed",
        retryable=status in RETRYABLE_STATUSES,
    )  # fmt: skip
    failure.body, failure.content_type, failure.retry_after = body, content_type, retry_after
    return failure


def _unauthorised(name: str, status: int) -> AttemptFailed:
    """The gateway's own key was not accepted: the client's key is good, so it must not be told 401."""
    return AttemptFailed(
        f"backend {name!r} did not accept the gateway's own API key (HTTP status {status})",
        error_type=str(status), status=502, outcome="refused", retryable=False,
    )  # fmt: skip
