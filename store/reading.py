"""Reading the store from anywhere: ``open`` gives the same ``Reader`` for a data directory and for a collector."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import pyarrow as pa

from conventions.errors import StoreError
from store import archive, frames, relations
from store.connection import connect, database_file, mapped_errors
from store.parameters import plain
from store.remote import RemoteReader

Parameters = Mapping[str, Any]


class Reader(Protocol):
    """Something that answers SQL. Safe to use from several threads; a context manager that closes itself."""

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """All rows. ``$name`` in the SQL is ``parameters["name"]``; times arrive there as ISO 8601 strings in UTC.

        Raises ``QueryRefused`` for SQL that a remote store does not run, else ``StoreError``.
        """
        ...

    def close(self) -> None:
        """Release the file or the connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open(url: str, *, token: str | None = None, timeout_s: float = 60.0, max_age_s: int = 0) -> Reader:
    """A reader of ``duckdb:///path`` (a directory or file that nobody owns) or ``http://host:port`` (the collector).

    ``token`` is sent as a bearer token over HTTP. An answer holds everything that the collector acknowledged before it
    was asked, for which a statement may wait; with ``max_age_s``, everything acknowledged so many seconds before, which
    is there already. Raises ``StoreLocked`` when the file is in use, ``StoreError`` when
    there is none or the URL is of neither kind.
    """
    parts = urlsplit(url)
    if parts.scheme == "duckdb":
        return LocalReader(Path(parts.netloc + parts.path))
    if parts.scheme in ("http", "https") and parts.hostname:
        return RemoteReader(url, token=token, timeout_s=timeout_s, max_age_s=max_age_s)
    raise StoreError(f"cannot read {url!r}: use duckdb:///PATH or http://HOST:PORT")


class LocalReader:
    """Reads a database file that no process owns right now."""

    def __init__(self, path: Path, *, memory_limit: str = "2GB", threads: int = 2) -> None:
        file = database_file(path)
        if not file.exists():
            raise StoreError(
                f"no store at {file}: give the collector's data directory, or its address http://HOST:PORT"
            )
        self._root = connect(file, read_only=True, memory_limit=memory_limit, threads=threads)
        with mapped_errors("open"):
            self._views = relations.temporary(self._root, archive.folder_of(file))

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """All rows of ``sql``. Raises ``StoreError``."""
        with mapped_errors("query"), self._root.cursor() as cursor:
            for view in self._views:
                cursor.execute(view)
            return frames.drain(cursor.execute(sql, plain(parameters)))

    def close(self) -> None:
        """Release the file."""
        self._root.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
