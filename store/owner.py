"""The one read-write connection: one writer at a time, transactions, checkpoints, opened again when DuckDB gives up."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from conventions.errors import StoreError
from store import connection
from store.connection import blaming_rows, mapped_errors, transaction

_log = logging.getLogger(__name__)

Connect = Callable[[], duckdb.DuckDBPyConnection]


class Owner:
    """Owns ``file``. ``reopened`` is called with the writer's cursor after DuckDB gave the database up."""

    def __init__(self, connect: Connect, file: Path, reopened: Callable[[], None], checkpointed: Callable[[], None]):
        self.file = file
        self.lock = threading.Lock()  # of everything that writes
        self._connect = connect
        self._reopened = reopened
        self._checkpointed = checkpointed
        self._root = connect()
        self.writer = self._root.cursor()
        self._given_up = False  # by DuckDB, after an error that it calls fatal, such as a full disk

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor of its own; it sees the last committed state. Its user closes it and maps its errors."""
        if self._given_up:
            with self.lock:
                self._open_again()
        return self._root.cursor()

    @contextmanager
    def writing(self, doing: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """The writer's cursor in one transaction. Raises ``StoreError``, keeping nothing."""
        with self.lock, mapped_errors(doing), self._noting_fatal(), blaming_rows(doing):
            self._open_again()
            with transaction(self.writer):
                yield self.writer

    def checkpoint(self) -> bool:
        """Move the log into the file; False, having done nothing, when readers still need what would be dropped.

        Raises ``StoreError``.
        """
        with self.lock, mapped_errors("checkpoint"), self._noting_fatal():
            try:
                self.writer.execute("CHECKPOINT")
            except duckdb.TransactionException:
                return False
            self._checkpointed()
            return True

    def checkpoint_when_due(self) -> None:
        """Before DuckDB does it by itself, so that it is known what the file holds. Committed rows stay if it fails."""
        if connection.log_bytes(self.file) < connection.CHECKPOINT_BYTES:
            return
        try:
            self.checkpoint()
        except StoreError as error:
            _log.error("%s keeps its log for now: %s", self.file, error)

    def close(self) -> None:
        """Finish the write in progress, checkpoint and release the file. Safe to call twice."""
        with self.lock:
            self.writer.close()
            self._root.close()

    @contextmanager
    def _noting_fatal(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.FatalException, duckdb.InternalException):
            self._given_up = True
            raise

    def _open_again(self) -> None:
        """Once DuckDB has given the database up, every statement fails until it is opened again: nothing is lost."""
        if not self._given_up:
            return
        self.writer.close()
        self._root.close()
        self._root = self._connect()
        self.writer = self._root.cursor()
        self._reopened()
        self._given_up = False
        _log.warning("%s was opened again", self.file)
