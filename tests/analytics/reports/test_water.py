"""Litres: on site by the devices' energy, of the grid by the facility's, with figures and a source that are given."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from analytics.metric import Window
from analytics.reports import summary, water
from conventions.errors import SettingsError
from conventions.units import JOULES_PER_KILOWATT_HOUR
from dashboard import sample
from store.writing import Store

END = datetime(2026, 11, 20)
WINDOW = Window(END - timedelta(hours=2), END)
FIGURES = water.Water(0.4, 3.0, "operator's report of 2025")


def written(folder: Path, pue: float, job_j: float = 0.0) -> Store:
    """Two hours of requests at a facility of ``pue``, and a job beside them."""
    days = sample.library_days(END, hours=2)
    for row in days["energy_intervals"]:
        row["pue"] = pue
    if job_j:
        first = days["energy_intervals"][0]
        used = {
            "engine": None,
            "job": "a",
            "total_j": job_j,
            "attributed_j": job_j,
            "idle_j": 0.0,
            "unattributed_j": 0.0,
        }
        days["energy_intervals"].append(first | used | {"unattributed_reason": None})
    store = Store.open(folder)
    sample.write(store, days)
    return store


def test_litres_are_those_of_the_devices_on_site_and_of_the_facility_from_the_grid(tmp_path: Path) -> None:
    with written(tmp_path, pue=1.5) as store:
        found = water.spent(store, WINDOW, FIGURES)
        row = store.query("SELECT sum(total_j) AS j FROM energy_intervals").to_pylist()[0]
        tokens = store.query("SELECT sum(output_tokens) FILTER (success) AS n FROM requests").to_pylist()[0]["n"]
    assert found is not None
    litres = row["j"] / JOULES_PER_KILOWATT_HOUR * (0.4 + 1.5 * 3.0)
    assert found["litres"] == pytest.approx(litres, rel=1e-9)
    assert found["litres_per_1k_successful_tokens"] == pytest.approx(1000 * litres / tokens, rel=1e-9)


def test_a_jobs_water_is_in_the_whole_and_not_in_that_of_tokens(tmp_path: Path) -> None:
    with written(tmp_path / "without", pue=1.0) as store:
        without = water.spent(store, WINDOW, FIGURES)
    with written(tmp_path / "with", pue=1.0, job_j=1e6) as store:
        beside = water.spent(store, WINDOW, FIGURES)
    assert without is not None
    assert beside is not None
    assert beside["litres"] - without["litres"] == pytest.approx(1e6 / JOULES_PER_KILOWATT_HOUR * 3.4)
    assert beside["litres_per_1k_successful_tokens"] == pytest.approx(without["litres_per_1k_successful_tokens"])


def test_the_summary_names_the_figures_and_their_source(tmp_path: Path) -> None:
    config = tmp_path / "water.toml"
    config.write_text('[water]\nsite_l_per_kwh = 0.4\nsource = "operator"\n')
    with written(tmp_path / "store", pue=1.0) as store:
        page = summary.text(store, WINDOW.start, WINDOW.end, config)
        silent = summary.text(store, WINDOW.start, WINDOW.end)
    assert "[estimated]" in page
    assert "(0.4 L/kWh on site: operator)" in page
    assert "Water" not in silent, "nothing has a default"


def test_without_energy_there_is_no_water(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        assert water.spent(store, WINDOW, FIGURES) is None


@pytest.mark.parametrize(
    ("section", "told"),
    [("site_l_per_kwh = 0.4", "name the source"), ('grid_l_per_kwh = -1.0\nsource = "x"', "negative")],
)
def test_figures_without_a_source_and_below_nothing_are_refused(tmp_path: Path, section: str, told: str) -> None:
    config = tmp_path / "water.toml"
    config.write_text(f"[water]\n{section}\n")
    with Store.open(tmp_path / "store") as store, pytest.raises(SettingsError, match=told):
        summary.text(store, WINDOW.start, WINDOW.end, config)
