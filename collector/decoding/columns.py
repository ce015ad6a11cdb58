"""Rows as dictionaries → Arrow columns in the schema of a store relation.

Maps are built from flat lists of keys and items: pyarrow would otherwise infer every pair anew.
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import pyarrow as pa

from store import schemas

PIECE_ROWS = 4_096

Row = dict[str, Any]  # column → value; absent means NULL
NOTHING: dict[str, str] = {}


class Builder:
    """Rows of one relation on their way to a table, a piece at a time: dictionaries take ten times the memory."""

    def __init__(self, relation: str) -> None:
        self._relation = relation
        self._rows: list[Row] = []
        self._pieces: list[pa.Table] = []
        self.count = 0

    def add(self, row: Row) -> None:
        """One more row."""
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= PIECE_ROWS:
            self._turn()

    def tables(self) -> dict[str, pa.Table]:
        """The relation's table by its name; empty without rows."""
        if self._rows:
            self._turn()
        return {self._relation: pa.concat_tables(self._pieces)} if self._pieces else {}

    def _turn(self) -> None:
        self._pieces.append(table(self._relation, self._rows))
        self._rows = []


class Rows:
    """Rows of several relations, and of several requests: columns of a few rows cost as much as those of many."""

    def __init__(self) -> None:
        self._builders: dict[str, Builder] = {}

    def of(self, relation: str) -> Builder:
        """Where rows of ``relation`` go."""
        return self._builders.setdefault(relation, Builder(relation))

    def tables(self) -> dict[str, pa.Table]:
        """The tables of the relations that have rows."""
        return {name: table for builder in self._builders.values() for name, table in builder.tables().items()}


def table(relation: str, rows: Sequence[Row]) -> pa.Table:
    """``rows`` as a table of ``relation``. A row names no column that the relation does not have."""
    schema = schemas.arrow(relation)
    told = set().union(*rows)
    return pa.Table.from_arrays([_column(field, rows, told) for field in schema], schema=schema)


def _column(field: pa.Field, rows: Sequence[Row], told: set[str]) -> pa.Array:
    name = field.name
    if pa.types.is_map(field.type):
        return _maps([row.get(name, NOTHING) for row in rows], field.type)
    if name not in told:
        return pa.nulls(len(rows), field.type)
    return pa.array([row.get(name) for row in rows], type=field.type)


def _maps(maps: Sequence[dict[str, str]], kind: pa.MapType) -> pa.Array:
    """Maps that rows share, as those of one resource do, are built once."""
    distinct = {id(item): item for item in maps}
    if len(distinct) > len(maps) // 2:
        return _map(maps, kind)
    places = {key: place for place, key in enumerate(distinct)}
    return _map(list(distinct.values()), kind).take(pa.array([places[id(item)] for item in maps], pa.int32()))


def _map(maps: Sequence[dict[str, str]], kind: pa.MapType) -> pa.Array:
    offsets = pa.array(accumulate((len(item) for item in maps), initial=0), type=pa.int32())
    keys = pa.array(list(chain.from_iterable(maps)), type=kind.key_type)
    items = pa.array(list(chain.from_iterable(item.values() for item in maps)), type=kind.item_type)
    return pa.MapArray.from_arrays(offsets, keys, items).cast(kind)
