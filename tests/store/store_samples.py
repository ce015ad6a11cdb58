"""Small tables that fit the store's schemas, for tests."""

import datetime

import pyarrow as pa

from store import schemas

MINUTE_NS = 60_000_000_000
DAY_NS = 86_400_000_000_000
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2


def spans(*received_ns: int, trace: str = "a" * 32) -> pa.Table:
    rows = [
        {
            "received_ns": received,
            "trace_id": trace,
            "span_id": f"{index:016x}",
            "name": "chat scout",
            "kind": "SERVER",
            "start_ns": received,
            "end_ns": received + 1_000_000,
            "status": "OK",
            "itl_s": [0.01, 0.02],
            "attributes": [("k", "v")],
        }
        for index, received in enumerate(received_ns)
    ]
    return pa.Table.from_pylist(rows, schema=schemas.arrow("spans"))


def requests(bucket_ns: int, count: int, tenant: str = "acme") -> pa.Table:
    started = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=bucket_ns // 1000)
    rows = [
        {
            "request_id": f"{bucket_ns}:{index}",
            "trace_id": f"{bucket_ns:032x}",
            "tenant": tenant,
            "started_at": started + datetime.timedelta(milliseconds=index),
            "ended_at": started + datetime.timedelta(seconds=1),
            "success": True,
            "e2e_s": 1.0,
            "success_basis": "observed",
        }
        for index in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=schemas.arrow("requests"))
