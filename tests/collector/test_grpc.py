"""OTLP over gRPC: the SDK's own exporters, acknowledgement after the commit, and refusals in gRPC's words."""

import asyncio
import gzip
import re
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from collector.receiving import grpc_receiver
from collector.receiving.grpc_receiver import SERVICES, receiving
from collector.settings import (
    CollectorSettings,
    GrpcSettings,
    TokenSettings,
    require_tokens_off_loopback,
)
from conventions.errors import SettingsError
from tests.collector.payloads import counter, span, traces
from tests.collector.receiver import RETRY_AFTER_S, Receiver, Store, spans
from tests.collector.running_collector import RunningCollector, Start, started

GRPC = "[collector.grpc]\nport = 0\n"
RESOURCE = Resource.create({"service.name": "sdk-grpc", "tokenjoule.engine": "scout"})
DETAILS = "grpc-status-details-bin"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with started(tmp_path_factory.mktemp("grpc")) as starting:
        yield starting(f"max_body_mb = 1\n{GRPC}")


def address(collector: RunningCollector) -> str:
    found = re.search(r"OTLP/gRPC on (\S+)", collector.log.read_text())
    assert found
    return found.group(1)


def export(target: str, message: Any, signal: str = "traces", **options: Any) -> bytes:
    body = message if isinstance(message, bytes) else message.SerializeToString()
    with grpc.insecure_channel(target) as channel:
        answer: bytes = channel.unary_unary(f"/{SERVICES[signal]}/Export")(body, timeout=30, **options)
        return answer


def count(collector: RunningCollector, trace_id: int) -> int:
    return int(collector.query(f"SELECT count(*) FROM spans WHERE trace_id = '{trace_id:032x}'")[0][0])


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_spans_of_the_sdk_arrive(collector: RunningCollector, compression: Any) -> None:
    provider = TracerProvider(resource=RESOURCE)
    exporter = OTLPSpanExporter(f"http://{address(collector)}", insecure=True, compression=compression)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    name = f"chat {compression.name}"
    with provider.get_tracer("tests").start_as_current_span(name) as made:
        made.set_attributes({"tokenjoule.role": "gateway", "tokenjoule.tenant": "library"})
    provider.shutdown()
    assert collector.query(f"SELECT role, tenant, service FROM spans WHERE name = '{name}'") == [
        ["gateway", "library", "sdk-grpc"]
    ]


def test_counters_of_the_sdk_arrive(collector: RunningCollector) -> None:
    exporter = OTLPMetricExporter(f"http://{address(collector)}", insecure=True)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 60_000)], resource=RESOURCE)
    provider.get_meter("tests").create_counter("tokenjoule.engine.steps", "{step}").add(3)
    provider.shutdown()
    assert collector.query("SELECT value, engine FROM metric_points WHERE metric = 'tokenjoule.engine.steps'") == [
        [3.0, "scout"]
    ]


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_what_is_acknowledged_is_committed(collector: RunningCollector, compression: Any) -> None:
    number = 9_000 + compression.value
    export(address(collector), traces([span(number)]), compression=compression)
    assert count(collector, number) == 1


def test_bad_spans_are_refused_one_by_one(collector: RunningCollector) -> None:
    answer = export(address(collector), traces([span(9_100), span(9_101, trace_id=b"short")]))
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (partial.rejected_spans, "trace_id must be 16 bytes" in partial.error_message) == (1, True)
    assert count(collector, 9_100) == 1


