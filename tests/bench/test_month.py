"""The month that query benchmarks read is what settlement and upkeep would leave."""

from datetime import datetime
from pathlib import Path

import pytest

from analytics.ledger.spending import spent
from bench.month import build
from store.writing import Store

KEY = [("started_at", "ascending"), *((name, "ascending") for name in ("part", "tier", "tenant", "model", "wasted"))]


def test_the_month_is_settled_summed_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "DAYS", 2)
    with Store.open(tmp_path) as store:
        build.month(store, 600, datetime(2026, 11, 20))
        assert store.query("SELECT count(*) AS n FROM requests")["n"].to_pylist() == [600]
        left = store.query("SELECT DISTINCT relation FROM manifest ORDER BY relation")["relation"].to_pylist()
        assert left == ["duration_hours", "energy_hours", "request_hours"], "days are closed"
        assert store.query("SELECT count(DISTINCT started_at) AS n FROM request_hours")["n"].to_pylist() == [48]
        width = "SELECT max(epoch_us(started_at) * 1000 - bucket_ns) < 10_000_000_000 AS narrow FROM requests_bucketed"
        assert store.query(width)["narrow"].to_pylist() == [True]
        rows = [store.query(f"FROM {name}") for name in ("attempt_energy", "requests", "attempts", "energy_intervals")]
        rows[-1] = rows[-1].drop([name for name in rows[-1].column_names if name.startswith(("co2e", "cost", "grid"))])
        expected, found = spent(*rows).sort_by(KEY), store.query("FROM energy_spent").sort_by(KEY)
        assert found.select([name for name, _ in KEY]).equals(expected.select([name for name, _ in KEY]))
        assert found["joules"].to_pylist() == pytest.approx(expected["joules"].to_pylist())
        assert found["entries"].equals(expected["entries"])
