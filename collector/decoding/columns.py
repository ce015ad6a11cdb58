"""Rows as dictionaries → Arrow columns in the schema of a store relation.

Maps are built from flat lists of keys and items: pyarrow would otherwise infer every pair anew.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, repeat
from operator import is_
from typing import Any

import pyarrow as pa

from store import schemas

PIECE_ROWS = 4_096
ROWS_OF_A_SHAPE = 16  # from here on a table of their own costs less than looking every column up in every row

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

    def include(self, rows: pa.Table) -> None:
        """Rows that are a table already."""
        self._pieces.append(rows)
        self.count += rows.num_rows

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
    """``rows`` as a table of ``relation``, those of one shape together. They name no column that it does not have.

    Rows of a shape tell the same columns in the same order, so that all their values are turned at once; an emitter
    has few shapes. Those of rare shapes are read column by column.
    """
    shapes: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        shapes.setdefault(tuple(row), []).append(row)
    few = {names for names, alike in shapes.items() if len(alike) < ROWS_OF_A_SHAPE}
    rare = [row for row in rows if tuple(row) in few] if few else []
    schema = schemas.arrow(relation)
    pieces = [
        _table(schema, len(alike), dict(zip(names, zip(*map(dict.values, alike), strict=True), strict=True)))
        for names, alike in shapes.items()
        if len(alike) >= ROWS_OF_A_SHAPE
    ]
    if rare or not rows:
        told = set().union(*rare)
        pieces.append(_table(schema, len(rare), {name: [row.get(name) for row in rare] for name in told}))
    return pa.concat_tables(pieces)


def _table(schema: pa.Schema, size: int, told: Mapping[str, Sequence[Any]]) -> pa.Table:
    return pa.Table.from_arrays([_column(field, size, told.get(field.name)) for field in schema], schema=schema)


def _column(field: pa.Field, size: int, values: Sequence[Any] | None) -> pa.Array:
    if pa.types.is_map(field.type):
        return _maps([one or NOTHING for one in values or [NOTHING] * size], field.type)
    return pa.nulls(size, field.type) if values is None else pa.array(values, type=field.type)


def _maps(maps: Sequence[dict[str, str]], kind: pa.MapType) -> pa.Array:
    """Maps that rows share, as those of one resource do, are built once."""
    if maps and all(map(is_, maps, repeat(maps[0]))):
        return _map(maps[:1], kind).take(pa.nulls(len(maps), pa.int32()).fill_null(0))
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
