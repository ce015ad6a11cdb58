"""What the power at no load rests on, and that a busy host no longer hides it."""

import numpy as np
import pytest

from analytics.ledger.idle import Said, idle_power


def busy_host(seed: int = 1, size: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Power and busy cores of a host at 20 W + 15 W per core that is never below 1.5 cores."""
    random = np.random.default_rng(seed)
    cores = random.uniform(1.5, 6.0, size)
    return 20.0 + 15.0 * cores + random.normal(0, 1.0, size), cores


def test_a_host_that_never_idles_is_read_off_the_line_of_power_over_busy_cores() -> None:
    power, cores = busy_host()
    found, basis = idle_power(power, cores, np.zeros(len(power), np.bool_), Said())
    assert basis == "intercept"
    assert found == pytest.approx(20.0, rel=0.1)
    assert power.min() > 40.0  # which is what stood in for it before


def test_without_cpu_times_or_a_line_the_lowest_stands_in_and_says_so() -> None:
    power, cores = busy_host()
    nobody = np.zeros(len(power), np.bool_)
    assert idle_power(power, np.full(len(power), np.nan), nobody, Said()) == (power.min(), "lowest")
    shuffled = np.random.default_rng(2).permutation(cores)
    assert idle_power(power, shuffled, nobody, Said())[1] == "lowest"
    assert idle_power(power, np.full(len(power), np.nan), nobody, Said(before=(12.0, "quiet"))) == (12.0, "before")


def test_what_was_only_the_lowest_before_does_not_become_a_finding() -> None:
    power, _ = busy_host()
    nobody, unknown = np.zeros(len(power), np.bool_), np.full(len(power), np.nan)
    assert idle_power(power, unknown, nobody, Said(before=(12.0, "lowest"))) == (12.0, "lowest")


def test_quiet_intervals_and_a_probes_own_word_come_first() -> None:
    power = np.full(30, 50.0)
    power[:5] = 21.0
    quiet = power < 30
    assert idle_power(power, np.full(30, np.nan), quiet, Said()) == (21.0, "quiet")
    assert idle_power(power, np.full(30, np.nan), quiet, Said(7.0)) == (7.0, "stated")


def test_a_noisy_meter_does_not_make_the_power_at_rest_look_low() -> None:
    power = 80.0 * (1 + np.random.default_rng(4).normal(0, 0.012, 200))
    power[150:] += 200.0  # another process, a quarter of the time
    found, basis = idle_power(power, np.full(200, np.nan), np.ones(200, np.bool_), Said())
    assert basis == "quiet"
    assert found == pytest.approx(80.0, rel=0.004)


def test_a_gpu_that_was_never_seen_at_rest_is_guessed_and_says_so() -> None:
    power = np.random.default_rng(5).uniform(350.0, 450.0, 60)
    unknown, nobody = np.full(60, np.nan), np.zeros(60, np.bool_)
    found, basis = idle_power(power, unknown, nobody, Said(on_gpu=True))
    assert (found, basis) == (power.min() / 2, "unseen")
    assert idle_power(power, unknown, nobody, Said(before=(found, basis), on_gpu=True)) == (found, "unseen")
    once = nobody.copy()
    once[7], power[7] = True, 80.0
    assert idle_power(power, unknown, once, Said(on_gpu=True)) == (80.0, "lowest")
    assert idle_power(power, unknown, nobody, Said(before=(75.0, "quiet"), on_gpu=True)) == (75.0, "before")
