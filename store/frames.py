"""Rows on their way in and out: a finished DuckDB result as one Arrow table in the house's types, drained so that the
connection is free again; a table without what it does not tell, appended."""

from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from conventions.errors import StoreError

_INT64_LIMIT = 2**63 - 1


def drain(result: duckdb.DuckDBPyConnection) -> pa.Table:
    """All rows of ``result``; afterwards the connection may run its next statement (DuckDB 2.0 streams results).

    Raises ``StoreError`` for a statement that fails after its first rows: of that Arrow tells, and not DuckDB.
    """
    try:
        return plain(result.to_arrow_reader().read_all())
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"query: {error}") from error


def plain(table: pa.Table) -> pa.Table:
    """``table`` with decimals as ``int64`` or ``float64``.

    DuckDB answers ``sum(BIGINT)`` as ``decimal128(38, 0)`` and ``0.9`` as ``decimal128(2, 1)``; readers would have to
    convert each one.
    """
    for index, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            column = _plain_decimal(table.column(index))
            table = table.set_column(index, pa.field(field.name, column.type), column)
    return table


def told(rows: pa.Table) -> pa.Table:
    """``rows`` without the columns that are NULL throughout: an append of ten spans costs a third less."""
    known = [name for name in rows.column_names if rows.column(name).null_count < rows.num_rows]
    return rows.select(known) if known else rows


def insert(cursor: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Append ``rows`` to the table ``name`` in the caller's transaction."""
    cursor.register("incoming", told(rows))
    cursor.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming")
    cursor.unregister("incoming")  # not after an error: an aborted transaction refuses it; rolling back does


def _plain_decimal(column: pa.ChunkedArray) -> Any:
    if column.type.scale == 0 and _fits_int64(column):
        return column.cast(pa.int64())
    return column.cast(pa.float64())


def _fits_int64(column: pa.ChunkedArray) -> bool:
    extremes = pc.min_max(column).as_py()
    values = [abs(value) for value in extremes.values() if value is not None]
    return all(value <= _INT64_LIMIT for value in values)
