"""Keeps the day tables of settled relations small and in order of time, while rows go on arriving.

Every re-settling leaves the rows of an older generation behind. A day's current rows are copied beside its table; then
the lock is taken for as long as it takes to add what was settled meanwhile and to put the copy in its place.
"""

from collections.abc import Sequence
from typing import Final

import duckdb

from store import archive, days, definitions, generations, hours, marks, progress
from store.connection import mapped_errors, transaction
from store.generations import FRESH, RelationDay
from store.writing import Store

SLOTTED: Final = ("attempt_energy", "energy_intervals")
"""Relations of which ``energy_spent`` is derived; a minute without it can be told by the manifest alone."""


def compact(store: Store, min_stale_share: float = 0.5) -> list[str]:
    """Rewrite open days of which at least ``min_stale_share`` is stale, and roll-ups; returns the relations.

    Does nothing while days are sealed, closed, forgotten or copied. Rewriting only then keeps the cost per settled row
    constant. Raises ``StoreError``.
    """
    if not store.keeping.acquire(blocking=False):
        return []
    try:
        with mapped_errors("compact"), store.cursor() as cursor:
            stale = [one for one in _open(cursor) if generations.stale_share(cursor, *one) >= min_stale_share]
            rolled_up, is_long = hours.stale(cursor), progress.is_long(cursor)
        for relation, day in stale:
            _rewrite(store, relation, day)
        if stale or rolled_up or is_long:
            with store.rearranging("compact") as cursor:
                for relation in rolled_up:
                    hours.rewrite(cursor, relation)
                generations.rewrite_manifest(cursor)
                progress.shorten(cursor)
                marks.shorten(cursor)
    finally:
        store.keeping.release()
    if stale or rolled_up or is_long:
        store.checkpoint()
    return list(dict.fromkeys([*(relation for relation, _ in stale), *rolled_up]))


def close(store: Store, before: int) -> list[int]:
    """Close the open days before ``before``; returns them, counted from 1970-01-01 UTC. Raises ``StoreError``.

    A row that is settled later opens its day again. A day that is settled just now stays open, and so do one with
    archived files, whose buckets the manifest overrides, and one that an old release left without slots of energy.
    """
    with store.keeping:
        with mapped_errors("close"), store.cursor() as cursor:
            archived = {file.day for file in archive.listed(cursor)}
            found = [one for one in _open(cursor) if one[1] < before and one[1] not in archived]
            ripe = [day for day in dict.fromkeys(day for _, day in found) if not _lacks_slots(cursor, day)]
        closed = [day for day in sorted(ripe) if _close_day(store, day, [name for name, own in found if own == day])]
    if closed:
        store.checkpoint()
    return closed


def _open(cursor: duckdb.DuckDBPyConnection) -> list[RelationDay]:
    return [
        (relation, day)
        for relation in definitions.BY_DAY
        for day in sorted(generations.open_days(cursor, relation))
        if days.table_name(relation, day) in days.existing(cursor, relation)
    ]


def _lacks_slots(cursor: duckdb.DuckDBPyConnection, day: int) -> bool:
    sql = (
        f"SELECT bucket_ns FROM manifest WHERE relation IN {SLOTTED} AND {generations.buckets_of(day)} EXCEPT "
        f"SELECT bucket_ns FROM manifest WHERE relation = 'energy_spent' AND {generations.buckets_of(day)}"
    )
    return bool(cursor.execute(f"SELECT 1 FROM ({sql}) LIMIT 1").fetchall())


def _close_day(store: Store, day: int, relations: Sequence[str]) -> bool:
    with store.cursor() as cursor, mapped_errors("close"):
        stale = [name for name in relations if generations.stale_share(cursor, name, day) > 0]
    for relation in stale:
        _rewrite(store, relation, day)
    with store.rearranging("close") as cursor:
        whole = all(generations.stale_share(cursor, relation, day) == 0 for relation in relations)
        if whole:
            generations.rewrite_manifest(cursor, without=[(relation, day) for relation in relations])
    return whole


def _rewrite(store: Store, relation: str, day: int) -> None:
    """The day's current rows, ordered by time, in place of its table; what came after the copy began is added."""
    name = days.table_name(relation, day)
    fresh = f"{name}{FRESH}"
    with store.cursor() as cursor, mapped_errors(f"rewrite {name}"), transaction(cursor):
        copied = generations.newest_in_day(cursor, relation, day)
        cursor.execute(definitions.table(relation, fresh))
        rows = generations.current(relation, day, is_open=True)
        cursor.execute(f"INSERT INTO {fresh} BY NAME {rows} ORDER BY started_at")
    with store.rearranging(f"put {name} in place") as cursor:
        cursor.execute(f"INSERT INTO {fresh} BY NAME SELECT * FROM {name} WHERE generation > {copied}")
        generations.put_in_place(cursor, fresh, name)
