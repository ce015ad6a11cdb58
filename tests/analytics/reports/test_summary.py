"""The weekly page says the same as the metrics, names its provenance and stays readable without data."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from analytics import metric
from analytics.idling import Idling
from analytics.metric import Window
from analytics.reports import headline
from analytics.reports.quantities import difference, quantity
from analytics.reports.summary import render_markdown, summary, text
from conventions.errors import SettingsError
from dashboard import sample
from store.writing import Store

END = datetime(2026, 11, 20, 18)
LAST_DAY = Window(END - timedelta(hours=24), END)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("summary")) as opened:
        sample.write(opened, sample.library_days(END, hours=48))
        yield opened


def test_numbers_have_the_period_before_beside_them(store: Store) -> None:
    for number in summary(store, LAST_DAY)["numbers"]:
        expected = metric.run(store, number["name"], LAST_DAY, ()).to_pylist()
        before = metric.run(store, number["name"], LAST_DAY.previous, ()).to_pylist()
        assert number["value"] in [row["value"] for row in expected]
        assert number["previous"] in [row["value"] for row in before]
        assert number["value"] != number["previous"]


def test_first_token_times_of_one_origin_only(store: Store) -> None:
    ttft = headline.number(store, "ttft_p95", LAST_DAY, bucket_s=3600)
    assert ttft.origin == "engine", "cache hits are seen by the gateway, and are fewer"
    assert 0 < len(ttft.series) <= 25


def test_the_energy_split_sums_to_the_meter(store: Store) -> None:
    energy = summary(store, LAST_DAY)["energy"]
    counted = store.query(
        "SELECT sum(total_j) AS j FROM energy_intervals WHERE started_at >= $start AND started_at < $end",
        {"start": LAST_DAY.start, "end": LAST_DAY.end},
    )
    assert energy["total_j"] == pytest.approx(counted.to_pylist()[0]["j"], rel=1e-12)


def test_tiers_sum_to_all_requests(store: Store) -> None:
    page = summary(store, LAST_DAY)
    assert [tier["tier"] for tier in page["by_tier"]] == ["expert", "scout"]
    assert sum(tier["n"] for tier in page["by_tier"]) == page["requests"]["total"]


def test_an_estimate_is_printed_as_one(store: Store) -> None:
    assert "**simulated**, not measured" in render_markdown(summary(store, LAST_DAY))


def test_budgets_of_a_file_are_listed_with_their_burn(store: Store, tmp_path: Path) -> None:
    config = tmp_path / "budgets.toml"
    config.write_text('[[budgets]]\nname = "tokens"\nkind = "tokens"\nlimit = 1000.0\nwindow = "1d"\n')
    page = text(store, LAST_DAY.start, LAST_DAY.end, config)
    line = next(line for line in page.splitlines() if line.startswith("| tokens"))
    spent, limit, burn = (cell.strip() for cell in line.split("|")[2:5])
    assert limit == "1 000"
    assert float(spent.replace(" ", "")) / 750.0 == pytest.approx(
        float(burn.removesuffix("×").replace(" ", "")), rel=0.01
    )


def test_a_period_without_data_has_dashes_and_no_zeros(store: Store) -> None:
    page = summary(store, Window(datetime(2001, 1, 1), datetime(2001, 1, 2)))
    assert {number["value"] for number in page["numbers"]} == {None}
    assert page["energy"]["total_j"] is None
    assert "No energy data" in render_markdown(page)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.012345, "J/{token}", "12.3 mJ/token"),
        (7.3, "J/{token}", "7.3 J/token"),
        (0.24, "s", "240 ms"),
        (0.00004, "s", "40 µs"),
        (123.4, "s", "123 s"),
        (1_030_000.0, "J", "1.03 MJ"),
        (0.2634, "1", "26.3 %"),
        (0.0, "1", "0 %"),
        (0.0, "J", "0 J"),
        (12.0, "{request}/s", "12 req/s"),
        (None, "s", "–"),
        (float("nan"), "s", "–"),
        (0.9996, "J", "1 J"),
    ],
)
def test_quantities_read_well(value: float | None, unit: str, shown: str) -> None:
    assert quantity(value, unit) == shown


@pytest.mark.parametrize(
    ("value", "before", "unit", "shown"),
    [(1.1, 1.0, "s", "+10.0 %"), (0.2, 0.3, "1", "−10.0 pp"), (1.0, 0.0, "s", "–"), (None, 1.0, "s", "–")],
)
def test_differences_read_well(value: float | None, before: float | None, unit: str, shown: str) -> None:
    assert difference(value, before, unit) == shown


def _number(text: str) -> float:
    return float(text.replace(" ", ""))


def test_jobs_of_the_period_are_listed_with_what_each_cost(tmp_path: Path) -> None:
    """A job that ran an hour ago is there with its joules per sample and their provenance, an older one is not."""
    job = {"started_at": END - timedelta(hours=1), "job_id": "a", "leg": "a1", "name": "tune", "device_type": "cpu"}
    job |= {"leg_started_at": job["started_at"], "heard_at": END - timedelta(minutes=59), "devices": [], "samples": 40}
    job |= {"steps": 10, "duration_s": 60.0, "loss": 1.25, "status": "ok", "precision": "bf16"}
    month = timedelta(days=30)
    older = {name: value - month if isinstance(value, datetime) else value for name, value in job.items()}
    spent = {"device": "cpu:0", "job": "a", "method": "cpu_time", "quality": "estimated", "idle_j": 0.0}
    spent |= {"started_at": job["started_at"], "ended_at": job["heard_at"], "unattributed_j": 0.0}
    rows = [job, older | {"job_id": "b", "leg": "b1", "name": "old"}]
    with Store.open(tmp_path) as opened:
        energy = [spent | {"total_j": 100.0, "attributed_j": 100.0}]
        sample.write(opened, {"job_progress": rows, "energy_intervals": energy})
        page = summary(opened, LAST_DAY)
    (listed,) = page["jobs"]
    assert (listed["j_per_sample"], listed["samples_per_device_hour"], listed["j_per_token"]) == (2.5, 2400.0, None)
    line = next(line for line in render_markdown(page).splitlines() if line.startswith("| tune (bf16)"))
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["ok", "60 s", "100 J estimated", "2.5 J/sample", "–", "–", "40", "2 400 samples/h", "1.25"]


def test_carbon_and_cost_name_their_factor_and_that_they_are_estimated(store: Store) -> None:
    page = summary(store, LAST_DAY)
    found = {one["name"]: one for one in page["charges"]}
    joules = page["energy"]["total_j"]
    grams = found["co2e_per_1k_successful_tokens"]
    tokens = sum(tier["tokens"] for tier in page["by_tier"])
    assert grams["value"] == pytest.approx(1000 * joules * sample.G_PER_KWH / 3.6e6 / tokens)
    assert (grams["label"], grams["estimated"]) == ("WORLD 2023 static, average", True)
    cost = found["cost_per_million_tokens"]
    assert cost["value"] == pytest.approx(1e6 * joules * sample.PER_KWH / 3.6e6 / tokens)
    assert cost["unit"] == "USD/M{token}"
    assert found["sci_per_token"]["value"] is None, "without embodied carbon there is no SCI"
    text = render_markdown(page)
    assert "## Carbon and cost" in text
    assert "WORLD 2023 static, average" in text
    assert "[estimated]" in text


def test_an_idle_policy_changes_who_pays_and_not_how_much(store: Store) -> None:
    separate, amortised = (summary(store, LAST_DAY, idling=Idling(name)) for name in ("separate", "amortised"))
    assert separate["energy"] == amortised["energy"]
    more = sum(tier["joules"] for tier in amortised["by_tier"]) - sum(tier["joules"] for tier in separate["by_tier"])
    assert more == pytest.approx(separate["energy"]["idle_j"])
    assert "idle amortised" in render_markdown(amortised)


def test_the_report_shares_idle_joules_as_the_file_says(store: Store, tmp_path: Path) -> None:
    config = tmp_path / "idle.toml"
    config.write_text('[idle]\npolicy = "reserved"\n[idle.reservations]\narchive = 0.5\n', encoding="utf-8")
    assert "energy, idle reserved" in text(store, LAST_DAY.start, LAST_DAY.end, config)
    config.write_text('[idle]\npolicy = "reserved"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="set both"):
        text(store, LAST_DAY.start, LAST_DAY.end, config)
