"""A result as bytes, piece by piece: Arrow IPC stream, JSON or CSV."""

import base64
import datetime
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.csv

from conventions.errors import QueryRefused

_ROWS_AT_ONCE: Final = 8_192
"""Python objects take about ten times the memory of an Arrow table, so JSON is written slice by slice."""
_TEXT_TYPES = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_interval)


def arrow_pieces(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """An Arrow IPC stream, a piece per table."""
    writer, sink = None, _Sink()
    for table in tables:
        writer = writer or pa.ipc.new_stream(sink, table.schema)
        writer.write_table(table)
        yield sink.taken()
    assert writer is not None, "a result has at least its schema"
    writer.close()
    yield sink.taken()


class _Sink:
    """Holds what an Arrow writer wrote until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        self._parts.append(bytes(part))

    def flush(self) -> None:
        """Everything is here already."""

    def taken(self) -> bytes:
        found, self._parts = b"".join(self._parts), []
        return found


def json_pieces(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """``{"columns": [...], "rows": [[...]]}``: ISO 8601 times in UTC and intervals, maps as objects, NaN and
    infinity as null. Raises ``QueryRefused`` for what JSON has no form of, such as times after the year 9999.
    """
    begun, separator = False, b""
    for table in tables:
        if not begun:
            yield b'{"columns":' + msgspec.json.encode(table.column_names) + b',"rows":['
            begun = True
        for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
            if rows := _json_rows(batch):
                yield separator + rows
                separator = b","
    assert begun, "a result has at least its schema"
    yield b"]}"


def csv_pieces(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """CSV with a header; lists and maps are JSON text, intervals ISO 8601. Raises ``QueryRefused`` as JSON does."""
    options = pyarrow.csv.WriteOptions(include_header=True)
    for table in tables:
        sink = pa.BufferOutputStream()
        with _told_in("CSV"):
            for index, field in enumerate(table.schema):
                if any(holds(field.type) for holds in _TEXT_TYPES):
                    table = table.set_column(index, field.name, _as_text(table.column(index)))
            pyarrow.csv.write_csv(table, sink, options)
        yield sink.getvalue().to_pybytes()
        options = pyarrow.csv.WriteOptions(include_header=False)


FORMATS: Final[dict[str, tuple[Callable[[Iterable[pa.Table]], Iterator[bytes]], str]]] = {
    "arrow": (arrow_pieces, "application/vnd.apache.arrow.stream"),
    "json": (json_pieces, "application/json"),
    "csv": (csv_pieces, "text/csv; charset=utf-8"),
}
"""Encoder and media type by name. It encodes the pieces of one result: of one schema, and at least one."""


@contextmanager
def _told_in(form: str) -> Iterator[None]:
    """What Python or the format has no value for is refused, and not an error of ours."""
    try:
        yield
    except (pa.ArrowException, OverflowError) as error:
        raise QueryRefused(
            f"{form} cannot hold a value of this result ({error}): cast the column to VARCHAR, or ask for format arrow"
        ) from error


def _json_rows(batch: pa.RecordBatch) -> bytes:
    with _told_in("JSON"):
        columns = [[_plain(value) for value in column.to_pylist(maps_as_pydicts="lossy")] for column in batch.columns]
    return msgspec.json.encode(list(zip(*columns, strict=True)))[1:-1]


def _as_text(column: pa.ChunkedArray) -> pa.Array:
    values = [_plain(value) for value in column.to_pylist(maps_as_pydicts="lossy")]
    texts = [one if one is None or isinstance(one, str) else msgspec.json.encode(one).decode() for one in values]
    return pa.array(texts, pa.string())


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, pa.MonthDayNano):
        return _duration(*value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return _plain_scalar(value)


def _duration(months: int, days: int, nanoseconds: int) -> str:
    """ISO 8601; parts of unlike sign each carry their own."""
    whole, rest = divmod(abs(nanoseconds), 10**9)
    seconds = f"{'-' * (nanoseconds < 0)}{whole}.{rest:09}".rstrip("0").rstrip(".")
    parts = [f"{months}M" * bool(months), f"{days}D" * bool(days), f"T{seconds}S" * bool(nanoseconds)]
    return f"P{''.join(parts) or 'T0S'}"


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, str | int | bool) or value is None:
        return value
    return str(value)
