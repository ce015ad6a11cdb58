"""How steps are shared by those who run: 1/n of every step, however unevenly steps follow each other."""

import numpy as np
import pytest

from analytics.ledger import evidence
from analytics.ledger.attribution import _site
from analytics.ledger.devices import read_devices
from analytics.ledger.inputs import LedgerInputs
from analytics.ledger.pace import paced
from analytics.ledger.progress import Company, StepClock
from analytics.ledger.simulation import Load, Meters, simulate
from analytics.ledger.work import work_of
from bench.truths.catalogue import H100_8B


def load(arrivals: list[float]) -> Load:
    """Long prompts, whose eight steps last 70 ms each, and answers of 6.5 ms a step."""
    size = len(arrivals)
    return Load(np.array(arrivals), np.full(size, 16_000), np.zeros(size, np.int64), np.full(size, 400))


def test_a_request_alone_has_every_step_to_itself() -> None:
    """Its prompt's steps are ten times as long as the others: half of its time is not half of its steps."""
    simulated = simulate(load([0.5, 20.0]), H100_8B, Meters(), idle_s=6.0)
    work = work_of(simulated.attempts, "e", simulated.window_ns[0])
    clock = StepClock(paced(work), *paced(work))
    begin = np.linspace(work.prefill_from[0], work.decode_until[0], 50)[:-1]
    end = np.linspace(work.prefill_from[0], work.decode_until[0], 50)[1:]
    assert Company(work, clock).mean_share(begin, end) == pytest.approx(1.0)


def test_shares_are_those_of_the_moments_they_are_made_of() -> None:
    simulated = simulate(load([0.5, 1.2, 1.4, 6.0]), H100_8B, Meters(), idle_s=6.0)
    work = work_of(simulated.attempts, "e", simulated.window_ns[0])
    clock = StepClock(paced(work), *paced(work))
    company = Company(work, clock)
    ended = np.maximum(work.prefill_until, work.decode_until)
    changes = np.concatenate([work.prefill_from, ended])
    moments = np.union1d(np.linspace(work.prefill_from[0], work.decode_until.max(), 4001), changes)
    middles = (moments[1:] + moments[:-1]) / 2
    running = ((work.prefill_from[:, None] <= middles) & (middles < ended[:, None])).sum(axis=0)
    steps = np.diff(clock.at(moments))
    for first, last in ((0, 4000), (300, 900), (1000, 1010), (2000, 3900)):
        expected = (np.divide(1, running, where=running > 0, out=np.zeros(len(running))) * steps)[first:last].sum()
        found = company.mean_share(moments[[first]], moments[[last]])[0]
        assert found == pytest.approx(expected / steps[first:last].sum(), rel=1e-6)
        assert found <= 1


def test_spans_alone_say_as_many_steps_as_the_engine_counted() -> None:
    """Per interval: a prompt's steps are not spread over the answer that follows it."""
    simulated = simulate(load([0.9, 7.3, 14.2, 21.6, 30.1]), H100_8B, Meters(), idle_s=6.0)
    site = _site(LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns))
    meter = read_devices(simulated.points, site.origin_ns)[0].energy
    work = site.work["e"]
    counted = evidence.from_counters(site.engines["e"], work, meter, site.edges).work[:, 0]
    told = evidence.from_spans(work, meter, site.edges).work[:, 0]
    assert counted.sum() > 1000
    assert np.abs(told - counted).max() < 4, "up to 56 of 170 before"
