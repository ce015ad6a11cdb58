"""Each source of carbon intensity: what it gives, how it is labelled, and what it says when it cannot."""

import csv
import importlib.util
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from collector import grid
from collector.charging.gridfeed import Feed, open_provider, yearly_mean
from collector.charging.provider import GridContext, GridUnavailable
from collector.settings import GridSettings
from conventions import plugins
from conventions.errors import PluginError, SettingsError
from store.writing import Store

NOON = datetime(2026, 11, 21, 12)


def provider(name: str, **context: Any) -> Any:
    return plugins.load(grid.__name__, name, "Provider")(GridContext(**context))


def series_file(folder: Path, *lines: str) -> Path:
    path = folder / "intensity.csv"
    path.write_text("\n".join(["started_at,g_per_kwh,ended_at,zone,basis,estimated", *lines]) + "\n", encoding="utf-8")
    return path


def test_every_row_of_the_table_names_year_basis_and_source() -> None:
    text = resources.files("collector.grid").joinpath("static.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len({row["zone"] for row in rows}) == len(rows) > 20
    for row in rows:
        found = provider("static", zone=row["zone"]).yearly()
        assert found.basis == row["basis"] == "average"
        assert found.year == int(row["year"]) >= 2023
        assert found.source == f"static: {row['source']}"
        assert found.estimated
        assert 10 < found.g_per_kwh < 1000


def test_an_unknown_zone_names_the_nearest() -> None:
    with pytest.raises(GridUnavailable, match="did you mean 'WORLD'"):
        provider("static", zone="WORL")


@pytest.mark.parametrize(
    ("zone", "low", "high", "emissions"),
    [("DEU", 300, 450, "lifecycle"), ("SE3", 10, 60, None), ("US-CA", 100, 300, "direct"), ("CN-BJ", 400, 800, None)],
)
def test_codecarbon_labels_its_factors_with_their_year(zone: str, low: float, high: float, emissions: str) -> None:
    if importlib.util.find_spec("codecarbon") is None:
        pytest.fail("codecarbon is missing: pip install 'tokenjoule[carbon]'")
    found = provider("codecarbon", zone=zone).yearly()
    assert low < found.g_per_kwh < high
    assert 2009 <= found.year <= 2026
    assert found.source.startswith("codecarbon 3.")
    assert (found.estimated, found.emissions) == (True, emissions)


def test_codecarbon_agrees_with_our_table() -> None:
    for ours, theirs in (("DE", "DEU"), ("FR", "FRA"), ("IN", "IND"), ("AU", "AUS")):
        own, other = provider("static", zone=ours).yearly(), provider("codecarbon", zone=theirs).yearly()
        assert own.year == other.year
        assert own.g_per_kwh == pytest.approx(other.g_per_kwh, abs=0.5)


def test_codecarbon_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(GridUnavailable, match=r"tokenjoule\[carbon\]"):
        provider("codecarbon", zone="DEU")


def test_a_file_gives_the_rows_of_its_zone_and_basis_in_utc(tmp_path: Path) -> None:
    path = series_file(
        tmp_path,
        "2026-11-21T14:00:00+01:00,300,,DE,average,",
        "2026-11-21T12:00:00,200,2026-11-21T12:30:00,DE,average,true",
        "2026-11-21T12:00:00,800,,DE,marginal,",
        "2026-11-21T12:00:00,50,,FR,average,",
    )
    found = provider("csv", zone="DE", file=path).read(NOON, NOON + timedelta(hours=2))
    assert [(row.started_at, row.g_per_kwh, row.estimated) for row in found] == [
        (NOON, 200.0, True),
        (NOON + timedelta(hours=1), 300.0, False),
    ]
    assert {row.source for row in found} == {"csv: intensity.csv"}
    assert provider("csv", zone="DE", file=path).read(NOON + timedelta(hours=1), NOON + timedelta(hours=2)) == [
        found[1]
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [("yesterday,300,,,,", "Invalid isoformat"), ("2026-11-21,-3,,,,", "between 0"), ("2026-11-21,3,,XX,,", "no rows")],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(GridUnavailable, match=f"intensity.csv.*{told}"):
        provider("csv", zone="DE", file=series_file(tmp_path, line))


def test_settings_that_cannot_work_are_refused_before_the_collector_is_ready() -> None:
    with pytest.raises(PluginError, match="did you mean 'static'"):
        open_provider(GridSettings(provider="statics", zone="DE"))
    with pytest.raises(SettingsError, match="no marginal intensities"):
        open_provider(GridSettings(provider="static", zone="DE", basis="marginal"))
    with pytest.raises(ValueError, match="pue"):
        GridSettings(zone="DE", pue=0.9)
    with pytest.raises(ValueError, match="zone"):
        GridSettings()


def test_a_yearly_mean_stands_in_only_for_the_same_basis(tmp_path: Path) -> None:
    both = series_file(tmp_path, "2026-11-21,300,,,average,", "2026-11-21,700,,,marginal,")
    average = GridSettings(provider="csv", zone="DE", file=both)
    marginal = GridSettings(provider="csv", zone="DE", file=both, basis="marginal")
    elsewhere = GridSettings(provider="csv", zone="DE-NORTH", file=both, fallback_zone="DE")
    unknown = GridSettings(provider="csv", zone="DE-NORTH", file=both)
    found = [yearly_mean(one, open_provider(one)) for one in (average, marginal, elsewhere, unknown)]
    assert [one and (one.zone, one.year) for one in found] == [("DE", 2023), None, ("DE", 2023), None]


def test_the_feed_records_once_what_it_was_told_once(tmp_path: Path) -> None:
    path = series_file(tmp_path, "2026-11-21T12:00:00,300,,,,", "2026-11-21T13:00:00,200,,,,")
    settings = GridSettings(provider="csv", zone="DE", file=path)
    with Store.open(tmp_path / "store", memory_limit="256MB") as store:
        for _ in range(2):
            opened = open_provider(settings)
            Feed(store, opened, yearly_mean(settings, opened), 900.0).start()
        rows = store.query("SELECT g_per_kwh, year, estimated FROM grid_intensity ORDER BY started_at").to_pylist()
        assert [tuple(row.values()) for row in rows] == [
            (381.0, 2023, True),
            (300.0, None, False),
            (200.0, None, False),
        ]
        series_file(tmp_path, "2026-11-21T12:00:00,310,,,,")
        Feed(store, open_provider(settings), None, 900.0).start()
        corrected = store.query("SELECT g_per_kwh FROM grid_intensity ORDER BY recorded_at DESC LIMIT 1").to_pylist()
        assert corrected == [{"g_per_kwh": 310.0}]
