"""Very many attempts at once are computed a part at a time, on curves of fewer moments than they have."""

import numpy as np
import pyarrow.compute as pc
import pytest

from analytics.ledger import claims, placement, progress
from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import Floats, LedgerInputs, LedgerSettings
from analytics.ledger.simulation import Simulated, simulate
from analytics.ledger.work import work_of
from bench.truths.catalogue import BOARD, H100_8B
from bench.truths.loads import chat, load_for
from bench.truths.scores import per_request

RULES = ["counters_affine", "spans_affine"]


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    return simulate(load_for(48, 60.0, chat(3000, 3), H100_8B), H100_8B, BOARD, seed=3)


def joules(simulated: Simulated, rule: str) -> Floats:
    points = simulated.points
    if rule != "counters_affine":
        points = points.filter(pc.is_null(points["engine"]))
    settings = LedgerSettings(rule=rule)
    result = attribute(LedgerInputs(points, simulated.attempts, simulated.window_ns, settings=settings))
    assert {method for method in result.intervals["method"].to_pylist() if method} >= {rule}
    return per_request(result.attempt_energy, len(simulated.true_j))[0]


@pytest.mark.parametrize("rule", RULES)
def test_parts_change_nothing(simulated: Simulated, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = joules(simulated, rule)
    for module in (claims, placement):
        monkeypatch.setattr(module, "ENTRIES_AT_ONCE", 7)
    np.testing.assert_allclose(joules(simulated, rule), whole, rtol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_curves_of_fewer_moments_move_hardly_any_joules(
    simulated: Simulated, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = joules(simulated, rule)
    monkeypatch.setattr(progress, "MANY", 2)
    monkeypatch.setattr(progress, "FINENESS", 0.05)  # fifty times as coarse
    work = work_of(simulated.attempts, "e", simulated.window_ns[0])
    moments = np.unique(np.concatenate([work.prefill_from, work.decode_from, progress.ended(work)]))
    assert progress.remembered(work, moments).mean() < 0.8
    thin = joules(simulated, rule)
    assert thin.sum() == pytest.approx(whole.sum(), rel=1e-3)
    moved = np.abs(thin - whole) / whole
    assert np.median(moved) < 0.01
    assert np.quantile(moved, 0.95) < 0.03
