"""A request's body → the rows it holds and what of it had to be refused, within bounded memory."""

from typing import Any

import pyarrow as pa

from collector import encoding
from collector.batch import Batch, Refusals
from collector.encoding import Encoding
from collector.signals import Signal
from collector.slices import Slices
from collector.values import Renderer


def decoded(signal: Signal, spoken: Encoding, body: bytes, received_ns: int) -> Batch:
    """The rows of ``body``, received at ``received_ns`` (UTC). Raises ``MalformedPayload`` or ``PayloadTooLarge``."""
    slices = Slices(body) if spoken.media_type == encoding.PROTOBUF else None
    renderer, refusals = Renderer(), Refusals()
    batches: list[Batch] = []
    for part in [body] if slices is None else slices:
        message: Any = signal.request()
        refused = spoken.parse(part, message)
        batches.append(signal.decode(message, received_ns, renderer))
        refusals.include(batches[-1].refusals)
        refusals.include(refused)
    if slices is not None:
        refusals.include(slices.refusals)
    accepted, passed_over = (sum(getattr(one, name) for one in batches) for name in ("accepted", "passed_over"))
    return Batch(_joined(batches), accepted, refusals, renderer.cut, passed_over)


def _joined(batches: list[Batch]) -> dict[str, pa.Table]:
    relations = dict.fromkeys(name for batch in batches for name in batch.tables)
    return {name: pa.concat_tables([one.tables[name] for one in batches if name in one.tables]) for name in relations}
