"""The FOCUS export: its columns are the specification's, its rows sum to what was spent."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from analytics.exports import focus
from analytics.metric import Window
from conventions.errors import SettingsError
from dashboard import sample
from store.writing import Store
from tokenjoule.__main__ import app

END = datetime(2026, 11, 20)
WINDOW = Window(END - timedelta(days=2), END)
# focus.finops.org/focus-specification, v1-2 and, in the last row, v1-3: the columns whose feature level is Mandatory
MANDATORY = {
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd"),
    *("ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity"),
    *("PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
    *("ServiceProviderName", "HostProviderName"),
}
NULLABLE = {"BillingAccountName", "ChargeClass", "ChargeDescription"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("focus")
    with Store.open(folder) as opened:
        sample.write(opened, sample.library_days(END, hours=48, per_minute=1.0))
    return folder


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    with Store.open(data) as opened:
        yield opened


def test_mandatory_columns_are_there_and_never_null(store: Store) -> None:
    rows = focus.rows(store, WINDOW)
    assert rows.num_rows > 10
    assert set(focus.MANDATORY.names) == MANDATORY <= set(rows.column_names)
    assert {name for name in MANDATORY if rows[name].null_count} <= NULLABLE
    assert all(name.startswith("x_") or name[0].isupper() for name in rows.column_names)
    assert set(rows["ChargeCategory"].to_pylist()) == {"Usage"}


def test_rows_sum_to_the_balance_and_to_the_requests(store: Store) -> None:
    rows = focus.rows(store, WINDOW).to_pylist()
    spent = store.query(
        "SELECT sum(total_j) AS joules, sum(cost_energy) AS cost, sum(co2e_g) AS grams FROM energy_intervals"
    ).to_pylist()[0]
    assert sum(row["x_EnergyJoules"] or 0 for row in rows) == pytest.approx(spent["joules"], rel=1e-9)
    assert sum(row["BilledCost"] for row in rows) == pytest.approx(spent["cost"], rel=1e-9)
    assert sum(row["x_CarbonGrams"] or 0 for row in rows) == pytest.approx(spent["grams"], rel=1e-9)
    counted = store.query("SELECT count(*) AS n, sum(output_tokens) AS tokens FROM requests").to_pylist()[0]
    assert sum(row["x_Requests"] or 0 for row in rows) == counted["n"]
    tokens = sum(row["ConsumedQuantity"] for row in rows if row["ConsumedUnit"] == "Tokens")
    assert tokens == counted["tokens"]
    assert {row["x_Part"] for row in rows} == {"requests", "idle", "overhead", "unattributed"}


def test_a_row_is_one_day_of_one_tenant_model_engine(store: Store) -> None:
    rows = focus.rows(store, WINDOW).to_pylist()
    keys = [
        (row["ChargePeriodStart"], row["x_Part"], row["SubAccountId"], row["SkuId"], row["ResourceId"]) for row in rows
    ]
    assert len(set(keys)) == len(keys)
    for row in rows:
        assert row["ChargePeriodEnd"] - row["ChargePeriodStart"] == timedelta(days=1)
        assert row["BillingPeriodStart"] == datetime(2026, 11, 1, tzinfo=UTC)
        assert row["BillingPeriodEnd"] == datetime(2026, 12, 1, tzinfo=UTC)
    assert {row["SubAccountId"] for row in rows if row["x_Part"] == "requests"} == set(sample.TENANTS)


def test_grams_of_two_bases_are_not_added(tmp_path: Path) -> None:
    """The day on which the grid changed from averages to margins has energy and cost, and no grams."""
    days = sample.library_days(END, hours=4)
    for relation in ("requests", "energy_intervals"):
        for number, row in enumerate(days[relation]):
            row["grid_basis"] = "marginal" if number % 2 else "average"
    with Store.open(tmp_path) as opened:
        sample.write(opened, days)
        rows = focus.rows(opened, WINDOW).to_pylist()
    mixed = [row for row in rows if ";" in (row["x_CarbonBasis"] or "")]
    assert {row["x_CarbonBasis"] for row in mixed} == {"average; marginal"}
    assert {row["x_CarbonGrams"] for row in mixed} == {None}
    assert sum(row["x_EnergyJoules"] for row in mixed) > 0


def test_the_command_writes_csv_and_parquet(data: Path, tmp_path: Path) -> None:
    asked = ["export", "focus", "--from", "2026-11-18", "--to", "2026-11-19", "--data", str(data), "--out"]
    for name in ("cost.csv", "cost.parquet"):
        ended = CliRunner().invoke(app, [*asked, str(tmp_path / name)], catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
    with (tmp_path / "cost.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["ChargePeriodStart"] == "2026-11-18T00:00:00Z"
    stored = pq.read_table(tmp_path / "cost.parquet")
    assert stored.column_names == list(rows[0])
    assert stored.num_rows == len(rows)


def test_without_any_cost_it_says_what_to_configure(tmp_path: Path) -> None:
    days = sample.library_days(END, hours=1)
    bare = [row | {"cost": None, "cost_energy": None, "currency": None} for row in days["requests"]]
    with Store.open(tmp_path) as opened:
        sample.write(opened, {"requests": bare})
        with pytest.raises(SettingsError, match=r"\[collector.prices\]"):
            focus.rows(opened, WINDOW)


def test_a_file_of_no_known_format_is_refused(data: Path, tmp_path: Path) -> None:
    asked = ["export", "focus", "--from", "2026-11-18", "--to", "2026-11-19", "--data", str(data)]
    with pytest.raises(SettingsError, match=r"\.csv or \.parquet"):
        CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "cost.xls")], catch_exceptions=False)
