"""One run from schedule to figures: plan, client, telemetry and the finished exchanges in one place."""

import time
from collections.abc import Callable

from gevent.event import Event

from loadgen.client import ChatClient
from loadgen.dispatch import Dispatcher
from loadgen.exchange import Exchange
from loadgen.plan import Plan, PlannedRequest
from loadgen.telemetry import Telemetry

Report = Callable[[Exchange], None]


class Session:
    """Replays ``plan`` once and keeps every exchange in ``finished``; ``over`` is set when the last has ended."""

    def __init__(self, plan: Plan, telemetry: Telemetry, max_in_flight: int) -> None:
        self.plan = plan
        self.finished: list[Exchange] = []
        self.over = Event()
        self._telemetry = telemetry
        self._dispatcher = Dispatcher(self._send, max_in_flight)
        self._client: ChatClient | None = None
        self._report: Report = _nobody

    def replay(self, client: ChatClient, report: Report | None = None) -> None:
        """Send the whole plan through ``client`` and wait for the answers; ``report`` sees each finished exchange."""
        assert self._client is None, "a session is replayed once"
        self._client, self._report = client, report or _nobody
        try:
            self._dispatcher.run(self.plan.requests)
        finally:
            self.over.set()

    def stop(self) -> None:
        """End the replay, from any greenlet: requests in flight end as ``cancelled``."""
        self._dispatcher.stop()

    def _send(self, request: PlannedRequest, due_ns: int) -> None:
        assert self._client is not None
        sent_ns, sent_unix_ns = time.perf_counter_ns(), time.time_ns()
        exchange = Exchange(request, due_ns, sent_ns, sent_unix_ns)
        call = self._telemetry.begin(request, sent_unix_ns)
        self._client.send(exchange, call.headers)
        call.end(exchange)
        self.finished.append(exchange)
        self._report(exchange)


def _nobody(_exchange: Exchange) -> None:
    pass