def test_metrics_and_logs_have_their_services(collector: RunningCollector) -> None:
    assert export(address(collector), counter("hw.energy", 5.0, {"hw.id": "gpu-0"}), "metrics") == b""
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add()
    answer = ExportLogsServiceResponse.FromString(export(address(collector), logs, "logs"))
    assert answer.partial_success.error_message.startswith("1 log records counted, not stored")


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"\x0a\xff", grpc.StatusCode.INVALID_ARGUMENT, "not an OTLP protobuf message"),
        (b"\x0a" * 1_000_001, grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
        (gzip.compress(bytes(100_000_000)), grpc.StatusCode.INVALID_ARGUMENT, "max_body_mb"),
        (zlib.compress(bytes(100_000_000)), grpc.StatusCode.INVALID_ARGUMENT, "max_body_mb"),
    ],
    ids=["malformed", "too large", "gzip bomb", "deflate bomb"],
)
def test_what_cannot_be_taken_in_is_refused_for_good(
    collector: RunningCollector, body: bytes, code: Any, says: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        export(address(collector), body)
    assert (refused.value.code(), says in refused.value.details()) == (code, True)
    assert retry_after_s(refused.value) is None
    assert collector.http.get("/health").status_code == 200


def retry_after_s(error: Any) -> float | None:
    """What ``google.rpc.RetryInfo`` says, if it is there."""
    for details in Status.FromString(dict(error.trailing_metadata()).get(DETAILS, b"")).details:
        info = RetryInfo()
        assert details.Unpack(info)
        return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None


def test_only_the_ingest_token_opens(start: Start) -> None:
    target = address(start(f'{GRPC}[collector.tokens]\ningest = "i"\nquery = "q"\nadmin = "a"\n'))
    codes = {None: "UNAUTHENTICATED", "Basic i": "UNAUTHENTICATED", "Bearer x": "UNAUTHENTICATED"}
    for sent, code in {**codes, "Bearer q": "PERMISSION_DENIED"}.items():
        with pytest.raises(grpc.RpcError) as refused:
            export(target, traces([span()]), metadata=(("authorization", sent),) if sent else ())
        assert refused.value.code().name == code
    export(target, traces([span()]), metadata=(("authorization", "Bearer i"),))


def test_killed_after_the_answer_nothing_is_lost_and_stopped_it_ends_cleanly(start: Start) -> None:
    collector = start(GRPC)
    export(address(collector), traces([span(number) for number in range(1, 51)]))
    collector.kill()
    collector.log.write_text("")
    again = start(GRPC)
    assert again.query("SELECT count(*) FROM spans") == [[50]]
    with grpc.insecure_channel(address(again)) as idle:  # an idle connection does not hold it up
        idle.unary_unary(f"/{SERVICES['traces']}/Export")(traces([span(60)]).SerializeToString(), timeout=30)
        began = time.monotonic()
        assert again.stop() == 0
        assert time.monotonic() - began < 8


def test_it_is_off_unless_asked_for_and_needs_tokens_off_loopback() -> None:
    assert CollectorSettings().grpc is None
    open_to_others = GrpcSettings(host="0.0.0.0")
    with pytest.raises(SettingsError, match=r"0\.0\.0\.0 without tokens"):
        require_tokens_off_loopback(CollectorSettings(grpc=open_to_others))
    require_tokens_off_loopback(CollectorSettings(grpc=open_to_others, tokens=TokenSettings("i", "q", "a")))
    with pytest.raises(ValueError, match="port must be"):
        GrpcSettings(port=70_000)


async def send(channel: Any, rows: int) -> Any:
    try:
        return await channel.unary_unary(f"/{SERVICES['traces']}/Export")(spans(rows), timeout=20)
    except grpc.aio.AioRpcError as error:
        return error


def test_a_full_queue_says_when_to_come_back(store: Store, receiver: Receiver) -> None:
    async def scene() -> tuple[list[Any], Any]:
        async with receiver.serving() as target, grpc.aio.insecure_channel(target) as channel:
            store.gate.clear()
            taken = [await send(channel, 2), await send(channel, 2)]
            return taken, await send(channel, 1)

    taken, refused = asyncio.run(scene())
    assert taken == [b"", b""]
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_after_s(refused) == RETRY_AFTER_S
    store.gate.set()
    receiver.pipeline.close()
    assert store.rows == 4


def test_a_full_disk_acknowledges_nothing_and_recovers(store: Store, receiver: Receiver) -> None:
    async def scene() -> tuple[Any, Any]:
        async with receiver.serving() as target, grpc.aio.insecure_channel(target) as channel:
            receiver.fill_the_disk()
            refused = await send(channel, 1)
            receiver.make_room()
            return refused, await send(channel, 1)

    refused, taken = asyncio.run(scene())
    assert (refused.code(), taken) == (grpc.StatusCode.UNAVAILABLE, b"")
    assert "make room" in refused.details()
    assert retry_after_s(refused) is not None


def test_a_port_in_use_is_said_before_it_is_ready(receiver: Receiver) -> None:
    async def scene() -> None:
        async with receiver.serving() as target:
            port = int(target.rpartition(":")[2])
            with pytest.raises(SettingsError, match="choose another"):
                async with receiving(GrpcSettings(port=port), [receiver.signal], receiver.intake, 1.0):
                    raise AssertionError("it must not start")

    asyncio.run(scene())


def test_a_message_that_never_comes_is_given_up_and_others_are_taken_in(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_receiver, "READ_TIMEOUT_S", 0.5)

    async def scene() -> tuple[list[Any], Any, list[Any]]:
        async with receiver.serving() as target, grpc.aio.insecure_channel(target) as channel:
            method = channel.stream_unary(f"/{SERVICES['traces']}/Export")
            silent = [method(timeout=30) for _ in range(grpc_receiver.MAX_READS - 1)]
            await asyncio.gather(*(call.wait_for_connection() for call in silent))
            taken = await send(channel, 1)
            return silent, taken, [await call.code() for call in silent]

    _, taken, codes = asyncio.run(scene())
    assert taken == b""
    assert set(codes) == {grpc.StatusCode.DEADLINE_EXCEEDED}


def test_over_the_most_messages_at_once_a_sender_is_told_to_come_back(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_receiver, "MAX_READS", 1)

    async def scene() -> tuple[Any, Any]:
        async with receiver.serving() as target, grpc.aio.insecure_channel(target) as channel:
            silent = channel.stream_unary(f"/{SERVICES['traces']}/Export")(timeout=30)
            refused = await send(channel, 1)
            while not isinstance(refused, grpc.aio.AioRpcError):  # the silent one has not arrived yet
                refused = await send(channel, 1)
            silent.cancel()
            taken = await send(channel, 1)
            while isinstance(taken, grpc.aio.AioRpcError):
                taken = await send(channel, 1)
            return refused, taken

    refused, taken = asyncio.run(scene())
    assert (refused.code(), retry_after_s(refused)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0)
    assert taken == b""


def test_an_export_without_a_message_is_refused(receiver: Receiver) -> None:
    async def scene() -> Any:
        async with receiver.serving() as target, grpc.aio.insecure_channel(target) as channel:
            empty = channel.stream_unary(f"/{SERVICES['traces']}/Export")(iter(()))
            return await empty.code()

    assert asyncio.run(scene()) is grpc.StatusCode.INVALID_ARGUMENT


def test_a_token_is_asked_for_before_the_message_is_read(start: Start) -> None:
    target = address(start(f'{GRPC}[collector.tokens]\ningest = "i"\nquery = "q"\nadmin = "a"\n'))
    never = iter(threading.Event().wait, None)  # a message that is never there
    with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.stream_unary(f"/{SERVICES['traces']}/Export")(never, timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
