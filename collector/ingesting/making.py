"""What is spooled as rows: OTLP is decoded again from the bytes that were sent, as received when it was."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from collector.counters import Counters
from collector.decoding import compression
from collector.decoding.alike.together import Received
from collector.decoding.bodies import decoded_together
from collector.decoding.columns import Rows
from collector.decoding.signals import Signal
from collector.ingesting.storing import Tables
from collector.spool import segments
from collector.spool.records import Head, Record
from collector.spool.segments import Entry

ROWS: Final = "rows:"
"""Begins the kind of a record whose body is rows of the relation that follows it, as an Arrow IPC stream."""


class RowMaker:
    """Rows of spooled records. ``limit`` is the bytes of a decompressed body, as when it was taken in."""

    def __init__(self, signals: Sequence[Signal], limit: int, counters: Counters) -> None:
        self._signals = {signal.name: signal for signal in signals}
        self._limit = limit
        self._counters = counters

    def tables(self, entries: Sequence[Entry]) -> Tables:
        """The rows of all ``entries`` by relation."""
        rows = Rows()
        parts: dict[str, list[pa.Table]] = {}
        bodies: dict[str, list[Received]] = {}
        for entry, body in zip(entries, segments.bodies(entries), strict=True):
            if entry.head.kind.startswith(ROWS):
                made = pa.ipc.open_stream(body).read_all()
                parts.setdefault(entry.head.kind.removeprefix(ROWS), []).append(made)
            else:
                plain = compression.decompress(body, entry.head.compression, self._limit)
                bodies.setdefault(entry.head.kind, []).append((plain, entry.head.received_ns))
        for signal, received in bodies.items():
            self._counters.cut.inc(decoded_together(self._signals[signal], received, rows))
        for relation, table in rows.tables().items():
            parts.setdefault(relation, []).append(table)
        return {relation: pa.concat_tables(tables) for relation, tables in parts.items()}


def record_of_rows(relation: str, table: pa.Table, sender: str, received_ns: int) -> Record:
    """Rows that were made here, as a record."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    head = Head(ROWS + relation, "", received_ns, table.num_rows, sender, table.nbytes)
    return Record(head, sink.getvalue().to_pybytes())
