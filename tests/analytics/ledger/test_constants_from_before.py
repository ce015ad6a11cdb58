"""What the data cannot tell apart stays uncertain, and constants from before tell it, with the error they had."""

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import Floats, LedgerInputs, LedgerResult, LedgerSettings
from analytics.ledger.simulation import Load, Simulated, simulate
from bench.truths.catalogue import BOARD, H100_8B
from bench.truths.loads import chat, load_for
from bench.truths.scores import Errors, per_request, scored

SECOND = 1_000_000_000
RULES = ["counters_affine", "spans_affine"]


@cache
def saturated() -> Simulated:
    """Every step is full of prompt: steps and prompt positions are in proportion, but at the begin and the end."""
    random = np.random.default_rng(5)
    prompt = np.clip(random.lognormal(7.5, 0.8, 2400), 64, 8000).astype(np.int64)
    output = np.clip(random.lognormal(3.0, 0.8, 2400), 2, 300).astype(np.int64)
    load = Load(np.arange(2400) / 20.0, prompt, np.zeros(2400, np.int64), output)
    return simulate(load, H100_8B, BOARD, seed=5)


@cache
def varied() -> Simulated:
    return simulate(load_for(8, 200.0, chat(4000, 2), H100_8B), H100_8B, BOARD, seed=2)


def split(
    simulated: Simulated, rule: str, window_s: tuple[float, float], models: pa.Table | None = None
) -> LedgerResult:
    """Of the window alone: nothing before or after it is known but ``models`` and the power at rest."""
    begin, end = (simulated.window_ns[0] + round(moment * SECOND) for moment in window_s)
    points, attempts = simulated.points, simulated.attempts
    near = pc.and_(
        pc.greater_equal(points["time_ns"], begin - 5 * SECOND), pc.less(points["time_ns"], end + 5 * SECOND)
    )
    near = near if rule == "counters_affine" else pc.and_(near, pc.is_null(points["engine"]))
    inputs = LedgerInputs(points.filter(near), attempts, (begin, end), models, settings=LedgerSettings(rule=rule))
    return attribute(inputs)


def inside(simulated: Simulated, window_s: tuple[float, float]) -> Floats:
    """Attempts that begin and end in the window."""
    begin, end = (simulated.window_ns[0] // 1000 + round(moment * 1e6) for moment in window_s)
    started, ended = (pc.cast(simulated.attempts[name], pa.int64()).to_numpy() for name in ("started_at", "ended_at"))
    return np.flatnonzero((started > begin + 4e6) & (ended < end - 4e6))


def errors(simulated: Simulated, result: LedgerResult, window_s: tuple[float, float]) -> Errors:
    joules, stated = per_request(result.attempt_energy, len(simulated.true_j))
    own = inside(simulated, window_s)
    return scored(joules[own], simulated.true_j[own], stated[own])


def from_before(rule: str) -> pa.Table:
    models = split(varied(), rule, (0.0, 200.0)).step_models
    return models.set_column(0, "fitted_at", pa.array([0] * models.num_rows, pa.timestamp("us")))


def at_rest() -> pa.Table:
    """The device's power at rest and no constants."""
    models = from_before(RULES[0])
    return models.set_column(models.column_names.index("method"), "method", pa.array(["none"] * models.num_rows))


@pytest.mark.parametrize("rule", RULES)
def test_an_engine_that_never_pauses_is_uncertain_and_says_so(rule: str) -> None:
    simulated, window = saturated(), (60.0, 160.0)
    result = split(simulated, rule, window, at_rest())
    (model,) = result.step_models.to_pylist()
    assert model["b"] == 0  # the whole cost of a step is thought to be its prompt's
    assert errors(simulated, result, window).coverage >= 0.9


@pytest.mark.parametrize("rule", RULES)
def test_constants_from_a_time_of_other_load_tell_its_steps_from_its_prompts(rule: str) -> None:
    simulated, window = saturated(), (60.0, 160.0)
    result = split(simulated, rule, window, from_before(rule))
    found = errors(simulated, result, window)
    assert found.median < 0.04
    assert found.coverage >= 0.9
    assert result.step_models.num_rows == 0  # what rests on old constants is no new observation of them


@pytest.mark.parametrize("rule", RULES)
def test_after_a_restart_errors_are_stated_from_the_covariance_that_was_kept(rule: str) -> None:
    simulated, window = varied(), (100.0, 112.0)
    blind = split(simulated, rule, window, at_rest())
    assert rule not in blind.intervals["method"].to_pylist()
    result = split(simulated, rule, window, from_before(rule))
    assert rule in result.intervals["method"].to_pylist()
    assert result.attempt_energy["variance_j2"].null_count == 0
    found = errors(simulated, result, window)
    assert found.median < 0.04
    assert found.coverage >= 0.9


def test_a_covariance_of_another_set_of_engines_is_not_taken() -> None:
    models = from_before("counters_affine")
    place = models.column_names.index("covariance")
    wrong = pa.array([[1.0] * 50] * models.num_rows, pa.list_(pa.float64()))
    result = split(varied(), "counters_affine", (100.0, 112.0), models.set_column(place, "covariance", wrong))
    assert "counters_affine" in result.intervals["method"].to_pylist()
    assert result.attempt_energy["variance_j2"].null_count == result.attempt_energy.num_rows
