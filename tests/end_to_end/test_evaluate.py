"""``tokenjoule evaluate`` as a user runs it: real engines, real joules, a sheet that agrees with its figures."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conventions import confidence
from serving.routing import cascade
from tests.end_to_end.conftest import ROOT

pytestmark = pytest.mark.timeout(400)


def evaluate(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run("evaluate", folder, *arguments)


def run(name: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tokenjoule", name, "--directory", str(folder / "run"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=380)


def test_variants_are_asked_and_priced_and_the_sheet_says_so(tmp_path: Path) -> None:
    sheet, figures = tmp_path / "sheet.md", tmp_path / "figures.json"
    own = tmp_path / "own.toml"
    own.write_text('title = "none such"\nneeds = ["scout/none.json"]\nremedy = "make it"\n[engines.scout]\n')
    written = ("--sheet", str(sheet), "--json", str(figures))
    ended = evaluate(tmp_path, "--variants", f"scout,complexity,{own}", "--limit", "24", *written)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    document = json.loads(figures.read_text())
    assert [row["name"] for row in document["variants"]] == ["scout", "complexity"]
    for row in document["variants"]:
        assert row["exact"]["mix"]["asked"] == 24
        assert row["exact"]["mix"]["right"] == sum(row["exact"][name]["right"] for name in ("easy", "hard"))
        assert row["energy"]["uncovered"] == row["failed"] == 0
        assert row["energy"]["joules"] > 0
        assert row["energy"]["quality"] in ("measured", "estimated")
    assert document["variants"][0]["exact"]["easy"]["share"] > 0.6, "the scout knows its easy questions"
    assert sum(document["variants"][1]["answered_by"]["tiers"].values()) == 24
    text = sheet.read_text()
    assert f"Joules are {document['variants'][0]['energy']['quality']}" in text
    assert f"own.toml was not run: no scout/none.json in {ROOT / 'serving' / 'weights'}; make it." in text
    assert "Right-sized: " in ended.stdout


def test_a_calibration_is_written_beside_the_weights_and_the_cascade_reads_it(tmp_path: Path) -> None:
    models, sheet = tmp_path / "models", tmp_path / "calibration.md"
    shutil.copytree(ROOT / "serving" / "weights", models)
    (models / "scout" / "confidence.json").unlink()
    arguments = ("--models", str(models), "--count", "120", "--limit", "40", "--sheet", str(sheet))
    ended = run("calibrate", tmp_path, *arguments)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    made = confidence.read(models / "scout" / "confidence.json")
    assert (made.model, made.questions) == ("scout", 120)
    assert 0 < made.right < 120
    assert "Fitted on 120 questions" in sheet.read_text()
    assert cascade.Policy(calibration={"scout": models / "scout" / "confidence.json"}).calibration
    held_out = str(models / "heldout.jsonl")
    ended = run("calibrate", tmp_path, "--models", str(models), "--questions", held_out, "--limit", "40")
    assert ended.returncode == 2
    assert "what is fitted must not judge itself" in " ".join(ended.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--variants", "scuot"), "did you mean 'scout'"),
        (("--questions", "nowhere.jsonl"), "give JSON lines"),
        (("--sheet", "/nowhere/sheet.md"), "there is no folder /nowhere"),
        (("--models", "/tmp"), "no such"),
    ],
)
def test_what_cannot_be_run_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    more = () if "--questions" in arguments else ("--questions", str(ROOT / "serving" / "weights" / "heldout.jsonl"))
    ended = evaluate(tmp_path, *arguments, *more)
    assert ended.returncode == 2
    assert said.replace("no such", "no variant can run") in " ".join(ended.stderr.split())
