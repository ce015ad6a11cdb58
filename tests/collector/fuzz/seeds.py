"""Seeds for the fuzzer: recorded payloads of real emitters and small ones of each signal, in every way of sending."""

import gzip
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.collector.fuzz.property import WAYS
from tests.collector.payloads import counter, gauge, pairs, span, traces

RECORDED = sorted((Path(__file__).parents[2] / "golden" / "otlp").rglob("*.pb"))
LONGEST = 40_000  # bytes; longer seeds are mutated too slowly


def messages() -> Iterator[tuple[int, Any]]:
    """Place of the signal in ``EVERY_SIGNAL``, and a request of it."""
    for path in RECORDED:
        yield 0, ExportTraceServiceRequest.FromString(path.read_bytes())
    call = {"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.input_tokens": 3}
    yield 0, traces([span(1, attributes=call), span(2, parent_span_id=bytes(8))])
    yield 1, counter("hw.energy", 5.0, {"hw.id": "gpu-0", "hw.type": "gpu"}, unit="mJ")
    yield 1, gauge("tokenjoule.engine.queue", 1.0, {"tokenjoule.engine": "scout"})
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(event_name="gen_ai.choice")
    record.trace_id, record.span_id, record.time_unix_nano = b"t" * 16, b"s" * 8, time.time_ns()
    record.attributes.extend(pairs({"exception.type": "E", "gen_ai.response.time_to_first_chunk": 0.5}))
    record.body.kvlist_value.values.extend(pairs({"finish_reason": "stop"}))
    yield 2, logs


def seeds() -> Iterator[bytes]:
    """Inputs of ``decoder.one_input``: a byte that chooses the signal and the way, then the body."""
    for signal, message in messages():
        body = message.SerializeToString()
        bodies = {
            "protobuf": body,
            "sliced": body,
            "json": json_format.MessageToJson(message, indent=None).encode(),
            "gzip": gzip.compress(body),
            "zstd": zstandard.compress(body),
            "deflate": zlib.compress(body),
            "grpc": gzip.compress(body),
        }
        for way in WAYS:
            if len(bodies[way]) <= LONGEST:
                yield bytes([signal * len(WAYS) + WAYS.index(way)]) + bodies[way]


def main() -> None:
    """``python -m tests.collector.fuzz.seeds FOLDER``: write them there."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (folder / f"{number:03d}").write_bytes(seed)


if __name__ == "__main__":
    main()
