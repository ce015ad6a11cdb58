import io
import json

import pytest
from rich.console import Console

from conventions.errors import UpstreamError
from loadgen.experiment import Arm, Load, order, run_arm, run_suite, table, with_seed
from loadgen.summary import RunResult
from tests.loadgen.loadgen_stub import Stub

LOAD = Load(scenario="steady_chat", values={"rate": 20, "seconds": 0.5, "seed": 7, "streamed": 1.0})


def shown(results: list[RunResult]) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(table(results))
    return text.getvalue()


def test_blocks_alternate_and_share_their_seed() -> None:
    a, b = Arm(name="a", target="http://x"), Arm(name="b", target="http://y")
    assert [(block, arm.name) for block, arm in order([a, b], 2)] == [(0, "a"), (0, "b"), (1, "b"), (1, "a")]
    assert with_seed({"seed": 7, "rate": 1}, 2) == {"seed": 9, "rate": 1}


def test_every_arm_gets_the_same_requests_and_one_pair_is_called_no_proof(stub: Stub) -> None:
    arms = [Arm(name="none", target=stub.url), Arm(name="continuous", target=stub.url)]
    before = len(stub.seen()["requests"])
    prepared: list[str] = []
    results = run_suite(arms, LOAD, 1, "suite", lambda arm: prepared.append(arm.name))
    assert prepared == ["none", "continuous"]
    bodies = [json.dumps(request["body"]) for request in stub.seen()["requests"][before:]]
    assert [result.run_id for result in results] == ["suite-0-none", "suite-0-continuous"]
    half = len(bodies) // 2  # two requests within a millisecond may arrive in either order
    assert sorted(bodies[:half]) == sorted(bodies[half:])
    assert all(request["headers"]["cache-control"] == "no-store" for request in stub.seen()["requests"][before:])
    assert "a single pair proves nothing" in shown(results)
    assert "median (lowest … highest)" in shown(results * 2)
    assert "proves nothing" not in shown(results * 2)


def test_a_run_that_cannot_begin_says_why() -> None:
    with pytest.raises(UpstreamError, match="not on this machine"):
        run_arm(Arm(name="a", target="http://example.org"), LOAD, "run")


def test_an_arm_that_cannot_be_switched_on_says_so(stub: Stub) -> None:
    with pytest.raises(UpstreamError, match="cannot switch through"):
        run_arm(Arm(name="a", target=stub.url, switch_url="http://127.0.0.1:1/switch"), LOAD, "run")
