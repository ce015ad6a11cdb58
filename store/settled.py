"""Settled relations as their one writer sees them: buckets replaced as wholes, at once or written ahead in pieces.

Rows are seen once the manifest names their generation. So the pieces of a large replacement may be committed one by
one, of a generation that nothing names yet (``Staging``): memory holds one piece, appends go on in between, and readers
see the old buckets whole until the last transaction shows all new ones. What is staged and never shown is dropped when
its day is next compacted.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from conventions.errors import StoreError
from store import days, definitions, frames, generations, hours, relations
from store.calendar import NANOSECONDS_PER_DAY
from store.generations import Buckets, RelationDay
from store.owner import Owner

FOLLOWED_NS = 1
"""Offset from its start of the bucket that marks a day as followed, in generation 0: no row can lie in it."""


@dataclass(frozen=True, slots=True)
class Staging:
    """A replacement whose pieces are being written."""

    generation: int
    layout: int  # of the day tables when it began


class Settled:
    """Replaces buckets through ``owner``; views read archived days from ``folder``. For the owner's lock."""

    def __init__(self, owner: Owner, folder: Path) -> None:
        self._owner = owner
        self._folder = folder
        self._open_days: set[RelationDay] = set()
        self._summed: set[RelationDay] = set()
        self._staging: set[int] = set()
        self._layout = 0
        self._newest = 0

    def begin(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Learn which generation was the last, and the days. Once, when the store was opened."""
        self._newest = generations.newest(cursor)
        self.learn(cursor)

    def learn(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """The days as the catalog now has them. What was staged before may have gone with a day's table."""
        self._layout += 1
        self._summed = hours.summed_days(cursor)
        self._open_days = {
            (relation, day)
            for relation in definitions.BY_DAY
            for day in generations.open_days(cursor, relation)
            if days.table_name(relation, day) in days.existing(cursor, relation)
        }

    @property
    def generation(self) -> int:
        """What is of a newer one may be shown at any time from now on; nothing older will be."""
        return min([self._newest, *(generation - 1 for generation in self._staging)])

    @contextmanager
    def staging(self) -> Iterator[Staging]:
        """A generation of its own for pieces, until it is shown or given up."""
        with self._owner.lock:
            self._newest += 1
            staging = Staging(self._newest, self._layout)
            self._staging.add(staging.generation)
        try:
            yield staging
        finally:
            self._staging.discard(staging.generation)

    def stage(self, staging: Staging, relation: str, rows: pa.Table) -> None:
        """Commit ``rows`` (with ``bucket_ns``) unseen. Raises ``StoreError``."""
        listed = {relation: rows.column("bucket_ns").unique().to_pylist()}
        with self._writing("stage buckets", listed, staging) as writer:
            for name, own in hours.homes(relation, rows):
                frames.insert(writer, name, generations.stamped(own, staging.generation))

    def carry(self, staging: Staging, relation: str, buckets: Sequence[int], without: pa.Table) -> None:
        """Commit unseen what ``buckets`` now hold, but for rows whose ``request_id`` is in ``without``.

        The rows never leave DuckDB. Raises ``StoreError``.
        """
        by_day: dict[int, list[int]] = {}
        for bucket in buckets:
            by_day.setdefault(bucket // NANOSECONDS_PER_DAY, []).append(bucket)
        with self._writing("carry buckets over", {relation: buckets}, staging) as writer:
            writer.register("without", without.select(["request_id"]))
            for day, own in by_day.items():
                bounds = {"low": min(own), "high": max(own), "buckets": own}
                writer.execute(
                    f"INSERT INTO {days.table_name(relation, day)} BY NAME"
                    f" SELECT *, {staging.generation} AS generation FROM {relation}_bucketed"
                    " WHERE bucket_ns BETWEEN $low AND $high AND bucket_ns IN (SELECT unnest($buckets::BIGINT[]))"
                    " AND request_id NOT IN (SELECT request_id FROM without)",
                    bounds,
                )
            writer.unregister("without")

    def replace(
        self, tables: Mapping[str, pa.Table], buckets: Buckets, as_of: int | None, staging: Staging | None
    ) -> bool:
        """See ``Store.replace_buckets``. Raises ``StoreError``."""
        placed = {relation: generations.with_bucket(table) for relation, table in tables.items()}
        generations.check(placed, buckets)
        listed = generations.with_hours(buckets, self._summed)
        with self._writing("replace buckets", listed, staging) as writer:
            if as_of is not None and not generations.are_as_of(writer, buckets, as_of):
                return False
            self._summed |= {day for day in generations.listed_days(listed) if day[0] in definitions.ROLLED_UP}
            generation = staging.generation if staging else self._newest + 1
            self._newest = max(self._newest, generation)
            for name, rows in (home for one in placed.items() for home in hours.homes(*one)):
                frames.insert(writer, name, generations.stamped(rows, generation))
            frames.insert(writer, "manifest", generations.manifest_rows(listed, generation))
        return True

    @contextmanager
    def _writing(self, doing: str, listed: Buckets, staging: Staging | None) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            with self._owner.writing(doing) as writer, self._opening(writer, listed, staging):
                if staging and staging.layout != self._layout:
                    raise StoreError(f"{doing}: days were put in order meanwhile, and what was staged may be gone")
                yield writer
        except StoreError:
            self._open_days -= generations.listed_days(listed)  # what was opened may not have been committed
            raise

    @contextmanager
    def _opening(self, writer: duckdb.DuckDBPyConnection, listed: Buckets, staging: Staging | None) -> Iterator[None]:
        """Days of ``listed`` that were not open before are opened in the caller's transaction, and the views follow."""
        by_day = {relation: buckets for relation, buckets in listed.items() if relation in definitions.BY_DAY}
        fresh = generations.listed_days(by_day) - self._open_days
        for relation, day in fresh:
            generations.open_day(writer, relation, day)
            if staging:  # a day that the manifest does not list would be shown whole
                marked: Buckets = {relation: [day * NANOSECONDS_PER_DAY + FOLLOWED_NS]}
                frames.insert(writer, "manifest", generations.manifest_rows(marked, 0))
        yield
        for relation in {relation for relation, _ in fresh}:
            relations.create(writer, relation, self._folder)
        self._open_days |= fresh
