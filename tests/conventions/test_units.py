"""Foreign units are converted once, at the edge."""

from hypothesis import given
from hypothesis import strategies as st

from conventions import units


def test_the_units_that_meters_and_grids_use() -> None:
    assert units.joules_from_millijoules(1_500.0) == 1.5
    assert units.joules_from_microjoules(2_000_000) == 2.0
    assert units.joules_from_watt_hours(1.0) == 3_600.0
    assert units.watts_from_milliwatts(700_000) == 700.0
    assert round(units.grams_per_kwh_from_pounds_per_mwh(1_000.0), 3) == 453.592


@given(st.floats(1e-9, 1e15))
def test_kilowatt_hours_and_watt_hours_agree(joules: float) -> None:
    assert abs(units.joules_from_watt_hours(units.kilowatt_hours_from_joules(joules) * 1000) - joules) <= 1e-9 * joules


@given(st.integers(0, 2**53))
def test_nanoseconds_survive_the_round_trip(nanoseconds: int) -> None:
    assert (
        abs(units.nanoseconds_from_seconds(units.seconds_from_nanoseconds(nanoseconds)) - nanoseconds)
        <= nanoseconds * 2**-52
    )
