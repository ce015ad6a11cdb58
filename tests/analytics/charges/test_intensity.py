"""Which value is used at a moment, and how it is labelled."""

from datetime import datetime, timedelta

import pytest

from analytics.charges.intensity import Basis, Intensity, IntensitySeries

NOON = datetime(2026, 11, 21, 12)
HOUR = timedelta(hours=1)
YEARLY = Intensity("DE", datetime(2023, 1, 1), datetime(2024, 1, 1), 381.0, "average", "static", 2023, True)


def value(hour: float, grams: float, ended: bool = True, basis: Basis = "average") -> Intensity:
    start = NOON + hour * HOUR
    return Intensity("DE", start, start + HOUR if ended else None, grams, basis, "electricity_maps")


def series(*rows: Intensity, yearly: Intensity | None = YEARLY) -> IntensitySeries:
    return IntensitySeries(rows, yearly, 2 * HOUR)


def test_the_value_of_the_moment_is_not_estimated() -> None:
    found = series(value(0, 300.0), value(1, 200.0)).at(NOON + 0.9 * HOUR)
    assert found is not None
    assert (found.g_per_kwh, found.estimated, found.year) == (300.0, False, None)


def test_an_older_value_stands_in_within_the_bound_and_is_marked_estimated() -> None:
    found = series(value(0, 300.0)).at(NOON + 2.9 * HOUR)
    assert found is not None
    assert (found.g_per_kwh, found.estimated) == (300.0, True)


def test_beyond_the_bound_the_yearly_mean_stands_in_with_its_year() -> None:
    found = series(value(0, 300.0)).at(NOON + 3.1 * HOUR)
    assert found is not None
    assert (found.g_per_kwh, found.estimated, found.year) == (381.0, True, 2023)


def test_a_later_value_never_stands_in_for_an_earlier_moment() -> None:
    assert series(value(1, 300.0), yearly=None).at(NOON) is None


def test_a_value_without_an_end_holds_for_an_hour() -> None:
    one = series(value(0, 300.0, ended=False))
    marks = [found.estimated for hours in (0.5, 1.5) if (found := one.at(NOON + hours * HOUR))]
    assert marks == [False, True]


def test_a_correction_recorded_later_wins() -> None:
    found = series(value(0, 300.0), value(0, 280.0)).at(NOON)
    assert found is not None
    assert found.g_per_kwh == 280.0


def test_average_and_marginal_are_never_one_series() -> None:
    with pytest.raises(AssertionError, match="more than one basis"):
        series(value(0, 300.0), value(1, 700.0, basis="marginal"))
    with pytest.raises(AssertionError, match="more than one basis"):
        series(value(0, 700.0, basis="marginal"))
