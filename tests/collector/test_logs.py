"""Log records that say something about a model call become rows, and settlement takes from them what the span lacks."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from collector.decoding.logrecords import LogDecoder
from tests.collector.payloads import pairs, span, traces, value
from tests.collector.running_collector import RunningCollector, started

CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "scout"}
STREAMED_CALL = CALL | {"gen_ai.request.stream": True}
DETAILS = "gen_ai.client.inference.operation.details"
EXCEPTION = "gen_ai.client.operation.exception"
DECODER = LogDecoder()


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with started(tmp_path_factory.mktemp("logs")) as starting:
        yield starting("[collector.grpc]\nport = 0\n")


def record(name: str, number: int = 1, body: Any = None, **changes: Any) -> ExportLogsServiceRequest:
    """A request of one event in the span that ``payloads.span(number)`` makes."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.extend(pairs({"service.name": "tests"}))
    made = resource.scope_logs.add().log_records.add(
        trace_id=changes.pop("trace_id", number.to_bytes(16, "big")),
        span_id=changes.pop("span_id", number.to_bytes(8, "big")),
        time_unix_nano=changes.pop("time_ns", time.time_ns()),
        event_name=name,
    )
    made.attributes.extend(pairs(changes.pop("attributes", {})))
    if body is not None:
        made.body.CopyFrom(value(body)) if not isinstance(body, dict) else made.body.kvlist_value.values.extend(
            pairs(body)
        )
    return request


def decoded(request: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for table in DECODER.decode(request, time.time_ns()).tables.values():
        rows += table.to_pylist()
    return rows


@pytest.mark.parametrize(
    ("request_", "column", "told"),
    [
        (record(EXCEPTION, attributes={"exception.type": "RateLimitError"}), "error_type", "RateLimitError"),
        (record(DETAILS, attributes={"error.type": "429", "exception.type": "X"}), "error_type", "429"),
        (record(DETAILS, attributes={"gen_ai.response.finish_reasons": ["stop"]}), "finish_reason", "stop"),
        (record(DETAILS, attributes={"gen_ai.response.time_to_first_chunk": 0.25}), "ttft_s", 0.25),
        (record("gen_ai.choice", body={"finish_reason": "max_tokens", "index": 0}), "finish_reason", "length"),
        (record("", attributes={"event.name": EXCEPTION, "exception.type": "E"}), "name", EXCEPTION),
        (record("First Token Stream Event"), "is_first_token", True),
        (record("", attributes={"exception.type": "ValueError"}), "error_type", "ValueError"),
    ],
)
def test_what_a_record_says_becomes_a_column(request_: Any, column: str, told: Any) -> None:
    assert [row[column] for row in decoded(request_)] == [told]


@pytest.mark.parametrize(
    "request_",
    [
        record("gen_ai.user.message", body={"content": "how do I renew a book?"}),
        record("", body="GET /health 200"),
        record(EXCEPTION, attributes={"exception.type": "E"}, trace_id=b"", span_id=b""),
        record(DETAILS, attributes={"gen_ai.response.time_to_first_chunk": -1.0}),
    ],
    ids=["content", "plain log", "of no span", "absurd"],
)
def test_what_says_nothing_about_a_call_is_counted_and_passed_over(request_: Any) -> None:
    batch = DECODER.decode(request_, time.time_ns())
    assert (batch.accepted, batch.passed_over, batch.refusals.count, batch.tables) == (0, 1, 0, {})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trace_id": b"short"}, "trace_id must be 16 bytes"),
        ({"span_id": bytes(8)}, "span_id must be 8 bytes"),
        ({"time_ns": 0}, "time is missing"),
        ({"time_ns": 2**63}, "a day in the future"),
    ],
)
def test_a_record_that_cannot_be_placed_is_refused_and_its_neighbours_kept(changes: Any, reason: str) -> None:
    failed = {"exception.type": "E"}
    request = record(EXCEPTION, attributes=failed, **changes)
    request.MergeFrom(record(EXCEPTION, attributes=failed))
    batch = DECODER.decode(request, time.time_ns())
    assert (batch.accepted, batch.refusals.count, reason in batch.refusals.message("log records")) == (1, 1, True)


def test_what_users_said_is_not_stored_unless_asked_for() -> None:
    sent = record(DETAILS, attributes={"error.type": "timeout", "gen_ai.input.messages": "secret"})
    assert "secret" not in str(decoded(sent))
    assert "secret" in str(
        LogDecoder(capture_content=True).decode(sent, time.time_ns()).tables["call_events"].to_pylist()
    )


def test_the_answer_says_how_many_were_refused_and_passed_over(collector: RunningCollector) -> None:
    request = record(EXCEPTION, 900, attributes={"exception.type": "E"})
    request.MergeFrom(record(EXCEPTION, 901, attributes={"exception.type": "E"}, time_ns=1))
    request.MergeFrom(record("", body="a plain log"))
    partial = ExportLogsServiceResponse.FromString(collector.post("/v1/logs", request).content).partial_success
    assert partial.rejected_log_records == 1
    assert partial.error_message.startswith("1 log records refused: time is before the year 2000")
    assert "1 log records counted, not stored" in partial.error_message
    assert collector.query(f"SELECT error_type FROM call_events WHERE trace_id = '{900:032x}'") == [["E"]]
    counted = collector.http.get("/metrics").text
    assert 'passed_over_total{signal="logs"}' in counted


