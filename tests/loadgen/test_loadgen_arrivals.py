import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import arrivals

RATES = st.floats(0.5, 200)
DURATIONS = st.floats(0.5, 30)
SEEDS = st.integers(0, 2**32 - 1)


@given(RATES, DURATIONS, SEEDS)
def test_a_poisson_schedule_is_sorted_and_inside_its_duration(rate: float, duration_s: float, seed: int) -> None:
    times = arrivals.poisson(rate, duration_s, seed)
    assert list(times) == sorted(times)
    assert all(0 <= at_s < duration_s for at_s in times)


@given(RATES, DURATIONS, SEEDS)
def test_the_count_of_a_poisson_schedule_is_near_rate_times_duration(rate: float, duration_s: float, seed: int) -> None:
    expected = rate * duration_s
    assert abs(len(arrivals.poisson(rate, duration_s, seed)) - expected) <= 7 * math.sqrt(expected) + 10


@given(RATES, DURATIONS, SEEDS)
def test_one_seed_gives_one_schedule(rate: float, duration_s: float, seed: int) -> None:
    assert arrivals.poisson(rate, duration_s, seed) == arrivals.poisson(rate, duration_s, seed)


def test_poisson_gaps_are_exponential_and_not_repeated() -> None:
    gaps = np.diff(arrivals.poisson(20, 500, seed=3))
    assert 0.95 < gaps.std() / gaps.mean() < 1.05
    assert len(set(gaps)) == len(gaps)


def test_two_seeds_give_two_schedules() -> None:
    assert arrivals.poisson(5, 100, seed=1) != arrivals.poisson(5, 100, seed=2)


@given(RATES, DURATIONS)
def test_a_constant_schedule_has_equal_gaps(rate: float, duration_s: float) -> None:
    times = arrivals.constant(rate, duration_s)
    assert times[0] == 0
    assert times[-1] < duration_s
    assert all(math.isclose(b - a, 1 / rate, rel_tol=1e-6) for a, b in itertools.pairwise(times))


@pytest.mark.parametrize(("rate", "duration_s"), [(0, 1), (1, 0), (-1, 5), (math.nan, 1), (1e9, 1e9)])
def test_a_schedule_without_sense_is_refused(rate: float, duration_s: float) -> None:
    with pytest.raises(ValueError, match=r"seconds|requests"):
        arrivals.poisson(rate, duration_s, seed=1)
