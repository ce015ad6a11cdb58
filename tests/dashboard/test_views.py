"""Every view, in every state: full, empty, unreachable, without energy, outside the range."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analytics.reports.quantities import quantity
from dashboard import data, sample
from store.writing import Store

View = Callable[..., AppTest]
BUDGET = '[[budgets]]\nname = "{name}"\nkind = "tokens"\nlimit = {limit}\nwindow = "1d"\n'
VIEWS = sorted(path.stem for path in (Path(sample.__file__).parent / "views").glob("[a-z]*.py"))
every_view = pytest.mark.parametrize("name", VIEWS)


def labels(at: AppTest) -> list[str]:
    return [metric.label for metric in at.metric]


@every_view
def test_a_seeded_store_shows_no_error(view: View, seeded: str, name: str) -> None:
    at = view(name, seeded)
    assert not at.exception
    assert not at.error
    assert at.title[0].value == name.capitalize()


@every_view
def test_every_chart_and_table_says_what_it_shows(view: View, seeded: str, name: str) -> None:
    at = view(name, seeded)
    for kind in ("vega_lite_chart", "arrow_data_frame"):
        for element in at.get(kind):
            assert element.proto.alt, kind


@every_view
def test_an_empty_store_says_how_to_send_the_first_request(view: View, empty: str, name: str) -> None:
    at = view(name, empty)
    assert not at.exception
    assert "No requests yet" in at.info[0].value
    assert any("/v1/chat/completions" in code.value for code in at.code)


def test_an_empty_page_fills_itself_when_the_first_request_arrives(
    view: View, tmp_path: Path, sample_days: dict[str, list[sample.Row]]
) -> None:
    Store.open(tmp_path).close()
    at = view("overview", f"duckdb:///{tmp_path}")
    assert not at.metric
    with Store.open(tmp_path) as store:
        sample.write(store, sample_days)
    data.latest.clear()
    at.run()
    assert len(at.metric) == 5


def test_trying_again_works_once_the_store_is_there(
    view: View, tmp_path: Path, sample_days: dict[str, list[sample.Row]]
) -> None:
    at = view("overview", f"duckdb:///{tmp_path}")
    assert at.error
    with Store.open(tmp_path) as store:
        sample.write(store, sample_days)
    at.button(key="retry").click().run()
    assert not at.error
    assert len(at.metric) == 5


@every_view
def test_an_unreachable_collector_is_named_with_the_remedy(view: View, name: str) -> None:
    at = view(name, "http://127.0.0.1:9")
    assert not at.exception
    assert "http://127.0.0.1:9" in at.error[0].value
    assert "tokenjoule collect" in at.code[0].value


@every_view
def test_a_missing_store_is_named(view: View, tmp_path: Path, name: str) -> None:
    missing = f"duckdb:///{tmp_path}/nothing"
    at = view(name, missing)
    assert not at.exception
    assert missing in at.error[0].value


def test_the_five_numbers_are_there_with_units_and_courses(view: View, seeded: str) -> None:
    at = view("overview", seeded)
    assert [label.split(" :")[0] for label in labels(at)] == [
        "Energy per successful token",
        "TTFT p95 (engine)",
        "Latency p95 (E2E)",
        "Cache hit rate",
        "Budget burn",
    ]
    ttft, latency, hits = (metric.value.split()[-1] for metric in at.metric[1:4])
    assert {ttft, latency} <= {"ms", "s"}  # 0.9 to 1.1 s at the 95th percentile, as the hour of the day has it
    assert hits == "%"
    assert at.metric[0].value.endswith("J/token")
    assert all(len(metric.proto.chart_data) > 10 for metric in at.metric[:4])


def test_lower_is_better_for_joules_and_higher_for_hits(view: View, seeded: str) -> None:
    """RED is 0 and GREEN is 1 in Streamlit's protocol; the colours of the theme are vermillion and green."""
    at = view("overview", seeded)
    for metric in at.metric[:4]:
        rises = metric.delta.startswith("+")
        better = rises if metric.label.startswith("Cache") else not rises
        assert metric.proto.color == (1 if better else 0), metric.label


def test_estimated_energy_is_labelled_on_the_page_and_on_the_number(view: View, seeded: str) -> None:
    at = view("overview", seeded)
    assert "estimated, not measured" in at.warning[0].value
    assert "badge[estimated]" in at.metric[0].label


def test_the_budget_that_burns_fastest_is_shown(view: View, seeded: str, tmp_path: Path) -> None:
    config = tmp_path / "budgets.toml"
    sections = ("calm", 9e9), ("tight", 900.0)
    config.write_text("".join(BUDGET.format(name=name, limit=limit) for name, limit in sections), encoding="utf-8")
    at = view("overview", seeded, config)
    assert not at.exception
    assert at.metric[4].value.endswith("×")
    assert at.metric[4].proto.delta_description == "tight: over"
    assert "calm" in at.metric[4].help


def test_an_unusable_budget_file_is_named_on_the_card_alone(view: View, seeded: str, tmp_path: Path) -> None:
    config = tmp_path / "budgets.toml"
    config.write_text(BUDGET.format(name="tokens", limit=5.0).replace("limit", "limits"), encoding="utf-8")
    at = view("overview", seeded, config)
    assert not at.exception
    assert not at.error
    assert at.metric[4].value == "–"
    assert "limits" in at.metric[4].help


def test_without_energy_the_rest_still_stands(view: View, without_energy: str) -> None:
    at = view("overview", without_energy)
    assert not at.exception
    assert at.metric[0].value == "–"
    assert at.metric[2].value != "–"
    assert "No energy data" in at.info[0].value


