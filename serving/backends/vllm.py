"""Stock vLLM as one engine of the stack: started in its own interpreter, traced into our collector, stopped with us.

``python -m serving.backends.vllm --config F --name N`` reads ``[serving.vllm.N]``. vLLM's pins collide with ours, so it
lives in a venv of its own and ``python`` names that venv's interpreter. Nothing of vLLM is patched: it sends its own
``llm_request`` spans over OTLP/HTTP, and its resource attributes say which engine it is.
"""

import argparse
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conventions import attributes, logs, settings
from conventions.errors import UpstreamError
from conventions.processes import await_end

POLL_S = 0.25
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """How to start vLLM. ``arguments`` and ``environment`` are passed through as they are."""

    python: str
    model: Path
    port: int
    host: str = "127.0.0.1"
    dtype: str = "auto"
    otlp_endpoint: str | None = None
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    start_timeout_s: float = 300.0


def command(name: str, chosen: VllmSettings) -> list[str]:
    """The command line. The module form works for CPU builds too, whose ``vllm`` script does not."""
    line = [chosen.python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(chosen.model)]
    line += ["--served-model-name", name, "--host", chosen.host, "--port", str(chosen.port), "--dtype", chosen.dtype]
    if chosen.otlp_endpoint:
        line += ["--otlp-traces-endpoint", f"{chosen.otlp_endpoint}/v1/traces"]
    return [*line, *chosen.arguments]


def environment(name: str, chosen: VllmSettings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Inherited environment plus what makes vLLM speak OTLP/HTTP, name its engine and keep off the internet."""
    return {
        **inherited,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_RESOURCE_ATTRIBUTES": f"{attributes.SERVICE_NAME}=vllm,{attributes.ENGINE}={name}",
        **chosen.environment,
    }


def run(name: str, chosen: VllmSettings) -> int:
    """Start vLLM, print the ready line when it answers, wait for its end; SIGTERM is passed on. Returns its exit code.

    Raises ``UpstreamError`` when the interpreter is missing, vLLM dies while starting or is not up in time.
    """
    if not Path(chosen.python).exists():
        raise UpstreamError(
            f"[serving.vllm.{name}] python {chosen.python!r} does not exist; `make test-vllm` makes one in .venv-vllm"
        )
    process = subprocess.Popen(
        command(name, chosen), env=environment(name, chosen, os.environ), stdout=2, process_group=0
    )
    signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: process.send_signal(signal.SIGTERM))
    try:
        _await_health(process, chosen)
        print(f"ready engine:{name} http://{chosen.host}:{chosen.port}", flush=True)  # noqa: T201  the ready line
        code = process.wait()
    finally:
        process.terminate()
        await_end(process, STOP_TIMEOUT_S)
    return 0 if code == -signal.SIGTERM else code


def _await_health(process: "subprocess.Popen[bytes]", chosen: VllmSettings) -> None:
    deadline = time.monotonic() + chosen.start_timeout_s
    while not _healthy(f"http://{chosen.host}:{chosen.port}/health"):
        if process.poll() is not None:
            raise UpstreamError(f"vLLM ended with code {process.returncode} while starting; its own log is above")
        if time.monotonic() > deadline:
            raise UpstreamError(f"vLLM did not answer within {chosen.start_timeout_s:g} s; raise start_timeout_s")
        time.sleep(POLL_S)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main() -> None:
    """Composition root of the process."""
    parser = argparse.ArgumentParser(prog="python -m serving.backends.vllm", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    logs.configure()
    section = settings.section(arguments.config, f"serving.vllm.{arguments.name}", VllmSettings)
    raise SystemExit(run(arguments.name, section))


if __name__ == "__main__":
    main()
