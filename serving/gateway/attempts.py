"""Tries backends until one answers: another one after a refusal, never again after the client's first byte.

An answer on trial is read whole and judged before the client sees any of it; one that fails is a refused attempt.
"""

import functools
import hmac
import logging
import secrets
import time
from dataclasses import dataclass

from serving.backends.failures import AttemptFailed
from serving.backends.fleet import Backend, Fleet
from serving.backends.transport import Reply, Transport
from serving.gateway import relay, spans, trial, whole
from serving.gateway.ask import PATHS
from serving.gateway.call import Call, Delivery
from serving.gateway.metrics import Counters
from serving.gateway.observation import Observation
from serving.gateway.router import Router
from serving.routing._types import Trial
from serving.telemetry import Tracer

logger = logging.getLogger(__name__)

_SECRET = secrets.token_bytes(32)
_PASSED_ON = {b"x-session-id": "X-Session-ID", b"x-vllm-priority": "X-Vllm-Priority"}


@dataclass(frozen=True, slots=True)
class Attempts:
    """Everything a try needs."""

    fleet: Fleet
    router: Router
    transport: Transport
    tracer: Tracer
    counters: Counters
    max_attempts: int

    async def run(self, call: Call, delivery: Delivery, recording: relay.Recording) -> None:
        """Have the call answered. Raises the last ``AttemptFailed`` when nobody does."""
        assert call.ask is not None
        backends, features = self.fleet.serving(call.ask.model), call.ask.features()
        tried: list[str] = []
        num_refused, refused = 0, None
        while True:
            backend, choice = self.router.choose(features, backends, tried, refused)
            call.backend, call.tier, call.reason, call.policy = backend, backend.tier, choice.reason, self.router.name
            tried.append(backend.name)
            on_trial = choice.on_trial and len(tried) < len(backends)
            try:
                found = await self._attempt(call, backend, len(tried), delivery, recording, on_trial=on_trial)
            except AttemptFailed as failure:
                may_go_on = failure.retryable and not delivery.started
                if not may_go_on or len(tried) == min(self.max_attempts + num_refused, len(backends)):
                    raise
                logger.info("request %s goes to another backend: %s", call.request_id, failure)
            else:
                if found is None:
                    return
                num_refused, refused, call.escalated_from = num_refused + 1, found, backend.tier

    async def _attempt(
        self,
        call: Call,
        backend: Backend,
        number: int,
        delivery: Delivery,
        recording: relay.Recording,
        *,
        on_trial: bool,
    ) -> Trial | None:
        """Have one backend answer; the trial whose answer the client was not shown, None when it was."""
        assert call.ask is not None
        body = trial.body(call.ask, backend.model) if on_trial else call.ask.upstream_body(backend.model)
        call.observation = Observation()
        started_s = time.perf_counter()
        backend.in_flight += 1
        with spans.attempt(self.tracer, call, backend, number) as current:
            current.end("cancelled", "cancelled")  # holds unless the answer or a failure says otherwise
            try:
                reply = await self.transport.post(backend, PATHS[call.operation], body, _headers(call, number, current))
                if on_trial:
                    refused = await self._judged(reply, call, backend, current, delivery, recording)
                else:
                    refused = None
                    await _relay(reply, call, delivery, recording, backend.name)
                backend.mark_reachable()
                in_band = call.observation.error
                if refused is None:
                    current.end("failed" if in_band else "answered", "upstream_error" if in_band else None)
                else:
                    current.end("refused", None)
                return refused
            except AttemptFailed as failure:
                current.end(failure.outcome, failure.error_type)
                if not failure.reachable:
                    backend.mark_unreachable(failure.error_type)
                raise
            finally:
                backend.in_flight -= 1
                call.upstream_s += time.perf_counter() - started_s
                call.outcome, call.error_type = current.outcome, current.error_type
                self.counters.attempt(backend.name, current.outcome)

    async def _judged(
        self,
        reply: Reply,
        call: Call,
        backend: Backend,
        current: spans.Try,
        delivery: Delivery,
        recording: relay.Recording,
    ) -> Trial | None:
        """Read a whole answer and show it, or give back the trial that it failed."""
        try:
            data = await trial.read(reply, backend.name)
        finally:
            reply.close()
        tried = Trial(backend.name, backend.tier, trial.odds_of(data, call.operation))
        verdict = self.router.judge(tried)
        current.confidence = call.confidence = verdict.chance
        if not verdict.kept:
            return tried
        call.reason = verdict.reason
        await whole.deliver(trial.as_asked(data, call.ask), call, delivery, recording)
        return None


async def _relay(reply: Reply, call: Call, delivery: Delivery, recording: relay.Recording, name: str) -> None:
    try:
        pass_on = relay.stream if reply.is_stream else relay.body
        await pass_on(reply, call, delivery, recording, name)
    finally:
        reply.close()


@functools.lru_cache
def _cache_salt(tenant: str) -> str:
    """Keeps tenants apart in an engine's prefix cache, where a hit can be told by its speed, without naming them."""
    return hmac.digest(_SECRET, tenant.encode(), "sha256").hex()


def _headers(call: Call, number: int, current: spans.Try) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "X-Request-Id": f"{call.request_id}-{number}", **current.headers}
    headers["X-Cache-Salt"] = _cache_salt(call.tenant)
    for given, name in _PASSED_ON.items():
        if given in call.headers:
            headers[name] = call.headers[given].decode("latin-1")
    return headers
