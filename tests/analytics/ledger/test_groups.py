"""Devices and engines in groups: tensor-parallel GPUs, two engines on one GPU, rejected drafts, requests unseen."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs, LedgerResult
from analytics.ledger.simulation import Meters, Simulated, Truth, simulate
from bench.truths.loads import chat, load_for
from bench.truths.scores import per_request, scored
from conventions import instruments

ENERGY = instruments.HW_ENERGY.name


def run(
    batch: float = 6.0, truth: Truth | None = None, engine: str = "e", seed: int = 1, seconds: float = 200.0
) -> Simulated:
    truth = truth or Truth()
    return simulate(load_for(batch, seconds, chat(20_000, seed), truth), truth, Meters(noise=0.02), engine=engine)


def meter(simulated: Simulated) -> pa.Table:
    return simulated.points.filter(pc.equal(simulated.points["metric"], ENERGY)).sort_by("time_ns")


def counters(simulated: Simulated) -> pa.Table:
    return simulated.points.filter(pc.not_equal(simulated.points["metric"], ENERGY))


def replaced(points: pa.Table, column: str, values: object) -> pa.Table:
    values = pa.array([values] * points.num_rows, pa.string()) if isinstance(values, str) else pa.array(values)
    return points.set_column(points.column_names.index(column), column, values)


def attributed(points: pa.Table, attempts: pa.Table, simulated: Simulated) -> LedgerResult:
    return attribute(LedgerInputs(points, attempts, simulated.window_ns))


def test_gpus_of_one_engine_share_its_requests() -> None:
    """Tensor parallel: four GPUs with a part of every step each; a request pays on all, together what is true."""
    simulated = run()
    parts = (0.22, 0.24, 0.26, 0.28)
    whole = meter(simulated)
    each = [
        replaced(replaced(whole, "value", whole["value"].to_numpy() * part), "device", f"gpu{number}")
        for number, part in enumerate(parts)
    ]
    result = attributed(pa.concat_tables([counters(simulated), *each]), simulated.attempts, simulated)
    assert set(result.attempt_energy["device"].to_pylist()) == {f"gpu{number}" for number in range(4)}
    joules, _ = per_request(result.attempt_energy, len(simulated.true_j))
    found = scored(joules, simulated.true_j)
    assert found.median < 0.03
    assert abs(found.bias) < 0.01
    b = result.step_models.sort_by("device")["b"].to_numpy()
    assert b == pytest.approx(3.1 * np.array(parts), rel=0.05)


def test_two_engines_on_one_gpu_are_told_apart() -> None:
    """A large and a small model that never rest: one counter of joules, two sets of constants."""
    small = Truth(b=0.8, a_p=0.003, a_d=0.02, a_c=5e-6, idle_w=0.0, step_s=0.003)
    large, other = run(6.0, seconds=900.0), run(10.0, small, "small", 2, 900.0)
    shared, second = meter(large), meter(other)
    times = shared["time_ns"].to_numpy()
    sum_j = shared["value"].to_numpy() + np.interp(times, second["time_ns"].to_numpy(), second["value"].to_numpy())
    points = pa.concat_tables([replaced(shared, "value", sum_j), counters(large), counters(other)])
    names = pc.binary_join_element_wise("s", other.attempts["request_id"], "")
    attempts = pa.concat_tables([large.attempts, other.attempts.set_column(0, "request_id", names)])
    result = attributed(points, attempts, large)
    whose = pc.starts_with(result.attempt_energy["request_id"], "s")
    for simulated, mine in ((other, whose), (large, pc.invert(whose))):
        paid = pc.sum(result.attempt_energy.filter(mine)["joules"]).as_py()
        assert paid == pytest.approx(simulated.true_j.sum(), rel=0.1)


def test_rejected_drafts_are_paid_for_by_who_proposed_them() -> None:
    """As many drafts proposed as tokens made, one in four accepted: decode joules follow the computed positions."""
    simulated = run(2.0)
    attempts = simulated.attempts
    proposed = np.zeros(attempts.num_rows, np.int64)
    proposed[::2] = attempts["output_tokens"].to_numpy()[::2]
    drafted = replaced(replaced(attempts, "draft_proposed", proposed), "draft_accepted", proposed // 4)
    result = attributed(meter(simulated), drafted, simulated)  # spans alone say what was computed
    rows = result.attempt_energy.filter(pc.equal(result.attempt_energy["component"], "decode"))
    joules, _ = per_request(rows, attempts.num_rows)
    per_token = joules / np.maximum(attempts["output_tokens"].to_numpy() - 1, 1)
    assert np.median(per_token[::2]) > 1.5 * np.median(per_token[1::2])


def test_layers_that_were_skipped_are_not_paid_for() -> None:
    """Every other request left out half the layers of its decoded tokens: its decode joules are half of the others'."""
    simulated = run(2.0)
    attempts = simulated.attempts
    skipped = np.zeros(attempts.num_rows)
    skipped[::2] = (attempts["output_tokens"].to_numpy()[::2] - 1) / 2
    result = attributed(meter(simulated), replaced(attempts, "exit_skipped", skipped), simulated)
    rows = result.attempt_energy.filter(pc.equal(result.attempt_energy["component"], "decode"))
    joules, _ = per_request(rows, attempts.num_rows)
    per_token = joules / np.maximum(attempts["output_tokens"].to_numpy() - 1, 1)
    assert 0.4 < np.median(per_token[::2]) / np.median(per_token[1::2]) < 0.7


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_work_of_unseen_requests_is_unattributed_and_estimated(share: float) -> None:
    """Aborted or lost: what they cost is a figure of its own, within a fifth, and nobody pays for it."""
    simulated = run()
    seen = np.random.default_rng(4).uniform(size=len(simulated.true_j)) >= share
    result = attributed(simulated.points, simulated.attempts.filter(seen), simulated)
    rows = result.intervals.filter(pc.equal(result.intervals["unattributed_reason"], "unclaimed"))
    assert pc.sum(rows["unattributed_j"]).as_py() == pytest.approx(simulated.true_j[~seen].sum(), rel=0.2)


def test_without_counters_the_spans_identify_the_constants() -> None:
    simulated = run()
    result = attributed(meter(simulated), simulated.attempts, simulated)
    assert set(result.intervals["method"].to_pylist()) == {"spans_affine", "none"}
    (model,) = result.step_models.to_pylist()
    assert model["b"] == pytest.approx(3.1, rel=0.1)
    assert model["idle_basis"] == "quiet"


def test_every_interval_says_its_residual_and_scale_and_every_request_its_error() -> None:
    simulated = run()
    result = attributed(simulated.points, simulated.attempts, simulated)
    rows = result.intervals.filter(pc.equal(result.intervals["method"], "counters_affine"))
    total, predicted = rows["total_j"].to_numpy(), rows["predicted_j"].to_numpy()
    assert rows["residual_j"].to_numpy() == pytest.approx(total - predicted, abs=1e-9)
    assert rows["scale"].to_numpy() * predicted == pytest.approx(total, rel=1e-9)
    assert result.attempt_energy["variance_j2"].null_count == 0
    assert (result.attempt_energy["variance_j2"].to_numpy() > 0).all()
