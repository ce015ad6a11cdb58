"""What has to hold of any body: rows, counted refusals with reasons, or one refusal of the whole with its reason."""

import time
from collections.abc import Sequence
from typing import Any, Final
from unittest import mock

from collector.decoding import compression, encoding, signals, slices
from collector.decoding.batch import Batch
from collector.decoding.bodies import decoded
from collector.decoding.encoding import Encoding
from collector.decoding.logrecords import LogDecoder
from collector.decoding.points import PointDecoder
from collector.decoding.signals import Signal
from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect
from collector.receiving import grpc_receiver, intake
from collector.receiving.intake import Sent
from conventions.errors import MalformedPayload, PayloadTooLarge, UnsupportedMedia

LIMIT: Final = 1_000_000  # decompressed bytes
ROWS_PER_BYTE: Final = 64  # Arrow bytes of one byte of the body, at most; a row of a small span is 50 columns
RELATIONS: Final = {"traces": "spans", "metrics": "metric_points", "logs": "call_events"}
EVERY_SIGNAL: Final[Sequence[Signal]] = (
    signals.traces(SpanDecoder(every_dialect())),
    signals.metrics(PointDecoder()),
    signals.logs(LogDecoder()),
)
WAYS: Final = ("protobuf", "sliced", "json", "gzip", "zstd", "deflate", "grpc")
SLICE_BYTES: Final = 64  # what a large body is cut into where a small one stands for it


def holds(signal: Signal, way: str, body: bytes) -> Batch | None:
    """Take ``body`` in as ``signal`` in one of ``WAYS``; what is in it, ``None`` if it was refused as a whole."""
    try:
        batch = _taken_in(signal, way, body)
    except (MalformedPayload, PayloadTooLarge, UnsupportedMedia):
        return None
    _check(signal, batch)
    return batch


def _taken_in(signal: Signal, way: str, body: bytes) -> Batch:
    """Both readings of a body: what its sender is told before it is spooled, and the rows that are made of it later."""
    spoken = Encoding(encoding.JSON if way == "json" else encoding.PROTOBUF)
    name = grpc_receiver.MAGIC.get(body[:1], "") if way == "grpc" else way if way in compression.ENCODINGS else ""
    sent = Sent(body, name, spoken, time.time_ns(), "fuzz")
    with mock.patch.object(slices, "WHOLE_BYTES", SLICE_BYTES if way == "sliced" else slices.WHOLE_BYTES):
        record, told = intake.read(signal, sent, LIMIT)
        plain = compression.decompress(record.body, record.head.compression, LIMIT)
        made = decoded(signal, Encoding(encoding.PROTOBUF), plain, sent.received_ns)
    assert made.accepted == told.accepted == record.head.rows
    return Batch(made.tables, told.accepted, told.refusals, made.cut, told.passed_over)


def _check(signal: Signal, batch: Batch) -> None:
    rows = {name: table.num_rows for name, table in batch.tables.items()}
    assert rows == ({RELATIONS[signal.name]: batch.accepted} if batch.accepted else {})
    assert sum(table.nbytes for table in batch.tables.values()) <= LIMIT * ROWS_PER_BYTE
    for table in batch.tables.values():
        table.validate(full=True)
    partial: Any = signal.answer(batch).partial_success  # type: ignore[attr-defined]
    assert getattr(partial, signal.rejected) == batch.refusals.count
    assert bool(batch.refusals.reasons) == bool(batch.refusals.count)
    assert bool(partial.error_message) == bool(batch.refusals.count or batch.passed_over)
    Encoding(encoding.JSON).render(signal.answer(batch))
