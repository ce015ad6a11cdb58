"""The receivers over a store that can stall, in the test's own process."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
from starlette.applications import Starlette
from starlette.routing import Route

from collector.counters import Counters
from collector.decoding import signals
from collector.decoding.spans import SpanDecoder
from collector.ingesting.making import RowMaker
from collector.ingesting.pipeline import Pipeline
from collector.normalising.recognition import every_dialect
from collector.receiving.admission import Admission
from collector.receiving.grpc_receiver import receiving
from collector.receiving.intake import Intake
from collector.receiving.receive import Receiver as HttpReceiver
from collector.settings import GrpcSettings, QueueSettings
from collector.spool.segments import Spool
from tests.collector.payloads import span, traces
from tests.collector.running_collector import PROTOBUF

LIMIT = 1_000_000
RETRY_AFTER_S = 2.5


class Store:
    """Stalls while its gate is shut."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.rows = 0
        self.spooled_until = self.held_until = 0

    def append_spooled(self, tables: Mapping[str, pa.Table], sequence: int) -> None:
        assert self.gate.wait(10)
        self.rows += tables["spans"].num_rows
        self.spooled_until = sequence

    def checkpoint(self) -> bool:
        return True


class Receiver:
    """Traces over HTTP and gRPC into ``store``, with a queue of four rows."""

    def __init__(self, store: Store, folder: Path) -> None:
        counters = Counters()
        self.signal = signals.traces(SpanDecoder(every_dialect()))
        self.spool = Spool(folder)
        tables = RowMaker([self.signal], LIMIT, counters).tables
        settings = QueueSettings(max_rows=4, retry_after_s=RETRY_AFTER_S)
        self.pipeline = Pipeline(store, self.spool, tables, settings, counters)
        admission = Admission(LIMIT, RETRY_AFTER_S)
        self.intake = Intake(self.pipeline, admission, ThreadPoolExecutor(1), counters, LIMIT)
        receiver = HttpReceiver(self.signal, self.intake)
        self.app = Starlette(routes=[Route("/v1/traces", receiver, methods=["POST"])])

    async def post(self, rows: int) -> httpx.Response:
        """So many spans over HTTP."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as http:
            return await http.post("/v1/traces", content=spans(rows), headers=PROTOBUF)

    def fill_the_disk(self) -> None:
        """As full as a disk can be."""
        self.spool.reserve = 10**18

    def make_room(self) -> None:
        """As much as there is."""
        self.spool.reserve = 0

    def serving(self) -> Any:
        """The gRPC services, for the length of a ``with``; gives their address."""
        return receiving(GrpcSettings(port=0), [self.signal], self.intake, 1.0)

    async def holds(self, rows: int) -> None:
        """Wait until so many rows are taken in and not in the store."""
        async with asyncio.timeout(20):
            while f"queue_rows {rows}.0".encode() not in self.intake.counters.text():
                await asyncio.sleep(0.02)


def spans(rows: int) -> bytes:
    """A request of so many spans."""
    body: bytes = traces([span(number) for number in range(1, rows + 1)]).SerializeToString()
    return body
