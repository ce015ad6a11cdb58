"""The receivers over a store that can stall or be full, in the test's own process."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pyarrow as pa
from starlette.applications import Starlette
from starlette.routing import Route

from collector import signals
from collector.admission import Admission
from collector.counters import Counters
from collector.grpc_receiver import receiving
from collector.pipeline import Pipeline
from collector.receive import Intake, receive_endpoint
from collector.recognition import every_dialect
from collector.settings import GrpcSettings, QueueSettings
from collector.spans import SpanDecoder
from conventions.errors import StoreError
from tests.collector.payloads import span, traces
from tests.collector.running_collector import PROTOBUF

LIMIT = 1_000_000
RETRY_AFTER_S = 2.5


class Store:
    """Stalls while its gate is shut; a full one fails."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.is_full = False
        self.rows = 0

    def append_raw(self, tables: dict[str, pa.Table]) -> None:
        assert self.gate.wait(10)
        if self.is_full:
            raise StoreError("append: no space left on device")
        self.rows += tables["spans"].num_rows


class Receiver:
    """Traces over HTTP and gRPC into ``store``, with a queue of four rows."""

    def __init__(self, store: Store) -> None:
        counters = Counters()
        self.pipeline = Pipeline(store, QueueSettings(max_rows=4, retry_after_s=RETRY_AFTER_S), counters)
        admission = Admission(LIMIT, RETRY_AFTER_S)
        self.intake = Intake(self.pipeline, admission, ThreadPoolExecutor(1), counters, LIMIT, None)
        self.signal = signals.traces(SpanDecoder(every_dialect()))
        endpoint = receive_endpoint(self.signal, self.intake)
        self.app = Starlette(routes=[Route("/v1/traces", endpoint, methods=["POST"])])

    async def post(self, rows: int) -> httpx.Response:
        """So many spans over HTTP."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as http:
            return await http.post("/v1/traces", content=spans(rows), headers=PROTOBUF)

    def serving(self) -> Any:
        """The gRPC services, for the length of a ``with``; gives their address."""
        return receiving(GrpcSettings(port=0), [self.signal], self.intake, 1.0)

    async def holds(self, rows: int) -> None:
        """Wait until so many rows are in the writer's hands or wait for it."""
        async with asyncio.timeout(20):
            while f"queue_rows {rows}.0".encode() not in self.intake.counters.text():
                await asyncio.sleep(0.02)


def spans(rows: int) -> bytes:
    """A request of so many spans."""
    body: bytes = traces([span(number) for number in range(1, rows + 1)]).SerializeToString()
    return body
