"""Who may talk to a collector, and where it may listen."""

import pytest
from google.rpc.code_pb2 import PERMISSION_DENIED
from google.rpc.status_pb2 import Status

from collector.settings import CollectorSettings, TokenSettings, is_loopback, require_tokens_off_loopback
from conventions.errors import SettingsError
from conventions.settings import build
from tests.collector.payloads import span, traces
from tests.collector.running_collector import Start

TOKENS = '[collector.tokens]\ningest = "i"\nquery = "q"\nadmin = "a"\n'


def test_tokens_are_asked_for_and_told_apart(start: Start) -> None:
    collector = start(TOKENS)
    body = traces([span()])
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic i"}):
        assert collector.post("/v1/traces", body, **headers).status_code == 401
    refused = collector.post("/v1/traces", body, authorization="Bearer q")
    assert (refused.status_code, Status.FromString(refused.content).code) == (403, PERMISSION_DENIED)
    assert collector.post("/v1/traces", body, authorization="Bearer i").status_code == 200
    sql = {"sql": "SELECT 1", "format": "json"}
    assert collector.http.post("/v1/query", json=sql, headers={"authorization": "Bearer i"}).status_code == 403
    assert collector.http.post("/v1/query", json=sql, headers={"authorization": "Bearer x"}).status_code == 401
    assert collector.http.post("/v1/query", json=sql, headers={"authorization": "Bearer q"}).status_code == 200
    assert collector.http.post("/v1/settle", headers={"authorization": "Bearer q"}).status_code == 403
    assert collector.http.post("/v1/settle").status_code == 401
    assert collector.http.post("/v1/settle", headers={"authorization": "Bearer a"}).status_code == 200
    assert collector.http.get("/health").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_off_loopback_without_tokens_it_refuses_to_start(host: str) -> None:
    with pytest.raises(SettingsError, match="tokens"):
        require_tokens_off_loopback(CollectorSettings(host=host, tokens=TokenSettings(ingest="i")))
    require_tokens_off_loopback(CollectorSettings(host=host, tokens=TokenSettings("i", "q", "a")))


def test_loopback_is_what_only_this_machine_reaches() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost"))


def test_an_unknown_setting_names_the_nearest_right_one() -> None:
    with pytest.raises(SettingsError, match="did you mean 'interval_s'"):
        build(CollectorSettings, {"sampler": {"intervall_s": 1.0}}, "[collector]")


@pytest.mark.parametrize("values", [{"port": 70_000}, {"max_body_mb": 0}, {"sampler": {"interval_s": 0.0}}])
def test_senseless_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"\[collector\]"):
        build(CollectorSettings, values, "[collector]")
