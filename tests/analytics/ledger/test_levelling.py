"""What a meter is off by stays with idle energy: who runs alone errs less than by sharing time, nothing is lost."""

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs, LedgerResult, LedgerSettings
from analytics.ledger.levelling import BAND, Prediction, levelled
from analytics.ledger.simulation import Meters, Simulated, simulate
from bench.truths.catalogue import BOARD, H100_8B
from bench.truths.loads import chat, load_for
from bench.truths.scores import per_request, scored

rows = st.lists(st.tuples(*[st.floats(0.0, 2000.0)] * 3, st.floats(0.0, 1e4), st.booleans()), min_size=1, max_size=30)


@given(rows, st.floats(0.0, 1e4))
def test_idle_energy_takes_a_part_of_the_difference_and_no_more_than_its_band(
    drawn: list[tuple[float, float, float, float, bool]], meter_j2: float
) -> None:
    idle, active, predicted, variance = (np.array([row[column] for row in drawn]) for column in range(4))
    used = np.array([row[4] for row in drawn])
    moved = levelled(idle, active, [Prediction(used, predicted, variance, meter_j2)])
    assert (moved[~used] == 0).all()
    assert (active + moved >= -1e-9).all()
    assert (idle - moved >= -1e-9).all()
    assert (np.abs(moved) <= BAND * idle * (1 + 1e-9)).all()
    off = active - predicted
    assert (np.abs(off + moved) <= np.abs(off) + 1e-9).all()
    assert moved[variance > 1e6 * meter_j2] == pytest.approx(0, abs=2e-3)


def run(seed: int, meters: Meters) -> Simulated:
    return simulate(load_for(0.3, 900.0, chat(20_000, seed), H100_8B), H100_8B, meters, seed=seed)


def result_of(simulated: Simulated, rule: str) -> LedgerResult:
    points = simulated.points.filter(pc.is_null(simulated.points["engine"]))
    settings = LedgerSettings(rule=rule)
    return attribute(LedgerInputs(points, simulated.attempts, simulated.window_ns, settings=settings))


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_at_batch_one_spans_alone_err_well_below_shares_of_time(seed: int) -> None:
    """The best rival there is right by itself, up to the noise of the meter in intervals that are mostly idle."""
    simulated = run(seed, replace(BOARD, skew_s=0.04 - 0.02 * seed))
    found = {}
    for rule in ("spans_affine", "time_overlap"):
        paid, stated = per_request(result_of(simulated, rule).attempt_energy, len(simulated.true_j))
        found[rule] = scored(paid, simulated.true_j, stated)
    assert found["spans_affine"].median <= 0.7 * found["time_overlap"].median
    assert found["spans_affine"].p95 <= 0.7 * found["time_overlap"].p95
    assert found["spans_affine"].coverage >= 0.9


def test_a_meter_without_noise_is_taken_at_its_word() -> None:
    simulated = run(1, Meters())
    rows = result_of(simulated, "spans_affine").intervals
    idle = rows.filter(pc.greater(rows["idle_j"], 0))["idle_j"].to_numpy()
    assert np.median(np.abs(idle / 160.0 - 1)) < 1e-3  # 80 W for 2 s
    paid, _ = per_request(result_of(simulated, "spans_affine").attempt_energy, len(simulated.true_j))
    assert scored(paid, simulated.true_j).median < 0.005
