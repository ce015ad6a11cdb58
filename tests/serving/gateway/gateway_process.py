"""A gateway as a process of its own, with the settings and the client that tests need for it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.serving.gateway.openai_stub import Stub

MESSAGES = [{"role": "user", "content": "Is the archive open?"}]
START_TIMEOUT_S = 20


@dataclass
class Running:
    """A gateway process and a client for it."""

    process: "subprocess.Popen[str]"
    url: str
    client: httpx.Client

    def chat(self, model: str = "pair", headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": MESSAGES, **fields}
        return self.client.post("/v1/chat/completions", json=body, headers=headers)

    def stop(self) -> int:
        self.client.close()
        self.process.terminate()
        status = self.process.wait(15)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@dataclass(frozen=True)
class Trace:
    """A trace that the test itself begins."""

    trace_id: str
    span_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}


def launch(config: Path) -> Running:
    command = [sys.executable, "-m", "serving.gateway", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready gateway http://127.0.0.1:"), line
    url = line.split()[-1]
    return Running(process, url, httpx.Client(base_url=url, timeout=START_TIMEOUT_S))


def settings(stubs: tuple[Stub, ...], *, backends: str = "", **values: Any) -> str:
    """Settings for stubs that all serve ``pair`` (upstream ``up-<tier>``), tiers small and large."""
    lines = ["[serving.gateway]", "port = 0"]
    lines += [f"{name} = {value!r}".replace("'", '"') for name, value in values.items()]
    for name, tier, stub in zip(("first", "second"), ("small", "large"), stubs, strict=False):
        lines.append(backend(name, stub.url, tier, "pair"))
    return "\n".join([*lines, backends])


def backend(name: str, url: str, tier: str, served_as: str) -> str:
    return (
        f'[[serving.gateway.backends]]\nname = "{name}"\nurl = "{url}"\nmodel = "up-{tier}"\n'
        f'tier = "{tier}"\nserved_as = "{served_as}"\n'
    )
