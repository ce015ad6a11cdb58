"""Plain rows (from JSON) as an Arrow table of a relation, checked with messages that name the field."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from conventions.errors import StoreError
from conventions.plugins import unknown
from store import schemas

_INT64 = range(-(2**63), 2**63)
_INT32 = range(-(2**31), 2**31)


class RowError(StoreError):
    """A row that does not fit its relation; the message names row, field and what was expected."""


def table(relation: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """``rows`` as a table of ``relation``; a required ``recorded_at`` that is absent is the time now.

    Times are ISO 8601 strings, UTC unless they carry a zone. Raises ``RowError``.
    """
    schema, required = schemas.arrow(relation), schemas.required(relation)
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    checked = [_row(schema, required, row, f"{relation} row {index}", now) for index, row in enumerate(rows)]
    return pa.Table.from_pylist(checked, schema=schema)


def _row(
    schema: pa.Schema, required: frozenset[str], row: Mapping[str, Any], where: str, now: datetime.datetime
) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise RowError(f"{where}: expected an object, got {type(row).__name__}")
    for name in row:
        if name not in schema.names:
            raise RowError(f"{where}: {unknown('field', name, schema.names)}")
    filled = {"recorded_at": now.isoformat(), **row} if "recorded_at" in required else row
    missing = sorted(name for name in required if filled.get(name) is None)
    if missing:
        raise RowError(f"{where}: {', '.join(missing)} must be given")
    return {name: _value(schema.field(name).type, value, f"{where}, field {name!r}") for name, value in filled.items()}


def _value(kind: pa.DataType, value: Any, where: str) -> Any:
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        return _time(value, where)
    if pa.types.is_integer(kind):
        return _integer(kind, value, where)
    if pa.types.is_list(kind):
        return _list(kind, value, where)
    expected, name = _EXPECTED[str(kind)]
    if isinstance(value, bool) is not (bool in expected) or not isinstance(value, expected):
        raise RowError(f"{where}: expected {name}, got {type(value).__name__} {value!r}")
    return _float(value, where) if pa.types.is_floating(kind) else value


_EXPECTED: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a string"),
    "double": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
}


def _list(kind: pa.ListType, value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise RowError(f"{where}: expected a list, got {type(value).__name__} {value!r}")
    return [_value(kind.value_type, item, f"{where}, item {index}") for index, item in enumerate(value)]


def _integer(kind: pa.DataType, value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RowError(f"{where}: expected an integer, got {type(value).__name__} {value!r}")
    if value not in (_INT32 if kind.bit_width == 32 else _INT64):
        raise RowError(f"{where}: {value} does not fit in {kind.bit_width} bits")
    return value


def _float(value: Any, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise RowError(f"{where}: too large a number") from None


def _time(value: Any, where: str) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(value)
        return time.astimezone(datetime.UTC).replace(tzinfo=None) if time.tzinfo else time
    except (TypeError, ValueError, OverflowError):
        raise RowError(f"{where}: expected an ISO 8601 time such as 2026-11-20T18:30:00, got {value!r}") from None
