"""Under pressure a request is refused with a time to come back, and never acknowledged without its commit."""

import asyncio

import httpx
import pytest

from collector.admission import Admission
from conventions.errors import Overloaded
from tests.collector.receiver import Receiver, Store


def test_a_full_queue_is_answered_with_503_and_a_time_to_come_back(store: Store, receiver: Receiver) -> None:
    async def scene() -> tuple[httpx.Response, list[httpx.Response], int]:
        await receiver.post(1)  # what is slow only once
        store.gate.clear()
        held = [asyncio.create_task(receiver.post(2))]
        await receiver.holds(2)  # in the writer's hands
        held.append(asyncio.create_task(receiver.post(2)))
        await receiver.holds(4)  # two of them waiting
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
