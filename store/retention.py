"""Retention: whole days are forgotten, the oldest first, by age and by the size of everything together.

Records (runs, events, alerts and the like) are small and stay.
"""

from typing import Final

import duckdb

from store import archive, hours, sealing
from store.connection import mapped_errors
from store.writing import Store

GIGABYTE: Final = 1_000_000_000


def expire(store: Store, before: int) -> list[int]:
    """Forget every day before ``before``; returns them, counted from 1970-01-01 UTC. Raises ``StoreError``."""
    with store.keeping:
        gone = [day for day in kept_days(store) if day < before]
        if gone:
            _forget(store, gone)
    return gone


def shrink(store: Store, max_bytes: int, before: int) -> list[int]:
    """Forget the oldest days before ``before`` until ``size`` is at most ``max_bytes``; returns them.

    Raises ``StoreError``.
    """
    gone: list[int] = []
    with store.keeping:
        for day in kept_days(store):
            if day >= before or size(store) <= max_bytes:
                break
            _forget(store, [day])
            gone.append(day)
    return gone


def kept_days(store: Store) -> list[int]:
    """The days of which there are rows, hot or archived, oldest first."""
    with mapped_errors("list days"), store.cursor() as cursor:
        return sorted({*sealing.hot_days(store), *(file.day for file in archive.listed(cursor))})


def size(store: Store) -> int:
    """Bytes in use: listed archive files and the database's used blocks.

    Free blocks do not count: the database fills them before it grows, but it seldom gives them back to the disk.
    """
    with mapped_errors("measure"), store.cursor() as cursor:
        return sum(file.size for file in archive.listed(cursor)) + _used(cursor)


def sweep(store: Store) -> int:
    """Delete archive files that are not listed any more; returns how many.

    Retired files are left for the next call, because a query that began before may still be reading them.
    """
    with store.keeping, mapped_errors("sweep"), store.cursor() as cursor:
        return len(archive.sweep(cursor, store.archive))


def _used(cursor: duckdb.DuckDBPyConnection) -> int:
    """Blocks of rows as wholes; of those of the catalog what is used, because each checkpoint fills others in part."""
    sql = """
        SELECT block_size * (used_blocks - coalesce((SELECT count(*) FROM pragma_metadata_info()), 0)
                             + coalesce((SELECT sum(1 - free_blocks / total_blocks) FROM pragma_metadata_info()), 0))
        FROM pragma_database_size()"""
    return int(cursor.execute(sql).fetchall()[0][0])


def _forget(store: Store, days: list[int]) -> None:
    with store.rearranging("forget days") as cursor:
        archive.replace(cursor, [file.path for file in archive.listed(cursor) if file.day in days], [])
        for day in days:
            sealing.drop(cursor, day)
        hours.forget(cursor, days)
    store.checkpoint()
