"""Whatever a sender makes of a body, in whatever way it comes: ``fuzz.property.holds``, and its good items are kept.

``make fuzz`` looks for more with coverage to guide it.
"""

import gzip
import json
import time
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.collector.fuzz.property import EVERY_SIGNAL, WAYS, holds
from tests.collector.fuzz.seeds import messages, seeds
from tests.collector.payloads import gauge, span, traces
from tests.collector.test_logs import EXCEPTION, record

THOROUGH = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TRACES, METRICS, LOGS = EVERY_SIGNAL
SEEDS = sorted(seeds())
EXTREMES = (0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), 10**400)
TIMES = st.sampled_from(EXTREMES[:-1]) | st.integers(0, 2**64 - 1)


def as_json(message: Any) -> dict[str, Any]:
    document: dict[str, Any] = json_format.MessageToDict(message)
    return document


@THOROUGH
@given(st.sampled_from(SEEDS), st.data())
def test_seeds_truncated_and_damaged_in_every_way_of_sending(seed: bytes, data: st.DataObject) -> None:
    signal, way = divmod(seed[0], len(WAYS))
    body = bytearray(seed[1:])
    for _ in range(data.draw(st.integers(0, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    holds(EVERY_SIGNAL[signal], WAYS[way], bytes(body[: data.draw(st.integers(0, len(body)))]))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_is_taken_in(seed: bytes) -> None:
    signal, way = divmod(seed[0], len(WAYS))
    batch = holds(EVERY_SIGNAL[signal], WAYS[way], seed[1:])
    is_json_with_base64_ids = WAYS[way] == "json"  # protobuf's own JSON, not OTLP's: its ids are refused
    assert batch is not None
    assert batch.accepted or is_json_with_base64_ids


@THOROUGH
@given(
    st.sampled_from(("startTimeUnixNano", "endTimeUnixNano", "kind", "flags")), st.sampled_from(EXTREMES), st.booleans()
)
def test_extreme_numbers_in_json_take_at_most_their_own_span_with_them(field: str, number: int, quoted: bool) -> None:
    good, bad = (as_json(span(one)) for one in (1, 2))
    good["traceId"], good["spanId"] = "0" * 31 + "1", "0" * 15 + "1"
    bad |= {"traceId": "0" * 31 + "2", "spanId": "0" * 15 + "2", field: str(number) if quoted else number}
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [bad, good]}]}]}
    batch = holds(TRACES, "json", json.dumps(document).encode())
    assert batch is not None
    assert good["traceId"] in batch.tables["spans"]["trace_id"].to_pylist()
    assert batch.accepted + batch.refusals.count == 2


@pytest.mark.parametrize("junk", [5, "span", None, [], [[]], {"attributes": "x"}, {"name": {"a": 1}}], ids=repr)
def test_an_item_of_another_shape_in_json_is_refused_alone(junk: Any) -> None:
    good = as_json(span(1)) | {"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1"}
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [junk, good]}]}]}
    batch = holds(TRACES, "json", json.dumps(document).encode())
    assert batch is not None
    assert (batch.accepted, batch.refusals.count) == (1, 1)


@THOROUGH
@given(TIMES, TIMES)
def test_any_times_of_a_span_leave_its_neighbour(start_ns: int, end_ns: int) -> None:
    odd = span(1)
    odd.start_time_unix_nano, odd.end_time_unix_nano = (time_ns % 2**64 for time_ns in (start_ns, end_ns))
    batch = holds(TRACES, "protobuf", traces([odd, span(2)]).SerializeToString())
    assert batch is not None
    assert f"{2:032x}" in batch.tables["spans"]["trace_id"].to_pylist()


@THOROUGH
@given(TIMES, st.floats() | st.sampled_from([float(number) for number in EXTREMES[:-1]]))
def test_any_time_and_value_of_a_point_leave_its_neighbour(time_ns: int, number: float) -> None:
    sent = gauge("hw.energy", number, {})
    sent.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].time_unix_nano = time_ns % 2**64
    sent.MergeFrom(gauge("queue", 1.0, {}))
    batch = holds(METRICS, "protobuf", sent.SerializeToString())
    assert batch is not None
    assert "queue" in batch.tables["metric_points"]["metric"].to_pylist()


@THOROUGH
@given(TIMES, st.binary(max_size=20), st.binary(max_size=20))
def test_any_log_record_leaves_its_neighbour(time_ns: int, trace_id: bytes, span_id: bytes) -> None:
    failed = {"exception.type": "E"}
    sent = record(EXCEPTION, attributes=failed, trace_id=trace_id, span_id=span_id, time_ns=time_ns % 2**64)
    sent.MergeFrom(record(EXCEPTION, 2, attributes=failed))
    batch = holds(LOGS, "protobuf", sent.SerializeToString())
    assert batch is not None
    assert f"{2:032x}" in batch.tables["call_events"]["trace_id"].to_pylist()


@pytest.mark.parametrize("way", ["protobuf", "sliced", "json"])
def test_one_id_a_thousand_times_is_stored_a_thousand_times(way: str) -> None:
    sent = traces([span(1)] * 1_000)
    document = as_json(sent)
    for one in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        one |= {"traceId": f"{1:032x}", "spanId": f"{1:016x}"}
    body = json.dumps(document).encode() if way == "json" else sent.SerializeToString()
    batch = holds(TRACES, way, body)
    assert batch is not None
    assert batch.accepted == 1_000


def test_twenty_thousand_attributes_are_cut_wherever_they_stand() -> None:
    many = {f"k{number}": 1 for number in range(20_000)}
    sent = traces([span(1, attributes=many)], many)
    sent.resource_spans[0].scope_spans[0].spans[0].events.add(
        name="e", time_unix_nano=time.time_ns()
    ).attributes.extend(sent.resource_spans[0].resource.attributes)
    batch = holds(TRACES, "gzip", gzip.compress(sent.SerializeToString()))
    assert batch is not None
    assert (batch.accepted, batch.cut) == (1, 3 * (20_000 - 1_024))


def test_every_signal_has_seeds() -> None:
    assert {signal for signal, _ in messages()} == set(range(len(EVERY_SIGNAL)))
