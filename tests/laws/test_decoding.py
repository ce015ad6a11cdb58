"""Decoding spans together gives the rows that decoding each request the careful way gives, whatever the bytes are."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from collector.decoding.bodies import decoded
from collector.decoding.signals import traces as traces_signal
from conventions import attributes as names
from conventions.errors import IngestError
from tests.collector.payloads import span, traces
from tests.laws.both_ways import DECODERS, NOW_NS, PROTOBUF, check

RECORDED = sorted((Path(__file__).parents[1] / "golden" / "otlp").rglob("*.pb"))
THOROUGH = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.one_of(
    st.sampled_from(
        ["", "chat", "completion", "None", "true", "[", '["stop"]', '["length", "stop"]', "vllm", "0", "é¹字"]
    ),
    st.sampled_from(["x" * length for length in (1, 100, 113, 114, 127, 128, 1_024, 1_025, 8_192, 8_193)]),
    st.sampled_from(['{"model": "m", "stream": true}', '{"model": 1}', "gateway", "engine", "client", "attempt"]),
    st.text(max_size=12),
)
counts = st.sampled_from(
    [0, 1, 5, 7, 12, 127, 128, 300, 16_384, 10**9, 10**9 + 1, 2**53 + 1, 2**62, -1, -(2**63), 2**63 - 1]
)
reals = st.sampled_from([0.0, -0.0, 0.5, 1.0, 1.5, 7.0, 700_000.0, -1.0, 1e-7, 1e300, float("nan"), float("inf")])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "count": counts,
    "real": reals,
    "flag": st.booleans(),
    "list": st.lists(texts, max_size=2) | st.lists(reals, max_size=3) | st.lists(counts, max_size=2),
}
LIKELY = {
    names.ROLE: "text",
    names.OPERATION: "text",
    names.INPUT_TOKENS: "count",
    names.OUTPUT_TOKENS: "count",
    names.CACHE_READ_TOKENS: "count",
    "gen_ai.usage.total_tokens": "count",
    names.FINISH_REASONS: "list",
    names.REQUEST_STREAM: "flag",
    names.TIME_TO_FIRST_CHUNK: "real",
    names.LATENCY_TTFT: "real",
    names.LATENCY_E2E: "real",
    names.LATENCY_PREFILL: "real",
    names.LATENCY_QUEUE: "real",
    names.ITL_S: "list",
    names.RESPONSE_ID: "text",
    names.REQUEST_MODEL: "text",
    names.TENANT: "text",
    "gen_ai.usage.cost": "real",
    "gen_ai.input.messages": "text",
    "litellm.call_id": "text",
    "litellm.cache_hit": "text",
    "litellm.team.id": "text",
    "llm.request.type": "text",
    "openinference.span.kind": "text",
    "llm.invocation_parameters": "text",
    "module": "text",
    "rid": "text",
    "somebody.else": "text",
}
keys = st.sampled_from(sorted(LIKELY))
kinds_of_values = st.sampled_from(sorted(VALUES))
attribute_kinds = st.tuples(keys, st.none() | kinds_of_values)


@st.composite
def builds(draw: st.DrawFn) -> dict[str, Any]:
    """How one kind of span is built: what all spans of the kind share."""
    told = draw(st.lists(attribute_kinds, max_size=7, unique_by=lambda one: one[0]))
    return {
        "attributes": {key: kind or LIKELY[key] for key, kind in told},
        "name": draw(st.sampled_from(["llm_request", "chat scout", "raw_gen_ai_request", "decode Req 7", ""])),
        "kind": draw(st.sampled_from([0, 1, 2, 3])),
        "parent": draw(st.booleans()),
        "status": draw(st.sampled_from([None, 0, 1, 2])),
        "fixed": draw(st.dictionaries(st.sampled_from([names.ROLE, names.OPERATION]), texts, max_size=1)),
    }


@st.composite
def spans(draw: st.DrawFn, build: dict[str, Any], number: int) -> Any:
    fixed = build["fixed"]
    told = {key: fixed.get(key, draw(VALUES[kind])) for key, kind in build["attributes"].items()}
    start_ns = NOW_NS - draw(st.sampled_from([0, 10**9, 3 * 10**9, 10**15, 10**18, NOW_NS]))
    length_ns = draw(st.sampled_from([10**9, 1, 0, -1, 7 * 10**9, 10**15]))
    made = span(
        number,
        name=build["name"] if draw(st.booleans()) else draw(texts),
        kind=build["kind"],
        attributes=told,
        start_ns=start_ns,
        end_ns=max(0, start_ns + length_ns),
        trace_id=draw(st.sampled_from([number.to_bytes(16, "big")] * 8 + [bytes(16), b"short"])),
        parent_span_id=number.to_bytes(8, "little") if build["parent"] else b"",
    )
    if build["status"] is not None:
        made.status.CopyFrom(Status(code=build["status"], message=draw(texts)))
    return made


@st.composite
def requests(draw: st.DrawFn) -> list[bytes]:
    """Requests of a few kinds of spans, one after the other."""
    known = draw(st.lists(builds(), min_size=1, max_size=3))
    scope = draw(st.sampled_from(["", "vllm", "litellm", "openlit.x"]))
    many = draw(st.integers(1, 3))
    bodies = []
    for at in range(many):
        order = draw(st.lists(st.sampled_from(known), min_size=1, max_size=10))
        made = [draw(spans(build, 1 + at * 100 + place)) for place, build in enumerate(order)]
        bodies.append(bytes(traces(made, scope=scope).SerializeToString()))
    return bodies


@THOROUGH
@given(requests(), st.booleans(), st.sampled_from([1, 2]))
def test_spans_of_any_values(bodies: list[bytes], content: bool, fewest: int) -> None:
    check(bodies, content=content, fewest=fewest)


@THOROUGH
@given(requests(), st.data())
def test_damaged_bytes(bodies: list[bytes], data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(bodies)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(body[: data.draw(st.integers(0, len(body)) | st.just(len(body)))])
    try:
        decoded(traces_signal(DECODERS[False]), PROTOBUF, damaged, NOW_NS)
    except IngestError:
        return  # refused as a whole, before it is spooled
    check([*bodies, damaged])


def copies(path: Path, many: int) -> list[bytes]:
    """A recorded request many times over, with ids of their own and with other numbers and lengths of texts."""
    made = []
    for at in range(many):
        request = ExportTraceServiceRequest.FromString(path.read_bytes())
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for place, one in enumerate(scope.spans):
                    vary(one, at * 1_000 + place + 1)
        made.append(bytes(request.SerializeToString()))
    return made


def vary(one: Any, number: int) -> None:
    one.span_id = number.to_bytes(8, "big")
    one.end_time_unix_nano += number * 1_000_003
    for pair in one.attributes:
        item = pair.value
        if item.WhichOneof("value") == "int_value" and not any(word in pair.key for word in ("cache", "total", "cost")):
            item.int_value += number % 300
        elif item.WhichOneof("value") == "double_value":
            item.double_value *= 1 + number % 7 / 10
        elif pair.key in (names.RESPONSE_ID, names.REQUEST_ID, "litellm.call_id"):
            item.string_value += "x" * (number % 90)


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_recorded_spans_of_every_emitter(path: Path, content: bool) -> None:
    check(copies(path, 6), content=content)


@pytest.mark.parametrize("emitter", ["vllm-0.32", "litellm-1.109.1", "openlit-1.45.0", "openinference-0.1.66"])
def test_recorded_emitters_are_decoded_together(emitter: str) -> None:
    """All but spans with events, and what is too rare here."""
    bodies = [body for path in RECORDED if path.parent.name == emitter for body in copies(path, 60)]
    every = [
        bool(one.events) or bool(one.links)
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for one in scope.spans
    ]
    assert check(bodies, passes=4, fewest=10) >= 0.8 * every.count(False)
