"""What the fresh spans of a pass are settled to, and where in time their calls lie."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.settlement import BUCKET_NS, Settlement, request_id, settle
from collector.settling.buckets import Buckets
from collector.settling.parts import settled
from store import schemas

CALLS: Final = pa.schema([("request_id", pa.string()), ("start_ns", pa.int64()), ("end_ns", pa.int64())])


@dataclass(frozen=True, slots=True)
class Arrived:
    """Requests and attempts of the traces with news; ``calls`` has each of their call spans, by the id of a request
    whose root it is or once was."""

    settlement: Settlement
    calls: pa.Table

    @property
    def buckets(self) -> Buckets:
        """Those in which calls begin: where their requests are and were."""
        starts = pc.multiply(pc.divide(self.calls["start_ns"], BUCKET_NS), BUCKET_NS)
        return set(pc.unique(starts).to_pylist())


def arrived(parts: Iterable[pa.Table]) -> Arrived:
    """``parts``, each of whole traces, settled one after the other: only one of them is held at a time."""
    found, calls = [settle(schemas.arrow("spans").empty_table())], [CALLS.empty_table()]
    for spans in parts:
        found.append(settled(spans))
        own = spans.filter(pc.is_valid(spans["role"]))
        ids = request_id(own["trace_id"], own["span_id"])
        calls.append(pa.table([ids, own["start_ns"], own["end_ns"]], schema=CALLS))
    tables = zip(*((one.requests, one.attempts) for one in found), strict=True)
    return Arrived(Settlement(*map(pa.concat_tables, tables)), pa.concat_tables(calls))
