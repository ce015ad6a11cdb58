"""What stands below the arms of a load test: the weakest provenance of their joules, not the one last by alphabet."""

from datetime import datetime
from pathlib import Path

import pytest

from analytics.reports import arms, demonstration
from dashboard import sample
from store.writing import Store

END = datetime(2026, 11, 20)


@pytest.mark.parametrize(
    ("qualities", "worst"),
    [(("measured", "estimated"), "estimated"), (("estimated", "simulated"), "simulated"), (("measured",), "measured")],
)
def test_joules_of_two_qualities_are_called_by_the_weaker(
    tmp_path: Path, qualities: tuple[str, ...], worst: str
) -> None:
    days = sample.library_days(END, hours=1)
    for number, row in enumerate(days["requests"]):
        row |= {"run_id": "r", "run_arm": "only", "energy_quality": qualities[number % len(qualities)]}
    for number, row in enumerate(days["energy_intervals"]):
        row["quality"] = qualities[number // 2 % len(qualities)]
    with Store.open(tmp_path) as opened:
        sample.write(opened, days)
        (row,) = arms.by_arm(opened, ["r"])
        assert row["quality"] == worst
        assert demonstration.figures(opened, "r")["energy"]["quality"] == worst
