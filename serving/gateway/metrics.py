"""The gateway's own counters in Prometheus text. Labels come from the settings only, so their number is bounded.

``overhead`` is the gateway's own time: a call's duration without the time in which an attempt was open.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.backends.failures import Outcome
from serving.gateway.call import Call

NO_TIER = "none"  # no backend was chosen: the request was refused, or its answer came from nobody
OVERHEAD_BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
UPSTREAM_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Counters:
    """One set per gateway, in a registry of its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "tokenjoule_gateway_requests", "finished requests", ["tier", "outcome"], registry=registry
        )
        self._attempts = Counter(
            "tokenjoule_gateway_attempts", "tries on backends", ["backend", "outcome"], registry=registry
        )
        self._cache = Counter(
            "tokenjoule_gateway_cache_lookups", "cacheable requests by result", ["result"], registry=registry
        )
        self._unauthorised = Counter(
            "tokenjoule_gateway_unauthorised", "requests without a good key", registry=registry
        )
        self._in_flight = Gauge("tokenjoule_gateway_in_flight", "requests open now", registry=registry)
        self._overhead = Histogram(
            "tokenjoule_gateway_overhead_seconds", "own time per request", buckets=OVERHEAD_BUCKETS_S, registry=registry
        )
        self._upstream = Histogram(
            "tokenjoule_gateway_upstream_seconds", "time per request with an attempt open",
            buckets=UPSTREAM_BUCKETS_S, registry=registry,
        )  # fmt: skip

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)

    def unauthorised(self) -> None:
        """A request was turned away at the door."""
        self._unauthorised.inc()

    def opened(self) -> None:
        """A request was taken in."""
        self._in_flight.inc()

    def attempt(self, backend: str, outcome: Outcome) -> None:
        """A try ended."""
        self._attempts.labels(backend, outcome).inc()

    def closed(self, call: Call, duration_s: float) -> None:
        """A request ended after ``duration_s`` seconds."""
        self._in_flight.dec()
        self._requests.labels(call.tier or NO_TIER, call.outcome).inc()
        if call.cache_result is not None:
            self._cache.labels(call.cache_result).inc()
        self._overhead.observe(max(0.0, duration_s - call.upstream_s))
        if call.upstream_s:
            self._upstream.observe(call.upstream_s)
