"""Servers side by side: real ones, counted by their own processes; who is not there is named."""

import asyncio
import os

import pytest

from bench import engine_servers
from bench.engine import WEIGHTS

pytestmark = pytest.mark.timeout(600)
PROMPTS = {2: [[1, 7, 8, 9], [1, 9, 8, 7, 6]]}


def test_our_servers_have_rates_and_times_and_a_missing_vllm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(engine_servers.VARIABLE, raising=False)
    figures = engine_servers.compared(WEIGHTS / "scout", PROMPTS, num_output=6, repeats=1)
    assert figures.pop("vllm") == f"missing: name an interpreter with vLLM in {engine_servers.VARIABLE}"
    names = ("", "_ttft_p50_ms", "_ttft_p95_ms", "_itl_p50_ms", "_itl_p99_ms")
    assert set(figures) == {f"{server}{name}_2" for server in ("served", "served_bf16") for name in names}
    for name, value in figures.items():
        assert isinstance(value, float), name
        assert value > 0, name


def test_a_server_that_says_another_number_of_tokens_is_no_peer() -> None:
    """Rates of unequal work would be compared."""
    from tests.serving.gateway.openai_stub import Stub

    stub = Stub()
    stub.start()
    try:
        server = engine_servers.Server(stub.url, os.getpid())
        with pytest.raises(AssertionError, match="said 4 tokens instead of 9"):
            asyncio.run(engine_servers._round(server, [[1, 2]], 9))
    finally:
        stub.stop()
