"""Under pressure a request is refused with a time to come back, and never acknowledged without being on disk."""

import asyncio

import httpx
import pytest

from collector.receiving.admission import Admission
from conventions.errors import Overloaded
from tests.collector.receiver import Receiver, Store


def test_what_a_stalled_store_does_not_take_is_acknowledged_up_to_a_bound(store: Store, receiver: Receiver) -> None:
    async def scene() -> list[httpx.Response]:
        store.gate.clear()
        answers = [await receiver.post(rows) for rows in (2, 2, 1)]
        assert store.rows == 0
        store.gate.set()
        await receiver.holds(0)
        return [*answers, await receiver.post(1)]

    first, second, refused, later = asyncio.run(scene())
    assert [first.status_code, second.status_code, later.status_code] == [200, 200, 200]
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    receiver.pipeline.close()
    assert store.rows == 5


def test_a_full_disk_acknowledges_nothing_and_recovers(store: Store, receiver: Receiver) -> None:
    receiver.fill_the_disk()
    refused = asyncio.run(receiver.post(1))
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
    assert b"make room" in refused.content
    receiver.make_room()
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
