"""Who may call: keys, tenants, and settings that refuse to start."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conventions.settings import build
from serving.gateway.settings import GatewaySettings
from serving.gateway.tenants import Tenants
from tests.serving.gateway.gateway_process import MESSAGES, Running, Trace, settings
from tests.serving.gateway.openai_stub import Behaviour, Stub
from tests.serving.otlp_sink import Sink

KEYS = '[serving.gateway.keys]\n"k-ann" = "ann"\n"k-bob" = "bob"\n'
ANN, BOB = {"Authorization": "Bearer k-ann"}, {"Authorization": "bearer k-bob"}


@pytest.fixture(scope="module")
def gateway(start: Callable[[str], Running], two_stubs: tuple[Stub, Stub], sink: Sink) -> Running:
    return start(settings(two_stubs, backends=KEYS, otlp_endpoint=sink.url, cache="exact", policy="complexity"))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer k-an"}, {"Authorization": "Basic k-ann"}])
@pytest.mark.parametrize("path", ["/v1/models", "/metrics"])
def test_without_a_good_key_nothing_is_shown(gateway: Running, headers: dict[str, str], path: str) -> None:
    response = gateway.client.get(path, headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"


def test_without_a_good_key_nothing_is_sent_on(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    assert gateway.chat().status_code == 401
    assert not stubs[0].seen
    assert gateway.client.get("/health").status_code == 200


def test_the_tenant_comes_from_the_key_and_the_key_goes_nowhere(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    gateway.chat(headers={**BOB, **trace.headers, "X-Tenant": "ann"})
    spans = sink.spans(trace.trace_id, 2)
    assert [span.attributes["tokenjoule.tenant"] for span in spans if span.role == "gateway"] == ["bob"]
    assert "authorization" not in stubs[0].seen[0].headers
    assert "k-bob" not in repr(spans)


def test_an_engine_is_told_tenants_apart_but_not_who_they_are(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    """Its prefix cache needs no more; what a caller sends under that name goes nowhere."""
    for caller in (ANN, BOB, ANN):
        gateway.chat(headers={**caller, "X-Cache-Salt": "ann"})
    first, second, third = (seen.headers["x-cache-salt"] for seen in stubs[0].seen)
    assert first == third != second
    assert len(first) == 64
    assert "ann" not in (first, second)


def test_a_kept_answer_never_crosses_tenants(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    question = {"temperature": 0, "messages": [{"role": "user", "content": "tenant"}]}
    assert _cache(gateway.chat(headers=ANN, **question)) == "miss"
    stubs[0].behaviour = Behaviour(words=("for", " bob"))
    theirs = gateway.chat(headers=BOB, **question)
    assert _cache(theirs) == "miss"
    assert theirs.json()["choices"][0]["message"]["content"] == "for bob"
    again = gateway.chat(headers={**ANN, **trace.headers}, **question)
    assert _cache(again) == "hit"
    assert again.json()["choices"][0]["message"]["content"] == "It is open."
    (call,) = sink.spans(trace.trace_id, 1)
    assert call.attributes["tokenjoule.cache.result"] == "exact"
    assert call.attributes["gen_ai.usage.output_tokens"] == 4
    assert call.attributes["tokenjoule.tier"] == "small"
    assert "tokenjoule.engine" not in call.attributes


def test_a_kept_stream_answers_a_plain_call_and_the_other_way_round(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    for first_streamed in (True, False):
        question = {"temperature": 0, "messages": [{"role": "user", "content": f"mode {first_streamed}"}]}
        assert _cache(gateway.chat(headers=ANN, stream=first_streamed, **question)) == "miss"
        whole = gateway.chat(headers=ANN, **question)
        streamed = gateway.chat(headers=ANN, stream=True, **question)
        assert _cache(whole) == _cache(streamed) == "hit"
        assert whole.json()["choices"][0]["message"] == {"role": "assistant", "content": "It is open."}
        assert whole.json()["usage"]["completion_tokens"] == 4
        assert streamed.content.count(b"data: ") > 4
        assert b'"usage":{' not in streamed.content.replace(b" ", b"")
        assert streamed.content.endswith(b"data: [DONE]\n\n")
        with_usage = gateway.chat(headers=ANN, stream=True, stream_options={"include_usage": True}, **question)
        assert b'"completion_tokens":4' in with_usage.content.replace(b" ", b"")
    assert len(stubs[0].seen) == 2


def test_failed_and_undetermined_answers_are_not_kept(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    warm = gateway.chat(headers=ANN, temperature=0.7)
    assert "x-tokenjoule-cache" not in warm.headers
    question = {"temperature": 0, "messages": [{"role": "user", "content": "broken"}]}
    stubs[0].behaviour = Behaviour(break_after=3)
    gateway.chat(headers=ANN, stream=True, **question)
    for odd in (b"[1]", b'{"choices": [{"index": 0, "delta": 7, "finish_reason": "stop"}]}'):
        good = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}\n\n'
        stubs[0].behaviour = Behaviour(raw_stream=b"data: " + odd + b"\n\n" + good + b"data: [DONE]\n\n")
        assert gateway.chat(headers=ANN, stream=True, **question).status_code == 200
    stubs[0].behaviour = Behaviour(raw_body=b'{"choices": [{"index": 0, "finish_reason": "stop"}]}')
    gateway.chat(headers=ANN, **question)
    stubs[0].behaviour = Behaviour()
    assert _cache(gateway.chat(headers=ANN, **question)) == "miss"


def test_a_caller_can_keep_a_question_out_of_the_cache(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    question = {"temperature": 0, "messages": [{"role": "user", "content": "secret"}]}
    for _ in range(2):
        response = gateway.chat(headers={**ANN, "Cache-Control": "no-store"}, **question)
        assert "x-tokenjoule-cache" not in response.headers


@pytest.mark.parametrize(
    ("question", "tier"),
    [
        ("Now the archive is open, the cafe is closed. Is the archive open?", "small"),
        ("Sort from A to Z: Walden Emma Dune Iliad Kim", "large"),
    ],
)
def test_auto_goes_to_the_tier_that_the_question_calls_for(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace, question: str, tier: str
) -> None:
    body = {"model": "auto", "messages": [*MESSAGES, {"role": "user", "content": question}]}
    gateway.client.post("/v1/chat/completions", json=body, headers={**ANN, **trace.headers})
    call = next(span for span in sink.spans(trace.trace_id, 2) if span.role == "gateway")
    assert call.attributes["tokenjoule.tier"] == tier
    assert call.attributes["tokenjoule.route.policy"] == "complexity"
    assert call.attributes["tokenjoule.route.reason"].endswith(f"→ {tier}")
    assert call.attributes["gen_ai.request.model"] == "auto"
    assert call.attributes["gen_ai.response.model"] == f"up-{tier}"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ('host = "0.0.0.0"', "there are no keys"),
        ('policy = "least_loadd"', "did you mean 'least_loaded'?"),
        ('cache = "exakt"', "choose from exact, none"),
        ('[[serving.gateway.backends]]\nname = "x"\nurl = "http://h:99999"\nmodel = "m"', "must look like"),
        ("max_attempts = 0", "max_attempts must be greater than 0"),
        ('keys = {"a-secret" = 1}', "both of them text"),
        ("polcy = 1", "did you mean 'policy'?"),
        ("[serving.gateway.routing.complexity]\nthreshold = 1.0", "did you mean 'thresholds'?"),
        ("[serving.gateway.routing.complexitty]", "did you mean 'complexity'?"),
    ],
)
def test_wrong_settings_refuse_to_start_and_name_the_remedy(
    tmp_path: Path, two_stubs: tuple[Stub, Stub], values: str, words: str
) -> None:
    config = tmp_path / "gateway.toml"
    policy = "" if "policy" in values else 'policy = "complexity"\n'
    config.write_text(settings(()) + policy + values + "\n" + settings(two_stubs).split("port = 0\n")[1])
    command = [sys.executable, "-m", "serving.gateway", "--config", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "a-secret" not in ended.stderr


def test_a_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN_KEY", "k-ann")
    backends = [{"name": "a", "url": "http://127.0.0.1:1", "model": "m"}]
    built = build(GatewaySettings, {"backends": backends, "keys": {"${ANN_KEY}": "ann"}}, "test")
    assert Tenants(built.keys).of(b"Bearer k-ann") == "ann"


def _cache(response: object) -> str:
    return str(response.headers["x-tokenjoule-cache"])  # type: ignore[attr-defined]
