"""Every exception that tokenjoule raises for the world's mistakes, drawn as one tree.

TokenjouleError
├── SettingsError       a configuration file or flag is wrong; the message names the nearest right key
├── PluginError         no such choice in a registry folder; the message lists the choices
├── IngestError         a payload that cannot be taken in
│   ├── MalformedPayload    not OTLP at all (HTTP 400)
│   ├── PayloadTooLarge     over a stated size limit (HTTP 413)
│   ├── UnsupportedMedia    content type or encoding not spoken here (HTTP 415)
│   └── Overloaded          the queue is full; retry after a stated time (HTTP 503)
├── StoreError          the store cannot be opened, read or written
│   ├── StoreLocked         another process owns the file
│   ├── StoreTooNew         written by a newer tokenjoule
│   ├── RowsRefused         rows that the store will never take; the fault is theirs, not the disk's
│   └── QueryRefused        a query that the read-only API does not run
├── TraceFormatError    a request trace with a bad row (file, line, reason)
├── ModelNotSupported   a checkpoint that the engine cannot run; the message says what is missing
└── UpstreamError       a backend that cannot be reached or answers out of protocol

Our own mistakes are ``assert``; these are for input, files, hardware and peers.
"""


class TokenjouleError(Exception):
    """Root of the tree: the command line prints its message without a traceback."""


class SettingsError(TokenjouleError):
    """A configuration file, environment variable or flag that cannot be used."""


class PluginError(TokenjouleError):
    """A name that no module of a registry folder and no entry point carries."""


class IngestError(TokenjouleError):
    """A payload that cannot be taken in."""


class MalformedPayload(IngestError):
    """Bytes that do not decode as the protocol they claim to be."""


class PayloadTooLarge(IngestError):
    """A body over the limit, counted before or while it is decompressed."""


class UnsupportedMedia(IngestError):
    """A content type or content encoding that the receiver does not speak."""


class Overloaded(IngestError):
    """The queue is full. ``retry_after_s`` says when to come back."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreError(TokenjouleError):
    """The store cannot be opened, read or written."""


class StoreLocked(StoreError):
    """Another process owns the database file; read through its HTTP address instead."""


class StoreTooNew(StoreError):
    """The file was written by a newer tokenjoule than this one."""


class RowsRefused(StoreError):
    """Rows that the store will not take however often they are offered."""


class QueryRefused(StoreError):
    """A statement that the read-only query interface does not run."""


class TraceFormatError(TokenjouleError):
    """A request trace with a bad row; the message gives file, line and reason."""


class ModelNotSupported(TokenjouleError):
    """A checkpoint that the engine cannot run; the message names what is missing."""


class UpstreamError(TokenjouleError):
    """A backend that cannot be reached or that answers out of protocol."""
