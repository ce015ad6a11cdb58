"""The project's own training script against a real collector: what it cost is there as rows."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ROOT, Running


def train(collector: Running, out: Path, steps: int, *more: str) -> None:
    command = [sys.executable, "-m", "training.library_desk", "--threads", "1", "train", "--only", "expert"]
    command += ["--out", str(out), "--checkpoints", str(out / "checkpoints"), "--steps-expert", str(steps)]
    command += ["--collector", collector.urls["collector"], *more]
    subprocess.run(command, cwd=ROOT, check=True, timeout=280, stdout=subprocess.DEVNULL)


@pytest.mark.timeout(600)
def test_a_training_run_and_its_resumption_are_one_job_with_joules(collector: Running, tmp_path: Path) -> None:
    """Twelve steps, then on to twenty: one job of two legs whose joules are those that the ledger attributes to it."""
    train(collector, tmp_path / "out", 12)
    train(collector, tmp_path / "out", 20, "--resume", "--gradient-checkpointing")
    collector.settle()
    (job,) = collector.query("SELECT * FROM jobs")
    assert (job["name"], job["status"], job["legs"], job["steps"]) == ("train expert", "ok", 2, 20)
    assert (job["precision"], job["gradient_checkpointing"], job["device_type"]) == ("bf16", True, "cpu")
    assert job["samples"] > 20
    assert job["tokens"] > 20 * 1000
    assert job["flops_method"] == "counted"
    assert job["flops"] / job["tokens"] > 6 * 4e6, "six per parameter and token, attention and recomputation on top"
    assert job["cpu_s"] > 0
    assert 0 < job["loss"] < 10
    claimed = collector.query("SELECT sum(attributed_j) j FROM energy_intervals WHERE job = $id", id=job["job_id"])
    assert job["energy_j"] == pytest.approx(claimed[0]["j"])
    assert job["energy_j"] > 0
    assert job["energy_quality"] in ("measured", "estimated")
    (balance,) = collector.query(
        "SELECT sum(total_j) t, sum(attributed_j + idle_j + unattributed_j) parts FROM energy_intervals"
    )
    assert balance["parts"] == pytest.approx(balance["t"], rel=1e-9)
