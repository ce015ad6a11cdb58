"""A request's body → the rows it holds and what of it had to be refused, within bounded memory.

Before the answer a body is only checked: that tells what is refused, at a thirtieth of the cost. Both are functions of
the body and the time of receipt, so that what is decoded later is what the sender was told.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from collector.decoding import encoding
from collector.decoding.alike.together import Received
from collector.decoding.batch import Batch, Refusals
from collector.decoding.columns import Rows
from collector.decoding.encoding import Encoding
from collector.decoding.signals import Signal
from collector.decoding.slices import Slices
from collector.normalising.values import MAX_REPEATED, Renderer


def decoded(signal: Signal, spoken: Encoding, body: bytes, received_ns: int, into: Rows | None = None) -> Batch:
    """The rows of ``body``, received at ``received_ns`` (UTC); ``into`` takes them, instead of tables, if given.

    Raises ``MalformedPayload`` or ``PayloadTooLarge``.
    """
    return _read(signal, spoken, body, received_ns, partial(_decode, signal, into))[0]


def decoded_together(signal: Signal, bodies: Sequence[Received], into: Rows) -> int:
    """The rows of many protobuf bodies, the same as ``decoded`` gives of each, in another order.

    They go to ``into``; gives how many texts were cut. Raises as ``decoded``.
    """
    left = signal.together(bodies, into) if signal.together else bodies
    spoken = Encoding(encoding.PROTOBUF)
    return sum(decoded(signal, spoken, body, received_ns, into).cut for body, received_ns in left)


def checked(signal: Signal, spoken: Encoding, body: bytes, received_ns: int) -> tuple[Batch, Any]:
    """The counts of what ``decoded`` gives, and the last message that was read. Raises as ``decoded``."""
    return _read(signal, spoken, body, received_ns, signal.check or partial(_decode, signal, None))


def _decode(signal: Signal, into: Rows | None, message: Any, received_ns: int, renderer: Renderer) -> Batch:
    return signal.decode(message, received_ns, renderer, into)


def _read(
    signal: Signal, spoken: Encoding, body: bytes, received_ns: int, read: Callable[[Any, int, Renderer], Batch]
) -> tuple[Batch, Any]:
    slices = Slices(body) if spoken.media_type == encoding.PROTOBUF else None
    renderer, refusals = Renderer(), Refusals()
    batches: list[Batch] = []
    message: Any = signal.request()
    for part in [body] if slices is None else slices:
        message = signal.request()
        refused = spoken.parse(part, message)
        batches.append(read(message, received_ns, renderer))
        refusals.include(batches[-1].refusals)
        refusals.include(refused)
    if slices is not None:
        refusals.include(slices.refusals)
    accepted, passed_over = (sum(getattr(one, name) for one in batches) for name in ("accepted", "passed_over"))
    return Batch(
        _joined(batches),
        accepted,
        refusals,
        renderer.cut,
        passed_over,
        len(body) + min(renderer.repeated, MAX_REPEATED),
    ), message


def _joined(batches: list[Batch]) -> dict[str, pa.Table]:
    relations = dict.fromkeys(name for batch in batches for name in batch.tables)
    return {name: pa.concat_tables([one.tables[name] for one in batches if name in one.tables]) for name in relations}
