"""One untrusted query: checked, run in a read-only transaction under limits, and cancellable from any thread."""

import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

import duckdb
import pyarrow as pa

from conventions.errors import QueryRefused
from store import frames, sandbox
from store.connection import transaction
from store.limits import Limits, QueryCancelled, TimeLimitExceeded

_BATCH_ROWS = 65_536


class UntrustedQuery:
    """A query on a cursor of its own. ``run`` or ``tables`` once; ``cancel`` at any time, also before and after."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None, limits: Limits
    ) -> None:
        self._cursor = cursor
        self._sql = sql
        self._parameters = dict(parameters or {})
        self._limits = limits
        self._expired = threading.Event()
        self._cancelled = threading.Event()

    def run(self) -> pa.Table:
        """The rows. Raises ``QueryRefused``, ``TimeLimitExceeded`` or ``QueryCancelled``."""
        return frames.plain(pa.concat_tables(self._tables()))

    def tables(self) -> Iterator[pa.Table]:
        """The rows piece by piece as they are made; the first piece has the schema and may have no rows.

        Sums of integers come whole: only all rows together say whether they fit ``int64``. Raises like ``run``, also
        between pieces; close it to give up.
        """
        with closing(self._tables()) as pieces:
            first = next(pieces)
            if any(pa.types.is_decimal(field.type) for field in first.schema):
                yield frames.plain(pa.concat_tables([first, *pieces]))
                return
            yield first
            yield from pieces

    def cancel(self) -> None:
        """Stop as soon as possible; ``run`` raises ``QueryCancelled``."""
        self._cancelled.set()
        self._interrupt()

    def _tables(self) -> Generator[pa.Table, None, None]:
        timer = threading.Timer(self._limits.time_s, self._expire)
        timer.daemon = True
        timer.start()
        try:
            statement = self._checked()
            with transaction(self._cursor, "READ ONLY"):
                reader = self._cursor.execute(statement, self._parameters).to_arrow_reader(_BATCH_ROWS)
                yield reader.schema.empty_table()
                yield from self._bounded(reader)
        except duckdb.Error as error:
            raise self._reason(error) from error
        except (pa.ArrowException, OSError) as error:  # failed after its first rows, or a type that Arrow lacks
            raise self._reason(error) from error
        finally:
            timer.cancel()
            self._cursor.close()

    def _checked(self) -> duckdb.Statement:
        if len(self._sql) > self._limits.sql_characters:
            raise QueryRefused(f"the statement is longer than {self._limits.sql_characters} characters")
        statement = sandbox.check(self._cursor, self._sql)
        self._check_stopped()
        return statement

    def _bounded(self, reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
        rows, size = 0, 0
        for batch in reader:
            self._check_stopped()
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows > self._limits.rows:
                raise QueryRefused(f"more than {self._limits.rows} rows: aggregate, or add a LIMIT")
            if size > self._limits.result_bytes:
                raise QueryRefused(f"more than {self._limits.result_bytes} bytes: select fewer columns, or add a LIMIT")
            yield pa.Table.from_batches([batch])

    def _expire(self) -> None:
        self._expired.set()
        self._interrupt()

    def _interrupt(self) -> None:
        try:
            self._cursor.interrupt()
        except duckdb.ConnectionException:  # already closed: it has finished
            return

    def _check_stopped(self) -> None:
        if self._expired.is_set() or self._cancelled.is_set():
            raise self._stopped()

    def _reason(self, error: Exception) -> QueryRefused:
        if self._expired.is_set() or self._cancelled.is_set():
            return self._stopped()
        return QueryRefused(str(error))

    def _stopped(self) -> QueryRefused:
        if self._cancelled.is_set():
            return QueryCancelled("cancelled: whoever asked has left")
        return TimeLimitExceeded(f"stopped after {self._limits.time_s:g} s: ask for less time or fewer columns")
