"""What becomes one request, what becomes an attempt, and whose value wins."""

from typing import Any

import pytest

from analytics.relations.settlement import BUCKET_NS, SPAN_COLUMNS, settle
from store import schemas
from tests.analytics.relations.settled_spans import START, engine_span, full_call, span, table


def requests(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = settle(table(*rows)).requests.to_pylist()
    return found


def attempts(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = settle(table(*rows)).attempts.to_pylist()
    return found


def test_columns_are_those_of_the_store() -> None:
    settled = settle(table(*full_call("1")).select(SPAN_COLUMNS))
    for relation, rows in (("requests", settled.requests), ("attempts", settled.attempts)):
        expected = {field.name: field.type for field in schemas.arrow(relation)}
        found = {field.name: field.type for field in rows.drop_columns(["bucket_ns"]).schema}
        assert found == expected, relation


def test_five_siblings_one_retried_are_five_requests_and_six_attempts() -> None:
    rows = [span("root", None, operation="invoke_agent")]
    rows += [row for number in range(5) for row in full_call(str(number), parent="root", at=3.0 * number)]
    rows.append(
        span("2b", "attempt", "2g", at=6.15, lasts=0.05, engine="expert", attempt=1, outcome="failed", error_type="503")
    )
    found = attempts(*rows)
    assert len(requests(*rows)) == 5
    assert len(found) == 6
    assert [row["attempt"] for row in found if row["request_id"] == "t:2c"] == [1, 2]
    assert [row["outcome"] for row in found].count("answered") == 5
    assert all(row["success"] for row in requests(*rows))


def test_a_call_seen_by_four_layers_takes_each_value_from_the_layer_that_knows_it() -> None:
    (row,) = requests(*full_call("1", at=5.0))
    assert row["request_id"] == "t:1c"
    assert (row["tenant"], row["run_id"], row["engine"]) == ("acme", "r1", "scout")
    assert (row["input_tokens"], row["cached_input_tokens"], row["output_tokens"]) == (100, 40, 12)
    assert (row["ttft_s"], row["first_token_origin"]) == (0.3, "engine")
    assert row["tpot_s"] == pytest.approx(1.1 / 11)
    assert row["e2e_s"] == pytest.approx(2.0)
    assert (row["success"], row["success_basis"]) == (True, "observed")
    assert row["bucket_ns"] == START // BUCKET_NS * BUCKET_NS


def test_attempt_phases_count_from_the_engines_own_arrival() -> None:
    (row,) = attempts(*full_call("1"))
    since = {name: row[name].timestamp() % 60 for name in ("started_at", "prefill_started_at", "first_token_at")}
    assert since == pytest.approx({"started_at": 0.2, "prefill_started_at": 0.4, "first_token_at": 0.6})
    assert row["ended_at"].timestamp() % 60 == pytest.approx(1.7)


@pytest.mark.parametrize("operation", ["invoke_agent", "invoke_workflow", "execute_tool"])
def test_grouping_spans_end_the_walk(operation: str) -> None:
    rows = [*full_call("1"), span("w", None, "1c", operation=operation), *full_call("2", parent="w", at=3.0)]
    assert [row["request_id"] for row in requests(*rows)] == ["t:1c", "t:2c"]


def test_grouping_kinds_of_other_emitters_end_the_walk_too() -> None:
    group = span("w", None, "1c", attributes=[("openinference.span.kind", "AGENT")])
    assert len(requests(*full_call("1"), group, *full_call("2", parent="w", at=3.0))) == 2


def test_a_span_that_was_sent_twice_counts_once() -> None:
    rows = full_call("1")
    again = [row | {"received_ns": row["received_ns"] + 5} for row in rows]
    assert requests(*rows, *again) == requests(*rows)
    assert attempts(*again, *rows) == attempts(*rows)


def test_an_orphan_is_a_request_for_now_and_part_of_its_root_later() -> None:
    rows = full_call("1")
    assert [row["request_id"] for row in requests(*rows[2:])] == ["t:1g"]
    assert [row["request_id"] for row in requests(*rows)] == ["t:1c"]


def test_cycles_are_cut_at_the_earliest_span() -> None:
    rows = [span("a", "client", "c", at=1.0), span("b", "gateway", "a", at=0.5), span("c", "gateway", "b", at=2.0)]
    assert [row["request_id"] for row in requests(*rows)] == ["t:b"]
    assert len(requests(span("a", "client", "a"))) == 1
    loop = [span("x", None, "y"), span("y", None, "x"), span("e", "engine", "x")]
    assert len(requests(*loop)) == 1


def test_an_engine_span_without_links_is_joined_by_its_request_id() -> None:
    client, http, gateway, attempt, _ = full_call("1")
    engine = engine_span("1e", None, at=0.3, request_id="chatcmpl-1")
    rows = [client, http, gateway, attempt | {"request_id": "chatcmpl-1"}, engine]
    assert [row["output_tokens"] for row in requests(*rows)] == [12]
    assert len(attempts(*rows)) == 1


def test_a_cache_hit_has_no_attempt_and_succeeds() -> None:
    hit = span("g", "gateway", cache_result="exact", finish_reason="stop", output_tokens=4)
    (row,) = requests(hit)
    assert (row["success"], row["output_tokens"], row["cache_result"]) == (True, 4, "exact")
    assert attempts(hit) == []


def test_an_application_without_gateway_is_one_request_with_one_attempt() -> None:
    call = span("c", "client", input_tokens=7, output_tokens=3, finish_reason="stop", model_requested="gpt-x")
    (row,) = attempts(call)
    assert (row["attempt"], row["outcome"], row["output_tokens"], row["model"]) == (1, "answered", 3, "gpt-x")


def test_the_model_comes_from_the_caller_when_the_engine_names_none() -> None:
    rows = [span("g", "gateway", model_requested="auto", model_served="expert"), engine_span("e", "g", at=0.1)]
    assert requests(*rows)[0]["model_served"] == "expert"
    assert attempts(*rows)[0]["model"] == "expert"


def test_an_engine_named_only_after_its_service_takes_the_gateways_name() -> None:
    *rest, engine = full_call("1")
    assert attempts(*rest, engine | {"engine": "vllm", "service": "vllm"})[0]["engine"] == "scout"
    assert attempts(*rest, engine | {"engine": "scout-0", "service": "engines"})[0]["engine"] == "scout-0"


@pytest.mark.parametrize(
    ("values", "success", "basis", "error"),
    [
        ({"finish_reason": "stop"}, True, "observed", None),
        ({"finish_reason": "tool_calls"}, True, "observed", None),
        ({}, True, "inferred", None),
        ({"finish_reason": "content_filter"}, False, "observed", "content_filter"),
        ({"finish_reason": "abort"}, False, "observed", "cancelled"),
        ({"finish_reason": "stop", "error_type": "timeout"}, False, "observed", "timeout"),
        ({"finish_reason": "stop", "status": "ERROR"}, False, "observed", "_OTHER"),
    ],
)
def test_success_needs_a_good_finish_and_no_error(
    values: dict[str, Any], success: bool, basis: str, error: str | None
) -> None:
    (row,) = requests(span("g", "gateway", **values))
    assert (row["success"], row["success_basis"], row["error_type"]) == (success, basis, error)


def test_an_error_of_an_earlier_attempt_does_not_fail_the_request() -> None:
    failed = span("x", "attempt", "1g", at=0.1, lasts=0.05, attempt=1, outcome="failed", error_type="connection")
    client, http, gateway, attempt, engine = full_call("1")
    rows = [client, http, gateway, failed, attempt | {"attempt": 2}, engine]
    (row,) = requests(*rows)
    assert row["success"]
    assert [one["error_type"] for one in attempts(*rows)] == ["connection", None]


def test_an_engine_alone_did_not_see_the_delivery() -> None:
    assert requests(engine_span("e", None, at=0.0))[0]["success_basis"] == "inferred"


def test_a_gateways_ttft_counts_for_streamed_calls_only() -> None:
    call = span("g", "gateway", ttft_s=0.4, output_tokens=5, finish_reason="stop")
    assert requests(call | {"streamed": True})[0]["first_token_origin"] == "gateway"
    assert requests(call | {"streamed": True})[0]["tpot_s"] == pytest.approx(0.6 / 4)
    assert requests(call | {"streamed": False})[0]["ttft_s"] is None
    assert requests(call | {"streamed": True, "ttft_s": 1.5})[0]["ttft_s"] is None


def test_a_gateway_behind_a_gateway_counts_the_inner_attempts() -> None:
    outer = [span("G", "gateway"), span("A", "attempt", "G", outcome="answered")]
    inner = full_call("1", parent="A", at=0.1)[2:]
    inner[0]["parent_span_id"] = "A"
    assert len(attempts(*outer, *inner)) == 1
    assert len(requests(*outer, *inner)) == 1


def test_no_spans_no_rows() -> None:
    settled = settle(table())
    assert (settled.requests.num_rows, settled.attempts.num_rows) == (0, 0)


def test_a_first_token_that_only_the_client_saw_is_the_clients() -> None:
    call = span("1", "client", streamed=True, ttft_s=0.2, output_tokens=5, finish_reason="stop")
    (row,) = requests(call)
    assert (row["ttft_s"], row["first_token_origin"]) == (0.2, "client")
