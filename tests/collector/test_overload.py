"""Under pressure a request is refused with a time to come back, and never acknowledged without its commit."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pyarrow as pa
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from collector import signals
from collector.admission import Admission
from collector.counters import Counters
from collector.pipeline import Pipeline
from collector.receive import Intake, receive_endpoint
from collector.recognition import every_dialect
from collector.settings import QueueSettings
from collector.spans import SpanDecoder
from conventions.errors import Overloaded, StoreError
from tests.collector.payloads import span, traces
from tests.collector.running_collector import PROTOBUF

LIMIT = 1_000_000


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
    """The traces endpoint over a store, in this process."""

    def __init__(self, store: Store) -> None:
        counters = Counters()
        self.pipeline = Pipeline(store, QueueSettings(max_rows=4, retry_after_s=2.0), counters)
        intake = Intake(self.pipeline, Admission(LIMIT, 2.0), ThreadPoolExecutor(1), counters, LIMIT, None)
        endpoint = receive_endpoint(signals.traces(SpanDecoder(every_dialect())), intake)
        self.app = Starlette(routes=[Route("/v1/traces", endpoint, methods=["POST"])])

    async def post(self, rows: int) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as http:
            body = traces([span(number) for number in range(1, rows + 1)]).SerializeToString()
            return await http.post("/v1/traces", content=body, headers=PROTOBUF)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def receiver(store: Store) -> Iterator[Receiver]:
    made = Receiver(store)
    yield made
    store.gate.set()
    made.pipeline.close()


def test_a_full_queue_is_answered_with_503_and_a_time_to_come_back(store: Store, receiver: Receiver) -> None:
    async def scene() -> tuple[httpx.Response, list[httpx.Response], int]:
        await receiver.post(1)  # what is slow only once
        store.gate.clear()
        held = [asyncio.create_task(receiver.post(2))]
        await asyncio.sleep(0.2)  # in the writer's hands
        held.append(asyncio.create_task(receiver.post(2)))
        await asyncio.sleep(0.2)  # waiting
        refused = await receiver.post(1)
        rows_before = store.rows
        assert not any(task.done() for task in held)
        store.gate.set()
        return refused, list(await asyncio.gather(*held)), rows_before

    refused, taken, rows_before = asyncio.run(scene())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert [answer.status_code for answer in taken] == [200, 200]
    assert (rows_before, store.rows) == (1, 5)


def test_a_store_that_cannot_write_acknowledges_nothing_and_recovers(store: Store, receiver: Receiver) -> None:
    store.is_full = True
    refused = asyncio.run(receiver.post(1))
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
    assert b"no space left" in refused.content
    store.is_full = False
    assert asyncio.run(receiver.post(1)).status_code == 200


def test_bodies_under_way_share_a_budget_and_one_alone_always_passes() -> None:
    admission = Admission(limit=100, retry_after_s=1.0)
    with admission.request() as first:
        first.take(60)
        first.take(60)  # alone: over the limit, yet taken
        with admission.request() as second, pytest.raises(Overloaded, match="retry in 1 s"):
            second.take(1)
    with admission.request() as third:
        third.take(100)
