"""The main job as a user runs it: the demo's figures close, and the store counts what the client counted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ROOT

pytestmark = pytest.mark.timeout(400)


def test_the_demo_accounts_for_every_joule_and_every_request(tmp_path: Path) -> None:
    result = tmp_path / "demo.json"
    command = [sys.executable, "-m", "tokenjoule", "demo", "--seconds", "20", "--no-dashboard", "--json", str(result)]
    ended = subprocess.run(
        [*command, "--directory", str(tmp_path / "demo")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    figures = json.loads(result.read_text())
    energy, requests = figures["energy"], figures["requests"]
    parts = energy["attributed_j"] + energy["idle_j"] + energy["unattributed_j"]
    assert abs(parts - energy["total_j"]) / energy["total_j"] < 1e-9
    assert min(energy["attributed_j"], energy["idle_j"], energy["unattributed_j"]) > 0
    assert energy["engine_unattributed_share"] < 0.10
    assert energy["quality"] in {"measured", "estimated"}
    assert requests["ok"] == figures["client"]["ok"] > 0
    assert requests["total"] == figures["client"]["sent"]
    assert (
        figures["numbers"]["energy_per_successful_token_j"] > figures["numbers"]["active_energy_per_successful_token_j"]
    )
    assert energy["quality"] in ended.stdout  # estimated is said where a user reads it
    charges = figures["charges"]
    assert charges["co2e_g"] == pytest.approx(energy["total_j"] * charges["g_per_kwh"] / 3.6e6)
    assert charges["sci_g_per_token"] > charges["co2e_g_per_1k_tokens"] / 1000 > 0
    assert charges["cost"] == pytest.approx(energy["cost_energy"] + energy["cost_device"])
    assert charges["estimated"]  # a yearly mean is no reading of today, whatever the joules are
    for told in ("WORLD 2023", "demo assumption", "[estimated]"):
        assert told in " ".join(ended.stdout.split())  # captions wrap
