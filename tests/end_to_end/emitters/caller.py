"""The same calls under one instrumentation each; runs in the venv that ``make test-emitters`` makes.

``python caller.py EMITTER GATEWAY_URL OTLP_URL``. It must import nothing of ours: it is somebody else's application.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import openai
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

QUESTION: list[Any] = [{"role": "user", "content": "Sort from low to high: 7 3 1"}]


def openllmetry(otlp: str) -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider("openllmetry", otlp))


def openinference(otlp: str) -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=provider("openinference", otlp))


def openlit(otlp: str) -> None:
    """It builds its own provider and exporter."""
    import openlit

    openlit.init(service_name="openlit-caller", otlp_endpoint=otlp, disable_metrics=True, disable_events=True)


def provider(emitter: str, otlp: str) -> TracerProvider:
    made = TracerProvider(resource=Resource({"service.name": f"{emitter}-caller"}))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp}/v1/traces")))
    trace.set_tracer_provider(made)
    return made


def litellm(gateway: str, otlp: str) -> None:
    """LiteLLM as a library, by its own callback and first integration (the second needs its proxy)."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "true"  # else importing it asks the internet for prices
    import litellm
    from litellm.exceptions import NotFoundError

    os.environ.update(OTEL_EXPORTER="otlp_http", OTEL_ENDPOINT=otlp, OTEL_EXPORTER_OTLP_ENDPOINT=otlp)
    os.environ.update(OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_SERVICE_NAME="litellm-caller")
    litellm.callbacks = ["otel"]
    served: dict[str, Any] = {"api_base": f"{gateway}/v1", "api_key": "demo-archive", "num_retries": 0}
    call: dict[str, Any] = {"model": "openai/scout", "messages": QUESTION, **served}
    litellm.completion(**call, max_tokens=12, user="user-7")
    for chunk in litellm.completion(**call, max_tokens=20, stream=True, stream_options={"include_usage": True}):
        assert chunk is not None
    for chunk in litellm.completion(**call, max_tokens=20, stream=True):
        assert chunk is not None
    with contextlib.suppress(NotFoundError):
        litellm.completion(**{**call, "model": "openai/no-such-model"}, max_tokens=4)
    litellm.text_completion(model="text-completion-openai/scout", prompt="1 2 3", max_tokens=3, **served)
    time.sleep(2)  # its callbacks run in threads


INSTRUMENT: dict[str, Callable[[str], None]] = {
    "openllmetry": openllmetry,
    "openinference": openinference,
    "openlit": openlit,
}


def main(emitter: str, gateway: str, otlp: str) -> None:
    if emitter == "litellm":
        litellm(gateway, otlp)
    else:
        INSTRUMENT[emitter](otlp)
        openai_calls(gateway)
    trace.get_tracer_provider().shutdown()  # type: ignore[attr-defined]  # the SDK's has it


def openai_calls(gateway: str) -> None:
    client = openai.OpenAI(base_url=f"{gateway}/v1", api_key="demo-archive", max_retries=0)
    client.chat.completions.create(model="scout", messages=QUESTION, max_tokens=12, user="user-7")
    stream: dict[str, Any] = {"model": "scout", "messages": QUESTION, "max_tokens": 20, "stream": True}
    for chunk in client.chat.completions.create(**stream, stream_options={"include_usage": True}):
        assert chunk is not None
    for chunk in client.chat.completions.create(**stream):
        assert chunk is not None
    try:
        client.chat.completions.create(model="no-such-model", messages=QUESTION, max_tokens=4)
    except openai.NotFoundError:
        pass
    else:
        raise AssertionError("a model that does not exist must be a 404")
    client.completions.create(model="scout", prompt="1 2 3", max_tokens=3)


if __name__ == "__main__":
    main(*sys.argv[1:])
