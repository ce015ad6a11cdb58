"""What the page about deployments tells one to write is what a collector takes."""

import configparser
import re
from pathlib import Path

import pytest

from collector.counters import Counters
from collector.settings import CollectorSettings, require_tokens_off_loopback
from conventions import settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")


def test_its_settings_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INGEST", "QUERY", "ADMIN", "MEASURE"):
        monkeypatch.setenv(f"{name}_TOKEN", name.lower())
    config = tmp_path / "collector.toml"
    config.write_text("\n".join(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)))
    read = settings.section(config, "collector", CollectorSettings)
    assert read.tokens.given == ("ingest", "query", "admin", "measure")
    assert (read.scrapes[0].map, read.upkeep.keep_days, read.grpc and read.grpc.port) == ("vllm", 400, 4317)
    require_tokens_off_loopback(read)


def test_its_unit_starts_the_collector_and_gives_up_on_wrong_settings() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "deploy" / "tokenjoule-collector.service")
    service = dict(unit["Service"])
    assert "-m collector --config /etc/tokenjoule/collector.toml" in service["execstart"]
    assert service["restartpreventexitstatus"] == "2"
    assert int(service["limitnofile"]) > CollectorSettings().connections.max
    assert "tokenjoule-collector.service" in PAGE


def test_the_counters_it_names_are_there() -> None:
    text = Counters().text().decode()
    named = set(re.findall(r"`(tokenjoule_collector_\w+)`", PAGE)) - {"tokenjoule_collector_settle_lag_seconds"}
    assert len(named) == 3
    assert all(name in text for name in named)
