"""Prices by time of day, zone, date and model; hardware by pattern."""

from datetime import datetime, timedelta

import pytest

from analytics.charges.prices import EnergyPrice, Hardware, Prices, TokenPrice, hardware_of

NIGHT_AND_DAY = (EnergyPrice(0.10, "22:00", "06:00"), EnergyPrice(0.30, "06:00", "22:00"))


def test_the_price_follows_the_time_of_day_and_passes_midnight() -> None:
    prices = Prices("EUR", "contract 7", NIGHT_AND_DAY)
    hours = {hour: prices.per_kwh(datetime(2026, 11, 21, hour)) for hour in (0, 5, 6, 21, 22)}
    assert hours == {0: 0.10, 5: 0.10, 6: 0.30, 21: 0.30, 22: 0.10}


def test_times_of_day_are_local() -> None:
    prices = Prices("EUR", "contract 7", NIGHT_AND_DAY, timezone="Europe/Berlin")
    assert prices.per_kwh(datetime(2026, 11, 21, 5, 30)) == 0.30  # 06:30 in winter
    assert prices.per_kwh(datetime(2026, 7, 21, 20, 30)) == 0.10  # 22:30 in summer


def test_a_new_price_does_not_rewrite_what_was_paid_before() -> None:
    prices = Prices("EUR", "x", (EnergyPrice(0.30), EnergyPrice(0.25, since="2026-11-01")))
    assert [prices.per_kwh(datetime(2026, month, 15)) for month in (10, 11)] == [0.30, 0.25]


def test_the_newest_price_wins_however_its_date_is_written() -> None:
    prices = Prices("EUR", "x", (EnergyPrice(0.30, since="20260101"), EnergyPrice(0.25, since="2026-11-01")))
    assert [prices.per_kwh(datetime(2026, month, 15)) for month in (10, 11)] == [0.30, 0.25]


def test_an_hour_that_comes_twice_or_never_has_the_price_of_its_clock() -> None:
    """Berlin, the last Sundays of October and March: 02:30 comes twice, and not at all."""
    prices = Prices(
        "EUR", "x", (EnergyPrice(0.1, "02:00", "03:00"), EnergyPrice(0.3, "03:00", "02:00")), (), "Europe/Berlin"
    )
    autumn = [prices.per_kwh(datetime(2026, 10, 24, 23, 30) + timedelta(hours=step)) for step in range(4)]
    assert autumn == [0.3, 0.1, 0.1, 0.3]
    spring = [prices.per_kwh(datetime(2026, 3, 28, 23, 30) + timedelta(hours=step)) for step in range(4)]
    assert spring == [0.3, 0.3, 0.3, 0.3]


def test_hours_without_a_price_are_not_known() -> None:
    assert Prices("EUR", "x", (EnergyPrice(0.3, "06:00", "22:00"),)).per_kwh(datetime(2026, 1, 1, 3)) is None


def test_models_and_devices_are_found_by_pattern_and_the_first_wins() -> None:
    prices = Prices("USD", "x", tokens=(TokenPrice("gpt-*", 1.0, 2.0), TokenPrice("*", 9.0, 9.0)))
    found = [price.output_per_million for name in ("gpt-5", "scout") if (price := prices.of_model(name))]
    assert found == [2.0, 9.0]
    assert prices.of_model(None) is None
    boards = (Hardware("GPU-*", "list price", price_per_hour=2.0), Hardware("cpu*", "guess", price_per_hour=0.1))
    assert [one and one.price_per_hour for one in (hardware_of(n, boards) for n in ("GPU-1", "cpu-0", "dram"))] == [
        2.0, 0.1, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: Prices("euro", "x"), "ISO 4217"),
        (lambda: Prices("EUR", "x", timezone="Berlin/Europe"), "Europe/Berlin"),
        (lambda: EnergyPrice(0.3, begins="25:00"), "hour"),
        (lambda: EnergyPrice(0.3, since="soon"), "Invalid isoformat"),
        (lambda: EnergyPrice(0.3, since="2026-11-01T00:00+00:00"), "leave it out"),
        (lambda: Hardware("*", "x", life_years=0.0), "life_years"),
    ],
)
def test_what_cannot_be_a_price_says_what_it_wants(wrong: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        wrong()  # type: ignore[operator]  # a lambda