def grpc_address(collector: RunningCollector) -> str:
    found = re.search(r"OTLP/gRPC on (\S+)", collector.log.read_text())
    assert found
    return f"http://{found.group(1)}"


def over_http(collector: RunningCollector) -> tuple[Any, Any]:
    return OTLPSpanExporter(f"{collector.url}/v1/traces"), OTLPLogExporter(f"{collector.url}/v1/logs")


def over_grpc(collector: RunningCollector) -> tuple[Any, Any]:
    target = grpc_address(collector)
    return GrpcSpanExporter(target, insecure=True), GrpcLogExporter(target, insecure=True)


@pytest.mark.parametrize("exporters", [over_http, over_grpc])
def test_the_sdk_sends_calls_whose_endings_stand_in_its_logs(
    collector: RunningCollector, exporters: Callable[[RunningCollector], tuple[Any, Any]]
) -> None:
    service = exporters.__name__
    to_spans, to_logs = exporters(collector)
    tracing, logging = (kind(resource=Resource({"service.name": service})) for kind in (TracerProvider, LoggerProvider))
    tracing.add_span_processor(BatchSpanProcessor(to_spans))
    logging.add_log_record_processor(BatchLogRecordProcessor(to_logs))
    tracer, logger = tracing.get_tracer("tests"), logging.get_logger("tests")

    def call(model: str, **event: Any) -> None:
        attributes = STREAMED_CALL | {"gen_ai.request.model": model, "tokenjoule.tenant": service}
        with tracer.start_as_current_span(f"chat {model}", kind=SpanKind.CLIENT, attributes=attributes) as made:
            now = trace.set_span_in_context(made)
            time.sleep(0.02)
            logger.emit(LogRecord(timestamp=time.time_ns(), context=now, severity_number=SeverityNumber.WARN, **event))

    call("answers", event_name=DETAILS, attributes={"gen_ai.response.finish_reasons": ["stop"]})
    call("fails", event_name=EXCEPTION, attributes={"exception.type": "RateLimitError"})
    call("streams", event_name="gen_ai.content.completion.chunk", body="the")
    logging.shutdown()
    tracing.shutdown()
    assert collector.settle() == 200
    sql = (
        "SELECT model_requested, success, success_basis, finish_reason, error_type, ttft_s BETWEEN 0.02 AND e2e_s"
        f" FROM requests WHERE tenant = '{service}' ORDER BY 1"
    )
    assert collector.query(sql) == [
        ["answers", True, "observed", "stop", None, None],
        ["fails", False, "observed", None, "RateLimitError", None],
        ["streams", True, "inferred", None, None, True],
    ]


@pytest.mark.parametrize("logs_first", [False, True])
def test_a_record_counts_whenever_it_comes_and_the_span_wins(collector: RunningCollector, logs_first: bool) -> None:
    first = 1_000 + 10 * logs_first
    own = {"gen_ai.response.finish_reasons": ["length"], "gen_ai.response.time_to_first_chunk": 0.5}
    silent = span(first, attributes=STREAMED_CALL)
    telling = span(first + 1, attributes=STREAMED_CALL | own)
    says = {"gen_ai.response.finish_reasons": ["stop"], "gen_ai.response.time_to_first_chunk": 0.125}
    records = [record(DETAILS, number, attributes=says) for number in (first, first + 1)]
    retried = record(EXCEPTION, first + 1, attributes={"exception.type": "Timeout"})  # its span ended well: a retry
    steps = [lambda: collector.post("/v1/traces", traces([silent, telling]))]
    steps += [lambda one=one: collector.post("/v1/logs", one) for one in (*records, retried, *records)]
    for step in reversed(steps) if logs_first else steps:
        assert step().status_code == 200
        assert collector.settle() == 200
    wanted = ", ".join(f"'{number:032x}'" for number in (first, first + 1))
    sql = (
        f"SELECT finish_reason, ttft_s, success, error_type FROM requests WHERE trace_id IN ({wanted}) ORDER BY 1 DESC"
    )
    assert collector.query(sql) == [["stop", 0.125, True, None], ["length", 0.5, True, None]]


def test_records_are_still_heard_when_a_late_span_settles_their_trace_again(collector: RunningCollector) -> None:
    caller = span(1_100, attributes=CALL)
    assert collector.post("/v1/logs", record(EXCEPTION, 1_100, attributes={"error.type": "429"})).status_code == 200
    assert collector.post("/v1/traces", traces([caller])).status_code == 200
    assert collector.settle() == 200
    engine = span(1_101, trace_id=caller.trace_id, parent_span_id=caller.span_id, name="llm_request")
    engine.attributes.extend(pairs({"tokenjoule.role": "engine", "gen_ai.usage.output_tokens": 7}))
    assert collector.post("/v1/traces", traces([engine])).status_code == 200
    assert collector.settle() == 200
    sql = f"SELECT error_type, output_tokens FROM requests WHERE trace_id = '{1_100:032x}'"
    assert collector.query(sql) == [["429", 7]]
