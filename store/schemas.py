"""Arrow schemas and required columns of the public relations, read from their SQL files by DuckDB itself."""

from functools import cache

import duckdb
import pyarrow as pa

from conventions.errors import StoreError
from conventions.plugins import unknown
from store import definitions


def arrow(relation: str) -> pa.Schema:
    """The schema of rows of ``relation`` as they are written and read; settled relations without their bookkeeping.

    Raises ``StoreError`` naming the relations for an unknown one.
    """
    return _read(relation)[0]


def required(relation: str) -> frozenset[str]:
    """The columns of ``relation`` that are never NULL."""
    return _read(relation)[1]


def columns(relation: str) -> dict[str, str]:
    """SQL types by column name, bookkeeping included, in the order of the file."""
    return dict(_read(relation)[2])


def add_missing_columns(cursor: duckdb.DuckDBPyConnection, relation: str, name: str) -> None:
    """Give the table ``name`` the columns that the file of ``relation`` has and it has not, as NULL."""
    present = {row[0] for row in cursor.execute(f"DESCRIBE {name}").fetchall()}
    for column, sql_type in columns(relation).items():
        if column not in present:
            cursor.execute(f'ALTER TABLE {name} ADD COLUMN "{column}" {sql_type}')


@cache
def _read(relation: str) -> tuple[pa.Schema, frozenset[str], tuple[tuple[str, str], ...]]:
    if relation not in (*definitions.RELATIONS, *definitions.BOOKS):
        raise StoreError(unknown("relation", relation, list(definitions.RELATIONS)))
    with duckdb.connect(":memory:") as memory:
        memory.execute(definitions.table(relation, relation))
        described = memory.execute(f"DESCRIBE {relation}").fetchall()
        hidden = set(definitions.BOOKKEEPING) if relation in definitions.SETTLED else set[str]()
        public = [row for row in described if row[0] not in hidden]
        shown = ", ".join(f'"{row[0]}"' for row in public)
        schema = memory.execute(f"SELECT {shown} FROM {relation}").to_arrow_reader().schema
    never_null = frozenset(row[0] for row in public if row[2] == "NO")
    return schema, never_null, tuple((row[0], row[1]) for row in described)
