"""A request's bytes → what is spooled of it and what its sender is told. The same over HTTP and gRPC."""

from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from collector.counters import Counters
from collector.decoding import compression, encoding
from collector.decoding.batch import Batch
from collector.decoding.bodies import checked
from collector.decoding.encoding import Encoding
from collector.decoding.signals import Signal
from collector.ingesting.pipeline import Pipeline
from collector.receiving.access import Door
from collector.receiving.admission import Admission
from collector.receiving.refusals import RefusalLog
from collector.spool.records import Head, Record
from conventions import attributes as names


@dataclass(frozen=True, slots=True)
class Intake:
    """What receiving needs: where requests go, who reads them, and the limits."""

    pipeline: Pipeline
    admission: Admission
    decoders: Executor
    counters: Counters
    max_body: int  # decompressed bytes
    door: Door = field(default_factory=Door)
    refusals: RefusalLog = field(default_factory=RefusalLog)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it came."""

    body: bytes
    compressed_as: str
    encoding: Encoding
    received_ns: int  # UTC
    peer: str  # its address


def read(signal: Signal, sent: Sent, limit: int) -> tuple[Record, Batch]:
    """What to spool of ``sent``, and the counts for its answer. Raises ``IngestError``.

    The body is spooled as it was sent, JSON as the protobuf of what was read of it.
    """
    return read_plain(signal, sent, compression.decompress(sent.body, sent.compressed_as, limit))


def read_plain(signal: Signal, sent: Sent, plain: bytes) -> tuple[Record, Batch]:
    """The same where the body is decompressed already."""
    batch, message = checked(signal, sent.encoding, plain, sent.received_ns)
    as_sent = sent.encoding.media_type == encoding.PROTOBUF
    compressed_as = sent.compressed_as.strip().lower() if as_sent else ""
    sender = _sender(message) or sent.peer
    head = Head(signal.name, compressed_as, sent.received_ns, batch.accepted, sender, batch.weight)
    return Record(head, sent.body if as_sent else message.SerializeToString()), batch


def _sender(message: Any) -> str:
    """Whose request it is: the tenant that its first resource names, else the service."""
    fields = message.ListFields()
    resources = fields[0][1] if fields else ()
    pairs = resources[0].resource.attributes if resources else ()
    named = {pair.key: pair.value.string_value for pair in pairs if pair.key in (names.TENANT, names.SERVICE_NAME)}
    return named.get(names.TENANT) or named.get(names.SERVICE_NAME) or ""