def test_a_filter_in_the_address_changes_the_numbers(view: View, seeded: str) -> None:
    fleet = view("overview", seeded)
    scout = view("overview", seeded, tier="scout")
    assert not scout.exception
    assert "attributed" in scout.metric[0].label
    assert scout.metric[2].value != fleet.metric[2].value
    assert list(scout.multiselect(key="tier").value) == ["scout"]


def test_the_energy_chart_sums_to_the_balance(
    view: View, seeded: str, sample_days: dict[str, list[sample.Row]]
) -> None:
    at = view("overview", seeded, range="24h")
    total = sum(row["total_j"] for row in sample_days["energy_intervals"])
    assert any(caption.value.startswith(quantity(total, "J")) for caption in at.caption)


def test_energy_that_is_not_measured_is_drawn_paler(view: View, seeded: str) -> None:
    at = view("overview", seeded)
    mark = json.loads(at.get("vega_lite_chart")[0].proto.spec)["mark"]
    assert mark["fillOpacity"] < 1


def test_old_data_says_when_it_ended(view: View, tmp_path: Path) -> None:
    long_ago = datetime.now() - timedelta(days=60)
    with Store.open(tmp_path) as store:
        sample.write(store, sample.library_days(long_ago, hours=1))
    at = view("overview", f"duckdb:///{tmp_path}")
    assert not at.exception
    assert f"{long_ago:%Y-%m}" in at.info[0].value


def test_requests_are_newest_first_with_energy_and_its_error(view: View, seeded: str) -> None:
    shown = view("requests", seeded).dataframe[0].value
    assert shown["started_at"].is_monotonic_decreasing
    assert shown["energy"].str.contains(" ± ").any()
    assert shown["status"].str.startswith(("✓", "✕")).all()


def test_carbon_and_cost_are_shown_with_their_factor_and_sign_of_estimate(view: View, seeded: str) -> None:
    shown = [frame.value for frame in view("overview", seeded).dataframe if "factor" in frame.value.columns]
    assert len(shown) == 1
    assert "CO2e per 1000 successful tokens" in shown[0][""].tolist()
    assert all("[estimated]" in text for text in shown[0]["value"] if text != "–")
    assert "WORLD 2023 static, average" in shown[0]["factor"].tolist()
    rows = view("requests", seeded).dataframe[0].value
    assert rows["co2e"].str.match(r"≈ [0-9.]+ [mµ]?g$").all()
    assert rows["cost_text"].str.endswith(" USD").all()


def test_carbon_that_is_not_known_is_not_shown(view: View, without_energy: str) -> None:
    assert not [frame for frame in view("overview", without_energy).dataframe if "factor" in frame.value.columns]
    assert view("requests", without_energy).dataframe[0].value["co2e"].eq("–").all()


def test_failed_requests_alone(view: View, seeded: str) -> None:
    at = view("requests", seeded, range="6h", status="Failed")
    assert not at.exception
    shown = at.dataframe[0].value
    assert len(shown) > 0
    assert shown["status"].str.startswith("✕ upstream_timeout").all()


def test_navigation_lists_every_view(monkeypatch: pytest.MonkeyPatch, seeded: str) -> None:
    monkeypatch.setenv("TOKENJOULE_STORE", seeded)
    app = Path(sample.__file__).parent / "app.py"
    at = AppTest.from_file(str(app), default_timeout=60).run()
    assert not at.exception
    assert at.title[0].value == "Overview"
    for name in VIEWS:
        at.switch_page(f"views/{name}.py").run()
        assert not at.exception
        assert at.title[0].value == name.capitalize()


def test_jobs_are_listed_with_what_they_cost_and_their_courses_are_drawn(view: View, tmp_path: Path) -> None:
    """A store with a training job and not one request."""
    now = datetime.now(UTC).replace(tzinfo=None)
    job = {"job_id": "a", "leg": "a1", "name": "tune", "device_type": "cpu", "devices": [], "cpu_threads": 2}
    job |= {"leg_started_at": now - timedelta(minutes=20), "status": "failed", "error_type": "MemoryError"}
    slots = [
        job | {"started_at": at, "heard_at": at, "samples": 40 * n, "duration_s": 60.0 * n, "cpu_s": 30.0 * n,
               "loss": 3.0 / n, "tokens": 400 * n}
        for n in range(1, 6)
        for at in [now - timedelta(minutes=20 - n)]
    ]  # fmt: skip
    spent = {"device": "cpu:0", "job": "a", "method": "cpu_time", "quality": "estimated", "idle_j": 0.0}
    spent |= {"started_at": slots[2]["started_at"], "ended_at": slots[2]["started_at"], "unattributed_j": 0.0}
    rows = {"job_progress": slots, "energy_intervals": [spent | {"total_j": 500.0, "attributed_j": 500.0}]}
    with Store.open(tmp_path) as store:
        sample.write(store, rows)
    at = view("training", f"duckdb:///{tmp_path}")
    assert not at.exception
    (shown,) = at.dataframe[0].value.to_dict("records")
    assert (shown["name"], shown["status"], shown["per_sample"]) == ("tune", "MemoryError", "2.5 J/sample")
    assert (shown["energy"], shown["samples"], shown["loss"]) == ("500 J", 200, pytest.approx(0.6))
    assert "estimated" in at.caption[0].value
    words = [chart.proto.alt for chart in at.get("vega_lite_chart")]
    assert any(text.startswith("Training loss over time: tune last 0.6 loss") for text in words), words
    assert len(words) == 4
