"""Who sends spans in benchmarks, and how each builds them: attributes as its instrumentation orders them."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MODELS = (
    *("scout", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-72B-Instruct", "mistral-large", "gpt-4o-mini"),
    *("deepseek-ai/DeepSeek-V3", "phi-4", "google/gemma-3-27b-it"),
)
TENANTS = ("acme", "globex corporation", "initech", "umbrella", "hooli-research", "stark")
TIERS = ("interactive", "batch", "bulk")
REASONS = ("stop", "stop", "stop", "length", "tool_calls")
ROUTES = ("/v1/chat/completions", "/v1/models", "/health", "/v1/embeddings")


@dataclass(frozen=True, slots=True)
class Emitter:
    """A process that sends spans; ``fill`` gives one its name and attributes."""

    resource: dict[str, Any]
    scope: str
    fill: Callable[[Any, random.Random], None]


def attributes(owner: Any, pairs: dict[str, Any]) -> None:
    """Attributes of a resource or a span; ``None`` is left out."""
    for key, item in pairs.items():
        if item is None:
            continue
        value = owner.attributes.add(key=key).value
        if isinstance(item, list):
            for text in item:
                value.array_value.values.add(string_value=text)
        else:
            kind = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}[type(item)]
            setattr(value, kind, item)


def _tokens(chance: random.Random) -> int:
    """One to four digits, each as often."""
    return int(10 ** chance.uniform(0, 4))


def _user(chance: random.Random) -> str:
    return f"user-{chance.randrange(10 ** chance.randrange(1, 7))}"


def _id(chance: random.Random, prefix: str = "chatcmpl-") -> str:
    return f"{prefix}{chance.getrandbits(96):024x}"


def _gateway(span: Any, chance: random.Random) -> None:
    """Answered, of which a quarter from another cache; one in forty failed."""
    model, failed = chance.choice(MODELS), chance.random() < 0.025
    span.name = f"chat {model}"
    attributes(span, {
        "tokenjoule.role": "gateway", "gen_ai.operation.name": "chat", "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": _tokens(chance), "gen_ai.usage.output_tokens": _tokens(chance),
        "tokenjoule.tenant": chance.choice(TENANTS), "user.id": _user(chance),
        "tokenjoule.tier": chance.choice(TIERS), "gen_ai.request.stream": chance.random() < 0.8,
        "http.response.status_code": 502 if failed else 200, "gen_ai.response.id": _id(chance),
        "gen_ai.response.finish_reasons": None if failed else [chance.choice(REASONS)],
        "error.type": "UpstreamError" if failed else None,
    })  # fmt: skip
    span.status.code = 2 if failed else 0


def _attempt(span: Any, chance: random.Random) -> None:
    model = chance.choice(MODELS)
    span.name, span.kind = f"attempt {model}-{chance.randrange(4)}", 3
    attributes(span, {
        "tokenjoule.role": "attempt", "gen_ai.operation.name": "chat", "gen_ai.request.model": model,
        "tokenjoule.engine": f"{model}-{chance.randrange(4)}", "tokenjoule.attempt": 1 + chance.randrange(2),
        "tokenjoule.outcome": "answered", "tokenjoule.tenant": chance.choice(TENANTS),
        "gen_ai.usage.input_tokens": _tokens(chance), "gen_ai.usage.output_tokens": _tokens(chance),
        "server.address": "10.0.3.17", "server.port": 8101,
    })  # fmt: skip


def _gateway_of_all(span: Any, chance: random.Random) -> None:
    (_gateway if chance.random() < 0.6 else _attempt)(span, chance)


def _vllm(span: Any, chance: random.Random) -> None:
    e2e_s = chance.uniform(0.2, 10.0)
    queue_s, prefill_s = e2e_s * 0.01, e2e_s * 0.1
    span.name = "llm_request"
    attributes(span, {
        "gen_ai.request.id": _id(chance), "gen_ai.request.max_tokens": chance.choice((256, 1024, 4096)),
        "gen_ai.request.temperature": chance.choice((0.0, 0.7, 1.0)),
        "gen_ai.usage.prompt_tokens": _tokens(chance), "gen_ai.usage.completion_tokens": _tokens(chance),
        "gen_ai.latency.time_in_queue": queue_s, "gen_ai.latency.time_in_model_prefill": prefill_s,
        "gen_ai.latency.time_in_model_decode": e2e_s * 0.8, "gen_ai.latency.time_to_first_token": e2e_s * 0.2,
        "gen_ai.latency.e2e": e2e_s,
    })  # fmt: skip


def _litellm(span: Any, chance: random.Random) -> None:
    model, given, answered = chance.choice(MODELS), _tokens(chance), _tokens(chance)
    span.name, span.kind = f"chat {model}", 3
    usage = {"completion_tokens": answered, "prompt_tokens": given, "total_tokens": given + answered}
    attributes(span, {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model,
        "gen_ai.response.model": model, "gen_ai.response.id": _id(chance), "litellm.call_id": _id(chance, ""),
        "litellm.team.alias": chance.choice(TENANTS), "litellm.end_user.id": _user(chance),
        "litellm.cost.total": chance.uniform(0, 0.1), "gen_ai.request.stream": chance.random() < 0.5,
        "gen_ai.usage.input_tokens": given, "gen_ai.usage.output_tokens": answered,
        "gen_ai.usage.cache_read.input_tokens": given // 2, "metadata.usage_object": json.dumps(usage),
        "gen_ai.response.finish_reasons": [chance.choice(REASONS)],
    })  # fmt: skip


def _openllmetry(span: Any, chance: random.Random) -> None:
    model = chance.choice(MODELS)
    span.name, span.kind = "openai.chat", 3
    attributes(span, {
        "llm.request.type": "chat", "gen_ai.system": "openai", "gen_ai.request.model": model,
        "gen_ai.request.max_tokens": 512 if chance.random() < 0.5 else None,
        "llm.headers": "None", "llm.is_streaming": False, "gen_ai.response.model": model,
        "gen_ai.response.id": _id(chance), "llm.usage.total_tokens": _tokens(chance),
        "gen_ai.usage.input_tokens": _tokens(chance), "gen_ai.usage.output_tokens": _tokens(chance),
        "traceloop.association.properties.user_id": _user(chance),
    })  # fmt: skip


def _client(span: Any, chance: random.Random) -> None:
    model = chance.choice(MODELS)
    span.name, span.kind = f"chat {model}", 3
    attributes(span, {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "vllm", "gen_ai.request.model": model,
        "gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": chance.uniform(0.01, 0.09),
        "gen_ai.conversation.id": _id(chance, "conv_"), "gen_ai.response.id": _id(chance),
        "gen_ai.usage.input_tokens": _tokens(chance), "gen_ai.usage.output_tokens": _tokens(chance),
        "gen_ai.response.finish_reasons": [chance.choice(REASONS)],
    })  # fmt: skip


def _http(span: Any, chance: random.Random) -> None:
    """No model calls: servers and clients of an application, now and then with its own route."""
    route, inner = chance.choice(ROUTES), chance.random() < 0.5
    span.name, span.kind = f"POST {route}", 3 if inner else 2
    attributes(span, {
        "http.request.method": "POST", "url.full" if inner else "url.path": f"http://app.internal{route}",
        "server.address": "app.internal", "server.port": 8443,
        "network.peer.address": f"10.0.0.{chance.randrange(255)}",
        "user_agent.original": "python-httpx/0.28.1", "http.response.status_code": chance.choice((200, 200, 404)),
        "http.route": None if inner else route, "http.response.body.size": _tokens(chance),
    })  # fmt: skip


def _service(name: str, pid: int) -> dict[str, Any]:
    return {"service.name": name, "service.version": "0.1.0", "host.name": "rack-7", "process.pid": pid}


GATEWAY = Emitter(_service("tokenjoule-gateway", 4711), "tokenjoule.gateway", _gateway)
PLAIN = (GATEWAY, Emitter(_service("vllm-large", 4712), "vllm", _vllm))
MIXED = (
    Emitter(_service("tokenjoule-gateway", 4711), "tokenjoule.gateway", _gateway_of_all),
    *(Emitter(_service(f"vllm-{name}", pid), "vllm", _vllm) for name, pid in (("large", 4712), ("small", 4713))),
    Emitter(_service("litellm-proxy", 77), "litellm", _litellm),
    Emitter(_service("support-agent", 9), "opentelemetry.instrumentation.openai.v1", _openllmetry),
    Emitter(_service("search", 31), "opentelemetry.instrumentation.openai_v2", _client),
    Emitter(_service("search", 31), "opentelemetry.instrumentation.httpx", _http),
    Emitter(_service("support-agent", 9), "opentelemetry.instrumentation.asgi", _http),
)
