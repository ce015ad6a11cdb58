"""Metrics asked in one statement have the rows, columns and types that they have alone."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from analytics import metric
from analytics.metric import Window
from dashboard import sample
from store.writing import Store

END = datetime(2031, 5, 6, 12)


@pytest.mark.parametrize("hours", [3, 9])
def test_asked_together_as_alone(tmp_path: Path, hours: int) -> None:
    with Store.open(tmp_path) as store:
        sample.settle(store, sample.library_days(END, hours=hours, per_minute=1.0))
        window = Window(END - timedelta(hours=hours), END)
        found = metric.run_all(store, metric.names(), window, ("tier",), bucket_s=3600)
        assert set(found) == set(metric.names())
        for name in metric.names():
            alone = metric.run(store, name, window, ("tier",), bucket_s=3600)
            assert found[name].schema.types == alone.schema.types, name
            assert found[name].column_names == alone.column_names, name
            keys = list(metric.load(name).grain)
            assert found[name].select(keys).to_pylist() == alone.select(keys).to_pylist(), name
            values = [value or 0.0 for value in alone["value"].to_pylist()]
            assert [value or 0.0 for value in found[name]["value"].to_pylist()] == pytest.approx(values, rel=1e-9), name
